/// Not bad: has a child score first, waits until the child's time is over, and scores itself.
#include "fixture.h"

#include <stdio.h>
#include <unistd.h>

static martlet_status run_fixture(const fixture *self) {
  const martlet_host *host = self->host;
  martlet_run run = self->run;
  martlet_usage before = {.size = sizeof before}, between = before, after = before;
  const martlet_child child = {.size = sizeof child, .strategy = "best-of-n", .options = "n=2",
                               .options_length = 4, .tokens = 8, .seconds = 0.5};
  martlet_child_result result = {.size = sizeof result};
  host->usage(run, &before);
  martlet_status status = host->run_child(run, &child, &result);
  host->usage(run, &between);
  if (status != MARTLET_OK) return status;
  usleep(600000);
  martlet_branch root = NULL, branches[2];
  host->root(run, &root);
  if ((status = host->fork(run, root, 2, branches)) != MARTLET_OK) return status;
  const martlet_advance how = {.size = sizeof how, .max_tokens = 3};
  if ((status = host->advance(run, branches, 2, &how)) != MARTLET_OK) return status;
  double scores[2];
  const martlet_status scored = host->score(run, branches, 2, scores);
  host->usage(run, &after);
  char text[96];
  int length = snprintf(text, sizeof text, "score %d, %d then %d", scored,
                        between.scored_tokens > before.scored_tokens,
                        after.scored_tokens > between.scored_tokens);
  uint32_t candidate = 0;
  status = host->candidate_text(run, text, (size_t)length, &candidate);
  return status == MARTLET_OK ? host->answer(run, candidate) : status;
}

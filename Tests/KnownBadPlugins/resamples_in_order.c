/// Claims to resample without bias and keeps whoever stands first, whatever the scores.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  const martlet_host *host = self->host;
  martlet_branch root = NULL, particles[8], next[8];
  double scores[8];
  const uint32_t ancestors[8] = {0, 0, 1, 1, 2, 2, 3, 3};
  martlet_status status = host->root(self->run, &root);
  if (status == MARTLET_OK) status = host->fork(self->run, root, 8, particles);
  const martlet_advance how = {.size = sizeof how, .max_tokens = 2};
  if (status == MARTLET_OK) status = host->advance(self->run, particles, 8, &how);
  if (status == MARTLET_OK) status = host->score(self->run, particles, 8, scores);
  if (status == MARTLET_OK) status = host->resample(self->run, particles, 8, ancestors, next);
  uint32_t candidate = 0;
  if (status == MARTLET_OK) status = host->candidate(self->run, next[0], &candidate);
  return status == MARTLET_OK ? host->answer(self->run, candidate) : status;
}

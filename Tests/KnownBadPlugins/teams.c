/// Calls every function of the extension of teams, rightly and wrongly, and answers with what each gave.
#include <stdarg.h>
#include <stdio.h>

#include "fixture.h"
#include "martlet/extensions/team.h"

static char notes[1 << 14];
static size_t used;

static void note(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(notes + used, sizeof notes - used, format, arguments);
  va_end(arguments);
  if (length > 0) used += (size_t)length;
  if (used > sizeof notes - 1) used = sizeof notes - 1;
}

static martlet_status answer(const fixture *self) {
  uint32_t candidate = 0;
  martlet_status status = self->host->candidate_text(self->run, notes, used, &candidate);
  return status == MARTLET_OK ? self->host->answer(self->run, candidate) : status;
}

static martlet_status run_fixture(const fixture *self) {
  const martlet_host *host = self->host;
  martlet_run run = self->run;
  used = 0;
  const martlet_team_extension *teams = host->extension(MARTLET_TEAM_EXTENSION);
  if (teams == NULL || teams->size < sizeof *teams) return MARTLET_E_UNSUPPORTED;
  martlet_branch root = NULL, members[3], other = NULL;
  if (host->root(run, &root) != MARTLET_OK || host->fork(run, root, 3, members) != MARTLET_OK) {
    return MARTLET_E_INTERNAL;
  }
  uint32_t available = 9;
  teams->available(run, &available);
  if (available == 0) {
    note("available 0 make %d ", (int)teams->make(run, root, members, 3, 0));
    return answer(self);
  }
  note("unknown %d available %u ", host->extension("martlet.team.0") != NULL, available);
  const martlet_branch twice[] = {members[0], members[0]};
  const martlet_branch foreign[] = {members[0], (martlet_branch)(UINTPTR_MAX - 76)};
  note("null %d ", (int)teams->make(run, root, NULL, 2, 0));
  note("none %d ", (int)teams->make(run, root, members, 0, 0));
  note("twice %d ", (int)teams->make(run, root, twice, 2, 0));
  note("layout %d ", (int)teams->make(run, root, members, 3, 7));
  note("foreign %d ", (int)teams->make(run, root, foreign, 2, 0));
  if (host->open(run, "xyz", 3, MARTLET_PROMPT_PLAIN, &other) != MARTLET_OK) return MARTLET_E_INTERNAL;
  note("other %d ", (int)teams->make(run, root, &other, 1, 0));
  note("make %d ", (int)teams->make(run, root, members, 3, MARTLET_TEAM_COMBINED));
  note("again %d ", (int)teams->make(run, root, members, 1, 0));
  note("fork %d ", (int)host->fork(run, members[0], 1, &other));

  const martlet_advance four = {.size = sizeof four, .max_tokens = 4};
  note("submit %d ", (int)host->submit(run, members, 3, &four));
  note("leave %d ", (int)teams->leave(run, members[0]));
  note("step %d ", (int)teams->end_step(run, members[0]));
  for (int i = 0; i < 3; ++i) {
    martlet_event event = {.size = sizeof event};
    if (host->wait_any(run, &event) != MARTLET_OK) return MARTLET_E_INTERNAL;
    note("endstep %d ", (int)teams->end_step(run, event.branch));
  }
  int32_t tokens[64];
  size_t needed = 0;
  note("small %d ", (int)teams->context(run, members[2], tokens, 1, &needed));
  note("context %d ", (int)teams->context(run, members[2], tokens, 64, &needed));
  for (size_t i = 0; i < needed && i < 64; ++i) note("%d ", tokens[i]);
  host->advance(run, members, 2, &four);
  host->release(run, members[1]);
  host->advance(run, members, 1, &four);
  teams->context(run, members[0], tokens, 64, &needed);
  for (size_t i = 0; i < needed && i < 64; ++i) note("%d ", tokens[i]);
  note("leave %d ", (int)teams->leave(run, members[0]));
  note("gone %d ", (int)teams->leave(run, members[0]));
  note("fork %d ", (int)host->fork(run, members[0], 1, &other));
  return answer(self);
}

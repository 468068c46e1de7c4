/// Lets the clock decide how far it generates.
#include <time.h>

#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  static uint32_t calls = 0;
  const martlet_host *host = self->host;
  martlet_branch root = NULL;
  martlet_status status = host->root(self->run, &root);
  if (status != MARTLET_OK) return status;
  // The counter makes sure that two runs differ whatever the clock says.
  uint32_t tokens = 2 * ++calls + (uint32_t)(time(NULL) & 1);
  const martlet_advance how = {.size = sizeof how, .max_tokens = tokens};
  host->advance(self->run, &root, 1, &how);
  uint32_t candidate = 0;
  status = host->candidate(self->run, root, &candidate);
  return status == MARTLET_OK ? host->answer(self->run, candidate) : status;
}

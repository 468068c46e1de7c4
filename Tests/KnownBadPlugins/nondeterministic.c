/// Remembers its last run and goes one token further in the next.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  static uint32_t calls = 0;
  const martlet_host *host = self->host;
  martlet_branch root = NULL;
  martlet_status status = host->root(self->run, &root);
  if (status != MARTLET_OK) return status;
  const martlet_advance how = {.size = sizeof how, .max_tokens = ++calls};
  host->advance(self->run, &root, 1, &how);
  uint32_t candidate = 0;
  status = host->candidate(self->run, root, &candidate);
  return status == MARTLET_OK ? host->answer(self->run, candidate) : status;
}

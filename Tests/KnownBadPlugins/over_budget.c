/// Ignores that its budget has ended and goes on asking for tokens.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  const martlet_host *host = self->host;
  martlet_branch root = NULL;
  martlet_status status = host->root(self->run, &root);
  if (status != MARTLET_OK) return status;
  const martlet_advance how = {.size = sizeof how, .max_tokens = 1};
  for (;;) {
    martlet_branch child = NULL;
    status = host->fork(self->run, root, 1, &child);
    if (status == MARTLET_E_HANDLE) return status;
    if (status != MARTLET_OK) continue;
    host->advance(self->run, &child, 1, &how);
    host->release(self->run, child);
  }
}

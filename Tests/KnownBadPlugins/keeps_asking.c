/// Asks a hundred times more after its budget has ended, and only then returns.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  const martlet_host *host = self->host;
  martlet_branch root = NULL;
  martlet_status status = answer_with_root(self);
  if (status == MARTLET_OK) status = host->root(self->run, &root);
  const martlet_advance how = {.size = sizeof how, .max_tokens = 1};
  for (int i = 0; i < 100 && status == MARTLET_OK; ++i) {
    martlet_branch child = NULL;
    if (host->fork(self->run, root, 1, &child) != MARTLET_OK) break;
    host->advance(self->run, &child, 1, &how);
    host->release(self->run, child);
  }
  return status;
}

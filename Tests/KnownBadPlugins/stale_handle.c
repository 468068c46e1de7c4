/// Uses a branch after it has released it.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  const martlet_host *host = self->host;
  martlet_branch root = NULL, child = NULL;
  host->root(self->run, &root);
  host->fork(self->run, root, 1, &child);
  host->release(self->run, child);
  const martlet_advance how = {.size = sizeof how};
  host->advance(self->run, &child, 1, &how);
  return answer_with_root(self);
}

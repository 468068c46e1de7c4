/// Submits branches with a callback, which only an advance takes.
#include "fixture.h"

static int32_t never(void *context, martlet_branch branch) {
  (void)context;
  (void)branch;
  return 0;
}

static martlet_status run_fixture(const fixture *self) {
  martlet_branch root = NULL;
  martlet_status status = self->host->root(self->run, &root);
  const martlet_advance how = {.size = sizeof how, .until = never};
  if (status == MARTLET_OK) self->host->submit(self->run, &root, 1, &how);
  return status == MARTLET_OK ? answer_with_root(self) : status;
}

/// Forks a branch in a callback, which may only read.
#include "fixture.h"

static int32_t fork_it(void *context, martlet_branch branch) {
  const fixture *self = context;
  martlet_branch child = NULL;
  if (self->host->fork(self->run, branch, 1, &child) == MARTLET_OK) {
    self->host->release(self->run, child);
  }
  return 1;
}

static martlet_status run_fixture(const fixture *self) {
  martlet_branch root = NULL;
  martlet_status status = self->host->root(self->run, &root);
  const martlet_advance how = {.size = sizeof how, .until = fork_it, .until_context = (void *)self};
  if (status == MARTLET_OK) self->host->advance(self->run, &root, 1, &how);
  return status == MARTLET_OK ? answer_with_root(self) : status;
}

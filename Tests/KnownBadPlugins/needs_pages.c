/// Takes a run without pages for a failure.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  const martlet_host *host = self->host;
  martlet_branch root = NULL, children[8];
  martlet_status status = host->root(self->run, &root);
  if (status == MARTLET_OK) status = host->fork(self->run, root, 8, children);
  const martlet_advance how = {.size = sizeof how};
  if (status == MARTLET_OK) status = host->advance(self->run, children, 8, &how);
  if (status != MARTLET_OK) {
    host->explain(self->run, "eight branches are the least", 28);
    return MARTLET_E_PLUGIN;
  }
  uint32_t candidate = 0;
  status = host->candidate(self->run, children[0], &candidate);
  return status == MARTLET_OK ? host->answer(self->run, candidate) : status;
}

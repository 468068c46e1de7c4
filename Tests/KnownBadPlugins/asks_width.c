/// Asks what width costs, with bad arguments first, and advances as many branches as are nearly free.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  const martlet_host *host = self->host;
  double cost = 0;
  uint32_t knee = 0;
  if (host->size < sizeof(martlet_host)) return MARTLET_E_UNSUPPORTED;
  if (host->width_cost(self->run, 0, &cost) != MARTLET_E_ARGUMENT) return MARTLET_E_PLUGIN;
  if (host->width_cost(self->run, 1, NULL) != MARTLET_E_ARGUMENT) return MARTLET_E_PLUGIN;
  if (host->width_cost(NULL, 1, &cost) != MARTLET_E_HANDLE) return MARTLET_E_PLUGIN;
  if (host->knee_width(self->run, NULL) != MARTLET_E_ARGUMENT) return MARTLET_E_PLUGIN;
  if (host->width_cost(self->run, 1, &cost) != MARTLET_OK || cost != 1) return MARTLET_E_PLUGIN;
  if (host->knee_width(self->run, &knee) != MARTLET_OK || knee < 1 || knee > 64)
    return MARTLET_E_PLUGIN;
  if (host->width_cost(self->run, knee, &cost) != MARTLET_OK || cost > 2) return MARTLET_E_PLUGIN;
  if (host->width_cost(self->run, knee + 1, &cost) != MARTLET_OK || cost <= 2)
    return MARTLET_E_PLUGIN;

  martlet_branch root = NULL, branches[64];
  martlet_status status = host->root(self->run, &root);
  if (status == MARTLET_OK) status = host->fork(self->run, root, knee, branches);
  if (status != MARTLET_OK) return status;
  const martlet_advance how = {.size = sizeof how};
  status = host->advance(self->run, branches, knee, &how);
  if (status != MARTLET_OK) return status;
  for (uint32_t i = 0; i < knee && status == MARTLET_OK; ++i) {
    uint32_t candidate = 0;
    status = host->candidate(self->run, branches[i], &candidate);
    if (status == MARTLET_OK) status = host->answer(self->run, candidate);
  }
  return status;
}

/// Fails before it has generated anything, and says why.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  const char why[] = "the moon is in the wrong phase";
  self->host->explain(self->run, why, sizeof why - 1);
  return MARTLET_E_PLUGIN;
}

/// Fails after it has named an answer.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  martlet_status status = answer_with_root(self);
  if (status != MARTLET_OK) return status;
  const char why[] = "the second thoughts did not come";
  self->host->explain(self->run, why, sizeof why - 1);
  return MARTLET_E_PLUGIN;
}

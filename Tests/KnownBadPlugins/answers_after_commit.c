/// Commits an answer and then names another.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  martlet_status status = answer_with_root(self);
  if (status != MARTLET_OK) return status;
  self->host->commit(self->run, 0);
  self->host->answer(self->run, 0);
  self->host->abstain(self->run);
  return MARTLET_OK;
}

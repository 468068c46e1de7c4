/// Asks what comes next where nothing comes any more.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  martlet_branch root = NULL;
  martlet_choice choice;
  const martlet_next_token query = {.size = sizeof query, .top = 1, .choices = &choice};
  martlet_status status = answer_with_root(self);
  if (status == MARTLET_OK) status = self->host->root(self->run, &root);
  if (status == MARTLET_OK) self->host->next_token(self->run, &root, 1, &query);
  return status;
}

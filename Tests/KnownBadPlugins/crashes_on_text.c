/// Takes the text of an option for longer than it is.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  char text[64];
  size_t needed = 0;
  martlet_status status = self->host->option_text(self->run, "step", text, sizeof text, &needed);
  if (status != MARTLET_OK || needed == 0) abort();
  return answer_with_root(self);
}

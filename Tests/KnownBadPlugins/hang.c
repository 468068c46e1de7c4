/// Never returns, whatever happens to its run.
#include <unistd.h>

#include "fixture.h"

static martlet_status run_fixture(const fixture *self) {
  (void)self;
  for (;;) pause();
  return MARTLET_OK;
}

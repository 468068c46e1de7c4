/// What the fixtures share that reach for something outside: `reach` says whether they got it, and
/// their answer is "got it" or the error.
#ifndef MARTLET_REACHING_H
#define MARTLET_REACHING_H

#include <errno.h>
#include <stdio.h>

#include "fixture.h"

/// 0, or an errno.
static int reach(void);

static martlet_status run_fixture(const fixture *self) {
  char text[64];
  int problem = reach();
  int length = problem == 0 ? snprintf(text, sizeof text, "got it")
                            : snprintf(text, sizeof text, "errno %d", problem);
  uint32_t index = 0;
  martlet_status status = self->host->candidate_text(self->run, text, (size_t)length, &index);
  return status == MARTLET_OK ? self->host->answer(self->run, index) : status;
}

#endif

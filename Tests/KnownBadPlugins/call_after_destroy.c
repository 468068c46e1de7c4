/// A thread of its own goes on calling the host after the instance was destroyed.
#include <pthread.h>
#include <unistd.h>

#include "fixture.h"

static void *call_later(void *argument) {
  fixture self = *(fixture *)argument;
  free(argument);
  usleep(100000);
  double left = 0;
  self.host->budget_left(self.run, MARTLET_RESOURCE_TOKENS, &left);
  return NULL;
}

static martlet_status run_fixture(const fixture *self) {
  fixture *copy = malloc(sizeof *copy);
  if (copy == NULL) return MARTLET_E_MEMORY;
  *copy = *self;
  pthread_t thread;
  if (pthread_create(&thread, NULL, call_later, copy) != 0) return MARTLET_E_INTERNAL;
  pthread_detach(thread);
  return answer_with_root(self);
}

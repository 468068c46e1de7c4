/// Cannot keep a second note, and says why.
#define MEMORY_STORE                                                       \
  if (self->count > 0) {                                                   \
    self->host->explain(self->run, "there is no paper left", 22);          \
    return MARTLET_E_PLUGIN;                                               \
  }
#include "memory.h"

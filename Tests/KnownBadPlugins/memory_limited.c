/// Fails at the largest value that its option allows, and says why.
#define MEMORY_CREATE                                                       \
  int64_t size = 0;                                                         \
  host->option_integer(run, "size", &size);                                 \
  if (size == 16) {                                                         \
    host->explain(run, "nobody has room for sixteen", 27);                  \
    return MARTLET_E_PLUGIN;                                                \
  }
#include "memory.h"

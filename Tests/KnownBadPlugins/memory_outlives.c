/// Keeps its notes past the end of its session, though nobody said where.
#define MEMORY_OUTLIVES
#include "memory.h"

/// Gives the best note last.
#define MEMORY_AFTER for (uint32_t i = 0; i < *count; ++i) notes[i].score = i;
#include "memory.h"

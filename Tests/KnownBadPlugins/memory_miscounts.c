/// Says that it found more than it was asked for.
#define MEMORY_AFTER if (top == 1) *count = 9;
#include "memory.h"

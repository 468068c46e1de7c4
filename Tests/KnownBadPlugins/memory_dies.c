/// Its process ends when it is to keep a note.
#define MEMORY_STORE abort();
#include "memory.h"

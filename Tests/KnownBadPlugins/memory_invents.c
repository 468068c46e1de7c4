/// What it gives back is not what was stored.
#define MEMORY_TEXT(text) (part == MARTLET_NOTE_TEXT && *needed > 0 ? memset(text, 'x', *needed) : text)
#include "memory.h"

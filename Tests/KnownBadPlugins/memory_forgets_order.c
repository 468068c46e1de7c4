/// Which of two notes comes first changes from call to call.
#define MEMORY_AFTER                                   \
  if (*count > 1 && calls % 2) {                       \
    martlet_note first = notes[0];                     \
    notes[0] = notes[1];                               \
    notes[1] = first;                                  \
  }
#include "memory.h"

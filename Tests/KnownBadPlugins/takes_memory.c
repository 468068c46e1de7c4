/// Takes a gigabyte and uses it.
#include <stdlib.h>
#include <string.h>

#include "reaching.h"

static int reach(void) {
  const size_t size = (size_t)1 << 30;
  volatile char *bytes = malloc(size);
  if (bytes == NULL) return errno;
  for (size_t at = 0; at < size; at += 4096) bytes[at] = 1;
  free((char *)bytes);
  return 0;
}

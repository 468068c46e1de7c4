/// Removes a file, without opening any.
#define _GNU_SOURCE
#include <unistd.h>

#include "reaching.h"

static int reach(void) {
  return unlink("/tmp/martlet-is-not-there") == 0 || errno == ENOENT ? 0 : errno;
}

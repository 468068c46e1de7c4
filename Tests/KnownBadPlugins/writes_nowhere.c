/// Writes to /dev/null, which harms nobody.
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

#include "reaching.h"

static int reach(void) {
  int file = open("/dev/null", O_WRONLY);
  if (file < 0) return errno;
  return write(file, "x", 1) == 1 && close(file) == 0 ? 0 : errno;
}

/// Reads a file that is none of its own.
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

#include "reaching.h"

static int reach(void) {
  int file = open("/etc/passwd", O_RDONLY);
  if (file < 0) return errno;
  close(file);
  return 0;
}

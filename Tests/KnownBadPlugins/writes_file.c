/// Makes a file in the folder for temporary ones.
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include "reaching.h"

static int reach(void) {
  char path[] = "/tmp/martlet-writes-file-XXXXXX";
  int file = mkstemp(path);
  if (file < 0) return errno;
  unlink(path);
  return write(file, "x", 1) == 1 && close(file) == 0 ? 0 : errno;
}

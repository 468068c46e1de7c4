/// Opens a socket to the internet.
#define _GNU_SOURCE
#include <sys/socket.h>
#include <unistd.h>

#include "reaching.h"

static int reach(void) {
  int file = socket(AF_INET, SOCK_STREAM, 0);
  if (file < 0) return errno;
  close(file);
  return 0;
}

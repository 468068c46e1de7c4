/// Opens a socket while it is loaded, before anybody asked it for anything.
#define _GNU_SOURCE
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

__attribute__((constructor)) static void reach(void) {
  int file = socket(AF_INET, SOCK_STREAM, 0);
  if (file >= 0) close(file);
}

static martlet_status run_fixture(const fixture *self) { return answer_with_root(self); }

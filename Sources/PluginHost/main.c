/// The program in which an isolated plugin runs. Its host starts it with the memory that both share as
/// descriptor 3 and a connection as descriptor 4; it is of no use otherwise.
#include <fcntl.h>
#include <stdio.h>

#include "martlet_isolation.h"

int main(void) {
  if (fcntl(3, F_GETFD) < 0 || fcntl(4, F_GETFD) < 0) {
    fputs("martlet-plugin-host is started by a host of Martlet plugins (martlet run --isolate)\n",
          stderr);
    return 64;
  }
  return martlet_isolated_child(3, 4);
}

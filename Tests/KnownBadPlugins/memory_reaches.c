/// Opens a socket, which its manifest does not ask for.
#include <sys/socket.h>
#define MEMORY_STORE socket(AF_INET, SOCK_STREAM, 0);
#include "memory.h"

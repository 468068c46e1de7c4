/// What the two parts of the plugin's side have in common.
#ifndef MARTLET_CHILD_H
#define MARTLET_CHILD_H

#include "calls.h"
#include "channel.h"

#include <pthread.h>

/// The one channel of this process.
typedef struct host_link {
  channel *shared;
  int control;
  pthread_t main_thread;
} host_link;
extern host_link martlet_link;

/// The host's functions.
extern const martlet_host martlet_child_table;

/// The frame of a lane, to be written, sent or read.
writer martlet_child_writer(unsigned which);
void martlet_child_send(unsigned which, uint32_t kind, uint32_t operation, const writer *frame);
reader martlet_child_received(unsigned which);

/// Serves the call that lies on the main lane and sends what it gave.
void martlet_child_serve(lane *lane);

#endif

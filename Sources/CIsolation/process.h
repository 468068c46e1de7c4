/// A plugin's process as its host sees it.
#ifndef MARTLET_PROCESS_H
#define MARTLET_PROCESS_H

#include "calls.h"
#include "channel.h"

#include <pthread.h>
#include <sys/types.h>

typedef struct isolated_component {
  martlet_component descriptor;  ///< First, so that a descriptor leads back here.
  martlet_isolated_plugin *plugin;
  bool scores_branches;
  struct isolated_component *next;
  char id[];
} isolated_component;

typedef struct process {
  martlet_isolated_plugin *plugin;
  channel *shared;
  int control;
  pid_t pid;
  pthread_t listener;
  /// Set by the listener, after the process is gone.
  _Atomic uint32_t ended;
  int status;
  /// Why the host ended it; empty when it ended by itself.
  char reason[256];
  /// The instance it serves.
  const martlet_host *host;
  martlet_run run;
  /// Calls to a scorer or extractor may come from several threads.
  pthread_mutex_t calls;
  /// The most processor time of the call in progress, seconds, and what it began with; 0 for no limit.
  double processor_limit, processor_began;
  /// Host functions inside one another.
  uint32_t depth;
  struct process *next;
} process;

struct martlet_isolated_plugin {
  martlet_isolated_options options;
  /// Guards what follows.
  pthread_mutex_t lock;
  process *idle;
  uint32_t idle_count;
  isolated_component *components;
  uint32_t references;
  bool closed;
};

/// Takes an idle process or starts one. Null with a message when that fails.
process *martlet_process_take(martlet_isolated_plugin *plugin, char *message, size_t capacity);
/// Gives a process back: to wait for the next instance, or to end.
void martlet_process_give(process *process);
/// What became of a process that ended, as a sentence without its end.
void martlet_process_fate(process *process, char *message, size_t capacity);

/// The frame to be written next.
writer martlet_process_writer(process *process);
/// Sends it, serves what the plugin asks of the host meanwhile, and waits for what comes back. The
/// answer is a copy that the caller frees (`start`). False when the process is gone.
bool martlet_process_exchange(process *process, uint32_t kind, uint32_t operation, writer *frame,
                              reader *answer);
/// Allows the next exchange so much processor time: a process that takes more is ended.
void martlet_process_limit(process *process, double seconds);
/// Whether the exchange kept to it. Ends the limit.
bool martlet_process_within_limit(process *process, char *message, size_t capacity);
/// Serves the frame that lies on a lane: calls the host function and writes the reply.
void martlet_serve(process *process, unsigned which);

/// One reference more or less.
void martlet_isolated_retain(martlet_isolated_plugin *plugin);
void martlet_isolated_release(martlet_isolated_plugin *plugin);

#endif

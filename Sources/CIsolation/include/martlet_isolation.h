/// Plugins in processes of their own, behind the host table of `martlet/plugin.h`.
///
/// The host's side: `martlet_isolated_open` names a plugin, `martlet_isolated_component` gives a
/// component whose functions pass each call on to a process and serve, on the calling thread, the
/// host functions that the plugin calls there. So whoever calls components cannot tell the
/// difference. The plugin's side is `martlet_isolated_child`, the whole of the program
/// `martlet-plugin-host`.
///
/// A process serves one instance at a time; when the instance is destroyed it waits for the next.
/// It ends with its host, however that ends.
#ifndef MARTLET_ISOLATION_H
#define MARTLET_ISOLATION_H

#include "martlet/plugin.h"

/// What a plugin may do besides computing; bits.
enum {
  MARTLET_PERMIT_NETWORK = 1u << 0,
  MARTLET_PERMIT_FILES = 1u << 1,
  MARTLET_PERMIT_SUBPROCESSES = 1u << 2,
};

/// A plugin that runs elsewhere. Counted: it goes with the last instance after its close.
typedef struct martlet_isolated_plugin martlet_isolated_plugin;

/// How. Strings are copied.
typedef struct martlet_isolated_options {
  const char *helper;    ///< The program `martlet-plugin-host`.
  const char *library;   ///< The plugin's library.
  /// A descriptor of the bytes to load in place of `library`, whose folder and name stay those it is known
  /// by; duplicated. 0 for none.
  int library_file;
  const char *plugin_id; ///< As its manifest says, and its library must.
  const char *version;
  /// Folders that the plugin may read besides its own and the system's libraries, each
  /// NUL-terminated, one after the other.
  const char *readable;
  size_t readable_length;
  uint32_t permissions;
  /// 1 to go on where the kernel cannot hold the plugin to its permissions.
  uint32_t allow_unconfined;
  uint64_t memory_bytes;  ///< The most the plugin may allocate.
  double stall_seconds;   ///< How long it may compute without a call; 0 for ever.
  uint32_t idle_processes; ///< How many are kept for later.
  /// Acts as a kernel without landlock (1) or without seccomp (2) would; for tests.
  uint32_t missing;
  /// Whether the run behind a handle was given up, so that who still works for it is ended.
  int32_t (*abandoned)(martlet_run run);
} martlet_isolated_options;

/// Null when memory is short.
martlet_isolated_plugin *martlet_isolated_open(const martlet_isolated_options *options);
void martlet_isolated_close(martlet_isolated_plugin *plugin);

/// A component of the plugin, found by a process that loads it. It lives as long as the plugin.
/// Failures: a message by the (buffer, capacity) of the caller, cut off to fit, NUL-terminated.
martlet_status martlet_isolated_component(martlet_isolated_plugin *plugin, uint32_t kind,
                                          const char *id, const martlet_component **component,
                                          char *message, size_t capacity);

/// How often the host function at a place in `martlet_host` was served to any process; for tests.
uint64_t martlet_isolated_served(uint32_t function);
/// How many functions `martlet_host` has, and the name of one; null past the last.
const char *martlet_isolated_function(uint32_t function);
/// How many processes there are now, idle ones included.
uint32_t martlet_isolated_processes(void);

/// Whether the process of an instance ended, so that calls of it fail from now on. The instance is one that
/// an isolated component made.
int martlet_isolated_ended(const void *instance);

/// A file in memory that nobody can change any more, with these bytes; -1 with errno where the system
/// refuses one. The caller closes it.
int martlet_isolated_sealed(const void *bytes, size_t count);

/// The file that holds a symbol of this process, or this very code for a null name; null when it
/// cannot be told. Lives as long as the image.
const char *martlet_isolated_image(const char *symbol);

/// The plugin's side. Returns when the host is gone.
int martlet_isolated_child(int memory, int control);

#endif

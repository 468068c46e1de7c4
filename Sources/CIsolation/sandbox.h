/// What a plugin's process may do, held by the kernel.
#ifndef MARTLET_SANDBOX_H
#define MARTLET_SANDBOX_H

#include "channel.h"

/// What a forbidden system call would have needed.
enum { LACKS_NETWORK = 1, LACKS_FILES = 2, LACKS_SUBPROCESSES = 3, LACKS_EVERYTHING = 4 };

typedef struct sandbox {
  uint32_t permissions;      ///< MARTLET_PERMIT_…
  uint32_t allow_unconfined; ///< Go on without what the kernel does not have.
  uint32_t missing;          ///< 1: as if it had no landlock; 2: no seccomp.
  uint64_t memory_bytes;     ///< The most that may be allocated; 0 for any.
  const char *library;       ///< Its folder may be read.
  const char *readable;      ///< So may these, each NUL-terminated.
  size_t readable_length;
} sandbox;

/// Binds this process for good; threads that are made later too. What is tried against it is noted
/// in `shared` and fails with EPERM. False with a message when the kernel has not what it takes.
bool martlet_sandbox_enter(const sandbox *sandbox, channel *shared, char *message,
                           size_t capacity);

/// What a plugin tried, as a sentence without its end.
void martlet_sandbox_describe(uint32_t lacks, uint32_t call, const char *plugin, char *message,
                              size_t capacity);

#endif

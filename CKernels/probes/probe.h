/// The list of arithmetic loops that martlet_probe_arithmetic chooses from.
#ifndef MARTLET_PROBES_PROBE_H
#define MARTLET_PROBES_PROBE_H

#include "dispatch/variant.h"

#include <martlet/probe.h>

/// Independent chains per loop: enough to hide four to five cycles at two instructions per cycle,
/// and with two operands still within sixteen registers.
#define MARTLET_PROBE_CHAINS 12

typedef struct martlet_probe_loop {
  martlet_probe_unit unit;
  uint32_t requires_isa;
  const char *name;
  double (*run)(uint64_t steps);
} martlet_probe_loop;

/// The loops of this architecture in rising order of preference, `*count` of them.
MARTLET_HIDDEN const martlet_probe_loop *martlet_probe_native_loops(size_t *count);

/// Keeps the compiler from knowing what `*value` is, or from dropping what was computed.
static inline void martlet_probe_opaque(void *value) {
  __asm__ volatile("" : : "r"(value) : "memory");
}

#endif

/// Probes of what this machine can do at most: the reads and the arithmetic that kernels are compared
/// with. Each runs one loop as often as told, on the calling thread; the caller takes the time, on as
/// many threads as it wants to know about.
#ifndef MARTLET_PROBE_H
#define MARTLET_PROBE_H

#include "common.h"

/// The arithmetic that products use.
typedef enum martlet_probe_unit {
  MARTLET_PROBE_FMA_F32 = 0,   ///< float32 fused multiply-add.
  MARTLET_PROBE_DOT_BF16 = 1,  ///< bf16 products added up in float32.
  MARTLET_PROBE_DOT_INT8 = 2,  ///< int8 products added up in int32.
} martlet_probe_unit;

/// The widest loop for `unit` that this process may run (`vpdpbusd zmm`, `plain c`, …); null for an
/// unknown unit. Lives forever.
MARTLET_API const char *martlet_probe_arithmetic_name(martlet_probe_unit unit);
/// Runs that loop `steps` times on registers alone. Returns the operations done, a multiply and an
/// add counting two; 0 for an unknown unit.
MARTLET_API double martlet_probe_arithmetic(martlet_probe_unit unit, uint64_t steps);

/// How many loop shapes there are for reading; which is fastest differs from CPU to CPU.
MARTLET_API size_t martlet_probe_read_count(void);
/// The name of one (`4 streams, prefetch 2048`), or null past the last. Lives forever.
MARTLET_API const char *martlet_probe_read_name(size_t shape);
/// Reads every byte of `memory` once, in order within each stream. `bytes` is a multiple of 4096,
/// `memory` starts on a 64-byte boundary. MARTLET_E_ARGUMENT otherwise, or for an unknown shape.
MARTLET_API martlet_status martlet_probe_read(size_t shape, const void *memory, size_t bytes);

#endif

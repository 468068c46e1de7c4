/// The rope family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_ROPE_VARIANTS_H
#define MARTLET_DISPATCH_ROPE_VARIANTS_H

#include "dispatch/variant.h"

#include <martlet/rope.h>

typedef void martlet_rope_table_function(const martlet_rope_configuration *configuration,
                                         size_t rows, const int32_t *positions, float *table);
typedef void martlet_rope_f32_function(martlet_rope_layout layout, size_t rows, size_t heads,
                                       size_t head_dimensions, size_t rotary_dimensions,
                                       const float *table, float *values, size_t stride);

#define MARTLET_ROPE_OPERATIONS(O) \
  O(rope, rope_table)              \
  O(rope, rope_f32)

#define MARTLET_ROPE_REFERENCE(X)                             \
  X(rope, rope_table, reference, MARTLET_NUMERIC_PORTABLE, 0) \
  X(rope, rope_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)

#if defined(__x86_64__)
#define MARTLET_ROPE_NATIVE(X)                                            \
  X(rope, rope_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)     \
  X(rope, rope_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)
#elif defined(__aarch64__)
#define MARTLET_ROPE_NATIVE(X)                                        \
  X(rope, rope_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)
#else
#define MARTLET_ROPE_NATIVE(X)
#endif

#define MARTLET_ROPE_VARIANTS(X) MARTLET_ROPE_REFERENCE(X) MARTLET_ROPE_NATIVE(X)

MARTLET_ROPE_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

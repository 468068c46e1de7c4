/// The attention family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_ATTENTION_VARIANTS_H
#define MARTLET_DISPATCH_ATTENTION_VARIANTS_H

#include "dispatch/variant.h"

#include <martlet/attention.h>

typedef void martlet_kv_write_function(const martlet_kv_layout *layout, void *page, uint32_t slot,
                                       const float *keys, const float *values);
typedef void martlet_kv_copy_function(const martlet_kv_layout *layout, const void *source,
                                      void *target, uint32_t slots);
typedef void martlet_attention_f32_function(const martlet_kv_layout *layout, uint32_t query_heads,
                                            float scale, const martlet_attention_row *rows,
                                            size_t row_count, uint32_t kv_head_begin,
                                            uint32_t kv_head_end);

#define MARTLET_ATTENTION_OPERATIONS(O) \
  O(attention, kv_write)                \
  O(attention, kv_copy)                 \
  O(attention, attention_f32)

#define MARTLET_ATTENTION_REFERENCE(X)                                \
  X(attention, kv_write, reference, MARTLET_NUMERIC_PORTABLE, 0)      \
  X(attention, kv_copy, reference, MARTLET_NUMERIC_PORTABLE, 0)       \
  X(attention, attention_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)

#if defined(__x86_64__)
#define MARTLET_ATTENTION_NATIVE(X)                                                 \
  X(attention, kv_write, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)          \
  X(attention, attention_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)     \
  X(attention, kv_write, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)      \
  X(attention, attention_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)
#elif defined(__aarch64__)
#define MARTLET_ATTENTION_NATIVE(X)                                             \
  X(attention, kv_write, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)      \
  X(attention, attention_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)
#else
#define MARTLET_ATTENTION_NATIVE(X)
#endif

#define MARTLET_ATTENTION_VARIANTS(X) MARTLET_ATTENTION_REFERENCE(X) MARTLET_ATTENTION_NATIVE(X)

MARTLET_ATTENTION_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

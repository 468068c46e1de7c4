/// The attention family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_ATTENTION_VARIANTS_H
#define MARTLET_DISPATCH_ATTENTION_VARIANTS_H

#include "dispatch/variant.h"

#include <martlet/attention.h>

typedef void martlet_kv_write_function(const martlet_kv_layout *layout, void *page, uint32_t slot,
                                       const float *keys, const float *values);
/// `count` slots from `source_slot` on to `target_slot` on, of two pages; one slot within a page.
typedef void martlet_kv_copy_function(const martlet_kv_layout *layout, const void *source,
                                      uint32_t source_slot, void *target, uint32_t target_slot,
                                      uint32_t count);
typedef void martlet_kv_turn_keys_function(const martlet_kv_layout *layout, void *page,
                                           uint32_t kv_head, int to_rows);
typedef void martlet_kv_read_function(const martlet_kv_layout *layout, const void *page, int turned,
                                      uint32_t kv_head, uint32_t slot, float *key, float *value);
typedef void martlet_attention_f32_function(const martlet_attention_arguments *arguments);
typedef void martlet_attention_merge_f32_function(const martlet_attention_arguments *arguments);
typedef void martlet_attention_weights_f32_function(const martlet_attention_arguments *arguments,
                                                    float *weights, size_t stride);

#define MARTLET_ATTENTION_OPERATIONS(O) \
  O(attention, kv_write)                \
  O(attention, kv_copy)                 \
  O(attention, kv_turn_keys)            \
  O(attention, kv_read)                 \
  O(attention, attention_f32)           \
  O(attention, attention_merge_f32)     \
  O(attention, attention_weights_f32)

#define MARTLET_ATTENTION_REFERENCE(X)                                      \
  X(attention, kv_write, reference, MARTLET_NUMERIC_PORTABLE, 0)            \
  X(attention, kv_copy, reference, MARTLET_NUMERIC_PORTABLE, 0)             \
  X(attention, kv_turn_keys, reference, MARTLET_NUMERIC_PORTABLE, 0)        \
  X(attention, kv_read, reference, MARTLET_NUMERIC_PORTABLE, 0)             \
  X(attention, attention_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)       \
  X(attention, attention_merge_f32, reference, MARTLET_NUMERIC_PORTABLE, 0) \
  X(attention, attention_weights_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)

#define MARTLET_ATTENTION_LANES(X, isa, requires)                              \
  X(attention, kv_write, isa, MARTLET_NUMERIC_PORTABLE, requires)              \
  X(attention, attention_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)         \
  X(attention, attention_merge_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(attention, attention_weights_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)

#if defined(__x86_64__)
#define MARTLET_ATTENTION_NATIVE(X)                     \
  MARTLET_ATTENTION_LANES(X, avx2, MARTLET_ISA_AVX2)    \
  MARTLET_ATTENTION_LANES(X, avx512, MARTLET_ISA_AVX512)
#elif defined(__aarch64__)
#define MARTLET_ATTENTION_NATIVE(X) MARTLET_ATTENTION_LANES(X, neon, MARTLET_ISA_NEON)
#else
#define MARTLET_ATTENTION_NATIVE(X)
#endif

#define MARTLET_ATTENTION_VARIANTS(X) MARTLET_ATTENTION_REFERENCE(X) MARTLET_ATTENTION_NATIVE(X)

MARTLET_ATTENTION_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

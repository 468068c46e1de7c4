/// The sampling family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_SAMPLING_VARIANTS_H
#define MARTLET_DISPATCH_SAMPLING_VARIANTS_H

#include "dispatch/variant.h"

#include <martlet/sampling.h>

/// `inverse` is 1 / temperature, or 0 for no draw.
typedef void martlet_logits_draw_f32_function(size_t width, const float *logits, float inverse,
                                              double uniform, float *scratch,
                                              martlet_logits_shape *shape);
typedef void martlet_logits_weigh_f32_function(size_t count, const float *logits, float maximum,
                                               float inverse, float *weights);

/// Sampling by rules, arguments checked. A null `draw` draws nothing; non-null `probabilities` get
/// the distribution.
typedef void martlet_logits_sample_f32_function(size_t width, const float *logits,
                                                const martlet_sampling_rules *rules,
                                                const martlet_sampling_draw *draw, void *scratch,
                                                float *probabilities, martlet_sampled *result);

#define MARTLET_SAMPLING_OPERATIONS(O) \
  O(sampling, logits_draw_f32)         \
  O(sampling, logits_weigh_f32)        \
  O(sampling, logits_sample_f32)

#define MARTLET_SAMPLING_REFERENCE(X)                                    \
  X(sampling, logits_draw_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(sampling, logits_weigh_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)  \
  X(sampling, logits_sample_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)

#if defined(__x86_64__)
#define MARTLET_SAMPLING_NATIVE(X)                                                     \
  X(sampling, logits_draw_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(sampling, logits_weigh_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)      \
  X(sampling, logits_draw_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(sampling, logits_weigh_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)  \
  X(sampling, logits_sample_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)     \
  X(sampling, logits_sample_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)
#elif defined(__aarch64__)
#define MARTLET_SAMPLING_NATIVE(X)                                                 \
  X(sampling, logits_draw_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(sampling, logits_weigh_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)  \
  X(sampling, logits_sample_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)
#else
#define MARTLET_SAMPLING_NATIVE(X)
#endif

#define MARTLET_SAMPLING_VARIANTS(X) MARTLET_SAMPLING_REFERENCE(X) MARTLET_SAMPLING_NATIVE(X)

MARTLET_SAMPLING_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

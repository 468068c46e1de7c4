/// The softmax family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_SOFTMAX_VARIANTS_H
#define MARTLET_DISPATCH_SOFTMAX_VARIANTS_H

#include "dispatch/variant.h"

typedef void martlet_softmax_f32_function(size_t rows, size_t width, float scale,
                                          const float *input, size_t input_stride, float *output,
                                          size_t output_stride);
typedef void martlet_log_softmax_f32_function(size_t rows, size_t width, const float *input,
                                              size_t input_stride, float *output,
                                              size_t output_stride);

#define MARTLET_SOFTMAX_OPERATIONS(O) \
  O(softmax, softmax_f32)             \
  O(softmax, log_softmax_f32)

#define MARTLET_SOFTMAX_REFERENCE(X)                                  \
  X(softmax, softmax_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)     \
  X(softmax, log_softmax_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)

#if defined(__x86_64__)
#define MARTLET_SOFTMAX_NATIVE(X)                                                   \
  X(softmax, softmax_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)         \
  X(softmax, log_softmax_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)     \
  X(softmax, softmax_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)     \
  X(softmax, log_softmax_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)
#elif defined(__aarch64__)
#define MARTLET_SOFTMAX_NATIVE(X)                                               \
  X(softmax, softmax_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)     \
  X(softmax, log_softmax_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)
#else
#define MARTLET_SOFTMAX_NATIVE(X)
#endif

#define MARTLET_SOFTMAX_VARIANTS(X) MARTLET_SOFTMAX_REFERENCE(X) MARTLET_SOFTMAX_NATIVE(X)

MARTLET_SOFTMAX_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

/// The norm family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_NORM_VARIANTS_H
#define MARTLET_DISPATCH_NORM_VARIANTS_H

#include "dispatch/variant.h"

typedef void martlet_rms_norm_f32_function(size_t rows, size_t width, const float *input,
                                           size_t input_stride, const float *weight, float epsilon,
                                           float *output, size_t output_stride);
typedef void martlet_layer_norm_f32_function(size_t rows, size_t width, const float *input,
                                             size_t input_stride, const float *weight,
                                             const float *bias, float epsilon, float *output,
                                             size_t output_stride);
typedef void martlet_add_f32_function(size_t count, const float *addend, float *target);

#define MARTLET_NORM_OPERATIONS(O) \
  O(norm, rms_norm_f32)            \
  O(norm, layer_norm_f32)          \
  O(norm, add_f32)

#define MARTLET_NORM_REFERENCE(X)                                 \
  X(norm, rms_norm_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(norm, layer_norm_f32, reference, MARTLET_NUMERIC_PORTABLE, 0) \
  X(norm, add_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)

#if defined(__x86_64__)
#define MARTLET_NORM_NATIVE(X)                                                  \
  X(norm, rms_norm_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(norm, layer_norm_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)     \
  X(norm, add_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)            \
  X(norm, rms_norm_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(norm, layer_norm_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512) \
  X(norm, add_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)
#elif defined(__aarch64__)
#define MARTLET_NORM_NATIVE(X)                                              \
  X(norm, rms_norm_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(norm, layer_norm_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON) \
  X(norm, add_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)
#else
#define MARTLET_NORM_NATIVE(X)
#endif

#define MARTLET_NORM_VARIANTS(X) MARTLET_NORM_REFERENCE(X) MARTLET_NORM_NATIVE(X)

MARTLET_NORM_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

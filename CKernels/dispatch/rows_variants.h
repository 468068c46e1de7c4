/// The rows family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_ROWS_VARIANTS_H
#define MARTLET_DISPATCH_ROWS_VARIANTS_H

#include "dispatch/variant.h"

/// Writes `count` values; `count` is a multiple of the type's block.
typedef void martlet_dequantize_function(size_t count, const void *source, float *output);
typedef martlet_dequantize_function martlet_dequantize_f32_function;
typedef martlet_dequantize_function martlet_dequantize_f16_function;
typedef martlet_dequantize_function martlet_dequantize_bf16_function;
typedef martlet_dequantize_function martlet_dequantize_q4_0_function;
typedef martlet_dequantize_function martlet_dequantize_q4_1_function;
typedef martlet_dequantize_function martlet_dequantize_q5_0_function;
typedef martlet_dequantize_function martlet_dequantize_q5_1_function;
typedef martlet_dequantize_function martlet_dequantize_q8_0_function;
typedef martlet_dequantize_function martlet_dequantize_q4_k_function;
typedef martlet_dequantize_function martlet_dequantize_q5_k_function;
typedef martlet_dequantize_function martlet_dequantize_q6_k_function;
typedef martlet_dequantize_function martlet_dequantize_iq4_nl_function;

#define MARTLET_ROWS_OPERATIONS(O) \
  O(rows, dequantize_f32)          \
  O(rows, dequantize_f16)          \
  O(rows, dequantize_bf16)         \
  O(rows, dequantize_q4_0)         \
  O(rows, dequantize_q4_1)         \
  O(rows, dequantize_q5_0)         \
  O(rows, dequantize_q5_1)         \
  O(rows, dequantize_q8_0)         \
  O(rows, dequantize_q4_k)         \
  O(rows, dequantize_q5_k)         \
  O(rows, dequantize_q6_k)         \
  O(rows, dequantize_iq4_nl)

#define MARTLET_ROWS_REFERENCE(X)                                    \
  X(rows, dequantize_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)    \
  X(rows, dequantize_f16, reference, MARTLET_NUMERIC_PORTABLE, 0)    \
  X(rows, dequantize_bf16, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(rows, dequantize_q4_0, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(rows, dequantize_q4_1, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(rows, dequantize_q5_0, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(rows, dequantize_q5_1, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(rows, dequantize_q8_0, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(rows, dequantize_q4_k, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(rows, dequantize_q5_k, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(rows, dequantize_q6_k, reference, MARTLET_NUMERIC_PORTABLE, 0)   \
  X(rows, dequantize_iq4_nl, reference, MARTLET_NUMERIC_PORTABLE, 0)

#if defined(__x86_64__)
#define MARTLET_ROWS_NATIVE(X)                                                     \
  X(rows, dequantize_f16, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)        \
  X(rows, dequantize_bf16, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(rows, dequantize_q4_0, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(rows, dequantize_q4_1, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(rows, dequantize_q5_0, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(rows, dequantize_q5_1, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(rows, dequantize_q8_0, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(rows, dequantize_q4_k, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(rows, dequantize_q5_k, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(rows, dequantize_q6_k, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)       \
  X(rows, dequantize_iq4_nl, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)     \
  X(rows, dequantize_f16, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)    \
  X(rows, dequantize_bf16, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(rows, dequantize_q4_0, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(rows, dequantize_q4_1, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(rows, dequantize_q5_0, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(rows, dequantize_q5_1, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(rows, dequantize_q8_0, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(rows, dequantize_q4_k, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(rows, dequantize_q5_k, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(rows, dequantize_q6_k, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)   \
  X(rows, dequantize_iq4_nl, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)
#elif defined(__aarch64__)
#define MARTLET_ROWS_NATIVE(X)                                                 \
  X(rows, dequantize_f16, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)    \
  X(rows, dequantize_bf16, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(rows, dequantize_q4_0, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(rows, dequantize_q4_1, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(rows, dequantize_q5_0, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(rows, dequantize_q5_1, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(rows, dequantize_q8_0, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(rows, dequantize_q4_k, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(rows, dequantize_q5_k, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(rows, dequantize_q6_k, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)   \
  X(rows, dequantize_iq4_nl, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)
#else
#define MARTLET_ROWS_NATIVE(X)
#endif

#define MARTLET_ROWS_VARIANTS(X) MARTLET_ROWS_REFERENCE(X) MARTLET_ROWS_NATIVE(X)

MARTLET_ROWS_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

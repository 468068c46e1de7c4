/// The gemm family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_GEMM_VARIANTS_H
#define MARTLET_DISPATCH_GEMM_VARIANTS_H

#include <martlet/gemm.h>

#include "dispatch/variant.h"

/// Columns [column_begin, column_end) of a checked product: no extent is empty, column_begin is a
/// multiple of 16, operands lie as gemm_layout.h says.
typedef void martlet_gemm_function(const martlet_gemm_arguments *arguments);
/// One row of activations. What pads the row after `depth` elements is the door's to clear.
typedef void martlet_prepare_function(const float *input, size_t depth, void *prepared);

/// Products with int8 activations: X(name) for every quantised type.
#define MARTLET_GEMM_Q8_NAMES(X) \
  X(gemm_q4_0_q8) X(gemm_q4_1_q8) X(gemm_q5_0_q8) X(gemm_q5_1_q8) X(gemm_q8_0_q8) \
  X(gemm_q4_k_q8) X(gemm_q5_k_q8) X(gemm_q6_k_q8) X(gemm_iq4_nl_q8)
#define MARTLET_GEMM_FLOAT_NAMES(X) \
  X(gemm_f32_f32) X(gemm_f16_f32) X(gemm_bf16_f32) X(gemm_bf16_bf16)

#define MARTLET_GEMM_TYPEDEF(name) typedef martlet_gemm_function martlet_##name##_function;
MARTLET_GEMM_Q8_NAMES(MARTLET_GEMM_TYPEDEF)
MARTLET_GEMM_FLOAT_NAMES(MARTLET_GEMM_TYPEDEF)
#undef MARTLET_GEMM_TYPEDEF
typedef martlet_prepare_function martlet_prepare_q8_function;
typedef martlet_prepare_function martlet_prepare_bf16_function;

#define MARTLET_GEMM_OPERATIONS(O)                                                       \
  O(gemm, gemm_f32_f32) O(gemm, gemm_f16_f32) O(gemm, gemm_bf16_f32)                     \
  O(gemm, gemm_bf16_bf16) O(gemm, gemm_q4_0_q8) O(gemm, gemm_q4_1_q8)                    \
  O(gemm, gemm_q5_0_q8) O(gemm, gemm_q5_1_q8) O(gemm, gemm_q8_0_q8)                      \
  O(gemm, gemm_q4_k_q8) O(gemm, gemm_q5_k_q8) O(gemm, gemm_q6_k_q8)                      \
  O(gemm, gemm_iq4_nl_q8) O(gemm, prepare_q8) O(gemm, prepare_bf16)

#define MARTLET_GEMM_Q8_VARIANTS(X, isa, requires)                 \
  X(gemm, gemm_q4_0_q8, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(gemm, gemm_q4_1_q8, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(gemm, gemm_q5_0_q8, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(gemm, gemm_q5_1_q8, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(gemm, gemm_q8_0_q8, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(gemm, gemm_q4_k_q8, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(gemm, gemm_q5_k_q8, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(gemm, gemm_q6_k_q8, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(gemm, gemm_iq4_nl_q8, isa, MARTLET_NUMERIC_PORTABLE, requires)

#define MARTLET_GEMM_FLOAT_VARIANTS(X, isa, requires)              \
  X(gemm, gemm_f32_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(gemm, gemm_f16_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)   \
  X(gemm, gemm_bf16_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)

#define MARTLET_GEMM_BF16_VARIANTS(X, isa, requires)               \
  X(gemm, gemm_bf16_bf16, isa, MARTLET_NUMERIC_BF16_DOT, requires) \
  X(gemm, prepare_bf16, isa, MARTLET_NUMERIC_BF16_DOT, requires)

#define MARTLET_GEMM_PORTABLE(X)               \
  MARTLET_GEMM_FLOAT_VARIANTS(X, reference, 0) \
  MARTLET_GEMM_BF16_VARIANTS(X, reference, 0)  \
  MARTLET_GEMM_Q8_VARIANTS(X, reference, 0)    \
  X(gemm, prepare_q8, reference, MARTLET_NUMERIC_PORTABLE, 0)  \
  X(gemm, gemm_f32_f32, openblas, MARTLET_NUMERIC_OPENBLAS, 0)

#if defined(__x86_64__)
#define MARTLET_GEMM_X86(X)                                                               \
  MARTLET_GEMM_FLOAT_VARIANTS(X, avx2, MARTLET_ISA_AVX2)                                  \
  MARTLET_GEMM_BF16_VARIANTS(X, avx2, MARTLET_ISA_AVX2)                                   \
  MARTLET_GEMM_Q8_VARIANTS(X, avx2, MARTLET_ISA_AVX2)                                     \
  X(gemm, prepare_q8, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)                   \
  MARTLET_GEMM_FLOAT_VARIANTS(X, avx512, MARTLET_ISA_AVX512)                              \
  MARTLET_GEMM_BF16_VARIANTS(X, avx512_bf16, MARTLET_ISA_AVX512 | MARTLET_ISA_AVX512_BF16) \
  MARTLET_GEMM_Q8_VARIANTS(X, avx512_vnni, MARTLET_ISA_AVX512 | MARTLET_ISA_AVX512_VNNI)  \
  X(gemm, prepare_q8, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)              \
  MARTLET_GEMM_Q8_VARIANTS(                                                               \
      X, amx_int8, MARTLET_ISA_AVX512 | MARTLET_ISA_AVX512_VNNI | MARTLET_ISA_AMX_INT8)   \
  X(gemm, gemm_bf16_bf16, amx_bf16, MARTLET_NUMERIC_BF16_AMX,                             \
    MARTLET_ISA_AVX512 | MARTLET_ISA_AMX_BF16)
#else
#define MARTLET_GEMM_X86(X)
#endif

#if defined(__aarch64__)
#define MARTLET_GEMM_ARM(X)                                                                \
  MARTLET_GEMM_FLOAT_VARIANTS(X, neon, MARTLET_ISA_NEON)                                   \
  MARTLET_GEMM_BF16_VARIANTS(X, neon, MARTLET_ISA_NEON)                                    \
  MARTLET_GEMM_Q8_VARIANTS(X, neon, MARTLET_ISA_NEON)                                      \
  X(gemm, prepare_q8, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)                    \
  MARTLET_GEMM_Q8_VARIANTS(X, neon_dotprod, MARTLET_ISA_NEON | MARTLET_ISA_NEON_DOTPROD)   \
  MARTLET_GEMM_Q8_VARIANTS(                                                                \
      X, neon_i8mm, MARTLET_ISA_NEON | MARTLET_ISA_NEON_DOTPROD | MARTLET_ISA_NEON_I8MM)
#else
#define MARTLET_GEMM_ARM(X)
#endif

#define MARTLET_GEMM_VARIANTS(X) \
  MARTLET_GEMM_PORTABLE(X) MARTLET_GEMM_X86(X) MARTLET_GEMM_ARM(X)

MARTLET_GEMM_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

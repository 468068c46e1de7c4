/// The activation family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_ACTIVATION_VARIANTS_H
#define MARTLET_DISPATCH_ACTIVATION_VARIANTS_H

#include "dispatch/variant.h"

typedef void martlet_silu_gate_f32_function(size_t count, const float *gate, const float *up,
                                            float *output);
typedef void martlet_gelu_gate_f32_function(size_t count, const float *gate, const float *up,
                                            float *output);

#define MARTLET_ACTIVATION_OPERATIONS(O) \
  O(activation, silu_gate_f32)           \
  O(activation, gelu_gate_f32)

#define MARTLET_ACTIVATION_REFERENCE(X)                                \
  X(activation, silu_gate_f32, reference, MARTLET_NUMERIC_PORTABLE, 0) \
  X(activation, gelu_gate_f32, reference, MARTLET_NUMERIC_PORTABLE, 0)

#if defined(__x86_64__)
#define MARTLET_ACTIVATION_NATIVE(X)                                                 \
  X(activation, silu_gate_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)     \
  X(activation, gelu_gate_f32, avx2, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX2)     \
  X(activation, silu_gate_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512) \
  X(activation, gelu_gate_f32, avx512, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_AVX512)
#elif defined(__aarch64__)
#define MARTLET_ACTIVATION_NATIVE(X)                                             \
  X(activation, silu_gate_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON) \
  X(activation, gelu_gate_f32, neon, MARTLET_NUMERIC_PORTABLE, MARTLET_ISA_NEON)
#else
#define MARTLET_ACTIVATION_NATIVE(X)
#endif

#define MARTLET_ACTIVATION_VARIANTS(X) MARTLET_ACTIVATION_REFERENCE(X) MARTLET_ACTIVATION_NATIVE(X)

MARTLET_ACTIVATION_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

/// Arithmetic loops for AArch64. The plain C loop is already fmla; these add the int8 instructions:
/// 32 operations per sdot, 64 per smmla.
#include "probes/probe.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define PROBE_LOOP(name, features, apply, operations)                               \
  __attribute__((target(features), noinline)) static double name(uint64_t steps) {  \
    int32x4_t sums[MARTLET_PROBE_CHAINS];                                           \
    int8x16_t operand = vdupq_n_s8(1);                                              \
    martlet_probe_opaque(&operand);                                                 \
    for (int chain = 0; chain < MARTLET_PROBE_CHAINS; ++chain)                      \
      sums[chain] = vdupq_n_s32(0);                                                 \
    for (uint64_t step = 0; step < steps; ++step) {                                 \
      _Pragma("clang loop unroll(full)")                                            \
      for (int chain = 0; chain < MARTLET_PROBE_CHAINS; ++chain)                    \
        sums[chain] = apply(sums[chain], operand, operand);                         \
    }                                                                               \
    martlet_probe_opaque(sums);                                                     \
    return (double)steps * MARTLET_PROBE_CHAINS * (operations);                     \
  }

PROBE_LOOP(int8_dotprod, "dotprod", vdotq_s32, 32)
PROBE_LOOP(int8_i8mm, "i8mm", vmmlaq_s32, 64)

static const martlet_probe_loop loops[] = {
    {MARTLET_PROBE_DOT_INT8, MARTLET_ISA_NEON_DOTPROD, "sdot", int8_dotprod},
    {MARTLET_PROBE_DOT_INT8, MARTLET_ISA_NEON_I8MM, "smmla", int8_i8mm},
};

const martlet_probe_loop *martlet_probe_native_loops(size_t *count) {
  *count = sizeof loops / sizeof loops[0];
  return loops;
}
#endif

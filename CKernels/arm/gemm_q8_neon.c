/// Products of quantised weights with int8 activations on every AArch64 CPU: gemm_q8_neon.h without
/// dot instructions. Two smull, an addp and an sadalp do what one sdot would, for 16 products; a
/// pair's sum stays below 2 · 128 · 127 = 32,512, so that int16 holds it. Four vector operations
/// and a dup shared by the quarters: a fifth of what gemm_q8_neon_dotprod.c does per instruction.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "dispatch/gemm_variants.h"

#pragma STDC FP_CONTRACT OFF

#define MULTIPLIES_PAIRS 0

static inline __attribute__((always_inline)) int32x4_t dot_lane(int32x4_t sums, int8x16_t weights,
                                                                int8x16_t activations, int lane) {
  const int32x4_t groups = vreinterpretq_s32_s8(activations);
  const int8x16_t group = vreinterpretq_s8_s32(lane == 0   ? vdupq_laneq_s32(groups, 0)
                                               : lane == 1 ? vdupq_laneq_s32(groups, 1)
                                               : lane == 2 ? vdupq_laneq_s32(groups, 2)
                                                           : vdupq_laneq_s32(groups, 3));
  const int16x8_t low = vmull_s8(vget_low_s8(weights), vget_low_s8(group));
  return vpadalq_s16(sums, vpaddq_s16(low, vmull_high_s8(weights, group)));
}

#include "arm/gemm_q8_neon.h"

MARTLET_DEFINE_PRODUCTS(neon)
#endif

/// dot_lane of gemm_q8_neon.h by sdot. Include it inside the target attribute.
#ifndef MARTLET_ARM_DOT_LANE_SDOT_H
#define MARTLET_ARM_DOT_LANE_SDOT_H

#include <arm_neon.h>

static inline __attribute__((always_inline)) int32x4_t dot_lane(int32x4_t sums, int8x16_t weights,
                                                                int8x16_t activations, int lane) {
  switch (lane) {
    case 0: return vdotq_laneq_s32(sums, weights, activations, 0);
    case 1: return vdotq_laneq_s32(sums, weights, activations, 1);
    case 2: return vdotq_laneq_s32(sums, weights, activations, 2);
    default: return vdotq_laneq_s32(sums, weights, activations, 3);
  }
}

#endif

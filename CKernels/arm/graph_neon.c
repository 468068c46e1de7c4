/// The graph of retrieval attention on NEON: the bodies of lanes/graph.h over wide_neon.h.
#include "dispatch/graph_variants.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)
#define LANES_ISA neon
#include "arm/lanes_neon.h"
#include "arm/wide_neon.h"

LANES wide_sum graph_squares(wide_sum sum, const int8_t *a, const int8_t *b) {
  for (int part = 0; part < 64; part += 16) {
    const int8x16_t d = vabdq_s8(vld1q_s8(a + part), vld1q_s8(b + part));
    sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(d), vget_low_s8(d)));
    sum = vpadalq_s16(sum, vmull_high_s8(d, d));
  }
  return sum;
}

#include "lanes/graph.h"
#endif

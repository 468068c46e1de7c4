/// The 16-lane vocabulary (CKernels/lanes/README.md) on AArch64 NEON: four q registers.
#ifndef MARTLET_ARM_LANES_NEON_H
#define MARTLET_ARM_LANES_NEON_H

#include "lanes/name.h"
#include "reference/exp.h"

#include <arm_neon.h>
#include <stddef.h>

/// Query vectors that attention keeps in registers at once, and accumulators it has for them.
#define LANES_TILE 2
#define LANES_CHAINS 4

typedef struct lanes {
  float32x4_t part[4];
} lanes;
typedef uint8x16_t bytes;

/// A lanes value whose part `i` is an expression in `i`.
#define LANES_EACH(expression)                                \
  __extension__({                                             \
    lanes each;                                               \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; \
                                            ++i) each.part[i] = (expression); \
    each;                                                     \
  })

LANES lanes lanes_set(float x) { return LANES_EACH(vdupq_n_f32(x)); }
LANES lanes lanes_zero(void) { return lanes_set(0.0f); }
LANES lanes lanes_load(const float *p) { return LANES_EACH(vld1q_f32(p + 4 * i)); }
LANES lanes lanes_load_first(const float *p, size_t n) {
  float all[16] = {0};
  memcpy(all, p, n * sizeof(float));
  return lanes_load(all);
}
LANES void lanes_store(float *p, lanes v) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, v.part[i]);
}
LANES void lanes_store_first(float *p, size_t n, lanes v) {
  float all[16];
  lanes_store(all, v);
  memcpy(p, all, n * sizeof(float));
}
LANES lanes lanes_add(lanes a, lanes b) { return LANES_EACH(vaddq_f32(a.part[i], b.part[i])); }
LANES lanes lanes_subtract(lanes a, lanes b) {
  return LANES_EACH(vsubq_f32(a.part[i], b.part[i]));
}
LANES lanes lanes_multiply(lanes a, lanes b) {
  return LANES_EACH(vmulq_f32(a.part[i], b.part[i]));
}
LANES lanes lanes_divide(lanes a, lanes b) { return LANES_EACH(vdivq_f32(a.part[i], b.part[i])); }
LANES lanes lanes_fma(lanes a, lanes b, lanes c) {
  return LANES_EACH(vfmaq_f32(c.part[i], a.part[i], b.part[i]));
}
/// a·b - c, fused.
LANES lanes lanes_fms(lanes a, lanes b, lanes c) {
  return LANES_EACH(vfmaq_f32(vnegq_f32(c.part[i]), a.part[i], b.part[i]));
}
/// x > m ? x : m in each lane: a NaN in x is passed over.
LANES lanes lanes_larger(lanes x, lanes m) {
  return LANES_EACH(vbslq_f32(vcgtq_f32(x.part[i], m.part[i]), x.part[i], m.part[i]));
}
/// All ones in the lanes of part `i` whose number is below n.
LANES uint32x4_t lanes_below(size_t n, int i) {
  static const uint32_t index[4] = {0, 1, 2, 3};
  return vcltq_u32(vaddq_u32(vld1q_u32(index), vdupq_n_u32(4 * (uint32_t)i)),
                   vdupq_n_u32((uint32_t)n));
}
/// v where begin ≤ lane < end, `other` elsewhere.
LANES lanes lanes_within(lanes v, size_t begin, size_t end, lanes other) {
  return LANES_EACH(vbslq_f32(vbicq_u32(lanes_below(end, i), lanes_below(begin, i)), v.part[i],
                              other.part[i]));
}

LANES float lanes_fold_sum(lanes v) {
  float32x4_t a = vaddq_f32(v.part[0], v.part[2]), b = vaddq_f32(v.part[1], v.part[3]);
  float32x4_t four = vaddq_f32(a, b);
  float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
/// The largest lane; lanes hold no NaN.
LANES float lanes_fold_larger(lanes v) {
  return vmaxvq_f32(
      vmaxq_f32(vmaxq_f32(v.part[0], v.part[1]), vmaxq_f32(v.part[2], v.part[3])));
}

/// lanes_fold_sum of each of `count` ≤ 8 vectors, in lanes 0 ..< count.
LANES lanes lanes_fold_sums(const lanes *v, int count) {
  float all[16] = {0};
  for (int i = 0; i < count; ++i) all[i] = lanes_fold_sum(v[i]);
  return lanes_load(all);
}
/// lanes_fold_larger of each.
LANES lanes lanes_fold_largers(const lanes *v, int count) {
  float all[16] = {0};
  for (int i = 0; i < count; ++i) all[i] = lanes_fold_larger(v[i]);
  return lanes_load(all);
}

LANES float32x4_t lanes_exp_quarter(float32x4_t x) {
  float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(MARTLET_EXP_LOG2E)));
  float32x4_t r = vfmaq_f32(x, n, vdupq_n_f32(-MARTLET_EXP_LN2_HIGH));
  r = vfmaq_f32(r, n, vdupq_n_f32(-MARTLET_EXP_LN2_LOW));
  float32x4_t p = vdupq_n_f32(MARTLET_EXP_C6);
  p = vfmaq_f32(vdupq_n_f32(MARTLET_EXP_C5), p, r);
  p = vfmaq_f32(vdupq_n_f32(MARTLET_EXP_C4), p, r);
  p = vfmaq_f32(vdupq_n_f32(MARTLET_EXP_C3), p, r);
  p = vfmaq_f32(vdupq_n_f32(MARTLET_EXP_C2), p, r);
  p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
  p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
  int32x4_t exponent = vshlq_n_s32(vcvtq_s32_f32(n), 23);
  float32x4_t result = vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), exponent));
  result = vbslq_f32(vcltq_f32(x, vdupq_n_f32(MARTLET_EXP_LOW)), vdupq_n_f32(0.0f), result);
  result = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(MARTLET_EXP_HIGH)), vdupq_n_f32(INFINITY), result);
  return vbslq_f32(vceqq_f32(x, x), result, x);
}
LANES lanes lanes_exp(lanes x) { return LANES_EACH(lanes_exp_quarter(x.part[i])); }

// ---- pairs --------------------------------------------------------------------------------------

/// (a0 a1 a2 a3 …) → (a1 a0 a3 a2 …).
LANES lanes lanes_swap_pairs(lanes v) { return LANES_EACH(vrev64q_f32(v.part[i])); }
LANES lanes lanes_duplicate_even(lanes v) { return LANES_EACH(vtrn1q_f32(v.part[i], v.part[i])); }
LANES lanes lanes_duplicate_odd(lanes v) { return LANES_EACH(vtrn2q_f32(v.part[i], v.part[i])); }
/// a·b - c in even lanes, a·b + c in odd lanes, fused.
LANES lanes lanes_fma_alternating(lanes a, lanes b, lanes c) {
  static const uint32_t signs[4] = {0x80000000u, 0, 0x80000000u, 0};
  uint32x4_t flip = vld1q_u32(signs);
  return LANES_EACH(
      vfmaq_f32(vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(c.part[i]), flip)),
                a.part[i], b.part[i]));
}
/// The even and the odd elements of 32 neighbours.
LANES void lanes_unzip(const float *p, lanes *even, lanes *odd) {
  for (int i = 0; i < 4; ++i) {
    float32x4x2_t both = vld2q_f32(p + 8 * i);
    even->part[i] = both.val[0];
    odd->part[i] = both.val[1];
  }
}

// ---- half precision -----------------------------------------------------------------------------

LANES lanes lanes_load_f16(const void *p) {
  const uint16_t *words = p;
  return LANES_EACH(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(words + 4 * i))));
}
LANES lanes lanes_load_bf16(const void *p) {
  const uint16_t *words = p;
  return LANES_EACH(vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(words + 4 * i), 16)));
}
/// The even and the odd ones of 32.
LANES lanes lanes_load_even_bf16(const void *p) {
  const uint32_t *words = p;
  return LANES_EACH(vreinterpretq_f32_u32(vshlq_n_u32(vld1q_u32(words + 4 * i), 16)));
}
LANES lanes lanes_load_odd_bf16(const void *p) {
  const uint32_t *words = p;
  return LANES_EACH(
      vreinterpretq_f32_u32(vandq_u32(vld1q_u32(words + 4 * i), vdupq_n_u32(0xffff0000))));
}
LANES lanes lanes_load_f16_first(const void *p, size_t n) {
  uint16_t all[16] = {0};
  memcpy(all, p, 2 * n);
  return lanes_load_f16(all);
}
LANES lanes lanes_load_bf16_first(const void *p, size_t n) {
  uint16_t all[16] = {0};
  memcpy(all, p, 2 * n);
  return lanes_load_bf16(all);
}
LANES void lanes_store_f16_first(void *p, size_t n, lanes v) {
  uint16_t all[16];
  for (int i = 0; i < 4; ++i) vst1_u16(all + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(v.part[i])));
  memcpy(p, all, 2 * n);
}
LANES void lanes_store_bf16_first(void *p, size_t n, lanes v) {
  uint16_t all[16];
  for (int i = 0; i < 4; ++i) {
    uint32x4_t bits = vreinterpretq_u32_f32(v.part[i]), high = vshrq_n_u32(bits, 16);
    uint32x4_t odd = vandq_u32(high, vdupq_n_u32(1));
    uint32x4_t rounded = vshrq_n_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd), 16);
    uint32x4_t quiet = vorrq_u32(high, vdupq_n_u32(0x40));
    vst1_u16(all + 4 * i,
             vmovn_u32(vbslq_u32(vceqq_f32(v.part[i], v.part[i]), rounded, quiet)));
  }
  memcpy(p, all, 2 * n);
}
/// One float16 in every lane.
LANES lanes lanes_set_f16(const void *p) {
  uint16_t half;
  memcpy(&half, p, sizeof half);
  float32x4_t all = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half)));
  return LANES_EACH(all);
}
LANES float lanes_scalar_f16(const void *p) {
  uint16_t half;
  memcpy(&half, p, sizeof half);
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
}

// ---- bytes --------------------------------------------------------------------------------------

LANES bytes bytes_load(const void *p) { return vld1q_u8(p); }
LANES bytes bytes_set(uint8_t x) { return vdupq_n_u8(x); }
LANES bytes bytes_and(bytes a, bytes b) { return vandq_u8(a, b); }
LANES bytes bytes_or(bytes a, bytes b) { return vorrq_u8(a, b); }
LANES bytes bytes_subtract(bytes a, bytes b) { return vsubq_u8(a, b); }
/// Each byte shifted right by a constant, which may be 0 as the instruction's may not.
#define bytes_shift_right(v, n) vshlq_u8(v, vdupq_n_s8(-(n)))
/// Each byte shifted left by a constant.
#define bytes_shift_left(v, n) vshlq_u8(v, vdupq_n_s8(n))
/// table[v[i]] for v[i] < 16.
LANES bytes bytes_lookup(bytes table, bytes v) { return vqtbl1q_u8(table, v); }
/// 16 in byte i where bit i is set, else 0.
LANES bytes bytes_of_bits(uint16_t bits) {
  static const uint8_t bit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t spread = vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));
  return vandq_u8(vtstq_u8(spread, vld1q_u8(bit)), vdupq_n_u8(16));
}
LANES lanes lanes_of_words(int16x8_t low, int16x8_t high) {
  return (lanes){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
                  vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
                  vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
                  vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}
LANES lanes lanes_of_signed(bytes v) {
  int8x16_t s = vreinterpretq_s8_u8(v);
  return lanes_of_words(vmovl_s8(vget_low_s8(s)), vmovl_s8(vget_high_s8(s)));
}
LANES lanes lanes_of_unsigned(bytes v) {
  return lanes_of_words(vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(v))),
                        vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(v))));
}

#endif

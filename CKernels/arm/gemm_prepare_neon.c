/// Preparing int8 and bf16 activations, NEON: a block of 32 in eight registers. Each of int8's
/// eight candidates takes 36 operations (a multiply-add, a subtraction and a multiply-subtract per
/// register, eight for the squares, three to fold 16 lanes to 4); two candidates at a time fold to
/// their sums in three. About 340 operations per block, 85 cycles on four vector pipes and 170 on
/// two. Reads 4 bytes per element and writes 1.5 (int8) or 2.
#if defined(__aarch64__)
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_variants.h"

#pragma STDC FP_CONTRACT OFF

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("clang loop unroll(full)")

enum { PARTS = MARTLET_GEMM_BLOCK / 4 }; ///< Registers of a block.

/// What four inputs round to in units of the step.
ALWAYS_INLINE float32x4_t round_4(float32x4_t input, float32x4_t inverse) {
  const float32x4_t rounding = vdupq_n_f32(MARTLET_Q8_ROUNDING);
  return vsubq_f32(vfmaq_f32(rounding, input, inverse), rounding);
}

/// Σ a · b over a block, folded 16 → 8 → 4.
ALWAYS_INLINE float32x4_t products(const float32x4_t *a, const float32x4_t *b) {
  float32x4_t lanes[4];
  UNROLLED for (int i = 0; i < 4; ++i)
    lanes[i] = vfmaq_f32(vmulq_f32(a[i], b[i]), a[4 + i], b[4 + i]);
  return vaddq_f32(vaddq_f32(lanes[0], lanes[2]), vaddq_f32(lanes[1], lanes[3]));
}

/// Folds 4 → 2 of two sums: [a0 + a2, a1 + a3, b0 + b2, b1 + b3].
ALWAYS_INLINE float32x4_t fold_2(float32x4_t a, float32x4_t b) {
  const float64x2_t first = vreinterpretq_f64_f32(a), second = vreinterpretq_f64_f32(b);
  return vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(first, second)),
                   vreinterpretq_f32_f64(vzip2q_f64(first, second)));
}

/// The candidate with the smallest error, the first of equals.
ALWAYS_INLINE unsigned best_candidate(const float32x4_t *values, const float32x4_t inverses[2]) {
  float32x4_t errors[MARTLET_Q8_CANDIDATES];
  UNROLLED for (int k = 0; k < MARTLET_Q8_CANDIDATES; ++k) {
    float inverse_of[4];
    vst1q_f32(inverse_of, inverses[k / 4]);
    const float32x4_t inverse = vdupq_n_f32(inverse_of[k % 4]);
    float32x4_t rests[PARTS];
    // Of the other sign than the rule's, which their squares do not show.
    UNROLLED for (int i = 0; i < PARTS; ++i)
      rests[i] = vfmsq_f32(round_4(values[i], inverse), values[i], inverse);
    errors[k] = products(rests, rests);
  }
  static const float weights[MARTLET_Q8_CANDIDATES] = MARTLET_Q8_ERROR_WEIGHTS;
  static const uint32_t numbers[MARTLET_Q8_CANDIDATES] = {0, 1, 2, 3, 4, 5, 6, 7};
  float32x4_t weighted[2];
  UNROLLED for (int i = 0; i < 2; ++i) {
    const float32x4_t *four = errors + 4 * i;
    weighted[i] = vmulq_f32(vpaddq_f32(fold_2(four[0], four[1]), fold_2(four[2], four[3])),
                            vld1q_f32(weights + 4 * i));
  }
  const float32x4_t least = vdupq_n_f32(vminvq_f32(vminq_f32(weighted[0], weighted[1])));
  uint32x4_t matches[2];
  UNROLLED for (int i = 0; i < 2; ++i)
    matches[i] = vornq_u32(vld1q_u32(numbers + 4 * i), vceqq_f32(weighted[i], least));
  return vminvq_u32(vminq_u32(matches[0], matches[1]));
}

ALWAYS_INLINE float fold_4(float32x4_t sums) {
  const float32x2_t two = vadd_f32(vget_low_f32(sums), vget_high_f32(sums));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/// Rounds a block by candidate `best` and finds its least-squares scale.
ALWAYS_INLINE void quantise(const float32x4_t *values, float inverse_scale, unsigned best,
                            float largest, martlet_q8_block *block) {
  const float32x4_t inverse = vdupq_n_f32(inverse_scale);
  float32x4_t quants[PARTS], rests[PARTS];
  int16x8_t words[PARTS / 2];
  UNROLLED for (int i = 0; i < PARTS; ++i) {
    quants[i] = round_4(values[i], inverse);
    rests[i] = vfmaq_f32(vnegq_f32(quants[i]), values[i], inverse);
  }
  UNROLLED for (int i = 0; i < PARTS / 2; ++i)
    words[i] = vcombine_s16(vmovn_s32(vcvtq_s32_f32(quants[2 * i])),
                            vmovn_s32(vcvtq_s32_f32(quants[2 * i + 1])));
  UNROLLED for (int i = 0; i < PARTS / 4; ++i)
    vst1q_s8(block->values + 16 * i,
             vcombine_s8(vmovn_s16(words[2 * i]), vmovn_s16(words[2 * i + 1])));
  const int32_t first = vaddvq_s16(vaddq_s16(words[0], words[1]));
  const int32_t sum = first + vaddvq_s16(vaddq_s16(words[2], words[3]));
  // Squares are integers below 2^24, exact in any order.
  const float squares = vaddvq_f32(products(quants, quants));
  const float step = largest / (float)(127 - (int32_t)best);
  block->scale = fmaf(step, fold_4(products(quants, rests)) / squares, step);
  block->scaled_sum = block->scale * (float)sum;
  block->start = -8 * sum;
  block->start_first = -8 * first;
}

void martlet_prepare_q8_neon(const float *input, size_t depth, void *prepared) {
  martlet_q8_block *blocks = prepared;
  static const float steps[MARTLET_Q8_CANDIDATES] = {127, 126, 125, 124, 123, 122, 121, 120};
  for (size_t b = 0; b < depth / MARTLET_GEMM_BLOCK; ++b, input += MARTLET_GEMM_BLOCK) {
    float32x4_t values[PARTS];
    uint32x4_t largest_bits = vdupq_n_u32(0);
    UNROLLED for (int i = 0; i < PARTS; ++i) {
      values[i] = vld1q_f32(input + 4 * i);
      // As integers magnitudes order like floats, with infinity and NaN above all.
      largest_bits = vmaxq_u32(largest_bits, vreinterpretq_u32_f32(vabsq_f32(values[i])));
    }
    const uint32_t bits = vmaxvq_u32(largest_bits);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    if (bits >= 0x7F800000u || largest < MARTLET_Q8_SMALLEST) {
      blocks[b] = (martlet_q8_block){0};
      if (bits >= 0x7F800000u) blocks[b].scale = blocks[b].scaled_sum = NAN;
      continue;
    }
    const float32x4_t divisor = vdupq_n_f32(largest);
    const float32x4_t inverses[2] = {vdivq_f32(vld1q_f32(steps), divisor),
                                     vdivq_f32(vld1q_f32(steps + 4), divisor)};
    const unsigned best = best_candidate(values, inverses);
    float inverse_of[MARTLET_Q8_CANDIDATES];
    vst1q_f32(inverse_of, inverses[0]);
    vst1q_f32(inverse_of + 4, inverses[1]);
    quantise(values, inverse_of[best], best, largest, &blocks[b]);
  }
}

/// To nearest even; subnormals become zero and NaNs quiet.
ALWAYS_INLINE uint16x4_t round_to_bf16(uint32x4_t bits) {
  const uint32x4_t magnitude = vandq_u32(bits, vdupq_n_u32(0x7FFFFFFF));
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
  rounded = vbslq_u32(vcgtq_u32(magnitude, vdupq_n_u32(0x7F800000)),
                      vorrq_u32(bits, vdupq_n_u32(0x00400000)), rounded);
  rounded = vbslq_u32(vcltq_u32(magnitude, vdupq_n_u32(0x00800000)),
                      vandq_u32(bits, vdupq_n_u32(0x80000000)), rounded);
  return vshrn_n_u32(rounded, 16);
}

void martlet_prepare_bf16_neon(const float *input, size_t depth, void *prepared) {
  uint16_t *row = prepared;
  size_t k = 0;
  for (; k + 4 <= depth; k += 4)
    vst1_u16(row + k, round_to_bf16(vreinterpretq_u32_f32(vld1q_f32(input + k))));
  if (k == depth) return;
  float rest[4] = {0};
  uint16_t rounded[4];
  memcpy(rest, input + k, (depth - k) * sizeof(float));
  vst1_u16(rounded, round_to_bf16(vreinterpretq_u32_f32(vld1q_f32(rest))));
  memcpy(row + k, rounded, (depth - k) * sizeof(uint16_t));
}
#endif

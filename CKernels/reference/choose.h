/// What the reference of sampling by rules and its fast bodies share: the weight of a logit, the
/// arithmetic done once per row, and the noise of Gumbel draws. See martlet/sampling.h, "Numbers".
#ifndef MARTLET_REFERENCE_CHOOSE_H
#define MARTLET_REFERENCE_CHOOSE_H

#include "dispatch/sampling_variants.h"
#include "reference/lanes.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

/// 2^(z · factor) for z ≤ 0, relative error below 4.2e-7. The exponent is cut into a multiple of 1/32
/// and r, at most 1/64 either way: adding MARTLET_EXP2_SHIFT rounds to that multiple, whose lower
/// five bits choose from a table and whose upper ones are the power of two. 2^r is K · ((r + A)² + B);
/// the table has K in it, and where an entry is looked up its place has been added to its bits.
/// At z = 0 the result is 1.
#define MARTLET_EXP2_SHIFT 0x1.8p18f
#define MARTLET_EXP2_SHIFT_A (0x1.8p18f + 1.4375f)
#define MARTLET_EXP2_B 0x1.0a66bap+1f
/// Exponents below it act as it, so that no weight and no K · 2^y is subnormal. NaN passes through.
#define MARTLET_EXP2_LOW -122.0f
static const uint32_t martlet_exp2_table[32] = {
    0x3e76e2c6u, 0x3e784abbu, 0x3e78e880u, 0x3e77bb1eu, 0x3e769d8eu, 0x3e75902au,
    0x3e74934du, 0x3e73a751u, 0x3e72cc98u, 0x3e720380u, 0x3e714c6eu, 0x3e70a7c5u,
    0x3e7015edu, 0x3e6f9750u, 0x3e6f2c5au, 0x3e6ed578u, 0x3e6e931cu, 0x3e6e65b7u,
    0x3e6e4dc1u, 0x3e6e4bb0u, 0x3e6e6000u, 0x3e6e8b2eu, 0x3e6ecdbau, 0x3e6f2827u,
    0x3e6f9afcu, 0x3e7026c0u, 0x3e70cc01u, 0x3e718b4bu, 0x3e726532u, 0x3e735a4bu,
    0x3e746b2eu, 0x3e759877u};
#define MARTLET_LOG2_E 1.4426950408889634
#define MARTLET_LN_2 0.6931471805599453

/// The z that MARTLET_EXP2_LOW makes. Distances of more than 2^120 act as it, so that no sum of
/// products of weights and distances overflows; only temperatures above 1e34 know the difference.
#define MARTLET_EXP2_FAR -0x1p120f
static inline float martlet_exp2_floor(float factor) {
  const float low = MARTLET_EXP2_LOW / factor;
  return low > MARTLET_EXP2_FAR ? low : MARTLET_EXP2_FAR;
}
static inline float martlet_exp2_f32(float z, float factor, float floor) {
  z = floor > z ? floor : z;
  const float t = fmaf(z, factor, MARTLET_EXP2_SHIFT);
  const float s = fmaf(z, factor, -(t - MARTLET_EXP2_SHIFT_A));
  uint32_t bits;
  memcpy(&bits, &t, sizeof bits);
  bits = martlet_exp2_table[bits & 31] + (bits << 18);
  float power;
  memcpy(&power, &bits, sizeof power);
  return fmaf(s, s, MARTLET_EXP2_B) * power;
}

/// The natural logarithm of a positive number, from additions, multiplications and one division,
/// so the same bits with every C library; absolute error below 1e-14 near 1.
MARTLET_HIDDEN double martlet_portable_log(double x);
/// exp(x) in the same way; relative error below 1e-14, 0 below -700 and at most exp(700).
MARTLET_HIDDEN double martlet_portable_exp(double x);

/// A row's fixed point. Weights count in units of 2^-grain of the largest weight, so that the sum
/// over the row stays below 2^63.
static inline int martlet_choose_grain(size_t width) {
  int bits = 0;
  while (bits < 40 && ((size_t)1 << bits) < width) ++bits;
  return bits + 45 <= 62 ? 45 : 62 - bits;
}

/// A block's units: a weight w counts as rint(w · 2^places) · 2^(grain - places). Units are below
/// 2^28, so that 16 of them, a lane's share of a block, add up in 32 bits.
static inline int martlet_choose_places(float block_maximum, float maximum, float factor,
                                        int grain) {
  const float z = block_maximum - maximum;
  float y = (MARTLET_EXP2_FAR > z ? MARTLET_EXP2_FAR : z) * factor;
  y = MARTLET_EXP2_LOW > y ? MARTLET_EXP2_LOW : y;
  // The exponential's error must not lift a weight over the power of two above it.
  const int places = 27 - (int)floorf(y + 0x1p-10f);
  return places < grain ? places : grain;
}

/// 2^n for -126 ≤ n ≤ 127.
static inline float martlet_power_of_two(int n) {
  const uint32_t bits = (uint32_t)(n + 127) << 23;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// The weight of one logit in its block's units.
static inline uint32_t martlet_choose_units(float logit, float maximum, float factor,
                                            float scale) {
  return (uint32_t)(int32_t)rintf(
      martlet_exp2_f32(logit - maximum, factor, martlet_exp2_floor(factor)) * scale);
}

/// log2 e / temperature in float32; positive temperatures below 2⁻¹²⁶ act as 2⁻¹²⁶.
static inline float martlet_choose_factor(double temperature) {
  return (float)(MARTLET_LOG2_E / (temperature < 0x1p-126 ? 0x1p-126 : temperature));
}

/// Entropy in nats, of Σ 2^(z · factor) with its logarithm and Σ z · 2^(z · factor).
static inline double martlet_choose_entropy(double sum, double log_sum, double moment,
                                            float factor) {
  return log_sum - MARTLET_LN_2 * ((double)factor * (moment / sum));
}

/// The least float32 that is at least `threshold`.
static inline float martlet_float_at_least(double threshold) {
  float x = (float)threshold;
  return (double)x < threshold ? nextafterf(x, INFINITY) : x;
}

/// The product of a share in [0, 1] and a whole, rounded down and up.
static inline uint64_t martlet_share_down(double share, uint64_t whole) {
  return (uint64_t)(((unsigned __int128)(uint64_t)(share * 0x1p53) * whole) >> 53);
}
static inline uint64_t martlet_share_up(float share, uint64_t whole) {
  const unsigned __int128 product =
      (unsigned __int128)(uint64_t)((double)share * 0x1p53) * whole + (((uint64_t)1 << 53) - 1);
  return (uint64_t)(product >> 53);
}

/// 32 random bits of a key and a token: two rounds of a multiplicative hash, each with half of the
/// key mixed in. Cheaper than Philox by five times in vector code; its distribution is tested.
static inline uint32_t martlet_gumbel_bits(uint64_t key0, uint64_t key1, uint32_t token) {
  uint32_t x = (token + (uint32_t)key0) * 0x9e3779b1u;
  x ^= (x >> 16) ^ (uint32_t)(key0 >> 32);
  x *= 0x7feb352du;
  x ^= (x >> 15) ^ (uint32_t)key1;
  x *= 0x846ca68bu;
  x ^= (x >> 16) ^ (uint32_t)(key1 >> 32);
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}

/// log2 of a normal positive float32: absolute error below 3e-7 on [1/2, 2], relative elsewhere.
static inline float martlet_log2_f32(float x) {
  int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  // The mantissa is taken from [√½, √2).
  const int32_t exponent = (bits - 0x3f3504f3) >> 23;
  bits -= (int32_t)((uint32_t)exponent << 23);
  float m;
  memcpy(&m, &bits, sizeof m);
  const float t = (m - 1.0f) / (m + 1.0f), s = t * t;
  float p = 0.3205989f;
  p = fmaf(p, s, 0.41219858f);
  p = fmaf(p, s, 0.57707804f);
  p = fmaf(p, s, 0.96179670f);
  p = fmaf(p, s, 2.8853900f);
  return fmaf(t, p, (float)exponent);
}

/// log2 of an exponential variable, of 32 random bits: of -ln(1 - v), v = (bits + ½) / 2³².
/// Small v keep their relative precision: below 2⁻⁷ the series takes over.
static inline float martlet_gumbel_race(uint32_t bits) {
  const float v = (float)(bits >> 8) * 0x1p-24f + ((float)(bits & 0xff) + 0.5f) * 0x1p-32f;
  const float below = 1.0f - v;
  const float series = v * fmaf(v, fmaf(v, fmaf(v, 0.25f, 0x1.555556p-2f), 0.5f), 1.0f);
  const float other =
      martlet_log2_f32(below < 0x1p-25f ? 0x1p-25f : below) * -0x1.62e430p-1f;
  return martlet_log2_f32(v < 0x1p-7f ? series : other);
}

/// What a Gumbel draw maximises: log2 of the weight minus log2 of an exponential variable.
static inline float martlet_gumbel_score(float logit, float maximum, float factor, uint64_t key0,
                                         uint64_t key1, uint32_t token) {
  return (logit - maximum) * factor - martlet_gumbel_race(martlet_gumbel_bits(key0, key1, token));
}

/// The temperature that the rules ask for.
MARTLET_HIDDEN double martlet_choose_temperature(const martlet_sampling_rules *rules, size_t width,
                                                 double entropy, double divergence);
/// Penalised logits.
static inline float martlet_choose_penalised(const martlet_sampling_rules *rules,
                                             const martlet_token_penalty *penalty, float logit) {
  if (penalty->count > 0) {
    logit = logit > 0 ? logit / rules->repetition : logit * rules->repetition;
    logit = logit - rules->presence;
    logit = logit - rules->frequency * (float)penalty->count;
  }
  return logit - penalty->subtracted;
}
/// Guided logits; NaN, which only overflow brings, becomes +inf.
static inline float martlet_choose_guided(float own_weight, float other_weight, float floor,
                                          float logit, float other) {
  const float guided = own_weight * logit + other_weight * other;
  const int out = logit == -INFINITY || other == -INFINITY || logit < floor;
  return out ? -INFINITY : guided != guided ? INFINITY : guided;
}

#endif

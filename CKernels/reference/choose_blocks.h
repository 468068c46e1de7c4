/// Sampling by rules, block by block, in plain C: the reference's arithmetic, and what compilers
/// make vector code of under an ISA file's target. Every block has MARTLET_LOGITS_BLOCK logits, the
/// last of a row filled up with -inf.
#ifndef MARTLET_REFERENCE_CHOOSE_BLOCKS_H
#define MARTLET_REFERENCE_CHOOSE_BLOCKS_H

#include "reference/choose.h"

#pragma STDC FP_CONTRACT OFF

#define BLOCK static inline __attribute__((always_inline))

/// Float32 sums of a block: four sets of 16 lanes, folded as sampling.h says.
BLOCK float block_fold(float sets[4][MARTLET_LANES]) {
  float lanes[MARTLET_LANES];
  for (int i = 0; i < MARTLET_LANES; ++i)
    lanes[i] = (sets[0][i] + sets[1][i]) + (sets[2][i] + sets[3][i]);
  return martlet_fold_lanes(lanes);
}

/// The largest, NaN passed over.
BLOCK float block_largest(const float *l) {
  float lanes[MARTLET_LANES];
  for (int i = 0; i < MARTLET_LANES; ++i) lanes[i] = -INFINITY;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += MARTLET_LANES)
    for (int k = 0; k < MARTLET_LANES; ++k) lanes[k] = l[i + k] > lanes[k] ? l[i + k] : lanes[k];
  float largest = lanes[0];
  for (int i = 1; i < MARTLET_LANES; ++i) largest = lanes[i] > largest ? lanes[i] : largest;
  return largest;
}

/// Σ 2^y and Σ y·2^y over low ≤ l ≤ high.
BLOCK void block_shape(const float *l, float maximum, float factor, float low, float high,
                       float *weights, float *moments) {
  float w[4][MARTLET_LANES] = {{0}}, m[4][MARTLET_LANES] = {{0}};
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 4 * MARTLET_LANES)
    for (int k = 0; k < 4; ++k)
      for (int j = 0; j < MARTLET_LANES; ++j) {
        const float x = l[i + MARTLET_LANES * k + j];
        float y = (x - maximum) * factor;
        y = MARTLET_EXP2_LOW > y ? MARTLET_EXP2_LOW : y;
        float e = martlet_exp2_f32(y);
        e = x < low || x > high ? 0.0f : e;
        w[k][j] = w[k][j] + e;
        m[k][j] = fmaf(e, y, m[k][j]);
      }
  *weights = block_fold(w);
  *moments = block_fold(m);
}

/// block_shape of all logits, the sum of their units and the number of finite ones.
BLOCK uint32_t block_shape_units(const float *l, float maximum, float factor, float scale,
                                 float *weights, float *moments, uint32_t *count) {
  uint32_t units = 0, found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; ++i) {
    units += martlet_choose_units(l[i], maximum, factor, scale);
    found += l[i] > -INFINITY;
  }
  *count = found;
  block_shape(l, maximum, factor, -INFINITY, INFINITY, weights, moments);
  return units;
}

/// The units of each logit in low ≤ l ≤ high, 0 elsewhere.
BLOCK void block_units(const float *l, float maximum, float factor, float scale, float low,
                       float high, uint32_t *units) {
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; ++i) {
    const uint32_t u = martlet_choose_units(l[i], maximum, factor, scale);
    units[i] = l[i] >= low && l[i] <= high ? u : 0;
  }
}

/// The sum of them, and how many logits there are.
BLOCK uint32_t block_weigh(const float *l, float maximum, float factor, float scale, float low,
                           float high, uint32_t *count) {
  uint32_t sum = 0, found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; ++i) {
    const uint32_t u = martlet_choose_units(l[i], maximum, factor, scale);
    const uint32_t in = l[i] >= low && l[i] <= high;
    sum += in ? u : 0;
    found += in;
  }
  *count = found;
  return sum;
}

BLOCK uint32_t block_count(const float *l, float low, float high) {
  uint32_t found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; ++i) found += l[i] >= low && l[i] <= high;
  return found;
}

/// Appends the logits in low ≤ l ≤ high and their tokens. Up to 16 places past them are written.
BLOCK uint32_t block_gather(const float *l, float low, float high, uint32_t first, float *logits,
                            uint32_t *tokens) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < MARTLET_LOGITS_BLOCK; ++i) {
    logits[found] = l[i];
    tokens[found] = first + i;
    found += l[i] >= low && l[i] <= high;
  }
  return found;
}

/// Σ (l - pivot), Σ (l - pivot)² and the number of the finite logits.
BLOCK uint32_t block_spread(const float *l, float pivot, float *sum, float *squares) {
  float s[4][MARTLET_LANES] = {{0}}, q[4][MARTLET_LANES] = {{0}};
  uint32_t found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 4 * MARTLET_LANES)
    for (int k = 0; k < 4; ++k)
      for (int j = 0; j < MARTLET_LANES; ++j) {
        const float x = l[i + MARTLET_LANES * k + j];
        const float d = x > -INFINITY ? x - pivot : 0.0f;
        s[k][j] = s[k][j] + d;
        q[k][j] = fmaf(d, d, q[k][j]);
        found += x > -INFINITY;
      }
  *sum = block_fold(s);
  *squares = block_fold(q);
  return found;
}

/// Σ 2^y·(l - other) over finite l; +inf where the other row excludes a token this one allows.
BLOCK float block_divergence(const float *l, const float *other, size_t count, float maximum,
                             float factor) {
  float s[MARTLET_LANES] = {0};
  for (size_t i = 0; i < count; ++i) {
    const float e = martlet_exp2_f32((l[i] - maximum) * factor);
    const float d = l[i] > -INFINITY ? l[i] - other[i] : 0.0f;
    s[i % MARTLET_LANES] = fmaf(e, d, s[i % MARTLET_LANES]);
  }
  return martlet_fold_lanes(s);
}

/// The Gumbel scores of the logits in low ≤ l ≤ high, -inf elsewhere.
BLOCK void block_scores(const float *l, float maximum, float factor, float low, float high,
                        uint64_t key0, uint64_t key1, uint32_t first, float *scores) {
  for (uint32_t i = 0; i < MARTLET_LOGITS_BLOCK; ++i) {
    const float score = martlet_gumbel_score(l[i], maximum, factor, key0, key1, first + i);
    scores[i] = l[i] >= low && l[i] <= high && l[i] > -INFINITY ? score : -INFINITY;
  }
}

#endif

/// Sampling by rules, block by block, in plain C: the reference's arithmetic, and what compilers
/// make vector code of under an ISA file's target. Every block has MARTLET_LOGITS_BLOCK logits, the
/// last of a row filled up with -inf.
#ifndef MARTLET_REFERENCE_CHOOSE_BLOCKS_H
#define MARTLET_REFERENCE_CHOOSE_BLOCKS_H

#include "reference/choose.h"

#pragma STDC FP_CONTRACT OFF

#define BLOCK static inline __attribute__((always_inline))

/// Two sums over a row: float32 over four sets of 16 lanes within a block, sets as
/// (0 + 1) + (2 + 3), then float64 lane by lane across blocks, folded at the end.
typedef struct block_sums {
  double first[MARTLET_LANES], second[MARTLET_LANES];
} block_sums;

BLOCK block_sums block_sums_begin(void) { return (block_sums){{0}, {0}}; }
BLOCK void block_sums_add(double *sums, float sets[4][MARTLET_LANES]) {
  for (int i = 0; i < MARTLET_LANES; ++i)
    sums[i] = sums[i] + (double)((sets[0][i] + sets[1][i]) + (sets[2][i] + sets[3][i]));
}
BLOCK double block_sums_fold(const double *sums) {
  double folded[MARTLET_LANES];
  memcpy(folded, sums, sizeof folded);
  for (int half = MARTLET_LANES / 2; half >= 1; half /= 2)
    for (int i = 0; i < half; ++i) folded[i] = folded[i] + folded[i + half];
  return folded[0];
}
BLOCK double block_sums_first(const block_sums *sums) { return block_sums_fold(sums->first); }
BLOCK double block_sums_second(const block_sums *sums) { return block_sums_fold(sums->second); }

/// The largest and the smallest, NaN passed over.
BLOCK float block_extremes(const float *l, float *smallest) {
  float more[MARTLET_LANES], less[MARTLET_LANES];
  for (int i = 0; i < MARTLET_LANES; ++i) {
    more[i] = -INFINITY;
    less[i] = INFINITY;
  }
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += MARTLET_LANES)
    for (int k = 0; k < MARTLET_LANES; ++k) {
      more[k] = l[i + k] > more[k] ? l[i + k] : more[k];
      less[k] = l[i + k] < less[k] ? l[i + k] : less[k];
    }
  float largest = more[0];
  *smallest = less[0];
  for (int i = 1; i < MARTLET_LANES; ++i) {
    largest = more[i] > largest ? more[i] : largest;
    *smallest = less[i] < *smallest ? less[i] : *smallest;
  }
  return largest;
}

/// Of four blocks in a row.
BLOCK void block_extremes_four(const float *l, float *largest, float *smallest) {
  for (int b = 0; b < 4; ++b)
    largest[b] = block_extremes(l + b * MARTLET_LOGITS_BLOCK, smallest + b);
}

/// z = l - maximum, no less than the exponential's floor, and 2^(z · factor), of sixteen logits, step
/// by step so that compilers make vector code of it; BLOCK_LOOK_UP is an ISA's way to do what the
/// loop over the table does.
BLOCK void block_exp2(const float *l, float maximum, float factor, float floor, float *z, float *e) {
  float s[MARTLET_LANES];
  uint32_t bits[MARTLET_LANES], powers[MARTLET_LANES];
  for (int j = 0; j < MARTLET_LANES; ++j) {
    const float x = l[j] - maximum;
    z[j] = floor > x ? floor : x;
    const float t = fmaf(z[j], factor, MARTLET_EXP2_SHIFT);
    s[j] = fmaf(z[j], factor, -(t - MARTLET_EXP2_SHIFT_A));
    memcpy(bits + j, &t, sizeof t);
  }
#ifdef BLOCK_LOOK_UP
  BLOCK_LOOK_UP(bits, powers);
#else
  for (int j = 0; j < MARTLET_LANES; ++j) powers[j] = martlet_exp2_table[bits[j] & 31];
#endif
  for (int j = 0; j < MARTLET_LANES; ++j) {
    const uint32_t power_bits = powers[j] + (bits[j] << 18);
    float power;
    memcpy(&power, &power_bits, sizeof power);
    e[j] = fmaf(s[j], s[j], MARTLET_EXP2_B) * power;
  }
}
/// Units of sixteen logits.
BLOCK void block_units_of(const float *l, float maximum, float factor, float floor, float scale,
                          uint32_t *units) {
  float z[MARTLET_LANES], e[MARTLET_LANES];
  block_exp2(l, maximum, factor, floor, z, e);
  for (int j = 0; j < MARTLET_LANES; ++j) units[j] = (uint32_t)(int32_t)rintf(e[j] * scale);
}

/// Σ 2^(z · factor) and Σ z · 2^(z · factor) over low ≤ l ≤ high.
BLOCK void block_shape(const float *l, float maximum, float factor, float low, float high,
                       block_sums *sums) {
  const float floor = martlet_exp2_floor(factor);
  float w[4][MARTLET_LANES] = {{0}}, m[4][MARTLET_LANES] = {{0}};
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 4 * MARTLET_LANES)
    for (int k = 0; k < 4; ++k) {
      const float *x = l + i + MARTLET_LANES * k;
      float z[MARTLET_LANES], e[MARTLET_LANES];
      block_exp2(x, maximum, factor, floor, z, e);
      for (int j = 0; j < MARTLET_LANES; ++j) {
        e[j] = x[j] < low || x[j] > high ? 0.0f : e[j];
        w[k][j] = w[k][j] + e[j];
        m[k][j] = fmaf(e[j], z[j], m[k][j]);
      }
    }
  block_sums_add(sums->first, w);
  block_sums_add(sums->second, m);
}

/// The units of each logit in low ≤ l ≤ high, 0 elsewhere.
BLOCK void block_units(const float *l, float maximum, float factor, float scale, float low,
                       float high, uint32_t *units) {
  const float floor = martlet_exp2_floor(factor);
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += MARTLET_LANES) {
    block_units_of(l + i, maximum, factor, floor, scale, units + i);
    for (int j = i; j < i + MARTLET_LANES; ++j)
      units[j] = l[j] >= low && l[j] <= high ? units[j] : 0;
  }
}

/// The sum of them, and how many logits there are.
BLOCK uint64_t block_weigh(const float *l, float maximum, float factor, float scale, float low,
                           float high, uint32_t *count) {
  const float floor = martlet_exp2_floor(factor);
  uint32_t units[MARTLET_LANES], sums[MARTLET_LANES] = {0}, found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += MARTLET_LANES) {
    block_units_of(l + i, maximum, factor, floor, scale, units);
    for (int j = 0; j < MARTLET_LANES; ++j) {
      const uint32_t in = l[i + j] >= low && l[i + j] <= high;
      sums[j] += in ? units[j] : 0;
      found += in;
    }
  }
  uint64_t sum = 0;
  for (int j = 0; j < MARTLET_LANES; ++j) sum += sums[j];
  *count = found;
  return sum;
}

/// block_shape of all logits, and block_weigh of those in l ≥ low.
BLOCK uint64_t block_shape_units(const float *l, float maximum, float factor, float scale,
                                 float low, block_sums *sums, uint32_t *count) {
  const uint64_t units = block_weigh(l, maximum, factor, scale, low, INFINITY, count);
  block_shape(l, maximum, factor, -INFINITY, INFINITY, sums);
  return units;
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

/// An interval of logits, and a wider one around it.
typedef struct block_rings {
  float low, high, outer_low, outer_high;
} block_rings;

/// What a block holds of the inner interval, in units, and how many logits lie between it and the
/// outer one.
typedef struct block_part {
  uint64_t inner;
  uint32_t appended;
} block_part;

/// Over blocks: the weight of all logits, and how many are not in the inner interval.
typedef struct block_tally {
  uint64_t whole, outside;
} block_tally;
BLOCK block_tally block_tally_begin(void) { return (block_tally){0, 0}; }
BLOCK uint64_t block_tally_whole(const block_tally *tally) { return tally->whole; }
BLOCK uint64_t block_tally_outside(const block_tally *tally) { return tally->outside; }

/// Weighs all logits; appends those between the intervals and their tokens. Up to 16 places past them
/// are written.
BLOCK void block_split(const float *l, float maximum, float factor, float scale, uint8_t shift,
                       block_rings rings, uint32_t first, block_tally *tally, float *logits,
                       uint32_t *tokens, block_part *part) {
  uint32_t units[MARTLET_LOGITS_BLOCK], all[MARTLET_LANES] = {0}, inner[MARTLET_LANES] = {0};
  uint32_t found = 0, outside = 0;
  block_units(l, maximum, factor, scale, -INFINITY, INFINITY, units);
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += MARTLET_LANES)
    for (int j = 0; j < MARTLET_LANES; ++j) {
      const uint32_t in = l[i + j] >= rings.low && l[i + j] <= rings.high;
      all[j] += units[i + j];
      inner[j] += in ? units[i + j] : 0;
      outside += !in;
    }
  for (uint32_t i = 0; i < MARTLET_LOGITS_BLOCK; ++i) {
    logits[found] = l[i];
    tokens[found] = first + i;
    found += l[i] >= rings.outer_low && l[i] <= rings.outer_high &&
             !(l[i] >= rings.low && l[i] <= rings.high);
  }
  uint64_t sum = 0;
  part->inner = 0;
  part->appended = found;
  for (int j = 0; j < MARTLET_LANES; ++j) {
    sum += all[j];
    part->inner += inner[j];
  }
  tally->whole += sum << shift;
  tally->outside += outside;
}
/// block_shape of all logits and block_split.
BLOCK void block_shape_split(const float *l, float maximum, float factor, float scale,
                             uint8_t shift, block_rings rings, uint32_t first, block_sums *sums,
                             block_tally *tally, float *logits, uint32_t *tokens,
                             block_part *part) {
  block_shape(l, maximum, factor, -INFINITY, INFINITY, sums);
  block_split(l, maximum, factor, scale, shift, rings, first, tally, logits, tokens, part);
}

/// A set of tokens: low < l < high, and l = low up to a token, and l = high from a token on.
typedef struct choose_set {
  float low, high;
  uint32_t low_token, high_token;
} choose_set;

/// The weights of `count` logits of one block. Up to 16 places past them are written.
BLOCK void block_lift(const float *l, uint32_t count, float maximum, float factor, float scale,
                      uint8_t shift, uint64_t *weights) {
  for (uint32_t i = 0; i < count; ++i)
    weights[i] = (uint64_t)martlet_choose_units(l[i], maximum, factor, scale) << shift;
}
/// The weights of those of a list that are in `set`, added up; *count counts them.
BLOCK uint64_t block_sum_listed(const float *l, const uint32_t *tokens, const uint64_t *weights,
                                uint32_t length, choose_set set, uint64_t *count) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < length; ++i) {
    const int in = (l[i] > set.low || (l[i] == set.low && tokens[i] <= set.low_token)) &&
                   (l[i] < set.high || (l[i] == set.high && tokens[i] >= set.high_token));
    sum += in ? weights[i] : 0;
    *count += (uint64_t)in;
  }
  return sum;
}
/// The weight of the values above a bound, and their number.
BLOCK uint64_t block_weight_above(const float *l, const uint64_t *weights, size_t n, float bound,
                                  uint32_t *count) {
  uint64_t above = 0;
  uint32_t found = 0;
  for (size_t i = 0; i < n; ++i) {
    above += l[i] > bound ? weights[i] : 0;
    found += l[i] > bound;
  }
  *count = found;
  return above;
}

/// Σ (l - pivot), Σ (l - pivot)² and the number of the finite logits.
BLOCK uint32_t block_spread(const float *l, float pivot, block_sums *sums) {
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
  block_sums_add(sums->first, s);
  block_sums_add(sums->second, q);
  return found;
}

/// Σ 2^(z · factor) · (l - other) over finite l; +inf where the other row excludes a token this one allows.
BLOCK void block_divergence(const float *l, const float *other, float maximum, float factor,
                            block_sums *sums) {
  const float floor = martlet_exp2_floor(factor);
  float s[4][MARTLET_LANES] = {{0}}, z[MARTLET_LANES], e[MARTLET_LANES];
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 4 * MARTLET_LANES)
    for (int k = 0; k < 4; ++k) {
      const int at = i + MARTLET_LANES * k;
      block_exp2(l + at, maximum, factor, floor, z, e);
      for (int j = 0; j < MARTLET_LANES; ++j) {
        const float d = l[at + j] > -INFINITY ? l[at + j] - other[at + j] : 0.0f;
        s[k][j] = fmaf(e[j], d, s[k][j]);
      }
    }
  block_sums_add(sums->first, s);
}

#endif

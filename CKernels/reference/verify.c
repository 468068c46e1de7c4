/// Reference of the verify family's passes.
#include "reference/verify.h"

#include "dispatch/verify_variants.h"
#include "reference/lanes.h"

#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

/// Four sets of lanes, element i of a block in set i / 16 mod 4.
typedef float lane_sets[4][MARTLET_LANES];

static void add(lane_sets sets, size_t i, float x) {
  float *lane = &sets[i / MARTLET_LANES % 4][i % MARTLET_LANES];
  *lane = *lane + x;
}

static float fold(lane_sets sets) {
  float lanes[MARTLET_LANES];
  for (int i = 0; i < MARTLET_LANES; ++i)
    lanes[i] = (sets[0][i] + sets[1][i]) + (sets[2][i] + sets[3][i]);
  return martlet_fold_lanes(lanes);
}

/// max(x, 0) that keeps NaN.
static float positive(float x) { return 0.0f > x ? 0.0f : x; }

/// The larger of `worst` and -x, NaN passed over.
static float worse(float x, float worst) { return 0.0f - x > worst ? 0.0f - x : worst; }

static size_t block_count(size_t width, size_t start) {
  return width - start < MARTLET_LOGITS_BLOCK ? width - start : MARTLET_LOGITS_BLOCK;
}

void martlet_verify_residual_f32_reference(size_t width, const float *base, float times,
                                           const float *draft, float *output, float *block_sums,
                                           float *draft_block_sums, martlet_verify_sums *sums) {
  double residual = 0, bases = 0, drafts = 0;
  float worst = 0;
  for (size_t start = 0, block = 0; start < width; start += MARTLET_LOGITS_BLOCK, ++block) {
    lane_sets left = {{0}};
    float whole[MARTLET_LANES] = {0}, drawn[MARTLET_LANES] = {0};
    for (size_t i = 0; i < block_count(width, start); ++i) {
      const float b = base[start + i], q = draft ? draft[start + i] : 0.0f;
      const float r = draft ? positive(fmaf(-times, q, b)) : b;
      worst = worse(q, worse(b, worst));
      add(left, i, r);
      whole[i % MARTLET_LANES] = whole[i % MARTLET_LANES] + b;
      drawn[i % MARTLET_LANES] = drawn[i % MARTLET_LANES] + q;
      if (output) output[start + i] = r;
    }
    block_sums[block] = fold(left);
    residual += (double)block_sums[block];
    bases += (double)(draft ? martlet_fold_lanes(whole) : block_sums[block]);
    if (!draft) continue;
    const float sum = martlet_fold_lanes(drawn);
    if (draft_block_sums) draft_block_sums[block] = sum;
    drafts += (double)sum;
  }
  *sums = (martlet_verify_sums){residual, bases, drafts, 0.0f - worst};
}

void martlet_verify_levels_f32_reference(size_t width, const float *base, const float *draft,
                                         const martlet_verify_bounds *bounds,
                                         martlet_verify_shares *shares) {
  memset(shares, 0, sizeof *shares);
  float worst = 0;
  for (size_t start = 0; start < width; start += MARTLET_LOGITS_BLOCK) {
    float bases[MARTLET_VERIFY_LEVELS][MARTLET_LANES] = {{0}};
    float drafts[MARTLET_VERIFY_LEVELS][MARTLET_LANES] = {{0}}, whole[MARTLET_LANES] = {0};
    for (size_t i = 0; i < block_count(width, start); ++i) {
      const float b = base[start + i], q = draft[start + i], most = bounds->cap * q;
      const float useful = b >= most ? most : b;
      const size_t lane = i % MARTLET_LANES;
      worst = worse(q, worse(b, worst));
      whole[lane] = whole[lane] + b;
      for (int level = 0; level < MARTLET_VERIFY_LEVELS; ++level) {
        if (level > 0 && !(b >= bounds->bounds[level - 1] * q)) continue;
        bases[level][lane] = bases[level][lane] + useful;
        drafts[level][lane] = drafts[level][lane] + q;
      }
    }
    for (int level = 0; level < MARTLET_VERIFY_LEVELS; ++level) {
      shares->base[level] += (double)martlet_fold_lanes(bases[level]);
      shares->draft[level] += (double)martlet_fold_lanes(drafts[level]);
    }
    shares->whole += (double)martlet_fold_lanes(whole);
  }
  shares->lowest = 0.0f - worst;
}

void martlet_verify_weighted_f32_reference(size_t width, const float *base, const float *draft,
                                           const martlet_verify_bounds *bounds,
                                           const float factors[MARTLET_VERIFY_LEVELS],
                                           float *output, float *block_sums) {
  for (size_t start = 0, block = 0; start < width; start += MARTLET_LOGITS_BLOCK, ++block) {
    lane_sets left = {{0}};
    for (size_t i = 0; i < block_count(width, start); ++i) {
      const float b = base[start + i], q = draft[start + i];
      float factor = factors[0];
      for (int level = 1; level < MARTLET_VERIFY_LEVELS; ++level)
        if (b >= bounds->bounds[level - 1] * q) factor = factors[level];
      const float r = positive(fmaf(-factor, q, b));
      add(left, i, r);
      if (output) output[start + i] = r;
    }
    block_sums[block] = fold(left);
  }
}

void martlet_verify_largest_f32_reference(size_t width, const float *row, uint32_t *place) {
  *place = MARTLET_VERIFY_NONE;
  for (size_t i = 0; i < width; ++i)
    if (!(row[i] < INFINITY)) return;
  float largest = -INFINITY;
  for (size_t i = 0; i < width; ++i)
    if (row[i] > largest) largest = row[i];
  for (size_t i = 0; i < width && largest > -INFINITY; ++i)
    if (row[i] == largest) {
      *place = (uint32_t)i;
      return;
    }
}

static float logarithm(float x) {
  int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const int32_t exponent = (bits - MARTLET_LOG_ORIGIN) >> 23;
  bits -= (int32_t)((uint32_t)exponent << 23);
  float m;
  memcpy(&m, &bits, sizeof m);
  const float f = m - 1.0f;
  float series = MARTLET_LOG_C9;
  series = fmaf(series, f, MARTLET_LOG_C8);
  series = fmaf(series, f, MARTLET_LOG_C7);
  series = fmaf(series, f, MARTLET_LOG_C6);
  series = fmaf(series, f, MARTLET_LOG_C5);
  series = fmaf(series, f, MARTLET_LOG_C4);
  series = fmaf(series, f, MARTLET_LOG_C3);
  series = fmaf(series, f, -0.5f);
  series = fmaf(f * f, series, f);
  return fmaf((float)exponent, MARTLET_LOG_LN2, series);
}

void martlet_verify_entropy_f32_reference(size_t width, const float *row,
                                          martlet_verify_sums *sums) {
  double entropy = 0, total = 0;
  float worst = 0;
  for (size_t start = 0; start < width; start += MARTLET_LOGITS_BLOCK) {
    lane_sets terms = {{0}}, whole = {{0}};
    for (size_t i = 0; i < block_count(width, start); ++i) {
      const float p = row[start + i];
      worst = worse(p, worst);
      add(whole, i, p);
      add(terms, i, p >= MARTLET_LOG_LEAST ? p * logarithm(p) : 0.0f);
    }
    entropy -= (double)fold(terms);
    total += (double)fold(whole);
  }
  *sums = (martlet_verify_sums){entropy, total, 0, 0.0f - worst};
}

/// Reference of the sampling family.
#include "reference/sampling.h"

#include "reference/choose.h"
#include "reference/exp.h"
#include "reference/lanes.h"

#pragma STDC FP_CONTRACT OFF

uint32_t martlet_sampling_first(const float *logits, size_t count, float maximum) {
  for (size_t i = 0; i < count; ++i)
    if (logits[i] == maximum) return (uint32_t)i;
  return 0;
}

void martlet_sampling_finish(martlet_logits_shape *shape, double sum, double moment) {
  // A NaN among the logits made the sum one.
  shape->clean = sum == sum;
  shape->drawn = shape->most_likely;
  if (!shape->clean) return;
  shape->log_sum = martlet_portable_log(sum);
  const double entropy = shape->log_sum - moment / sum;
  shape->entropy = entropy > 0 ? entropy : 0;
}

size_t martlet_sampling_block(const float *sums, size_t blocks, double uniform, double *target) {
  double total = 0, passed = 0, before = 0;
  for (size_t b = 0; b < blocks; ++b) total += (double)sums[b];
  const double wanted = uniform * total;
  size_t found = 0;
  for (size_t b = 0; b < blocks && passed <= wanted; ++b) {
    if (sums[b] == 0) continue;
    before = passed;
    passed += (double)sums[b];
    found = b;
  }
  *target = wanted - before;
  return found;
}

uint32_t martlet_sampling_pick(const float *weights, size_t count, double target) {
  double passed = 0;
  size_t found = 0;
  for (size_t i = 0; i < count && passed <= target; ++i) {
    if (weights[i] == 0) continue;
    passed += (double)weights[i];
    found = i;
  }
  return (uint32_t)found;
}

void martlet_logits_weigh_f32_reference(size_t count, const float *logits, float maximum,
                                        float inverse, float *weights) {
  for (size_t i = 0; i < count; ++i)
    weights[i] = martlet_exp_f32((logits[i] - maximum) * inverse);
}

/// Σ weight, Σ exp(x) and Σ x·exp(x) of one block.
typedef struct block_sums {
  float weights, exponentials, moments;
} block_sums;

/// Four sets of lanes, element i of the block in set i / 16 mod 4.
typedef float lane_sets[4][MARTLET_LANES];

static float fold_sets(lane_sets sets) {
  float lanes[MARTLET_LANES];
  for (int i = 0; i < MARTLET_LANES; ++i)
    lanes[i] = (sets[0][i] + sets[1][i]) + (sets[2][i] + sets[3][i]);
  return martlet_fold_lanes(lanes);
}

static block_sums sums_of(const float *logits, size_t count, float maximum, float inverse) {
  lane_sets weights = {{0}}, exponentials = {{0}}, moments = {{0}};
  for (size_t i = 0; i < count; ++i) {
    const size_t set = i / MARTLET_LANES % 4, lane = i % MARTLET_LANES;
    const float x = logits[i] - maximum, e = martlet_exp_f32(x);
    exponentials[set][lane] = exponentials[set][lane] + e;
    // Where x is below -128, -inf included, e is 0 and so shall the product be.
    moments[set][lane] = fmaf(e, x > -128.0f ? x : -128.0f, moments[set][lane]);
    weights[set][lane] = weights[set][lane] + martlet_exp_f32(x * inverse);
  }
  return (block_sums){fold_sets(weights), fold_sets(exponentials), fold_sets(moments)};
}

void martlet_logits_draw_f32_reference(size_t width, const float *logits, float inverse,
                                       double uniform, float *scratch,
                                       martlet_logits_shape *shape) {
  float maximum = -INFINITY;
  for (size_t i = 0; i < width; ++i) maximum = logits[i] > maximum ? logits[i] : maximum;
  maximum = maximum + 0.0f;  // -0 and +0 are equals.
  *shape = (martlet_logits_shape){.size = shape->size, .maximum = (double)maximum};
  if (maximum == -INFINITY || maximum == INFINITY) return;
  shape->most_likely = martlet_sampling_first(logits, width, maximum);
  double sum = 0, moment = 0;
  for (size_t start = 0; start < width; start += MARTLET_LOGITS_BLOCK) {
    const size_t left = width - start;
    const block_sums sums =
        sums_of(logits + start, left < MARTLET_LOGITS_BLOCK ? left : MARTLET_LOGITS_BLOCK, maximum,
                inverse);
    sum += (double)sums.exponentials;
    moment += (double)sums.moments;
    if (inverse > 0) scratch[start / MARTLET_LOGITS_BLOCK] = sums.weights;
  }
  martlet_sampling_finish(shape, sum, moment);
  if (inverse == 0 || !shape->clean) return;
  double target;
  const size_t blocks = martlet_logits_blocks(width);
  const size_t start =
      MARTLET_LOGITS_BLOCK * martlet_sampling_block(scratch, blocks, uniform, &target);
  const size_t left = width - start;
  const size_t count = left < MARTLET_LOGITS_BLOCK ? left : MARTLET_LOGITS_BLOCK;
  float weights[MARTLET_LOGITS_BLOCK];
  martlet_logits_weigh_f32_reference(count, logits + start, maximum, inverse, weights);
  shape->drawn = (uint32_t)start + martlet_sampling_pick(weights, count, target);
}

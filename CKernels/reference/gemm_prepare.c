/// The specification of martlet_gemm_prepare for int8 and bfloat16.
#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_variants.h"

#include "reference/half.h"
#include "reference/lanes.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

enum { LANES = MARTLET_LANES };

/// The quants of one block at one inverse scale, as floats, and what rounding left of each input in
/// units of the step. The fused additions round the exact product, once.
typedef struct rounded_block {
  float quants[MARTLET_GEMM_BLOCK], rests[MARTLET_GEMM_BLOCK];
} rounded_block;

/// Rounding assumes the default mode, to nearest even, as all of Martlet does.
static rounded_block round_block(const float *input, float inverse) {
  rounded_block block;
  for (size_t i = 0; i < MARTLET_GEMM_BLOCK; ++i) {
    // |input · inverse| is at most 127 · (1 + 2^-24), so that the rounded value fits int8.
    block.quants[i] = fmaf(input[i], inverse, MARTLET_Q8_ROUNDING) - MARTLET_Q8_ROUNDING;
    block.rests[i] = fmaf(input[i], inverse, -block.quants[i]);
  }
  return block;
}

/// Σ a · b over a block in the order of every reduction.
static float dot_of(const float *a, const float *b) {
  float lanes[LANES];
  for (size_t i = 0; i < LANES; ++i)
    lanes[i] = fmaf(a[LANES + i], b[LANES + i], a[i] * b[i]);
  return martlet_fold_lanes(lanes);
}

static martlet_q8_block prepare_block(const float *input) {
  martlet_q8_block block = {0};
  uint32_t largest_bits = 0;
  for (size_t i = 0; i < MARTLET_GEMM_BLOCK; ++i) {
    const uint32_t bits = martlet_bits_of_float(input[i]) & 0x7FFFFFFFu;
    if (bits > largest_bits) largest_bits = bits;
  }
  const float largest = martlet_float_of_bits(largest_bits);
  if (largest_bits >= 0x7F800000u) {
    block.scale = block.scaled_sum = NAN;
    return block;
  }
  if (largest < MARTLET_Q8_SMALLEST) return block;

  static const float weights[MARTLET_Q8_CANDIDATES] = MARTLET_Q8_ERROR_WEIGHTS;
  rounded_block best = {0};
  float least = INFINITY, steps = 0;
  for (int k = 0; k < MARTLET_Q8_CANDIDATES; ++k) {
    const rounded_block candidate = round_block(input, (float)(127 - k) / largest);
    const float error = dot_of(candidate.rests, candidate.rests) * weights[k];
    if (error < least) best = candidate, least = error, steps = (float)(127 - k);
  }

  int32_t first = 0, second = 0, squares = 0;
  for (size_t i = 0; i < MARTLET_GEMM_BLOCK; ++i) {
    const int32_t quant = (int32_t)best.quants[i];
    block.values[i] = (int8_t)quant;
    *(i < 16 ? &first : &second) += quant;
    squares += quant * quant;
  }
  const float step = largest / steps;
  block.scale = fmaf(step, dot_of(best.quants, best.rests) / (float)squares, step);
  block.scaled_sum = block.scale * (float)(first + second);
  block.start = -8 * (first + second);
  block.start_first = -8 * first;
  return block;
}

void martlet_prepare_q8_reference(const float *input, size_t depth, void *prepared) {
  martlet_q8_block *blocks = prepared;
  for (size_t b = 0; b < depth / MARTLET_GEMM_BLOCK; ++b)
    blocks[b] = prepare_block(input + b * MARTLET_GEMM_BLOCK);
}

/// To nearest even; subnormals become zero and NaNs quiet, as vcvtneps2bf16 does.
static uint16_t rounded(float value) {
  const uint32_t bits = martlet_bits_of_float(value);
  if ((bits & 0x7FFFFFFFu) < 0x00800000u) return (uint16_t)(bits >> 16 & 0x8000u);
  return martlet_bfloat_of_float(value);
}

void martlet_prepare_bf16_reference(const float *input, size_t depth, void *prepared) {
  uint16_t *row = prepared;
  for (size_t k = 0; k < depth; ++k)
    row[k] = rounded(input[k]);
}

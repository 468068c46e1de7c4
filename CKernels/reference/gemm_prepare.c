/// The specification of martlet_gemm_prepare for int8 and bfloat16.
#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_variants.h"

#include "reference/half.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/// One block. Rounding assumes the default mode, to nearest even, as all of Martlet does.
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
  float inverse = 127.0f / largest;
  int32_t first = 0, second = 0;
  for (size_t i = 0; i < MARTLET_GEMM_BLOCK; ++i) {
    // |input · inverse| is at most 127 · (1 + 2^-23), so that the rounded value fits int8.
    block.values[i] = (int8_t)nearbyintf(input[i] * inverse);
    *(i < 16 ? &first : &second) += block.values[i];
  }
  block.scale = largest / 127.0f;
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

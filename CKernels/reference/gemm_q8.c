/// The specification of products of quantised weights with int8 activations.
#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_variants.h"
#include "reference/blocks.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

static inline float half_at(const uint8_t *halves, size_t index) {
  return martlet_read_half(halves + 2 * index);
}

// Unsigned quant of output `o` at depth `k` of a block, from the parts of gemm_layout.h.

static inline int32_t byte_of(const uint8_t *bytes, size_t o, size_t k) {
  return bytes[64 * (k / 4) + 4 * o + k % 4];
}

static inline int32_t nibble_of(const uint8_t *nibbles, size_t o, size_t k) {
  return byte_of(nibbles, o, k % 16) >> (k < 16 ? 0 : 4) & 15;
}

static inline int32_t bit_of(const uint8_t *bits, size_t o, size_t k) {
  return bits[4 * o + k % 4] >> (k / 4) & 1;
}

static inline int32_t bit_pair_of(const uint8_t *pairs, size_t o, size_t k) {
  return pairs[64 * (k / 16) + 4 * o + k % 4] >> (2 * (k / 4 % 4)) & 3;
}

/// Signed quant at depth `k`; `quants` is where the block's quants begin.
static inline int32_t quant_of(martlet_weight_type type, const uint8_t *quants, size_t o,
                               size_t k) {
  const uint8_t *plane = quants + MARTLET_GEMM_NIBBLE_BYTES;
  switch (type) {
  case MARTLET_WEIGHT_Q8_0: return byte_of(quants, o, k) - 128;
  case MARTLET_WEIGHT_Q4_0: return nibble_of(quants, o, k) - 8;
  case MARTLET_WEIGHT_IQ4_NL: return martlet_iq4_nl_values[nibble_of(quants, o, k)];
  case MARTLET_WEIGHT_Q5_0: return (nibble_of(quants, o, k) | bit_of(plane, o, k) << 4) - 16;
  case MARTLET_WEIGHT_Q5_1:
  case MARTLET_WEIGHT_Q5_K: return nibble_of(quants, o, k) | bit_of(plane, o, k) << 4;
  case MARTLET_WEIGHT_Q6_K: return (nibble_of(quants, o, k) | bit_pair_of(plane, o, k) << 4) - 32;
  default: return nibble_of(quants, o, k);
  }
}

static inline int32_t dot_of(martlet_weight_type type, const uint8_t *quants, size_t o,
                             const martlet_q8_block *block, size_t begin, size_t end) {
  int32_t dot = 0;
  for (size_t k = begin; k < end; ++k)
    dot += block->values[k] * quant_of(type, quants, o, k);
  return dot;
}

/// sum + dot · (scale · block scale).
static inline float add_block(martlet_weight_type type, const uint8_t *quants, size_t o,
                              const martlet_q8_block *block, float scale, float sum) {
  int32_t dot = dot_of(type, quants, o, block, 0, MARTLET_GEMM_BLOCK);
  return fmaf((float)dot, scale * block->scale, sum);
}

/// Block `index` of a tile; `block` is the row's activations there.
static inline float add_tile_block(martlet_weight_type type, const uint8_t *tile, size_t blocks,
                                   size_t index, size_t o, const martlet_q8_block *block,
                                   float sum) {
  const martlet_gemm_block at = martlet_gemm_block_at(type, blocks, index);
  const uint8_t *quants = tile + at.quants, *factors = tile + at.factors;
  float scale = half_at(tile + at.scales, o);
  if (type == MARTLET_WEIGHT_Q6_K) {
    for (size_t half = 0; half < 2; ++half) {
      int32_t dot = dot_of(type, quants, o, block, 16 * half, 16 * half + 16);
      float half_scale = scale * (float)(int8_t)factors[16 * half + o];
      sum = fmaf((float)dot, half_scale * block->scale, sum);
    }
    return sum;
  }
  if (martlet_gemm_is_k(type)) {
    float minimum = half_at(tile + at.minimums, o);
    sum = add_block(type, quants, o, block, scale * (float)factors[o], sum);
    return fmaf(-(minimum * (float)factors[16 + o]), block->scaled_sum, sum);
  }
  sum = add_block(type, quants, o, block, scale, sum);
  if (!martlet_gemm_has_minimums(type)) return sum;
  return fmaf(half_at(tile + at.minimums, o), block->scaled_sum, sum);
}

static inline void product(martlet_weight_type type, const martlet_gemm_arguments *arguments) {
  size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, arguments->depth);
  size_t tile_bytes = martlet_gemm_tile_bytes(type, arguments->depth);
  size_t blocks = arguments->depth / MARTLET_GEMM_BLOCK;
  for (size_t row = 0; row < arguments->rows; ++row)
    for (size_t column = arguments->column_begin; column < arguments->column_end; ++column) {
      const martlet_q8_block *activations =
        (const void *)((const uint8_t *)arguments->activations + row * row_bytes);
      const uint8_t *tile =
        (const uint8_t *)arguments->weights + column / MARTLET_GEMM_TILE * tile_bytes;
      float sum = 0;
      for (size_t b = 0; b < blocks; ++b)
        sum = add_tile_block(type, tile, blocks, b, column % MARTLET_GEMM_TILE, activations + b,
                             sum);
      martlet_gemm_finish(arguments, row, column, sum);
    }
}

#define MARTLET_DEFINE_PRODUCT(name, type)                                                         \
  void martlet_gemm_##name##_q8_reference(const martlet_gemm_arguments *arguments) {               \
    product(type, arguments);                                                                      \
  }
MARTLET_DEFINE_PRODUCT(q8_0, MARTLET_WEIGHT_Q8_0)
MARTLET_DEFINE_PRODUCT(q4_0, MARTLET_WEIGHT_Q4_0)
MARTLET_DEFINE_PRODUCT(q4_1, MARTLET_WEIGHT_Q4_1)
MARTLET_DEFINE_PRODUCT(q5_0, MARTLET_WEIGHT_Q5_0)
MARTLET_DEFINE_PRODUCT(q5_1, MARTLET_WEIGHT_Q5_1)
MARTLET_DEFINE_PRODUCT(q4_k, MARTLET_WEIGHT_Q4_K)
MARTLET_DEFINE_PRODUCT(q5_k, MARTLET_WEIGHT_Q5_K)
MARTLET_DEFINE_PRODUCT(q6_k, MARTLET_WEIGHT_Q6_K)
MARTLET_DEFINE_PRODUCT(iq4_nl, MARTLET_WEIGHT_IQ4_NL)

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

/// One step of a tile; `blocks` are the row's activations at the step's depth.
static inline float add_step(martlet_weight_type type, const uint8_t *step, size_t o,
                             const martlet_q8_block *blocks, float sum) {
  const size_t half_bytes = MARTLET_GEMM_HALF_BYTES;
  float scale = half_at(step, o);
  switch (type) {
  case MARTLET_WEIGHT_Q4_1:
  case MARTLET_WEIGHT_Q5_1: {
    float minimum = half_at(step + half_bytes, o);
    sum = add_block(type, step + 2 * half_bytes, o, blocks, scale, sum);
    return fmaf(minimum, blocks->scaled_sum, sum);
  }
  case MARTLET_WEIGHT_Q4_K:
  case MARTLET_WEIGHT_Q5_K: {
    float minimum = half_at(step + half_bytes, o);
    const uint8_t *block = step + 2 * half_bytes;
    for (size_t b = 0; b < 8; ++b) {
      sum = add_block(type, block + 32, o, blocks + b, scale * (float)block[o], sum);
      sum = fmaf(-(minimum * (float)block[16 + o]), blocks[b].scaled_sum, sum);
      block += 32 + MARTLET_GEMM_NIBBLE_BYTES;
      if (type == MARTLET_WEIGHT_Q5_K)
        block += MARTLET_GEMM_BITS_BYTES;
    }
    return sum;
  }
  case MARTLET_WEIGHT_Q6_K: {
    const uint8_t *block = step + half_bytes;
    for (size_t b = 0; b < 8; ++b) {
      for (size_t half = 0; half < 2; ++half) {
        int32_t dot = dot_of(type, block + 32, o, blocks + b, 16 * half, 16 * half + 16);
        float half_scale = scale * (float)(int8_t)block[16 * half + o];
        sum = fmaf((float)dot, half_scale * blocks[b].scale, sum);
      }
      block += 32 + MARTLET_GEMM_NIBBLE_BYTES + MARTLET_GEMM_BIT_PAIRS_BYTES;
    }
    return sum;
  }
  default: return add_block(type, step + half_bytes, o, blocks, scale, sum);
  }
}

static inline void product(martlet_weight_type type, const martlet_gemm_arguments *arguments) {
  martlet_gemm_format format = martlet_gemm_format_of(type);
  size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, arguments->depth);
  size_t tile_bytes = martlet_gemm_tile_bytes(type, arguments->depth);
  size_t steps = arguments->depth / format.step_depth;
  for (size_t row = 0; row < arguments->rows; ++row)
    for (size_t column = arguments->column_begin; column < arguments->column_end; ++column) {
      const martlet_q8_block *blocks =
        (const void *)((const uint8_t *)arguments->activations + row * row_bytes);
      const uint8_t *tile =
        (const uint8_t *)arguments->weights + column / MARTLET_GEMM_TILE * tile_bytes;
      float sum = 0;
      for (size_t s = 0; s < steps; ++s)
        sum = add_step(type, tile + s * format.step_bytes, column % MARTLET_GEMM_TILE,
                       blocks + s * (format.step_depth / MARTLET_GEMM_BLOCK), sum);
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

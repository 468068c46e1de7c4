/// The specification of products with float weights: f32, f16 and bf16 weights with f32 activations
/// (portable class) and bf16 weights with bf16 activations (bf16-dot class).
#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_variants.h"
#include "reference/half.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

typedef struct {
  const uint8_t *activations; ///< One prepared row.
  const uint8_t *tile;
  size_t output;              ///< Of the tile, 0 to 15.
  size_t depth;
} dot_operands;

typedef float (*dot_function)(dot_operands operands);

static inline void product(const martlet_gemm_arguments *arguments,
                           martlet_activation_type activation_type, dot_function dot) {
  size_t row_bytes = martlet_gemm_row_bytes(activation_type, arguments->depth);
  size_t tile_bytes = martlet_gemm_tile_bytes(arguments->weight_type, arguments->depth);
  for (size_t row = 0; row < arguments->rows; ++row)
    for (size_t column = arguments->column_begin; column < arguments->column_end; ++column) {
      dot_operands operands = {
        .activations = (const uint8_t *)arguments->activations + row * row_bytes,
        .tile = (const uint8_t *)arguments->weights + column / MARTLET_GEMM_TILE * tile_bytes,
        .output = column % MARTLET_GEMM_TILE,
        .depth = arguments->depth,
      };
      martlet_gemm_finish(arguments, row, column, dot(operands));
    }
}

static inline uint16_t load_half(const uint8_t *bytes) {
  uint16_t bits;
  memcpy(&bits, bytes, sizeof bits);
  return bits;
}

static float dot_f32(dot_operands operands) {
  const float *activations = (const float *)operands.activations;
  const float *weights = (const float *)operands.tile + operands.output;
  float sum = 0;
  for (size_t k = 0; k < operands.depth; ++k)
    sum = fmaf(activations[k], weights[16 * k], sum);
  return sum;
}

static float dot_f16(dot_operands operands) {
  const float *activations = (const float *)operands.activations;
  const uint8_t *weights = operands.tile + 2 * operands.output;
  float sum = 0;
  for (size_t k = 0; k < operands.depth; ++k)
    sum = fmaf(activations[k], martlet_float_of_half(load_half(weights + 32 * k)), sum);
  return sum;
}

static float dot_bf16(dot_operands operands) {
  const float *activations = (const float *)operands.activations;
  const uint8_t *weights = operands.tile + 4 * operands.output;
  float sum = 0;
  for (size_t k = 0; k < operands.depth; ++k)
    sum = fmaf(activations[k],
               martlet_float_of_bfloat(load_half(weights + 64 * (k / 2) + 2 * (k % 2))), sum);
  return sum;
}

/// Subnormals become zeros of their sign, as vdpbf16ps treats operands and results.
static float flushed(float value) {
  return fabsf(value) < 0x1p-126f ? copysignf(0, value) : value;
}

/// vdpbf16ps: per pair of depths the odd one first, each a fused multiply-add rounded to nearest
/// even. An odd last depth pairs with zeros on both sides (0 · 0 added first).
static float dot_bf16_pairs(dot_operands operands) {
  const uint8_t *weights = operands.tile + 4 * operands.output;
  float sum = 0;
  for (size_t k = 0; k < operands.depth; k += 2)
    for (size_t i = 2; i-- > 0;) {
      float activation = martlet_float_of_bfloat(load_half(operands.activations + 2 * (k + i)));
      float weight = martlet_float_of_bfloat(load_half(weights + 32 * k + 2 * i));
      sum = flushed(fmaf(flushed(activation), flushed(weight), sum));
    }
  return sum;
}

void martlet_gemm_f32_f32_reference(const martlet_gemm_arguments *arguments) {
  product(arguments, MARTLET_ACTIVATION_F32, dot_f32);
}

void martlet_gemm_f16_f32_reference(const martlet_gemm_arguments *arguments) {
  product(arguments, MARTLET_ACTIVATION_F32, dot_f16);
}

void martlet_gemm_bf16_f32_reference(const martlet_gemm_arguments *arguments) {
  product(arguments, MARTLET_ACTIVATION_F32, dot_bf16);
}

void martlet_gemm_bf16_bf16_reference(const martlet_gemm_arguments *arguments) {
  product(arguments, MARTLET_ACTIVATION_BF16, dot_bf16_pairs);
}

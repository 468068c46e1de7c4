/// Micro-kernel and blocking of NEON products of quantised weights with int8 activations. An
/// including file defines, inside its target attribute,
///
///   ALWAYS_INLINE int32x4_t dot_lane(int32x4_t sums, int8x16_t weights, int8x16_t activations,
///                                    int lane)
///     adds to four outputs the products of their four weights with 4-byte group `lane` of
///     `activations`;
///   MULTIPLIES_PAIRS, 1 where smmla multiplies two outputs by two rows at a time.
///
/// The packed layout of gemm_layout.h is what sdot wants as it lies: 16 bytes are four outputs by
/// four depths, and its operand by element picks the activations' group. smmla wants two outputs by
/// eight depths, which is the same bytes of two neighbouring groups after one zip.
///
/// Shape. Four rows by half a tile of 8 outputs: 8 int32 sums, 8 float sums, 8 registers of
/// activations (a block of four rows), the rest for weights. One and two rows take the whole tile.
/// Weights pass in chunks of 256 depth, 2.3 KB of Q4_0, which all rows of a panel use while they
/// are in the first-level cache; above four rows a chunk is unpacked to memory once, in the order
/// the multiply wants.
#ifndef MARTLET_ARM_GEMM_Q8_NEON_H
#define MARTLET_ARM_GEMM_Q8_NEON_H

#include "arm/gemm_neon.h"
#include "reference/blocks.h"

enum {
  ROWS_PER_STEP = 4,
  ROWS_PER_PANEL = 64, ///< Rows that share one unpacking; their sums fill 4 KB.
  BLOCKS_PER_CHUNK = MARTLET_GEMM_CHUNK_BLOCKS,
  MAXIMUM_REGISTERS = 8, ///< Sums of a step: rows times quarters.
};

/// One block of 32 depth of one tile, unpacked. Quants are signed bytes; an offset that the start
/// of a dot product makes up for stays in them.
typedef struct {
  /// Group g of quarter q at 64 · g + 16 · q. For smmla: groups 2 · p and 2 · p + 1 of outputs
  /// 4 · q, 4 · q + 1 at 128 · p + 32 · q, of the next two outputs 16 bytes on.
  int8_t quants[MARTLET_GEMM_BYTE_BYTES];
  float scale[16];
  float other[16]; ///< The minimum, or the second half's scale.
} unpacked_block;

/// Where the micro-kernel finds the weights of a tile.
typedef enum {
  PACKED,   ///< As they lie in memory; unpacked in registers on the way.
  UNPACKED, ///< unpacked_block[].
} weight_source;

/// A chunk of one tile.
typedef struct {
  martlet_weight_type type;
  weight_source source;
  const uint8_t *bytes; ///< The tile, or its unpacked blocks [begin, end).
  size_t blocks;        ///< Of the tile.
  size_t begin, end;    ///< Blocks of the chunk.
} weight_chunk;

/// log2(offset / 8) of the quants that load_group gives, or −1 where they have no offset.
ALWAYS_INLINE int offset_shift(martlet_weight_type type) {
  switch (type) {
    case MARTLET_WEIGHT_Q4_0: return 0;
    case MARTLET_WEIGHT_Q5_0: return 1;
    case MARTLET_WEIGHT_Q6_K: return 2;
    default: return -1;
  }
}

/// Four outputs by the four depths of group `g`.
ALWAYS_INLINE int8x16_t load_group(martlet_weight_type type, const uint8_t *quants, int g,
                                   size_t quarter) {
  if (type == MARTLET_WEIGHT_Q8_0)
    return vreinterpretq_s8_u8(
        veorq_u8(vld1q_u8(quants + 64 * g + 16 * quarter), vdupq_n_u8(0x80)));
  const uint8x16_t both = vld1q_u8(quants + 64 * (g % 4) + 16 * quarter);
  uint8x16_t quant = g < 4 ? vandq_u8(both, vdupq_n_u8(15)) : vshrq_n_u8(both, 4);
  if (type == MARTLET_WEIGHT_IQ4_NL) return vqtbl1q_s8(vld1q_s8(martlet_iq4_nl_values), quant);
  const uint8_t *plane = quants + MARTLET_GEMM_NIBBLE_BYTES + 16 * quarter;
  if (martlet_gemm_has_bits(type)) {
    const uint8x16_t moved = vshlq_u8(vld1q_u8(plane), vdupq_n_s8((int8_t)(4 - g)));
    quant = vorrq_u8(quant, vandq_u8(moved, vdupq_n_u8(16)));
  }
  if (type == MARTLET_WEIGHT_Q6_K) {
    const uint8x16_t moved =
        vshlq_u8(vld1q_u8(plane + 64 * (g / 4)), vdupq_n_s8((int8_t)(4 - 2 * (g % 4))));
    quant = vorrq_u8(quant, vandq_u8(moved, vdupq_n_u8(48)));
  }
  return vreinterpretq_s8_u8(quant);
}

/// Two outputs by the eight depths of pair `p` of groups, of the first and second half of a
/// quarter.
ALWAYS_INLINE int8x16x2_t load_pair(martlet_weight_type type, const uint8_t *quants, int p,
                                    size_t quarter) {
  const int32x4_t first = vreinterpretq_s32_s8(load_group(type, quants, 2 * p, quarter));
  const int32x4_t second = vreinterpretq_s32_s8(load_group(type, quants, 2 * p + 1, quarter));
  return (int8x16x2_t){{vreinterpretq_s8_s32(vzip1q_s32(first, second)),
                        vreinterpretq_s8_s32(vzip2q_s32(first, second))}};
}

ALWAYS_INLINE float32x4_t load_halves(const uint8_t *halves) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves)));
}

ALWAYS_INLINE uint32_t load_word(const uint8_t *bytes) {
  uint32_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

ALWAYS_INLINE float32x4_t load_bytes(const uint8_t *bytes) {
  const uint16x8_t words = vmovl_u8(vcreate_u8(load_word(bytes)));
  return vcvtq_f32_u32(vmovl_u16(vget_low_u16(words)));
}

ALWAYS_INLINE float32x4_t load_signed_bytes(const uint8_t *bytes) {
  const int16x8_t words = vmovl_s8(vcreate_s8(load_word(bytes)));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(words)));
}

/// Scale and minimum (Q6_K: the second half's scale) of a quarter of a packed block.
ALWAYS_INLINE void load_scales(martlet_weight_type type, const uint8_t *tile,
                               martlet_gemm_block at, size_t quarter, float32x4_t *scale,
                               float32x4_t *other) {
  const uint8_t *factors = tile + at.factors + 4 * quarter;
  *scale = load_halves(tile + at.scales + 8 * quarter);
  *other = vdupq_n_f32(0);
  if (martlet_gemm_has_minimums(type)) *other = load_halves(tile + at.minimums + 8 * quarter);
  if (type == MARTLET_WEIGHT_Q6_K) {
    *other = vmulq_f32(*scale, load_signed_bytes(factors + 16));
    *scale = vmulq_f32(*scale, load_signed_bytes(factors));
  } else if (martlet_gemm_is_k(type)) {
    *scale = vmulq_f32(*scale, load_bytes(factors));
    *other = vmulq_f32(*other, load_bytes(factors + 16));
  }
}

/// Unpacks blocks [begin, end) of a tile of `blocks`.
ALWAYS_INLINE void unpack(martlet_weight_type type, const uint8_t *tile, size_t blocks,
                          size_t begin, size_t end, unpacked_block *unpacked) {
  for (size_t b = begin; b < end; ++b, ++unpacked) {
    const martlet_gemm_block at = martlet_gemm_block_at(type, blocks, b);
    for (size_t q = 0; q < MARTLET_QUARTERS; ++q) {
      float32x4_t scale, other;
      load_scales(type, tile, at, q, &scale, &other);
      vst1q_f32(unpacked->scale + 4 * q, scale);
      vst1q_f32(unpacked->other + 4 * q, other);
      UNROLLED for (int p = 0; p < 4; ++p) {
        if (MULTIPLIES_PAIRS) {
          const int8x16x2_t pair = load_pair(type, tile + at.quants, p, q);
          vst1q_s8(unpacked->quants + 128 * p + 32 * q, pair.val[0]);
          vst1q_s8(unpacked->quants + 128 * p + 32 * q + 16, pair.val[1]);
          continue;
        }
        UNROLLED for (int g = 2 * p; g < 2 * p + 2; ++g)
          vst1q_s8(unpacked->quants + 64 * g + 16 * q, load_group(type, tile + at.quants, g, q));
      }
    }
  }
}

/// The weights of one block, where the micro-kernel finds them.
typedef struct {
  martlet_weight_type type;
  weight_source source;
  const uint8_t *quants;
  float32x4_t scales[MARTLET_QUARTERS], others[MARTLET_QUARTERS];
} block_weights;

/// Block `b` of a chunk: quarters [first, first + count).
ALWAYS_INLINE block_weights weights_of(weight_chunk chunk, size_t b, size_t first, size_t count) {
  block_weights weights = {.type = chunk.type, .source = chunk.source};
  if (chunk.source == UNPACKED) {
    const unpacked_block *block =
        (const unpacked_block *)(const void *)chunk.bytes + (b - chunk.begin);
    weights.quants = (const uint8_t *)block->quants;
    UNROLLED for (size_t q = 0; q < count; ++q) {
      weights.scales[q] = vld1q_f32(block->scale + 4 * (first + q));
      weights.others[q] = vld1q_f32(block->other + 4 * (first + q));
    }
    return weights;
  }
  const martlet_gemm_block at = martlet_gemm_block_at(chunk.type, chunk.blocks, b);
  weights.quants = chunk.bytes + at.quants;
  UNROLLED for (size_t q = 0; q < count; ++q)
    load_scales(chunk.type, chunk.bytes, at, first + q, &weights.scales[q], &weights.others[q]);
  return weights;
}

/// What a dot product starts from, of a start in multiples of 8.
ALWAYS_INLINE int32_t start_of(martlet_weight_type type, int32_t start) {
  return offset_shift(type) < 0 ? 0 : start * (1 << offset_shift(type));
}

/// Where the dot product of half `half` starts; of the whole block where halves share a scale.
ALWAYS_INLINE int32_t half_start(martlet_weight_type type, const martlet_q8_block *block,
                                 int half) {
  if (type != MARTLET_WEIGHT_Q6_K) return start_of(type, block->start);
  return start_of(type, half ? block->start - block->start_first : block->start_first);
}

/// sum + dot · (weight scale · activation scale).
ALWAYS_INLINE float32x4_t add_scaled(float32x4_t sum, int32x4_t dot, float32x4_t weight_scale,
                                     float32x4_t scale) {
  return vfmaq_f32(sum, vcvtq_f32_s32(dot), vmulq_f32(weight_scale, scale));
}

ALWAYS_INLINE float32x4_t add_minimum(martlet_weight_type type, float32x4_t sum,
                                      float32x4_t minimum, float32x4_t scaled_sum) {
  return martlet_gemm_is_k(type) ? vfmsq_f32(sum, minimum, scaled_sum)
                                 : vfmaq_f32(sum, minimum, scaled_sum);
}

/// Adds one block to `quarters` registers of sums of each of `rows` rows, by dot_lane.
ALWAYS_INLINE void add_block_by_dots(const block_weights *weights, size_t first, size_t quarters,
                                     size_t rows, const martlet_q8_block *const *blocks,
                                     float32x4_t (*sums)[MARTLET_QUARTERS]) {
  const martlet_weight_type type = weights->type;
  const int halves = type == MARTLET_WEIGHT_Q6_K ? 2 : 1;
  int8x16_t values[ROWS_PER_STEP][2];
  UNROLLED for (size_t i = 0; i < rows; ++i) {
    values[i][0] = vld1q_s8(blocks[i]->values);
    values[i][1] = vld1q_s8(blocks[i]->values + 16);
  }
  UNROLLED for (int half = 0; half < halves; ++half) {
    int32x4_t dots[ROWS_PER_STEP][MARTLET_QUARTERS];
    UNROLLED for (size_t i = 0; i < rows; ++i)
      UNROLLED for (size_t q = 0; q < quarters; ++q)
        dots[i][q] = vdupq_n_s32(half_start(type, blocks[i], half));
    UNROLLED for (int step = 0; step < 8 / halves; ++step) {
      // Groups g and g + 4 share their nibbles.
      const int g = halves == 2 ? 4 * half + step : step % 2 * 4 + step / 2;
      int8x16_t quants[MARTLET_QUARTERS];
      UNROLLED for (size_t q = 0; q < quarters; ++q)
        quants[q] = weights->source == UNPACKED
                        ? vreinterpretq_s8_u8(vld1q_u8(weights->quants + 64 * g + 16 * (first + q)))
                        : load_group(type, weights->quants, g, first + q);
      UNROLLED for (size_t i = 0; i < rows; ++i)
        UNROLLED for (size_t q = 0; q < quarters; ++q)
          dots[i][q] = dot_lane(dots[i][q], quants[q], values[i][g / 4], g % 4);
    }
    UNROLLED for (size_t i = 0; i < rows; ++i)
      UNROLLED for (size_t q = 0; q < quarters; ++q)
        sums[i][q] = add_scaled(sums[i][q], dots[i][q],
                                half ? weights->others[q] : weights->scales[q],
                                vdupq_n_f32(blocks[i]->scale));
  }
  if (!martlet_gemm_has_minimums(type)) return;
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t q = 0; q < quarters; ++q)
      sums[i][q] = add_minimum(type, sums[i][q], weights->others[q],
                               vdupq_n_f32(blocks[i]->scaled_sum));
}

/// Adds the chunk to quarters [first, first + quarters) of `rows` rows' sums.
ALWAYS_INLINE void multiply_by_dots(weight_chunk chunk, size_t first, size_t quarters, size_t rows,
                                    const uint8_t *activations, size_t row_bytes,
                                    float32x4_t (*result)[MARTLET_QUARTERS]) {
  float32x4_t sums[ROWS_PER_STEP][MARTLET_QUARTERS];
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t q = 0; q < quarters; ++q) sums[i][q] = result[i][first + q];
  for (size_t b = chunk.begin; b < chunk.end; ++b) {
    const block_weights weights = weights_of(chunk, b, first, quarters);
    const martlet_q8_block *blocks[ROWS_PER_STEP];
    UNROLLED for (size_t i = 0; i < rows; ++i)
      blocks[i] = (const martlet_q8_block *)(const void *)(activations + i * row_bytes) + b;
    add_block_by_dots(&weights, first, quarters, rows, blocks, sums);
  }
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t q = 0; q < quarters; ++q) result[i][first + q] = sums[i][q];
}

#if MULTIPLIES_PAIRS
/// [a, a, b, b].
ALWAYS_INLINE float32x4_t two_floats(float a, float b) {
  return vcombine_f32(vdup_n_f32(a), vdup_n_f32(b));
}

/// Columns `half` of a quarter twice: [c, d, c, d].
ALWAYS_INLINE float32x4_t twice(float32x4_t quarter, size_t half) {
  const float64x2_t both = vreinterpretq_f64_f32(quarter);
  return vreinterpretq_f32_f64(half ? vdupq_laneq_f64(both, 1) : vdupq_laneq_f64(both, 0));
}

/// Adds one block to the sums of `pairs` pairs of rows by 2 · `quarters` pairs of outputs, each as
/// smmla leaves them: [row 0 · (output 0, output 1), row 1 · (output 0, output 1)].
ALWAYS_INLINE void add_block_by_pairs(const block_weights *weights, size_t first, size_t quarters,
                                      size_t pairs, const martlet_q8_block *const *blocks,
                                      float32x4_t (*sums)[MAXIMUM_REGISTERS]) {
  const martlet_weight_type type = weights->type;
  const int halves = type == MARTLET_WEIGHT_Q6_K ? 2 : 1;
  UNROLLED for (int half = 0; half < halves; ++half) {
    int32x4_t dots[ROWS_PER_STEP / 2][MAXIMUM_REGISTERS];
    UNROLLED for (size_t i = 0; i < pairs; ++i)
      UNROLLED for (size_t r = 0; r < 2 * quarters; ++r)
        dots[i][r] = vcombine_s32(vdup_n_s32(half_start(type, blocks[2 * i], half)),
                                  vdup_n_s32(half_start(type, blocks[2 * i + 1], half)));
    UNROLLED for (int step = 0; step < 4 / halves; ++step) {
      // Pairs p and p + 2 share their nibbles.
      const int p = halves == 2 ? 2 * half + step : step % 2 * 2 + step / 2;
      int8x16_t quants[MAXIMUM_REGISTERS];
      UNROLLED for (size_t q = 0; q < quarters; ++q) {
        if (weights->source == UNPACKED) {
          const uint8_t *from = weights->quants + 128 * p + 32 * (first + q);
          quants[2 * q] = vreinterpretq_s8_u8(vld1q_u8(from));
          quants[2 * q + 1] = vreinterpretq_s8_u8(vld1q_u8(from + 16));
        } else {
          const int8x16x2_t pair = load_pair(type, weights->quants, p, first + q);
          quants[2 * q] = pair.val[0];
          quants[2 * q + 1] = pair.val[1];
        }
      }
      UNROLLED for (size_t i = 0; i < pairs; ++i) {
        const int8x16_t values = vcombine_s8(vld1_s8(blocks[2 * i]->values + 8 * p),
                                             vld1_s8(blocks[2 * i + 1]->values + 8 * p));
        UNROLLED for (size_t r = 0; r < 2 * quarters; ++r)
          dots[i][r] = vmmlaq_s32(dots[i][r], values, quants[r]);
      }
    }
    UNROLLED for (size_t i = 0; i < pairs; ++i) {
      const float32x4_t scale = two_floats(blocks[2 * i]->scale, blocks[2 * i + 1]->scale);
      UNROLLED for (size_t r = 0; r < 2 * quarters; ++r)
        sums[i][r] = add_scaled(
            sums[i][r], dots[i][r],
            twice(half ? weights->others[r / 2] : weights->scales[r / 2], r % 2), scale);
    }
  }
  if (!martlet_gemm_has_minimums(type)) return;
  UNROLLED for (size_t i = 0; i < pairs; ++i) {
    const float32x4_t scaled_sum =
        two_floats(blocks[2 * i]->scaled_sum, blocks[2 * i + 1]->scaled_sum);
    UNROLLED for (size_t r = 0; r < 2 * quarters; ++r)
      sums[i][r] =
          add_minimum(type, sums[i][r], twice(weights->others[r / 2], r % 2), scaled_sum);
  }
}

/// As multiply_by_dots, two rows at a time. An odd last row is its own neighbour.
ALWAYS_INLINE void multiply_by_pairs(weight_chunk chunk, size_t first, size_t quarters,
                                     size_t rows, const uint8_t *activations, size_t row_bytes,
                                     float32x4_t (*result)[MARTLET_QUARTERS]) {
  const size_t pairs = (rows + 1) / 2;
  float64x2_t sums[ROWS_PER_STEP / 2][MAXIMUM_REGISTERS];
  float32x4_t pair_sums[ROWS_PER_STEP / 2][MAXIMUM_REGISTERS];
  UNROLLED for (size_t i = 0; i < pairs; ++i) {
    const size_t second = 2 * i + 1 < rows ? 2 * i + 1 : 2 * i;
    UNROLLED for (size_t q = 0; q < quarters; ++q) {
      sums[i][2 * q] = vreinterpretq_f64_f32(result[2 * i][first + q]);
      sums[i][2 * q + 1] = vreinterpretq_f64_f32(result[second][first + q]);
      pair_sums[i][2 * q] =
          vreinterpretq_f32_f64(vzip1q_f64(sums[i][2 * q], sums[i][2 * q + 1]));
      pair_sums[i][2 * q + 1] =
          vreinterpretq_f32_f64(vzip2q_f64(sums[i][2 * q], sums[i][2 * q + 1]));
    }
  }
  for (size_t b = chunk.begin; b < chunk.end; ++b) {
    const block_weights weights = weights_of(chunk, b, first, quarters);
    const martlet_q8_block *blocks[ROWS_PER_STEP];
    UNROLLED for (size_t i = 0; i < 2 * pairs; ++i)
      blocks[i] = (const martlet_q8_block *)(const void *)(activations +
                                                           (i < rows ? i : rows - 1) * row_bytes) +
                  b;
    add_block_by_pairs(&weights, first, quarters, pairs, blocks, pair_sums);
  }
  UNROLLED for (size_t i = 0; i < pairs; ++i)
    UNROLLED for (size_t q = 0; q < quarters; ++q) {
      const float64x2_t low = vreinterpretq_f64_f32(pair_sums[i][2 * q]);
      const float64x2_t high = vreinterpretq_f64_f32(pair_sums[i][2 * q + 1]);
      result[2 * i][first + q] = vreinterpretq_f32_f64(vzip1q_f64(low, high));
      if (2 * i + 1 < rows)
        result[2 * i + 1][first + q] = vreinterpretq_f32_f64(vzip2q_f64(low, high));
    }
}
#endif

/// The chunk for one to four rows: one and two rows take the tile at once, more in two halves.
ALWAYS_INLINE void multiply_step(weight_chunk chunk, size_t rows, const uint8_t *activations,
                                 size_t row_bytes, float32x4_t (*sums)[MARTLET_QUARTERS]) {
  const size_t quarters = rows <= 2 ? 4 : 2;
  for (size_t first = 0; first < MARTLET_QUARTERS; first += quarters) {
#if MULTIPLIES_PAIRS
    // A row alone wastes half of smmla, but what is unpacked lies in its order.
    if (rows > 1 || chunk.source == UNPACKED) {
      multiply_by_pairs(chunk, first, quarters, rows, activations, row_bytes, sums);
      continue;
    }
#endif
    multiply_by_dots(chunk, first, quarters, rows, activations, row_bytes, sums);
  }
}

/// The chunk for any number of rows: steps of ROWS_PER_STEP, then the rest.
ALWAYS_INLINE void multiply_steps(weight_chunk chunk, size_t rows, const uint8_t *activations,
                                  size_t row_bytes, float32x4_t (*sums)[MARTLET_QUARTERS]) {
  for (; rows >= ROWS_PER_STEP; rows -= ROWS_PER_STEP) {
    multiply_step(chunk, ROWS_PER_STEP, activations, row_bytes, sums);
    activations += ROWS_PER_STEP * row_bytes;
    sums += ROWS_PER_STEP;
  }
  switch (rows) {
    case 1: multiply_step(chunk, 1, activations, row_bytes, sums); break;
    case 2: multiply_step(chunk, 2, activations, row_bytes, sums); break;
    case 3: multiply_step(chunk, 3, activations, row_bytes, sums); break;
  }
}

/// The whole depth of one tile for up to ROWS_PER_PANEL rows.
ALWAYS_INLINE void multiply_panel(martlet_weight_type type, const martlet_gemm_arguments *a,
                                  size_t row, size_t rows, size_t column) {
  const size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth);
  const size_t tile_bytes = martlet_gemm_tile_bytes(type, a->depth);
  const size_t blocks = a->depth / MARTLET_GEMM_BLOCK;
  const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
  const uint8_t *tile = (const uint8_t *)a->weights + column / MARTLET_GEMM_TILE * tile_bytes;
  float32x4_t sums[ROWS_PER_PANEL][MARTLET_QUARTERS];
  for (size_t i = 0; i < rows; ++i)
    for (size_t q = 0; q < MARTLET_QUARTERS; ++q) sums[i][q] = vdupq_n_f32(0);
  for (size_t begin = 0; begin < blocks; begin += BLOCKS_PER_CHUNK) {
    const size_t end = blocks - begin < BLOCKS_PER_CHUNK ? blocks : begin + BLOCKS_PER_CHUNK;
    if (rows <= ROWS_PER_STEP) {
      const weight_chunk chunk = {type, PACKED, tile, blocks, begin, end};
      multiply_steps(chunk, rows, activations, row_bytes, sums);
      continue;
    }
    unpacked_block unpacked[BLOCKS_PER_CHUNK];
    unpack(type, tile, blocks, begin, end, unpacked);
    const weight_chunk chunk = {type, UNPACKED, (const uint8_t *)unpacked, blocks, begin, end};
    multiply_steps(chunk, rows, activations, row_bytes, sums);
  }
  for (size_t i = 0; i < rows; ++i) finish_tile(a, row + i, column, sums[i]);
}

/// The blocking: groups of rows that stay in L2, tiles, panels of rows.
ALWAYS_INLINE void multiply(martlet_weight_type type, const martlet_gemm_arguments *arguments) {
  const martlet_gemm_arguments *a = arguments;
  const size_t group =
      rows_per_group(martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth), ROWS_PER_PANEL);
  for (size_t begin = 0; begin < a->rows; begin += group) {
    const size_t end = a->rows - begin < group ? a->rows : begin + group;
    for (size_t column = a->column_begin; column < a->column_end; column += MARTLET_GEMM_TILE)
      for (size_t row = begin; row < end; row += ROWS_PER_PANEL)
        multiply_panel(type, a, row, end - row < ROWS_PER_PANEL ? end - row : ROWS_PER_PANEL,
                       column);
  }
}

#define MARTLET_DEFINE_PRODUCT(name, type, isa)                                     \
  void martlet_gemm_##name##_q8_##isa(const martlet_gemm_arguments *arguments) {    \
    multiply(type, arguments);                                                      \
  }
/// Products of every quantised type.
#define MARTLET_DEFINE_PRODUCTS(isa)                        \
  MARTLET_DEFINE_PRODUCT(q4_0, MARTLET_WEIGHT_Q4_0, isa)    \
  MARTLET_DEFINE_PRODUCT(q4_1, MARTLET_WEIGHT_Q4_1, isa)    \
  MARTLET_DEFINE_PRODUCT(q5_0, MARTLET_WEIGHT_Q5_0, isa)    \
  MARTLET_DEFINE_PRODUCT(q5_1, MARTLET_WEIGHT_Q5_1, isa)    \
  MARTLET_DEFINE_PRODUCT(q8_0, MARTLET_WEIGHT_Q8_0, isa)    \
  MARTLET_DEFINE_PRODUCT(q4_k, MARTLET_WEIGHT_Q4_K, isa)    \
  MARTLET_DEFINE_PRODUCT(q5_k, MARTLET_WEIGHT_Q5_K, isa)    \
  MARTLET_DEFINE_PRODUCT(q6_k, MARTLET_WEIGHT_Q6_K, isa)    \
  MARTLET_DEFINE_PRODUCT(iq4_nl, MARTLET_WEIGHT_IQ4_NL, isa)

#endif

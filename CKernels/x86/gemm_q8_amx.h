/// The body of products of quantised weights with int8 activations on tiles: gemm_q8_amx_int8.c is
/// its design note. An including file has a tile vocabulary and defines MARTLET_FEW_ROWS(name), the
/// product of the same bits for fewer than AMX_ROWS rows.
#ifndef MARTLET_X86_GEMM_Q8_AMX_H
#define MARTLET_X86_GEMM_Q8_AMX_H

#include "dispatch/gemm_layout.h"
#include "reference/blocks.h"

#pragma STDC FP_CONTRACT OFF

enum {
  AMX_ROWS = 4,        ///< Fewer rows are left to the dot product instructions.
  ROWS_PER_TILE = 16,
  ROWS_PER_PANEL = 64, ///< Rows that share one unpacking; their sums fill 4 KB.
  BLOCKS_PER_CHUNK = MARTLET_GEMM_CHUNK_BLOCKS,
};

/// Tile registers. The rows that are left after groups of 16 have tiles of their own shape, so that
/// one configuration serves a call.
#define DOTS_TILE 0
#define DOTS_REST_TILE 1
#define ROWS_TILE 2
#define ROWS_REST_TILE 3
#define WEIGHTS_TILE 4

/// One block of 32 depth of one tile of 16 outputs, unpacked.
typedef struct {
  int8_t quants[MARTLET_GEMM_BYTE_BYTES]; ///< Signed, without offset, as `bytes` of gemm_layout.h.
  float scale[16];
  float other[16]; ///< The minimum, or the second half's scale.
} unpacked_block;

/// Dot products of a block: of its halves where they have scales of their own.
typedef int32_t block_dots[2][ROWS_PER_TILE][MARTLET_GEMM_TILE];

/// Lines of weights that will be needed, asked for evenly over the work on the present ones.
typedef struct {
  const uint8_t *next;
  size_t lines; ///< Per block.
} line_stream;

ALWAYS_INLINE bool has_halves(martlet_weight_type type) { return type == MARTLET_WEIGHT_Q6_K; }

ALWAYS_INLINE bytes load_line(const uint8_t *line) { return *(const bytes *)(const void *)line; }

/// The offset of unsigned quants.
ALWAYS_INLINE uint8_t offset_of(martlet_weight_type type) {
  switch (type) {
    case MARTLET_WEIGHT_Q4_0: return 8;
    case MARTLET_WEIGHT_Q5_0: return 16;
    case MARTLET_WEIGHT_Q6_K: return 32;
    case MARTLET_WEIGHT_Q8_0: return 128;
    default: return 0;
  }
}

/// Signed quants of group `g`, four depths of 16 outputs.
ALWAYS_INLINE bytes load_group(martlet_weight_type type, const uint8_t *quants, int g) {
  if (type == MARTLET_WEIGHT_Q8_0) return load_line(quants + 64 * g) ^ offset_of(type);
  const bytes both = load_line(quants + 64 * (g % 4));
  bytes quant = g < 4 ? both & 15 : both >> 4;
  if (type == MARTLET_WEIGHT_IQ4_NL) return bytes_lookup(martlet_iq4_nl_values, quant);
  const uint8_t *planes = quants + MARTLET_GEMM_NIBBLE_BYTES;
  if (martlet_gemm_has_bits(type)) quant |= (load_line(planes) >> g & 1) << 4;
  if (has_halves(type)) quant |= (load_line(planes + 64 * (g / 4)) >> (2 * (g % 4)) & 3) << 4;
  return quant - offset_of(type);
}

ALWAYS_INLINE floats load_bytes(const uint8_t *from) {
  return __builtin_convertvector(*(const sixteen_bytes *)(const void *)from, floats);
}

ALWAYS_INLINE floats load_signed_bytes(const uint8_t *from) {
  return __builtin_convertvector(*(const sixteen_signed_bytes *)(const void *)from, floats);
}

/// Unpacks blocks [begin, end) of a tile of `blocks`.
ALWAYS_INLINE void unpack(martlet_weight_type type, const uint8_t *tile, size_t blocks,
                          size_t begin, size_t end, unpacked_block *unpacked) {
  for (size_t b = begin; b < end; ++b, ++unpacked) {
    const martlet_gemm_block at = martlet_gemm_block_at(type, blocks, b);
    const uint8_t *factors = tile + at.factors;
    floats scale = floats_of_halves(tile + at.scales), other = {0};
    if (martlet_gemm_has_minimums(type)) other = floats_of_halves(tile + at.minimums);
    if (has_halves(type)) {
      other = scale * load_signed_bytes(factors + 16);
      scale *= load_signed_bytes(factors);
    } else if (martlet_gemm_is_k(type)) {
      scale *= load_bytes(factors);
      other *= -load_bytes(factors + 16);
    }
    *(floats *)(void *)unpacked->scale = scale;
    *(floats *)(void *)unpacked->other = other;
    UNROLLED for (int g = 0; g < 8; ++g)
      *(bytes *)(void *)(unpacked->quants + 64 * g) = load_group(type, tile + at.quants, g);
  }
}

/// The dot products of 16 rows, or of the rest, with a block; `activations` is the first row's.
ALWAYS_INLINE void dot_block(martlet_weight_type type, bool full,
                             const martlet_q8_block *activations, size_t row_bytes,
                             const unpacked_block *weights, block_dots dots) {
  UNROLLED for (int half = 0; half < 1 + has_halves(type); ++half) {
    const int8_t *values = activations->values + 16 * half;
    tile_load(WEIGHTS_TILE, weights->quants + 256 * half, 64);
    if (full) {
      tile_zero(DOTS_TILE);
      tile_load(ROWS_TILE, values, row_bytes);
      tile_dot_bytes(DOTS_TILE, ROWS_TILE, WEIGHTS_TILE);
      tile_store(DOTS_TILE, dots[half], 64);
    } else {
      tile_zero(DOTS_REST_TILE);
      tile_load(ROWS_REST_TILE, values, row_bytes);
      tile_dot_bytes(DOTS_REST_TILE, ROWS_REST_TILE, WEIGHTS_TILE);
      tile_store(DOTS_REST_TILE, dots[half], 64);
    }
  }
}

ALWAYS_INLINE floats floats_of_dots(const int32_t *dots) {
  return __builtin_convertvector(*(const ints *)(const void *)dots, floats);
}

/// One row's sums after a block, in the order gemm_layout.h fixes.
ALWAYS_INLINE floats add_block(martlet_weight_type type, const martlet_q8_block *block,
                               floats scale, floats other, const block_dots dots, size_t row,
                               floats sum) {
  const floats row_scale = floats_set(block->scale);
  sum = floats_fma(floats_of_dots(dots[0][row]), scale * row_scale, sum);
  if (has_halves(type)) sum = floats_fma(floats_of_dots(dots[1][row]), other * row_scale, sum);
  if (martlet_gemm_has_minimums(type))
    sum = floats_fma(other, floats_set(block->scaled_sum), sum);
  return sum;
}

/// Adds blocks [begin, begin + count) to the sums of 16 rows, which stay in registers, or of the
/// rest. The tiles of a block are issued before the previous block's dots are scaled.
ALWAYS_INLINE void multiply_group(martlet_weight_type type, bool full, size_t rows,
                                  const uint8_t *activations, size_t row_bytes,
                                  const unpacked_block *weights, size_t begin, size_t count,
                                  line_stream *ahead, floats *result) {
  _Alignas(64) block_dots dots[2];
  floats sums[ROWS_PER_TILE];
  if (full) UNROLLED for (size_t i = 0; i < ROWS_PER_TILE; ++i) sums[i] = result[i];
  activations += begin * sizeof(martlet_q8_block);
  dot_block(type, full, (const void *)activations, row_bytes, weights, dots[0]);
  for (size_t b = 0; b < count; ++b, activations += sizeof(martlet_q8_block)) {
    if (b + 1 < count)
      dot_block(type, full, (const void *)(activations + sizeof(martlet_q8_block)), row_bytes,
                weights + b + 1, dots[(b + 1) % 2]);
    for (size_t line = 0; line < ahead->lines; ++line, ahead->next += 64)
      __builtin_prefetch(ahead->next);
    const floats scale = *(const floats *)(const void *)weights[b].scale;
    const floats other = *(const floats *)(const void *)weights[b].other;
    if (full)
      UNROLLED for (size_t i = 0; i < ROWS_PER_TILE; ++i)
        sums[i] = add_block(type, (const void *)(activations + i * row_bytes), scale, other,
                            dots[b % 2], i, sums[i]);
    else
      for (size_t i = 0; i < rows; ++i)
        result[i] = add_block(type, (const void *)(activations + i * row_bytes), scale, other,
                              dots[b % 2], i, result[i]);
  }
  if (full) UNROLLED for (size_t i = 0; i < ROWS_PER_TILE; ++i) result[i] = sums[i];
}

/// The whole depth of one tile of outputs for up to ROWS_PER_PANEL rows.
ALWAYS_INLINE void multiply_panel(martlet_weight_type type, const martlet_gemm_arguments *a,
                                  size_t row, size_t rows, size_t column) {
  const size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth);
  const size_t tile_bytes = martlet_gemm_tile_bytes(type, a->depth);
  const size_t blocks = a->depth / MARTLET_GEMM_BLOCK;
  const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
  const uint8_t *tile = (const uint8_t *)a->weights + column / MARTLET_GEMM_TILE * tile_bytes;
  const size_t chunk_bytes = martlet_gemm_chunk_bytes(type, BLOCKS_PER_CHUNK);
  const size_t groups = (rows + ROWS_PER_TILE - 1) / ROWS_PER_TILE;
  _Alignas(64) floats sums[ROWS_PER_PANEL];
  for (size_t i = 0; i < rows; ++i) sums[i] = (floats){0};
  for (size_t begin = 0; begin < blocks; begin += BLOCKS_PER_CHUNK) {
    const size_t count = blocks - begin < BLOCKS_PER_CHUNK ? blocks - begin : BLOCKS_PER_CHUNK;
    _Alignas(64) unpacked_block unpacked[BLOCKS_PER_CHUNK];
    unpack(type, tile, blocks, begin, begin + count, unpacked);
    // The next tile follows the last chunk.
    line_stream ahead = {
        begin + count < blocks ? tile + (begin / BLOCKS_PER_CHUNK + 1) * chunk_bytes
                               : tile + tile_bytes,
        (chunk_bytes / 64 - 1) / (groups * BLOCKS_PER_CHUNK) + 1};
    size_t i = 0;
    for (; i + ROWS_PER_TILE <= rows; i += ROWS_PER_TILE)
      multiply_group(type, true, ROWS_PER_TILE, activations + i * row_bytes, row_bytes, unpacked,
                     begin, count, &ahead, sums + i);
    if (i < rows)
      multiply_group(type, false, rows - i, activations + i * row_bytes, row_bytes, unpacked,
                     begin, count, &ahead, sums + i);
  }
  for (size_t i = 0; i < rows; ++i) finish_row(a, row + i, column, sums[i]);
}

/// The blocking: groups of rows that stay in L2, tiles of outputs, panels of rows.
ALWAYS_INLINE void multiply(martlet_weight_type type, const martlet_gemm_arguments *arguments) {
  const martlet_gemm_arguments *a = arguments;
  const size_t depth_bytes = has_halves(type) ? 16 : MARTLET_GEMM_BLOCK;
  const size_t rest = a->rows % ROWS_PER_TILE;
  _Alignas(64) tile_shapes shapes = {0};
  tile_set_shape(&shapes, DOTS_TILE, ROWS_PER_TILE, 64);
  tile_set_shape(&shapes, DOTS_REST_TILE, rest, 64);
  tile_set_shape(&shapes, ROWS_TILE, ROWS_PER_TILE, depth_bytes);
  tile_set_shape(&shapes, ROWS_REST_TILE, rest, depth_bytes);
  tile_set_shape(&shapes, WEIGHTS_TILE, depth_bytes / 4, 64);
  tile_configure(&shapes);
  const size_t group =
      rows_per_group(martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth), ROWS_PER_PANEL);
  for (size_t begin = 0; begin < a->rows; begin += group) {
    const size_t end = a->rows - begin < group ? a->rows : begin + group;
    for (size_t column = a->column_begin; column < a->column_end; column += MARTLET_GEMM_TILE)
      for (size_t row = begin; row < end; row += ROWS_PER_PANEL)
        multiply_panel(type, a, row, end - row < ROWS_PER_PANEL ? end - row : ROWS_PER_PANEL,
                       column);
  }
  tile_release();
}

#define MARTLET_DEFINE_PRODUCT(name, type, isa)                                              \
  void martlet_gemm_##name##_q8_##isa(const martlet_gemm_arguments *arguments) {             \
    if (arguments->rows < AMX_ROWS)                                                          \
      MARTLET_FEW_ROWS(gemm_##name##_q8)(arguments);                                         \
    else                                                                                     \
      multiply(type, arguments);                                                             \
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

/// The body of products of bf16 weights with bf16 activations on tiles: gemm_bf16_amx_bf16.c is its
/// design note. An including file has a tile vocabulary.
#ifndef MARTLET_X86_GEMM_BF16_AMX_H
#define MARTLET_X86_GEMM_BF16_AMX_H

#include "dispatch/gemm_layout.h"

#pragma STDC FP_CONTRACT OFF

enum {
  ROWS_PER_TILE = 16,
  ROWS_PER_PANEL = 32,
  MAXIMUM_TILES = 4, ///< Tiles of 16 outputs of a panel of up to 16 rows; of a larger one two.
  STEP_BYTES = 64,   ///< Of a row of activations: 32 depths.
  STEP_WEIGHT_BYTES = 1024,
};

// Sums 0 to 3: of a small panel those of its four tiles, of a large one two tiles of the first 16
// rows and two of the others.
#define ROWS_TILE 4
#define MORE_ROWS_TILE 5
#define WEIGHTS_TILE 6
#define MORE_WEIGHTS_TILE 7

/// Shapes for `rows` rows: a small panel has up to 16.
ALWAYS_INLINE void configure(size_t rows) {
  const size_t top = rows < ROWS_PER_TILE ? rows : ROWS_PER_TILE, bottom = rows - top;
  _Alignas(64) tile_shapes shapes = {0};
  for (int tile = 0; tile < 4; ++tile)
    tile_set_shape(&shapes, tile, bottom && tile > 1 ? bottom : top, 64);
  tile_set_shape(&shapes, ROWS_TILE, top, STEP_BYTES);
  tile_set_shape(&shapes, MORE_ROWS_TILE, bottom, STEP_BYTES);
  tile_set_shape(&shapes, WEIGHTS_TILE, 16, 64);
  tile_set_shape(&shapes, MORE_WEIGHTS_TILE, 16, 64);
  tile_configure(&shapes);
}

/// Adds 32 depths of up to 16 rows to the sums of up to four tiles of outputs.
ALWAYS_INLINE void add_small_step(size_t tiles, const uint8_t *activations, size_t row_bytes,
                                  const uint8_t *weights, size_t tile_bytes) {
  tile_load(ROWS_TILE, activations, row_bytes);
  tile_load(WEIGHTS_TILE, weights, 64);
  tile_dot_bf16(0, ROWS_TILE, WEIGHTS_TILE);
  if (tiles > 1) {
    tile_load(MORE_WEIGHTS_TILE, weights + tile_bytes, 64);
    tile_dot_bf16(1, ROWS_TILE, MORE_WEIGHTS_TILE);
  }
  if (tiles > 2) {
    tile_load(WEIGHTS_TILE, weights + 2 * tile_bytes, 64);
    tile_dot_bf16(2, ROWS_TILE, WEIGHTS_TILE);
  }
  if (tiles > 3) {
    tile_load(MORE_WEIGHTS_TILE, weights + 3 * tile_bytes, 64);
    tile_dot_bf16(3, ROWS_TILE, MORE_WEIGHTS_TILE);
  }
}

/// Adds 32 depths of 17 to 32 rows to the sums of one or two tiles of outputs.
ALWAYS_INLINE void add_large_step(size_t tiles, const uint8_t *activations, size_t row_bytes,
                                  const uint8_t *weights, size_t tile_bytes) {
  tile_load(ROWS_TILE, activations, row_bytes);
  tile_load(MORE_ROWS_TILE, activations + ROWS_PER_TILE * row_bytes, row_bytes);
  tile_load(WEIGHTS_TILE, weights, 64);
  tile_dot_bf16(0, ROWS_TILE, WEIGHTS_TILE);
  tile_dot_bf16(2, MORE_ROWS_TILE, WEIGHTS_TILE);
  if (tiles > 1) {
    tile_load(MORE_WEIGHTS_TILE, weights + tile_bytes, 64);
    tile_dot_bf16(1, ROWS_TILE, MORE_WEIGHTS_TILE);
    tile_dot_bf16(3, MORE_ROWS_TILE, MORE_WEIGHTS_TILE);
  }
}

/// The whole depth of `tiles` neighbouring tiles of outputs for a small or a large panel.
ALWAYS_INLINE void multiply_panel(bool large, size_t tiles, const martlet_gemm_arguments *a,
                                  size_t row, size_t rows, size_t column) {
  const size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_BF16, a->depth);
  const size_t tile_bytes = martlet_gemm_tile_bytes(MARTLET_WEIGHT_BF16, a->depth);
  const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
  const uint8_t *weights = (const uint8_t *)a->weights + column / MARTLET_GEMM_TILE * tile_bytes;
  tile_zero(0);
  tile_zero(1);
  tile_zero(2);
  tile_zero(3);
  const size_t steps = a->depth / 32;
  for (size_t s = 0; s < steps; ++s) {
    if (large)
      add_large_step(tiles, activations, row_bytes, weights, tile_bytes);
    else
      add_small_step(tiles, activations, row_bytes, weights, tile_bytes);
    activations += STEP_BYTES;
    weights += STEP_WEIGHT_BYTES;
  }
  if (a->depth % 32) {
    // Rows are padded with zeros; weights end with their last pair.
    _Alignas(64) uint8_t last[MAXIMUM_TILES][STEP_WEIGHT_BYTES] = {{0}};
    for (size_t t = 0; t < tiles; ++t)
      memcpy(last[t], weights + t * tile_bytes, (a->depth % 32 + 1) / 2 * 64);
    if (large)
      add_large_step(tiles, activations, row_bytes, last[0], STEP_WEIGHT_BYTES);
    else
      add_small_step(tiles, activations, row_bytes, last[0], STEP_WEIGHT_BYTES);
  }
  _Alignas(64) float sums[4][ROWS_PER_TILE][MARTLET_GEMM_TILE];
  tile_store(0, sums[0], 64);
  tile_store(1, sums[1], 64);
  tile_store(2, sums[2], 64);
  tile_store(3, sums[3], 64);
  for (size_t i = 0; i < rows; ++i)
    for (size_t t = 0; t < tiles; ++t) {
      const float *from = sums[i < ROWS_PER_TILE ? t : t + 2][i % ROWS_PER_TILE];
      finish_row(a, row + i, column + t * MARTLET_GEMM_TILE, *(const floats *)(const void *)from);
    }
}

/// A panel of any rows by one to four tiles.
ALWAYS_INLINE void multiply_tiles(size_t tiles, const martlet_gemm_arguments *a, size_t row,
                                  size_t rows, size_t column) {
  if (rows > ROWS_PER_TILE) {
    for (size_t t = 0; t < tiles; t += 2)
      if (tiles - t > 1)
        multiply_panel(true, 2, a, row, rows, column + t * MARTLET_GEMM_TILE);
      else
        multiply_panel(true, 1, a, row, rows, column + t * MARTLET_GEMM_TILE);
    return;
  }
  switch (tiles) {
    case 1: multiply_panel(false, 1, a, row, rows, column); break;
    case 2: multiply_panel(false, 2, a, row, rows, column); break;
    case 3: multiply_panel(false, 3, a, row, rows, column); break;
    default: multiply_panel(false, 4, a, row, rows, column); break;
  }
}

/// The blocking: groups of rows that stay in L2, four tiles of outputs, panels of rows.
ALWAYS_INLINE void multiply(const martlet_gemm_arguments *a) {
  const size_t group =
      rows_per_group(martlet_gemm_row_bytes(MARTLET_ACTIVATION_BF16, a->depth), ROWS_PER_PANEL);
  size_t configured = 0;
  for (size_t begin = 0; begin < a->rows; begin += group) {
    const size_t end = a->rows - begin < group ? a->rows : begin + group;
    for (size_t column = a->column_begin; column < a->column_end;
         column += MAXIMUM_TILES * MARTLET_GEMM_TILE) {
      const size_t left = (a->column_end - column + MARTLET_GEMM_TILE - 1) / MARTLET_GEMM_TILE;
      for (size_t row = begin; row < end; row += ROWS_PER_PANEL) {
        const size_t rows = end - row < ROWS_PER_PANEL ? end - row : ROWS_PER_PANEL;
        if (rows != configured) configure(rows);
        configured = rows;
        multiply_tiles(left < MAXIMUM_TILES ? left : MAXIMUM_TILES, a, row, rows, column);
      }
    }
  }
  tile_release();
}

#define MARTLET_DEFINE_BF16_PRODUCT(isa)                                           \
  void martlet_gemm_bf16_bf16_##isa(const martlet_gemm_arguments *arguments) {     \
    multiply(arguments);                                                           \
  }

#endif

/// Micro-kernel and blocking of AVX-512 products with float weights. An including file defines,
/// inside its target attribute,
///
///   ALWAYS_INLINE void add_step(type, tiles, rows, activations, row_bytes, tile, tile_bytes,
///                               present, sums)
///
/// which adds one step of gemm_layout.h, whose first `present` depths exist, to the sums.
#ifndef MARTLET_X86_GEMM_FLOAT_AVX512_H
#define MARTLET_X86_GEMM_FLOAT_AVX512_H

#include "x86/gemm_avx512.h"

enum {
  MARTLET_FLOAT_TILES = 4, ///< Most tiles a panel holds.
  MARTLET_FLOAT_ROWS = 8,  ///< Most rows a panel holds.
};

/// Constant extents, so that all sums stay in registers.
ALWAYS_INLINE void add_step(martlet_weight_type type, size_t tiles, size_t rows,
                            const uint8_t *activations, size_t row_bytes, const uint8_t *tile,
                            size_t tile_bytes, size_t present,
                            __m512 sums[MARTLET_FLOAT_ROWS][MARTLET_FLOAT_TILES]);

ALWAYS_INLINE void multiply_panel(martlet_weight_type type, martlet_activation_type activation_type,
                                  size_t tiles, size_t rows, const martlet_gemm_arguments *a,
                                  size_t row, size_t column) {
  const size_t row_bytes = martlet_gemm_row_bytes(activation_type, a->depth);
  const size_t tile_bytes = martlet_gemm_tile_bytes(type, a->depth);
  const martlet_gemm_format format = martlet_gemm_format_of(type);
  const size_t element_bytes = activation_type == MARTLET_ACTIVATION_F32 ? 4 : 2;
  const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
  const uint8_t *tile = (const uint8_t *)a->weights + column / MARTLET_GEMM_TILE * tile_bytes;
  __m512 sums[MARTLET_FLOAT_ROWS][MARTLET_FLOAT_TILES];
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t t = 0; t < tiles; ++t) sums[i][t] = _mm512_setzero_ps();
  for (size_t s = 0; s < a->depth / format.step_depth; ++s) {
    UNROLLED for (size_t t = 0; t < tiles; ++t) prefetch_weights(tile + t * tile_bytes);
    add_step(type, tiles, rows, activations, row_bytes, tile, tile_bytes, format.step_depth, sums);
    activations += format.step_depth * element_bytes;
    tile += format.step_bytes;
  }
  if (format.step_depth > 1 && a->depth % format.step_depth != 0)
    add_step(type, tiles, rows, activations, row_bytes, tile, tile_bytes,
             a->depth % format.step_depth, sums);
  // A copy, so that only this one needs an address and the sums are registers throughout.
  __m512 stored[MARTLET_FLOAT_ROWS * MARTLET_FLOAT_TILES];
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t t = 0; t < tiles; ++t) stored[i * MARTLET_FLOAT_TILES + t] = sums[i][t];
  finish_tiles(a, row, rows, column, tiles, stored, MARTLET_FLOAT_TILES);
}

/// One to eight rows of one or two tiles, one or two rows of four.
ALWAYS_INLINE void multiply_rows(martlet_weight_type type, martlet_activation_type activation_type,
                                 size_t tiles, const martlet_gemm_arguments *a, size_t row,
                                 size_t rows, size_t column) {
#define MARTLET_PANEL(tiles, rows) \
  multiply_panel(type, activation_type, tiles, rows, a, row, column); break;
  if (tiles == 4) {
    switch (rows) {
      case 1: MARTLET_PANEL(4, 1)
      case 2: MARTLET_PANEL(4, 2)
    }
    return;
  }
  switch (rows) {
    case 1: MARTLET_PANEL(tiles, 1)
    case 2: MARTLET_PANEL(tiles, 2)
    case 3: MARTLET_PANEL(tiles, 3)
    case 4: MARTLET_PANEL(tiles, 4)
    case 5: MARTLET_PANEL(tiles, 5)
    case 6: MARTLET_PANEL(tiles, 6)
    case 7: MARTLET_PANEL(tiles, 7)
    case 8: MARTLET_PANEL(tiles, 8)
  }
#undef MARTLET_PANEL
}

/// The blocking: groups of rows that stay in L2; two tiles at a time (four for one and two rows,
/// whose few sums would otherwise wait for each other), then single tiles.
ALWAYS_INLINE void multiply(martlet_weight_type type, martlet_activation_type activation_type,
                            const martlet_gemm_arguments *arguments) {
  const martlet_gemm_arguments *a = arguments;
  const size_t group =
      rows_per_group(martlet_gemm_row_bytes(activation_type, a->depth), MARTLET_FLOAT_ROWS);
  for (size_t begin = 0; begin < a->rows; begin += group) {
    size_t end = a->rows - begin < group ? a->rows : begin + group;
    for (size_t column = a->column_begin; column < a->column_end;) {
      size_t left = (a->column_end - column + MARTLET_GEMM_TILE - 1) / MARTLET_GEMM_TILE;
      size_t tiles = left >= 4 && end - begin <= 2 ? 4 : left >= 2 ? 2 : 1;
      for (size_t row = begin; row < end; row += MARTLET_FLOAT_ROWS) {
        size_t rows = end - row < MARTLET_FLOAT_ROWS ? end - row : MARTLET_FLOAT_ROWS;
        switch (tiles) {
          case 4: multiply_rows(type, activation_type, 4, a, row, rows, column); break;
          case 2: multiply_rows(type, activation_type, 2, a, row, rows, column); break;
          default: multiply_rows(type, activation_type, 1, a, row, rows, column); break;
        }
      }
      column += tiles * MARTLET_GEMM_TILE;
    }
  }
}

#endif

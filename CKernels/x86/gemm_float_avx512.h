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
  MARTLET_FLOAT_ROWS = 8,  ///< Most rows of a micro-kernel.
  MARTLET_FLOAT_PANEL = 64, ///< Most rows that meet a chunk while it is in the first-level cache.
  MARTLET_FLOAT_CHUNK = 256, ///< Depth of a chunk: 16 KB of two tiles of bf16, 32 KB of float32.
};

/// Constant extents, so that all sums stay in registers.
ALWAYS_INLINE void add_step(martlet_weight_type type, size_t tiles, size_t rows,
                            const uint8_t *activations, size_t row_bytes, const uint8_t *tile,
                            size_t tile_bytes, size_t present,
                            __m512 sums[MARTLET_FLOAT_ROWS][MARTLET_FLOAT_TILES]);

/// Adds steps [0, steps) of `tiles` neighbouring tiles to the sums of `rows` rows; the last depth of
/// an odd depth is left to the caller. Asks for a line of each tile every `interval` steps.
ALWAYS_INLINE void multiply_steps(martlet_weight_type type, size_t tiles, size_t rows,
                                  const uint8_t *activations, size_t row_bytes,
                                  size_t step_activation_bytes, const uint8_t *tile,
                                  size_t tile_bytes, size_t steps, size_t present,
                                  size_t interval, weight_stream *ahead,
                                  __m512 (*result)[MARTLET_FLOAT_TILES]) {
  const martlet_gemm_format format = martlet_gemm_format_of(type);
  __m512 sums[MARTLET_FLOAT_ROWS][MARTLET_FLOAT_TILES];
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t t = 0; t < tiles; ++t) sums[i][t] = result[i][t];
  for (size_t s = 0; s < steps;) {
    const size_t stop = steps - s < interval ? steps : s + interval;
    ask_for_line(ahead, tiles);
    for (; s < stop; ++s) {
      add_step(type, tiles, rows, activations, row_bytes, tile, tile_bytes, present, sums);
      activations += step_activation_bytes;
      tile += format.step_bytes;
    }
  }
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t t = 0; t < tiles; ++t) result[i][t] = sums[i][t];
}

/// multiply_steps for one to eight rows of one or two tiles, one or two rows of four.
ALWAYS_INLINE void multiply_rows(martlet_weight_type type, size_t tiles, size_t rows,
                                 const uint8_t *activations, size_t row_bytes,
                                 size_t step_activation_bytes, const uint8_t *tile,
                                 size_t tile_bytes, size_t steps, size_t present, size_t interval,
                                 weight_stream *ahead, __m512 (*sums)[MARTLET_FLOAT_TILES]) {
#define MARTLET_ROWS(count)                                                                    \
  case count:                                                                                  \
    multiply_steps(type, tiles, count, activations, row_bytes, step_activation_bytes, tile,    \
                   tile_bytes, steps, present, interval, ahead, sums);                         \
    break;
  if (tiles == 4) {
    switch (rows) {
      MARTLET_ROWS(1)
      MARTLET_ROWS(2)
    }
    return;
  }
  switch (rows) {
    MARTLET_ROWS(1)
    MARTLET_ROWS(2)
    MARTLET_ROWS(3)
    MARTLET_ROWS(4)
    MARTLET_ROWS(5)
    MARTLET_ROWS(6)
    MARTLET_ROWS(7)
    MARTLET_ROWS(8)
  }
#undef MARTLET_ROWS
}

/// The whole depth of `tiles` neighbouring tiles for up to MARTLET_FLOAT_PANEL rows.
ALWAYS_INLINE void multiply_panel(martlet_weight_type type, martlet_activation_type activation_type,
                                  size_t tiles, const martlet_gemm_arguments *a, size_t row,
                                  size_t rows, size_t column) {
  const size_t row_bytes = martlet_gemm_row_bytes(activation_type, a->depth);
  const size_t tile_bytes = martlet_gemm_tile_bytes(type, a->depth);
  const martlet_gemm_format format = martlet_gemm_format_of(type);
  const size_t element_bytes = activation_type == MARTLET_ACTIVATION_F32 ? 4 : 2;
  const size_t step_activation_bytes = format.step_depth * element_bytes;
  const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
  const uint8_t *tile = (const uint8_t *)a->weights + column / MARTLET_GEMM_TILE * tile_bytes;
  __m512 sums[MARTLET_FLOAT_PANEL][MARTLET_FLOAT_TILES];
  for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t t = 0; t < tiles; ++t) sums[i][t] = _mm512_setzero_ps();

  const size_t all_steps = a->depth / format.step_depth;
  const size_t chunk_steps = MARTLET_FLOAT_CHUNK / format.step_depth;
  const size_t groups = (rows + MARTLET_FLOAT_ROWS - 1) / MARTLET_FLOAT_ROWS;
  for (size_t begin = 0; begin < all_steps; begin += chunk_steps) {
    const size_t end = all_steps - begin < chunk_steps ? all_steps : begin + chunk_steps;
    const uint8_t *chunk = tile + begin * format.step_bytes;
    weight_stream ahead;
    UNROLLED for (size_t t = 0; t < tiles; ++t)
      ahead.next[t] = end < all_steps ? tile + t * tile_bytes + end * format.step_bytes
                                      : tile + (tiles + t) * tile_bytes;
    if (groups == 1) {
      multiply_rows(type, tiles, rows, activations + begin * step_activation_bytes, row_bytes,
                    step_activation_bytes, chunk, tile_bytes, end - begin, format.step_depth,
                    64 / format.step_bytes, &ahead, sums);
      continue;
    }
    for (size_t i = 0; i < rows; i += MARTLET_FLOAT_ROWS)
      multiply_rows(type, tiles, rows - i < MARTLET_FLOAT_ROWS ? rows - i : MARTLET_FLOAT_ROWS,
                    activations + i * row_bytes + begin * step_activation_bytes, row_bytes,
                    step_activation_bytes, chunk, tile_bytes, end - begin, format.step_depth,
                    groups * 64 / format.step_bytes, &ahead, sums + i);
  }
  if (format.step_depth > 1 && a->depth % format.step_depth != 0) {
    weight_stream none;
    UNROLLED for (size_t t = 0; t < tiles; ++t) none.next[t] = tile;
    for (size_t i = 0; i < rows; i += MARTLET_FLOAT_ROWS)
      multiply_rows(type, tiles, rows - i < MARTLET_FLOAT_ROWS ? rows - i : MARTLET_FLOAT_ROWS,
                    activations + i * row_bytes + all_steps * step_activation_bytes, row_bytes,
                    step_activation_bytes, tile + all_steps * format.step_bytes, tile_bytes, 1,
                    a->depth % format.step_depth, 1, &none, sums + i);
  }
  finish_tiles(a, row, rows, column, tiles, &sums[0][0], MARTLET_FLOAT_TILES);
}

/// The blocking: groups of rows that stay in L2; two tiles at a time (four for one and two rows,
/// whose few sums would otherwise wait for each other), then single tiles; rows in panels.
ALWAYS_INLINE void multiply(martlet_weight_type type, martlet_activation_type activation_type,
                            const martlet_gemm_arguments *arguments) {
  const martlet_gemm_arguments *a = arguments;
  const size_t group =
      rows_per_group(martlet_gemm_row_bytes(activation_type, a->depth), MARTLET_FLOAT_PANEL);
  for (size_t begin = 0; begin < a->rows; begin += group) {
    size_t end = a->rows - begin < group ? a->rows : begin + group;
    for (size_t column = a->column_begin; column < a->column_end;) {
      size_t left = (a->column_end - column + MARTLET_GEMM_TILE - 1) / MARTLET_GEMM_TILE;
      size_t tiles = left >= 4 && end - begin <= 2 ? 4 : left >= 2 ? 2 : 1;
      for (size_t row = begin; row < end; row += MARTLET_FLOAT_PANEL) {
        size_t rows = end - row < MARTLET_FLOAT_PANEL ? end - row : MARTLET_FLOAT_PANEL;
        switch (tiles) {
          case 4: multiply_panel(type, activation_type, 4, a, row, rows, column); break;
          case 2: multiply_panel(type, activation_type, 2, a, row, rows, column); break;
          default: multiply_panel(type, activation_type, 1, a, row, rows, column); break;
        }
      }
      column += tiles * MARTLET_GEMM_TILE;
    }
  }
}

#endif

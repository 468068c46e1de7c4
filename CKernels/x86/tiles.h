/// What the tile vocabularies share: the shapes of tiles, and rows of 16 outputs as the compiler's
/// own vectors, which are registers under an AVX-512 target and arrays elsewhere.
#ifndef MARTLET_X86_TILES_H
#define MARTLET_X86_TILES_H

#include <stdint.h>
#include <string.h>

#include "dispatch/gemm_layout.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/// Before a loop of constant extent over an array of registers: unrolled late, it would be memory.
#define UNROLLED _Pragma("clang loop unroll(full)")

typedef float floats __attribute__((vector_size(64), aligned(4)));
typedef int32_t ints __attribute__((vector_size(64), aligned(4)));
typedef uint8_t bytes __attribute__((vector_size(64), aligned(1)));
typedef uint8_t sixteen_bytes __attribute__((vector_size(16), aligned(1)));
typedef int8_t sixteen_signed_bytes __attribute__((vector_size(16), aligned(1)));

/// The memory operand of ldtilecfg: rows and bytes per row of each tile; both 0 where there is
/// none.
typedef struct tile_shapes {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_shapes;
_Static_assert(sizeof(tile_shapes) == 64, "a tile configuration is 64 bytes");

ALWAYS_INLINE void tile_set_shape(tile_shapes *shapes, int tile, size_t rows, size_t row_bytes) {
  shapes->palette = 1;
  shapes->rows[tile] = (uint8_t)rows;
  shapes->row_bytes[tile] = (uint16_t)(rows ? row_bytes : 0);
}

ALWAYS_INLINE floats floats_set(float x) { return x - (floats){0}; }
ALWAYS_INLINE floats floats_fma(floats a, floats b, floats c) {
  return __builtin_elementwise_fma(a, b, c);
}

/// Bias, accumulation and store of one row of the tile that begins at `column`; columns past
/// column_end do not exist.
ALWAYS_INLINE void finish_row(const martlet_gemm_arguments *arguments, size_t row, size_t column,
                              floats sum) {
  if (arguments->column_end - column >= MARTLET_GEMM_TILE) {
    float *output = arguments->output + row * arguments->output_stride + column;
    if (arguments->bias) sum += *(const floats *)(const void *)(arguments->bias + column);
    if (arguments->accumulate) sum = *(const floats *)(const void *)output + sum;
    *(floats *)(void *)output = sum;
    return;
  }
  for (size_t i = 0; column + i < arguments->column_end; ++i)
    martlet_gemm_finish(arguments, row, column + i, sum[i]);
}

/// Rows per group whose activations stay in half of a second-level cache of 2 MB, which all cores
/// with AMX have: a multiple of `rows_per_panel`, at least one panel.
ALWAYS_INLINE size_t rows_per_group(size_t row_bytes, size_t rows_per_panel) {
  size_t panels = (1 << 20) / (row_bytes * rows_per_panel);
  return (panels ? panels : 1) * rows_per_panel;
}

#endif

/// What all NEON products share: leaving the tile. Include it inside the target attribute.
#ifndef MARTLET_ARM_GEMM_NEON_H
#define MARTLET_ARM_GEMM_NEON_H

#include <arm_neon.h>
#include <string.h>

#include "dispatch/gemm_layout.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/// Before a loop of constant extent over an array of registers: unrolled late, it would be memory.
#define UNROLLED _Pragma("clang loop unroll(full)")

enum {
  /// Prepared rows of this size stay in the second-level cache while all tiles pass by.
  MARTLET_ACTIVATION_CACHE_BYTES = 1 << 18,
  MARTLET_QUARTERS = 4, ///< A tile is four registers of four outputs.
};

/// Bias, accumulation and store of one row of the tile that begins at `column`; columns past
/// column_end do not exist.
ALWAYS_INLINE void finish_tile(const martlet_gemm_arguments *arguments, size_t row, size_t column,
                               const float32x4_t *sums) {
  for (int q = 0; q < MARTLET_QUARTERS && column < arguments->column_end; ++q, column += 4) {
    if (arguments->column_end - column >= 4) {
      float *output = arguments->output + row * arguments->output_stride + column;
      float32x4_t sum = sums[q];
      if (arguments->bias) sum = vaddq_f32(sum, vld1q_f32(arguments->bias + column));
      if (arguments->accumulate) sum = vaddq_f32(vld1q_f32(output), sum);
      vst1q_f32(output, sum);
      continue;
    }
    float last[4];
    vst1q_f32(last, sums[q]);
    for (size_t i = 0; column + i < arguments->column_end; ++i)
      martlet_gemm_finish(arguments, row, column + i, last[i]);
  }
}

/// Rows per cache-resident group: a multiple of `rows_per_panel`, at least one panel.
ALWAYS_INLINE size_t rows_per_group(size_t row_bytes, size_t rows_per_panel) {
  size_t panels = MARTLET_ACTIVATION_CACHE_BYTES / (row_bytes * rows_per_panel);
  return (panels ? panels : 1) * rows_per_panel;
}

#endif

/// What all AVX2 products share: leaving the tile. Include it inside the target attribute.
#ifndef MARTLET_X86_GEMM_AVX2_H
#define MARTLET_X86_GEMM_AVX2_H

#include <immintrin.h>

#include "dispatch/gemm_layout.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/// Before a loop of constant extent over an array of registers: unrolled late, it would be memory.
#define UNROLLED _Pragma("clang loop unroll(full)")

enum {
  /// Prepared rows of this size stay in the second-level cache while all tiles pass by.
  MARTLET_ACTIVATION_CACHE_BYTES = 1 << 18,
  MARTLET_HALVES = 2, ///< A tile is two registers of eight outputs.
};

/// Lanes [0, count) set.
ALWAYS_INLINE __m256i first_lanes(size_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lanes);
}

/// Bias, accumulation and store of one row's half tile that begins at `column`; columns past
/// column_end do not exist.
ALWAYS_INLINE void finish_half(const martlet_gemm_arguments *arguments, size_t row, size_t column,
                               __m256 sum) {
  if (column >= arguments->column_end) return;
  size_t outputs = arguments->column_end - column;
  const __m256i mask = first_lanes(outputs < 8 ? outputs : 8);
  float *output = arguments->output + row * arguments->output_stride + column;
  if (arguments->bias)
    sum = _mm256_add_ps(sum, _mm256_maskload_ps(arguments->bias + column, mask));
  if (arguments->accumulate) sum = _mm256_add_ps(_mm256_maskload_ps(output, mask), sum);
  _mm256_maskstore_ps(output, mask, sum);
}

/// Rows per cache-resident group: a multiple of `rows_per_panel`, at least one panel.
ALWAYS_INLINE size_t rows_per_group(size_t row_bytes, size_t rows_per_panel) {
  size_t panels = MARTLET_ACTIVATION_CACHE_BYTES / (row_bytes * rows_per_panel);
  return (panels ? panels : 1) * rows_per_panel;
}

#endif

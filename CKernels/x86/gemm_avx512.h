/// What all AVX-512 products share: leaving the tile. Include it inside the target attribute.
#ifndef MARTLET_X86_GEMM_AVX512_H
#define MARTLET_X86_GEMM_AVX512_H

#include <immintrin.h>

#include "dispatch/gemm_layout.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/// Before a loop of constant extent over an array of registers: unrolled late, it would be memory.
#define UNROLLED _Pragma("clang loop unroll(full)")

enum {
  /// Prepared rows of this size stay in the second-level cache while all tiles pass by.
  MARTLET_ACTIVATION_CACHE_BYTES = 1 << 19,
  MARTLET_STREAM_TILES = 4, ///< Most tiles whose weights are read side by side.
};

/// Weights that will be needed: the line to ask for next of each tile. A tile ends and the next
/// begins elsewhere, activations are read between, and a hardware prefetcher stops at every page.
typedef struct {
  const uint8_t *next[MARTLET_STREAM_TILES];
} weight_stream;

/// Asks for a line of each tile. It may lie past the end: asking cannot fault.
ALWAYS_INLINE void ask_for_line(weight_stream *ahead, size_t tiles) {
  UNROLLED for (size_t t = 0; t < tiles; ++t) {
    _mm_prefetch((const char *)ahead->next[t], _MM_HINT_T0);
    ahead->next[t] += 64;
  }
}

/// Bias, accumulation and store of `tiles` tiles of `rows` rows; sums[i · row_sums + t] belongs to
/// row `row` + i and the tile that begins at `column` + 16 · t.
ALWAYS_INLINE void finish_tiles(const martlet_gemm_arguments *arguments, size_t row, size_t rows,
                                size_t column, size_t tiles, const __m512 *sums,
                                size_t row_sums) {
  for (size_t t = 0; t < tiles; ++t, column += MARTLET_GEMM_TILE) {
    size_t outputs = arguments->column_end - column;
    __mmask16 mask = outputs >= 16 ? 0xFFFF : (__mmask16)((1u << outputs) - 1);
    __m512 bias = _mm512_setzero_ps();
    if (arguments->bias) bias = _mm512_maskz_loadu_ps(mask, arguments->bias + column);
    for (size_t i = 0; i < rows; ++i) {
      float *output = arguments->output + (row + i) * arguments->output_stride + column;
      __m512 sum = sums[i * row_sums + t];
      if (arguments->bias) sum = _mm512_add_ps(sum, bias);
      if (arguments->accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, output), sum);
      _mm512_mask_storeu_ps(output, mask, sum);
    }
  }
}

/// Rows per cache-resident group: a multiple of `rows_per_panel`, at least one panel.
ALWAYS_INLINE size_t rows_per_group(size_t row_bytes, size_t rows_per_panel) {
  size_t panels = MARTLET_ACTIVATION_CACHE_BYTES / (row_bytes * rows_per_panel);
  return (panels ? panels : 1) * rows_per_panel;
}

#endif

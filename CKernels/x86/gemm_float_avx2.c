/// Products with float weights, AVX2: f32, f16 and bf16 weights with f32 activations, and bf16
/// weights with bf16 activations by the rule of the bf16 dot product.
///
/// Tile. Six rows by one tile of 16 outputs: 12 sums, 2 weights, a broadcast, 15 of 16 registers. A
/// depth takes 12 multiply-adds for 8 loads; 12 chains cover a latency of 4 at two per cycle. One
/// and two rows take two tiles, 4 and 8 chains. f16 costs a vcvtph2ps per half tile and depth, bf16
/// a shift or a mask, shared by the rows.
///
/// The bf16 dot product is two multiply-adds per pair, odd depth first, with subnormals flushed by
/// MXCSR while sums are made; the finish runs in the caller's mode as in the other variants.
/// Bytes: columns · depth · (4 or 2) per group of rows; operations: 2 · rows · columns · depth.
/// Expected: read bandwidth at one and two rows, 85 % of the multipliers' peak from six.
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "dispatch/gemm_variants.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "x86/gemm_avx2.h"

enum {
  MAXIMUM_ROWS = 6,
  MAXIMUM_REGISTERS = 4, ///< Registers of eight outputs side by side: up to two tiles.
  /// MXCSR bits that make operands and results which are subnormal zero.
  FLUSH_SUBNORMALS = 0x8040,
};

typedef enum { KIND_F32, KIND_F16, KIND_BF16, KIND_BF16_PAIRS } product_kind;

ALWAYS_INLINE martlet_weight_type weight_type(product_kind kind) {
  return kind == KIND_F32   ? MARTLET_WEIGHT_F32
         : kind == KIND_F16 ? MARTLET_WEIGHT_F16
                            : MARTLET_WEIGHT_BF16;
}

ALWAYS_INLINE martlet_activation_type activation_type(product_kind kind) {
  return kind == KIND_BF16_PAIRS ? MARTLET_ACTIVATION_BF16 : MARTLET_ACTIVATION_F32;
}

ALWAYS_INLINE __m256 even_of(__m256i pairs) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

ALWAYS_INLINE __m256 odd_of(__m256i pairs) {
  return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xFFFF0000)));
}

typedef __m256 panel_sums[MAXIMUM_ROWS][MAXIMUM_REGISTERS];

/// One depth of f32 activations.
ALWAYS_INLINE void add_depth(size_t registers, size_t rows, const uint8_t *activations,
                             size_t row_bytes, const __m256 *weights, panel_sums sums) {
  UNROLLED for (size_t row = 0; row < rows; ++row) {
    const __m256 activation =
        _mm256_broadcast_ss((const float *)(const void *)(activations + row * row_bytes));
    UNROLLED for (size_t r = 0; r < registers; ++r)
      sums[row][r] = _mm256_fmadd_ps(activation, weights[r], sums[row][r]);
  }
}

/// One pair of depths of bf16 activations, the odd one first.
ALWAYS_INLINE void add_pair(size_t registers, size_t rows, const uint8_t *activations,
                            size_t row_bytes, const __m256i *pairs, panel_sums sums) {
  UNROLLED for (int odd = 1; odd >= 0; --odd) {
    __m256 weights[MAXIMUM_REGISTERS];
    UNROLLED for (size_t r = 0; r < registers; ++r)
      weights[r] = odd ? odd_of(pairs[r]) : even_of(pairs[r]);
    UNROLLED for (size_t row = 0; row < rows; ++row) {
      int32_t pair;
      memcpy(&pair, activations + row * row_bytes, sizeof pair);
      const __m256i both = _mm256_set1_epi32(pair);
      const __m256 activation = odd ? odd_of(both) : even_of(both);
      UNROLLED for (size_t r = 0; r < registers; ++r)
        sums[row][r] = _mm256_fmadd_ps(activation, weights[r], sums[row][r]);
    }
  }
}

/// One step of gemm_layout.h, of which the first `present` depths exist.
ALWAYS_INLINE void add_step(product_kind kind, size_t registers, size_t rows,
                            const uint8_t *activations, size_t row_bytes, const uint8_t *tile,
                            size_t tile_bytes, size_t present, panel_sums sums) {
  __m256 weights[MAXIMUM_REGISTERS];
  if (kind == KIND_F32 || kind == KIND_F16) {
    UNROLLED for (size_t r = 0; r < registers; ++r) {
      const uint8_t *weight = tile + r / 2 * tile_bytes;
      weights[r] =
          kind == KIND_F32
              ? _mm256_loadu_ps((const float *)(const void *)(weight + 32 * (r % 2)))
              : _mm256_cvtph_ps(_mm_loadu_si128((const void *)(weight + 16 * (r % 2))));
    }
    add_depth(registers, rows, activations, row_bytes, weights, sums);
    return;
  }
  __m256i pairs[MAXIMUM_REGISTERS];
  UNROLLED for (size_t r = 0; r < registers; ++r)
    pairs[r] = _mm256_loadu_si256((const void *)(tile + r / 2 * tile_bytes + 32 * (r % 2)));
  if (kind == KIND_BF16_PAIRS) {
    // Rows and tiles are padded with zeros: a half pair is a whole one.
    add_pair(registers, rows, activations, row_bytes, pairs, sums);
    return;
  }
  UNROLLED for (size_t r = 0; r < registers; ++r) weights[r] = even_of(pairs[r]);
  add_depth(registers, rows, activations, row_bytes, weights, sums);
  if (present == 1) return;
  UNROLLED for (size_t r = 0; r < registers; ++r) weights[r] = odd_of(pairs[r]);
  add_depth(registers, rows, activations + 4, row_bytes, weights, sums);
}

/// The micro-kernel: the whole depth of one or two tiles for a constant number of rows.
ALWAYS_INLINE void multiply_panel(product_kind kind, size_t registers, size_t rows,
                                  const martlet_gemm_arguments *a, size_t row, size_t column,
                                  panel_sums stored) {
  const martlet_gemm_format format = martlet_gemm_format_of(weight_type(kind));
  const size_t row_bytes = martlet_gemm_row_bytes(activation_type(kind), a->depth);
  const size_t tile_bytes = martlet_gemm_tile_bytes(weight_type(kind), a->depth);
  const size_t element_bytes = kind == KIND_BF16_PAIRS ? 2 : 4;
  const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
  const uint8_t *tile = (const uint8_t *)a->weights + column / MARTLET_GEMM_TILE * tile_bytes;
  panel_sums sums;
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t r = 0; r < registers; ++r) sums[i][r] = _mm256_setzero_ps();
  for (size_t s = 0; s < a->depth / format.step_depth; ++s) {
    add_step(kind, registers, rows, activations, row_bytes, tile, tile_bytes, format.step_depth,
             sums);
    activations += format.step_depth * element_bytes;
    tile += format.step_bytes;
  }
  if (a->depth % format.step_depth != 0)
    add_step(kind, registers, rows, activations, row_bytes, tile, tile_bytes,
             a->depth % format.step_depth, sums);
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t r = 0; r < registers; ++r) stored[i][r] = sums[i][r];
}

/// One to six rows of one tile, one or two rows of two: at most twelve sums. A function of its own
/// so that all its arithmetic happens while MXCSR is as the caller set it.
#define MARTLET_DEFINE_ROWS(name, kind)                                                         \
  static __attribute__((noinline)) void multiply_rows_##name(                                   \
      const martlet_gemm_arguments *a, size_t row, size_t rows, size_t tiles, size_t column,    \
      panel_sums sums) {                                                                        \
    if (tiles == 2 && rows == 1) multiply_panel(kind, 4, 1, a, row, column, sums);              \
    else if (tiles == 2 && rows == 2) multiply_panel(kind, 4, 2, a, row, column, sums);         \
    else if (rows == 1) multiply_panel(kind, 2, 1, a, row, column, sums);                       \
    else if (rows == 2) multiply_panel(kind, 2, 2, a, row, column, sums);                       \
    else if (rows == 3) multiply_panel(kind, 2, 3, a, row, column, sums);                       \
    else if (rows == 4) multiply_panel(kind, 2, 4, a, row, column, sums);                       \
    else if (rows == 5) multiply_panel(kind, 2, 5, a, row, column, sums);                       \
    else multiply_panel(kind, 2, 6, a, row, column, sums);                                      \
  }
MARTLET_DEFINE_ROWS(f32, KIND_F32)
MARTLET_DEFINE_ROWS(f16, KIND_F16)
MARTLET_DEFINE_ROWS(bf16, KIND_BF16)
MARTLET_DEFINE_ROWS(bf16_pairs, KIND_BF16_PAIRS)

typedef void multiply_rows_function(const martlet_gemm_arguments *a, size_t row, size_t rows,
                                    size_t tiles, size_t column, panel_sums sums);

/// The blocking: groups of rows that stay in L2; tiles, two at a time for one and two rows, whose
/// few sums would otherwise wait for each other; panels of rows.
static void multiply(product_kind kind, multiply_rows_function *multiply_rows,
                     const martlet_gemm_arguments *arguments) {
  const martlet_gemm_arguments *a = arguments;
  const size_t group =
      rows_per_group(martlet_gemm_row_bytes(activation_type(kind), a->depth), MAXIMUM_ROWS);
  const unsigned mode = _mm_getcsr();
  for (size_t begin = 0; begin < a->rows; begin += group) {
    size_t end = a->rows - begin < group ? a->rows : begin + group;
    for (size_t column = a->column_begin; column < a->column_end;) {
      size_t tiles = end - begin <= 2 && a->column_end - column > MARTLET_GEMM_TILE ? 2 : 1;
      for (size_t row = begin; row < end; row += MAXIMUM_ROWS) {
        size_t rows = end - row < MAXIMUM_ROWS ? end - row : MAXIMUM_ROWS;
        panel_sums sums;
        if (kind == KIND_BF16_PAIRS) _mm_setcsr(mode | FLUSH_SUBNORMALS);
        multiply_rows(a, row, rows, tiles, column, sums);
        if (kind == KIND_BF16_PAIRS) _mm_setcsr(mode);
        for (size_t i = 0; i < rows; ++i)
          for (size_t r = 0; r < 2 * tiles; ++r)
            finish_half(a, row + i, column + 8 * r, sums[i][r]);
      }
      column += tiles * MARTLET_GEMM_TILE;
    }
  }
}

void martlet_gemm_f32_f32_avx2(const martlet_gemm_arguments *arguments) {
  multiply(KIND_F32, multiply_rows_f32, arguments);
}

void martlet_gemm_f16_f32_avx2(const martlet_gemm_arguments *arguments) {
  multiply(KIND_F16, multiply_rows_f16, arguments);
}

void martlet_gemm_bf16_f32_avx2(const martlet_gemm_arguments *arguments) {
  multiply(KIND_BF16, multiply_rows_bf16, arguments);
}

void martlet_gemm_bf16_bf16_avx2(const martlet_gemm_arguments *arguments) {
  multiply(KIND_BF16_PAIRS, multiply_rows_bf16_pairs, arguments);
}

#pragma clang attribute pop
#endif

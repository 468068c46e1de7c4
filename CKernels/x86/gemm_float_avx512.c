/// Products of f32, f16 and bf16 weights with f32 activations, AVX-512.
///
/// Tile. Eight rows by two tiles of 16 outputs: 16 sums, 2 weights and a broadcast, 19 of 32
/// registers. A depth takes 16 multiply-adds for 10 loads (2 weights, 8 broadcasts that each serve
/// two tiles), so the multipliers are the limit: 16 chains hide their latency of 4 with room to
/// spare. The order of a sum is fixed, one chain over depth, so one and two rows take four tiles
/// instead: four chains read 16 to 64 bytes per cycle, ahead of memory.
///
/// f16 weights cost a vcvtph2ps per depth and tile, bf16 a shift or a mask, shared by the rows.
/// Weights pass in chunks of 256 depth, which up to 64 rows use while they are in the first-level
/// cache and the next chunk is on its way. A product reads columns · depth · (4 or 2) bytes once per
/// group of rows whose activations fit half the second-level cache and does
/// 2 · rows · columns · depth operations. Of the larger of both limits f16 reaches 85 to 90 % at 1 to
/// 64 rows of 4096 × 14,336 on one core of a Zen 5 guest.
#if defined(__x86_64__)
#include <immintrin.h>

#include "dispatch/gemm_variants.h"

#pragma clang attribute push(                                                     \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), \
    apply_to = function)

#include "x86/gemm_float_avx512.h"

ALWAYS_INLINE void add_depth(size_t tiles, size_t rows, const uint8_t *activations,
                             size_t row_bytes, const __m512 *weights,
                             __m512 sums[MARTLET_FLOAT_ROWS][MARTLET_FLOAT_TILES]) {
  UNROLLED for (size_t row = 0; row < rows; ++row) {
    const __m512 activation = _mm512_set1_ps(*(const float *)(activations + row * row_bytes));
    UNROLLED for (size_t t = 0; t < tiles; ++t)
      sums[row][t] = _mm512_fmadd_ps(activation, weights[t], sums[row][t]);
  }
}

ALWAYS_INLINE void add_step(martlet_weight_type type, size_t tiles, size_t rows,
                            const uint8_t *activations, size_t row_bytes, const uint8_t *tile,
                            size_t tile_bytes, size_t present,
                            __m512 sums[MARTLET_FLOAT_ROWS][MARTLET_FLOAT_TILES]) {
  __m512 weights[MARTLET_FLOAT_TILES];
  if (type == MARTLET_WEIGHT_BF16) {
    const __m512i odd_half = _mm512_set1_epi32((int)0xFFFF0000);
    __m512i pairs[MARTLET_FLOAT_TILES];
    UNROLLED for (size_t t = 0; t < tiles; ++t) {
      pairs[t] = _mm512_loadu_si512(tile + t * tile_bytes);
      weights[t] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs[t], 16));
    }
    add_depth(tiles, rows, activations, row_bytes, weights, sums);
    if (present == 1) return;
    UNROLLED for (size_t t = 0; t < tiles; ++t)
      weights[t] = _mm512_castsi512_ps(_mm512_and_si512(pairs[t], odd_half));
    add_depth(tiles, rows, activations + 4, row_bytes, weights, sums);
    return;
  }
  UNROLLED for (size_t t = 0; t < tiles; ++t) {
    const uint8_t *weight = tile + t * tile_bytes;
    weights[t] = type == MARTLET_WEIGHT_F32
                     ? _mm512_loadu_ps(weight)
                     : _mm512_cvtph_ps(_mm256_loadu_si256((const void *)weight));
  }
  add_depth(tiles, rows, activations, row_bytes, weights, sums);
}

void martlet_gemm_f32_f32_avx512(const martlet_gemm_arguments *arguments) {
  multiply(MARTLET_WEIGHT_F32, MARTLET_ACTIVATION_F32, arguments);
}

void martlet_gemm_f16_f32_avx512(const martlet_gemm_arguments *arguments) {
  multiply(MARTLET_WEIGHT_F16, MARTLET_ACTIVATION_F32, arguments);
}

void martlet_gemm_bf16_f32_avx512(const martlet_gemm_arguments *arguments) {
  multiply(MARTLET_WEIGHT_BF16, MARTLET_ACTIVATION_F32, arguments);
}

#pragma clang attribute pop
#endif

/// Products of bf16 weights with bf16 activations and the preparation of the latter, AVX-512 BF16.
///
/// The tile is that of gemm_float_avx512.h: eight rows by two tiles, 16 sums, 2 weights and a
/// broadcast pair. A pair of depths takes 16 vdpbf16ps for 10 loads, twice the work per instruction
/// of the float kernels. Zen 5 issues two per cycle of 32 products each; Sapphire Rapids, whose
/// bf16 units are the AMX ones, about one in two cycles, so that there the class is worth its
/// half-sized activations only. Bytes: 2 · columns · depth; operations: 2 · rows · columns · depth.
/// On one core of a Zen 5 guest 4096 × 14,336 runs at 0.93, 0.86, 0.91, 0.92, 0.86 and 0.88 of the
/// larger of both limits for 1, 2, 4, 8, 16 and 64 rows.
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "dispatch/gemm_variants.h"

#pragma clang attribute push(                                                                \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c"))),  \
    apply_to = function)

#include "x86/gemm_float_avx512.h"

ALWAYS_INLINE void add_step(martlet_weight_type type, size_t tiles, size_t rows,
                            const uint8_t *activations, size_t row_bytes, const uint8_t *tile,
                            size_t tile_bytes, size_t present,
                            __m512 sums[MARTLET_FLOAT_ROWS][MARTLET_FLOAT_TILES]) {
  // Rows and tiles are padded with zeros: a half pair is a whole one.
  (void)type, (void)present;
  __m512bh weights[MARTLET_FLOAT_TILES];
  UNROLLED for (size_t t = 0; t < tiles; ++t)
    weights[t] = (__m512bh)_mm512_loadu_si512(tile + t * tile_bytes);
  UNROLLED for (size_t row = 0; row < rows; ++row) {
    int32_t pair;
    memcpy(&pair, activations + row * row_bytes, sizeof pair);
    const __m512bh activation = (__m512bh)_mm512_set1_epi32(pair);
    UNROLLED for (size_t t = 0; t < tiles; ++t)
      sums[row][t] = _mm512_dpbf16_ps(sums[row][t], activation, weights[t]);
  }
}

void martlet_gemm_bf16_bf16_avx512_bf16(const martlet_gemm_arguments *arguments) {
  multiply(MARTLET_WEIGHT_BF16, MARTLET_ACTIVATION_BF16, arguments);
}

void martlet_prepare_bf16_avx512_bf16(const float *input, size_t depth, void *prepared) {
  uint16_t *row = prepared;
  for (size_t k = 0; k < depth; k += 16) {
    __mmask16 mask = depth - k >= 16 ? 0xFFFF : (__mmask16)((1u << (depth - k)) - 1);
    __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, input + k));
    _mm256_mask_storeu_epi16(row + k, mask, (__m256i)rounded);
  }
}

#pragma clang attribute pop
#endif

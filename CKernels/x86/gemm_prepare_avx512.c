/// Preparing int8 activations, AVX-512: one block of 32 in two registers. Reads 4 bytes per element
/// and writes 1.5; bound by the latency of the reductions and of the division between them, which
/// overlaps the neighbouring blocks'. A 4096-deep row takes a microsecond against the milliseconds
/// of the product it serves.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_variants.h"

#pragma clang attribute push(                                                     \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), \
    apply_to = function)

void martlet_prepare_q8_avx512(const float *input, size_t depth, void *prepared) {
  martlet_q8_block *blocks = prepared;
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  for (size_t b = 0; b < depth / MARTLET_GEMM_BLOCK; ++b, input += MARTLET_GEMM_BLOCK) {
    martlet_q8_block *block = &blocks[b];
    const __m512 first = _mm512_loadu_ps(input), second = _mm512_loadu_ps(input + 16);
    // As integers magnitudes order like floats, with infinity and NaN above all.
    const int32_t largest_bits = _mm512_reduce_max_epi32(
        _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(first), magnitude),
                         _mm512_and_si512(_mm512_castps_si512(second), magnitude)));
    const float largest = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(largest_bits)));
    if (largest_bits >= 0x7F800000 || largest < MARTLET_Q8_SMALLEST) {
      *block = (martlet_q8_block){0};
      if (largest_bits >= 0x7F800000) block->scale = block->scaled_sum = NAN;
      continue;
    }
    const __m512 inverse = _mm512_set1_ps(127.0f / largest);
    const __m512i first_values = _mm512_cvtps_epi32(_mm512_mul_ps(first, inverse));
    const __m512i second_values = _mm512_cvtps_epi32(_mm512_mul_ps(second, inverse));
    _mm_storeu_si128((void *)block->values, _mm512_cvtepi32_epi8(first_values));
    _mm_storeu_si128((void *)(block->values + 16), _mm512_cvtepi32_epi8(second_values));
    const int32_t first_sum = _mm512_reduce_add_epi32(first_values);
    const int32_t sum = first_sum + _mm512_reduce_add_epi32(second_values);
    block->scale = largest / 127.0f;
    block->scaled_sum = block->scale * (float)sum;
    block->start = -8 * sum;
    block->start_first = -8 * first_sum;
  }
}

#pragma clang attribute pop
#endif

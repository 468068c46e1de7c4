/// Preparing int8 and bf16 activations, AVX2: a block of 32 in four registers, eight values of bf16
/// in one. Reads 4 bytes per element and writes 1.5 (int8) or 2; bound by the latency of the
/// largest magnitude and the division that follows it, about 30 cycles per block that overlap its
/// neighbours.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_variants.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

static inline int32_t largest_of(__m256i values) {
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
  __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

static inline int32_t sum_of(__m256i values) {
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
  __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

void martlet_prepare_q8_avx2(const float *input, size_t depth, void *prepared) {
  martlet_q8_block *blocks = prepared;
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  // Packing 32-bit lanes to bytes interleaves the 128-bit halves; this undoes it.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (size_t b = 0; b < depth / MARTLET_GEMM_BLOCK; ++b, input += MARTLET_GEMM_BLOCK) {
    martlet_q8_block *block = &blocks[b];
    __m256 values[4];
    __m256i quants[4], largest_bits = _mm256_setzero_si256();
    for (int i = 0; i < 4; ++i) {
      values[i] = _mm256_loadu_ps(input + 8 * i);
      // As integers magnitudes order like floats, with infinity and NaN above all.
      largest_bits = _mm256_max_epi32(
          largest_bits, _mm256_and_si256(_mm256_castps_si256(values[i]), magnitude));
    }
    const int32_t bits = largest_of(largest_bits);
    const float largest = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
    if (bits >= 0x7F800000 || largest < MARTLET_Q8_SMALLEST) {
      *block = (martlet_q8_block){0};
      if (bits >= 0x7F800000) block->scale = block->scaled_sum = NAN;
      continue;
    }
    const __m256 inverse = _mm256_set1_ps(127.0f / largest);
    for (int i = 0; i < 4; ++i)
      quants[i] = _mm256_cvtps_epi32(_mm256_mul_ps(values[i], inverse));
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(quants[0], quants[1]),
                                             _mm256_packs_epi32(quants[2], quants[3]));
    _mm256_storeu_si256((void *)block->values, _mm256_permutevar8x32_epi32(bytes, order));
    const int32_t first_sum = sum_of(_mm256_add_epi32(quants[0], quants[1]));
    const int32_t sum = first_sum + sum_of(_mm256_add_epi32(quants[2], quants[3]));
    block->scale = largest / 127.0f;
    block->scaled_sum = block->scale * (float)sum;
    block->start = -8 * sum;
    block->start_first = -8 * first_sum;
  }
}

/// Eight values to the high half of each lane: nearest even, subnormals to zero, NaNs quiet.
static inline __m256i round_to_bf16(__m256i bits) {
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF));
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i rounded =
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  const __m256i is_nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7F800000));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
  rounded = _mm256_blendv_epi8(rounded, quiet, is_nan);
  const __m256i is_small = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), magnitude);
  const __m256i zero = _mm256_and_si256(bits, _mm256_set1_epi32((int)0x80000000));
  return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, zero, is_small), 16);
}

void martlet_prepare_bf16_avx2(const float *input, size_t depth, void *prepared) {
  uint16_t *row = prepared;
  for (size_t k = 0; k < depth; k += 8) {
    const size_t count = depth - k < 8 ? depth - k : 8;
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lanes);
    const __m256i wide =
        round_to_bf16(_mm256_maskload_epi32((const int *)(const void *)(input + k), mask));
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(wide),
                                            _mm256_extracti128_si256(wide, 1));
    if (count == 8)
      _mm_storeu_si128((void *)(row + k), halves);
    else
      memcpy(row + k, &halves, count * sizeof(uint16_t));
  }
}

#pragma clang attribute pop
#endif

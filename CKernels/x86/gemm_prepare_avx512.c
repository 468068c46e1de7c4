/// Preparing int8 activations, AVX-512: one block of 32 in two registers, its eight candidates one
/// after the other (8 operations each on two ports), their errors folded together in 23 operations
/// and compared in one register. About 170 vector operations per block, so some 85 cycles on two
/// ports. Eight blocks pass each stage together: a block's stages wait for one another, its
/// neighbours' do not. Reads 4 bytes per element and writes 1.5.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_variants.h"

#pragma clang attribute push(                                                     \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), \
    apply_to = function)

#define ALWAYS_INLINE static inline __attribute__((always_inline))

// Folding two sums of 16 lanes in one register costs what one alone would. A sum of two halves is
// the same either way round, so that a half may stand where the other's would.

/// Folds 16 → 8: eight lanes of `a`, eight of `b`.
ALWAYS_INLINE __m512 fold_8(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_mask_blend_ps(0xFF00, a, b), _mm512_shuffle_f32x4(a, b, 0x4E));
}

/// Folds 8 → 4: of [A B] and [C D] to [A B C D].
ALWAYS_INLINE __m512 fold_4(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
}

/// Folds 4 → 2: of [A B C D] and [E F G H] to [A E B F C G D H].
ALWAYS_INLINE __m512 fold_2(__m512 a, __m512 b) {
  const __m512d first = _mm512_castps_pd(a), second = _mm512_castps_pd(b);
  return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(first, second)),
                       _mm512_castpd_ps(_mm512_unpackhi_pd(first, second)));
}

/// Folds 2 → 1 and leaves the sum in both lanes.
ALWAYS_INLINE __m512 fold_1(__m512 a) {
  return _mm512_add_ps(a, _mm512_permute_ps(a, 0xB1));
}

/// What rounding to `quants` leaves of sixteen inputs.
ALWAYS_INLINE __m512 round_16(__m512 input, __m512 inverse, __m512 *quants) {
  const __m512 rounding = _mm512_set1_ps(MARTLET_Q8_ROUNDING);
  *quants = _mm512_sub_ps(_mm512_fmadd_ps(input, inverse, rounding), rounding);
  return _mm512_fmsub_ps(input, inverse, *quants);
}

/// The 16 lanes of one candidate's squared error, in units of its step.
ALWAYS_INLINE __m512 squared_error(__m512 first, __m512 second, float inverse_scale) {
  const __m512 inverse = _mm512_set1_ps(inverse_scale);
  __m512 quants;
  const __m512 first_rest = round_16(first, inverse, &quants);
  const __m512 second_rest = round_16(second, inverse, &quants);
  return _mm512_fmadd_ps(second_rest, second_rest, _mm512_mul_ps(first_rest, first_rest));
}

/// The candidate with the smallest error, the first of equals.
ALWAYS_INLINE unsigned best_candidate(__m512 first, __m512 second, const float *inverses) {
  __m512 errors[MARTLET_Q8_CANDIDATES];
#pragma clang loop unroll(full)
  for (int k = 0; k < MARTLET_Q8_CANDIDATES; ++k)
    errors[k] = squared_error(first, second, inverses[k]);
  const __m512 even = fold_4(fold_8(errors[0], errors[2]), fold_8(errors[4], errors[6]));
  const __m512 odd = fold_4(fold_8(errors[1], errors[3]), fold_8(errors[5], errors[7]));
  const __m512 weights = _mm512_permutexvar_ps(
      _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
      _mm512_castps256_ps512((__m256)MARTLET_Q8_ERROR_WEIGHTS));
  // Errors are not negative, so that they order like integers. Candidate k is in lanes 2 · k, + 1.
  const __m512i weighted =
      _mm512_castps_si512(_mm512_mul_ps(fold_1(fold_2(even, odd)), weights));
  __m512i least = _mm512_min_epi32(weighted, _mm512_shuffle_i32x4(weighted, weighted, 0x4E));
  least = _mm512_min_epi32(least, _mm512_shuffle_i32x4(least, least, 0xB1));
  least = _mm512_min_epi32(least, _mm512_shuffle_epi32(least, 0x4E));
  return (unsigned)__builtin_ctz(_mm512_cmpeq_epi32_mask(weighted, least)) / 2;
}

enum { BATCH = 8 }; ///< Blocks that pass each stage before the next stage begins.

/// The largest magnitude's bits of a block. As integers magnitudes order like floats, with infinity
/// and NaN above all.
ALWAYS_INLINE int32_t largest_of(const float *input) {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  return _mm512_reduce_max_epi32(
      _mm512_max_epi32(_mm512_and_si512(_mm512_loadu_si512(input), magnitude),
                       _mm512_and_si512(_mm512_loadu_si512(input + 16), magnitude)));
}

ALWAYS_INLINE float float_of_bits(int32_t bits) {
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
}

/// Rounds a block by candidate `best` and finds its least-squares scale.
ALWAYS_INLINE void quantise(const float *input, float inverse_scale, unsigned best, float largest,
                            martlet_q8_block *block) {
  const __m512 first = _mm512_loadu_ps(input), second = _mm512_loadu_ps(input + 16);
  const __m512 inverse = _mm512_set1_ps(inverse_scale);
  __m512 first_quants, second_quants;
  const __m512 first_rest = round_16(first, inverse, &first_quants);
  const __m512 second_rest = round_16(second, inverse, &second_quants);
  _mm_storeu_si128((void *)block->values, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(first_quants)));
  _mm_storeu_si128((void *)(block->values + 16),
                   _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(second_quants)));
  const __m512 rests = _mm512_fmadd_ps(second_quants, second_rest,
                                       _mm512_mul_ps(first_quants, first_rest));
  const __m512 squares = _mm512_fmadd_ps(second_quants, second_quants,
                                         _mm512_mul_ps(first_quants, first_quants));
  // Sums of integers are exact in float32: 32 · 127² is below 2^24.
  const __m512 folded = fold_4(fold_8(rests, first_quants), fold_8(squares, second_quants));
  const __m512 sums = fold_1(fold_2(folded, folded));
  // [rests, first, squares, second], each in a quarter.
  const __m128 rest_sum = _mm512_castps512_ps128(sums);
  const __m128 square_sum = _mm512_extractf32x4_ps(sums, 2);
  const int32_t first_sum = _mm_cvtss_si32(_mm512_extractf32x4_ps(sums, 1));
  const int32_t sum = first_sum + _mm_cvtss_si32(_mm512_extractf32x4_ps(sums, 3));
  const __m128 step = _mm_set_ss(largest / (float)(127 - (int32_t)best));
  block->scale = _mm_cvtss_f32(_mm_fmadd_ss(step, _mm_div_ss(rest_sum, square_sum), step));
  block->scaled_sum = block->scale * (float)sum;
  block->start = -8 * sum;
  block->start_first = -8 * first_sum;
}

void martlet_prepare_q8_avx512(const float *input, size_t depth, void *prepared) {
  martlet_q8_block *blocks = prepared;
  const size_t count = depth / MARTLET_GEMM_BLOCK;
  for (size_t begin = 0; begin < count; begin += BATCH) {
    const size_t batch = count - begin < BATCH ? count - begin : BATCH;
    const float *from = input + begin * MARTLET_GEMM_BLOCK;
    float largest[BATCH], inverses[BATCH][MARTLET_Q8_CANDIDATES];
    unsigned best[BATCH];
    for (size_t b = 0; b < batch; ++b) {
      largest[b] = float_of_bits(largest_of(from + b * MARTLET_GEMM_BLOCK));
      _mm256_storeu_ps(inverses[b],
                       _mm256_div_ps(_mm256_setr_ps(127, 126, 125, 124, 123, 122, 121, 120),
                                     _mm256_set1_ps(largest[b])));
    }
    for (size_t b = 0; b < batch; ++b)
      best[b] = best_candidate(_mm512_loadu_ps(from + b * MARTLET_GEMM_BLOCK),
                               _mm512_loadu_ps(from + b * MARTLET_GEMM_BLOCK + 16), inverses[b]);
    for (size_t b = 0; b < batch; ++b) {
      martlet_q8_block *block = &blocks[begin + b];
      if (largest[b] >= MARTLET_Q8_SMALLEST && largest[b] < INFINITY) {
        quantise(from + b * MARTLET_GEMM_BLOCK, inverses[b][best[b]], best[b], largest[b], block);
      } else {
        *block = (martlet_q8_block){0};
        if (!(largest[b] < INFINITY)) block->scale = block->scaled_sum = NAN;
      }
    }
  }
}

#pragma clang attribute pop
#endif

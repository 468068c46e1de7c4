/// The 16-lane vocabulary (CKernels/lanes/README.md) on AVX2, FMA and F16C: two ymm registers.
/// Included inside a `clang attribute push` that sets the target.
#ifndef MARTLET_X86_LANES_AVX2_H
#define MARTLET_X86_LANES_AVX2_H

#include "lanes/name.h"
#include "reference/exp.h"

#include <stddef.h>

/// Query vectors that attention keeps in registers at once, and accumulators it has for them.
#define LANES_TILE 2
#define LANES_CHAINS 4

typedef struct lanes {
  __m256 low, high;
} lanes;
typedef __m128i bytes;

#define LANES_EACH(expression_low, expression_high) \
  (lanes) { expression_low, expression_high }

/// All ones in lanes whose number, counted from `origin`, is below n.
LANES __m256i lanes_below(int n, int origin) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n - origin), index);
}

LANES lanes lanes_zero(void) { return LANES_EACH(_mm256_setzero_ps(), _mm256_setzero_ps()); }
LANES lanes lanes_set(float x) { return LANES_EACH(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
LANES lanes lanes_load(const float *p) {
  return LANES_EACH(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
LANES lanes lanes_load_first(const float *p, size_t n) {
  return LANES_EACH(_mm256_maskload_ps(p, lanes_below((int)n, 0)),
                    _mm256_maskload_ps(p + 8, lanes_below((int)n, 8)));
}
LANES void lanes_store(float *p, lanes v) {
  _mm256_storeu_ps(p, v.low);
  _mm256_storeu_ps(p + 8, v.high);
}
LANES void lanes_store_first(float *p, size_t n, lanes v) {
  _mm256_maskstore_ps(p, lanes_below((int)n, 0), v.low);
  _mm256_maskstore_ps(p + 8, lanes_below((int)n, 8), v.high);
}
LANES lanes lanes_add(lanes a, lanes b) {
  return LANES_EACH(_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high));
}
LANES lanes lanes_subtract(lanes a, lanes b) {
  return LANES_EACH(_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high));
}
LANES lanes lanes_multiply(lanes a, lanes b) {
  return LANES_EACH(_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high));
}
LANES lanes lanes_divide(lanes a, lanes b) {
  return LANES_EACH(_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high));
}
LANES lanes lanes_fma(lanes a, lanes b, lanes c) {
  return LANES_EACH(_mm256_fmadd_ps(a.low, b.low, c.low),
                    _mm256_fmadd_ps(a.high, b.high, c.high));
}
/// x > m ? x : m in each lane: a NaN in x is passed over.
LANES lanes lanes_larger(lanes x, lanes m) {
  return LANES_EACH(_mm256_max_ps(x.low, m.low), _mm256_max_ps(x.high, m.high));
}
/// v where begin ≤ lane < end, `other` elsewhere.
LANES lanes lanes_within(lanes v, size_t begin, size_t end, lanes other) {
  __m256i low = _mm256_andnot_si256(lanes_below((int)begin, 0), lanes_below((int)end, 0));
  __m256i high = _mm256_andnot_si256(lanes_below((int)begin, 8), lanes_below((int)end, 8));
  return LANES_EACH(_mm256_blendv_ps(other.low, v.low, _mm256_castsi256_ps(low)),
                    _mm256_blendv_ps(other.high, v.high, _mm256_castsi256_ps(high)));
}

LANES float lanes_fold_sum(lanes v) {
  __m256 eight = _mm256_add_ps(v.low, v.high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
/// The largest lane; lanes hold no NaN.
LANES float lanes_fold_larger(lanes v) {
  __m256 eight = _mm256_max_ps(v.low, v.high);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
/// lanes_fold_sum of each of `count` ≤ 8 vectors, in lanes 0 ..< count.
LANES lanes lanes_fold_sums(const lanes *v, int count) {
  float all[16] = {0};
  for (int i = 0; i < count; ++i) all[i] = lanes_fold_sum(v[i]);
  return lanes_load(all);
}
/// lanes_fold_larger of each.
LANES lanes lanes_fold_largers(const lanes *v, int count) {
  float all[16] = {0};
  for (int i = 0; i < count; ++i) all[i] = lanes_fold_larger(v[i]);
  return lanes_load(all);
}

LANES __m256 lanes_exp_half(__m256 x) {
  __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(MARTLET_EXP_LOG2E)),
                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-MARTLET_EXP_LN2_HIGH), x);
  r = _mm256_fmadd_ps(n, _mm256_set1_ps(-MARTLET_EXP_LN2_LOW), r);
  __m256 p = _mm256_set1_ps(MARTLET_EXP_C6);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(MARTLET_EXP_C5));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(MARTLET_EXP_C4));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(MARTLET_EXP_C3));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(MARTLET_EXP_C2));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
  __m256 result = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
  __m256 high = _mm256_cmp_ps(x, _mm256_set1_ps(MARTLET_EXP_HIGH), _CMP_GT_OQ);
  __m256 low = _mm256_cmp_ps(x, _mm256_set1_ps(MARTLET_EXP_LOW), _CMP_LT_OQ);
  __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
  result = _mm256_andnot_ps(low, result);
  result = _mm256_blendv_ps(result, _mm256_set1_ps(INFINITY), high);
  return _mm256_blendv_ps(result, x, nan);
}
LANES lanes lanes_exp(lanes x) {
  return LANES_EACH(lanes_exp_half(x.low), lanes_exp_half(x.high));
}

// ---- pairs --------------------------------------------------------------------------------------

/// (a0 a1 a2 a3 …) → (a1 a0 a3 a2 …).
LANES lanes lanes_swap_pairs(lanes v) {
  return LANES_EACH(_mm256_permute_ps(v.low, 0xb1), _mm256_permute_ps(v.high, 0xb1));
}
LANES lanes lanes_duplicate_even(lanes v) {
  return LANES_EACH(_mm256_moveldup_ps(v.low), _mm256_moveldup_ps(v.high));
}
LANES lanes lanes_duplicate_odd(lanes v) {
  return LANES_EACH(_mm256_movehdup_ps(v.low), _mm256_movehdup_ps(v.high));
}
/// a·b - c in even lanes, a·b + c in odd lanes, fused.
LANES lanes lanes_fma_alternating(lanes a, lanes b, lanes c) {
  return LANES_EACH(_mm256_fmaddsub_ps(a.low, b.low, c.low),
                    _mm256_fmaddsub_ps(a.high, b.high, c.high));
}
/// a·b - c, fused.
LANES lanes lanes_fms(lanes a, lanes b, lanes c) {
  return LANES_EACH(_mm256_fmsub_ps(a.low, b.low, c.low),
                    _mm256_fmsub_ps(a.high, b.high, c.high));
}
LANES __m256 lanes_unzip_half(__m256 a, __m256 b, int odd) {
  __m256 mixed = odd ? _mm256_shuffle_ps(a, b, 0xdd) : _mm256_shuffle_ps(a, b, 0x88);
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8));
}
/// The even and the odd elements of 32 neighbours.
LANES void lanes_unzip(const float *p, lanes *even, lanes *odd) {
  lanes a = lanes_load(p), b = lanes_load(p + 16);
  *even = LANES_EACH(lanes_unzip_half(a.low, a.high, 0), lanes_unzip_half(b.low, b.high, 0));
  *odd = LANES_EACH(lanes_unzip_half(a.low, a.high, 1), lanes_unzip_half(b.low, b.high, 1));
}

// ---- half precision -----------------------------------------------------------------------------

LANES lanes lanes_of_f16(__m128i low, __m128i high) {
  return LANES_EACH(_mm256_cvtph_ps(low), _mm256_cvtph_ps(high));
}
LANES lanes lanes_of_bf16(__m128i low, __m128i high) {
  return LANES_EACH(
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(low), 16)),
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(high), 16)));
}
LANES lanes lanes_load_f16(const void *p) {
  const __m128i *words = (const __m128i *)p;
  return lanes_of_f16(_mm_loadu_si128(words), _mm_loadu_si128(words + 1));
}
LANES lanes lanes_load_bf16(const void *p) {
  const __m128i *words = (const __m128i *)p;
  return lanes_of_bf16(_mm_loadu_si128(words), _mm_loadu_si128(words + 1));
}
LANES lanes lanes_load_f16_first(const void *p, size_t n) {
  __m128i words[2] = {_mm_setzero_si128(), _mm_setzero_si128()};
  memcpy(words, p, 2 * n);
  return lanes_of_f16(words[0], words[1]);
}
/// The even and the odd ones of 32.
LANES lanes lanes_load_even_bf16(const void *p) {
  const __m256i *words = p;
  return LANES_EACH(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(words), 16)),
                    _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(words + 1), 16)));
}
LANES lanes lanes_load_odd_bf16(const void *p) {
  const __m256i *words = p, high = _mm256_set1_epi32((int)0xffff0000);
  return LANES_EACH(
      _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(words), high)),
      _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(words + 1), high)));
}
LANES lanes lanes_load_bf16_first(const void *p, size_t n) {
  __m128i words[2] = {_mm_setzero_si128(), _mm_setzero_si128()};
  memcpy(words, p, 2 * n);
  return lanes_of_bf16(words[0], words[1]);
}
LANES void lanes_store_words_first(void *p, size_t n, __m128i low, __m128i high) {
  __m128i *words = (__m128i *)p;
  if (n == 16) {
    _mm_storeu_si128(words, low);
    _mm_storeu_si128(words + 1, high);
  } else {
    __m128i all[2] = {low, high};
    memcpy(p, all, 2 * n);
  }
}
LANES void lanes_store_f16_first(void *p, size_t n, lanes v) {
  lanes_store_words_first(p, n, _mm256_cvtps_ph(v.low, _MM_FROUND_TO_NEAREST_INT),
                          _mm256_cvtps_ph(v.high, _MM_FROUND_TO_NEAREST_INT));
}
LANES __m256i lanes_bf16_half(__m256 v) {
  __m256i bits = _mm256_castps_si256(v), high = _mm256_srli_epi32(bits, 16);
  __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
  __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
  __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
  __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, quiet, nan);
}
LANES void lanes_store_bf16_first(void *p, size_t n, lanes v) {
  __m256i packed = _mm256_packus_epi32(lanes_bf16_half(v.low), lanes_bf16_half(v.high));
  packed = _mm256_permute4x64_epi64(packed, 0xd8);
  lanes_store_words_first(p, n, _mm256_castsi256_si128(packed),
                          _mm256_extracti128_si256(packed, 1));
}

/// One float16 in every lane. Broadcast before it is converted: a conversion of one lane alone is
/// compiled to an insertion into the register's old value, which chains loop iterations together.
LANES lanes lanes_set_f16(const void *p) {
  short half;
  memcpy(&half, p, sizeof half);
  __m256 all = _mm256_cvtph_ps(_mm_set1_epi16(half));
  return LANES_EACH(all, all);
}
LANES float lanes_scalar_f16(const void *p) {
  uint16_t half;
  memcpy(&half, p, sizeof half);
  return _cvtsh_ss(half);
}

// ---- bytes --------------------------------------------------------------------------------------

LANES lanes lanes_of_signed(bytes v) {
  return LANES_EACH(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)),
                    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8))));
}
LANES lanes lanes_of_unsigned(bytes v) {
  return LANES_EACH(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v)),
                    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(v, 8))));
}
/// 16 in byte i where bit i is set, else 0.
LANES bytes bytes_of_bits(uint16_t bits) {
  __m128i spread = _mm_shuffle_epi8(_mm_set1_epi16((short)bits),
                                    _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
  __m128i bit = _mm_set1_epi64x((long long)0x8040201008040201ull);
  __m128i set = _mm_cmpeq_epi8(_mm_and_si128(spread, bit), bit);
  return _mm_and_si128(set, _mm_set1_epi8(16));
}

#include "x86/bytes_sse.h"

#endif

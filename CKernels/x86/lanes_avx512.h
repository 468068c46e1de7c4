/// The 16-lane vocabulary (CKernels/lanes/README.md) on AVX-512: one zmm register.
/// Included inside a `clang attribute push` that sets the target.
#ifndef MARTLET_X86_LANES_AVX512_H
#define MARTLET_X86_LANES_AVX512_H

#include "lanes/name.h"
#include "reference/exp.h"

#include <stddef.h>

/// Query vectors that attention keeps in registers at once, and accumulators it has for them.
#define LANES_TILE 8
#define LANES_CHAINS 16

typedef __m512 lanes;
typedef __m128i bytes;

LANES __mmask16 lanes_first(size_t n) { return (__mmask16)((1u << n) - 1); }

LANES lanes lanes_zero(void) { return _mm512_setzero_ps(); }
LANES lanes lanes_set(float x) { return _mm512_set1_ps(x); }
LANES lanes lanes_load(const float *p) { return _mm512_loadu_ps(p); }
LANES lanes lanes_load_first(const float *p, size_t n) {
  return _mm512_maskz_loadu_ps(lanes_first(n), p);
}
LANES void lanes_store(float *p, lanes v) { _mm512_storeu_ps(p, v); }
LANES void lanes_store_first(float *p, size_t n, lanes v) {
  _mm512_mask_storeu_ps(p, lanes_first(n), v);
}
LANES lanes lanes_add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
LANES lanes lanes_subtract(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
LANES lanes lanes_multiply(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
LANES lanes lanes_divide(lanes a, lanes b) { return _mm512_div_ps(a, b); }
LANES lanes lanes_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); }
/// x > m ? x : m in each lane: a NaN in x is passed over.
LANES lanes lanes_larger(lanes x, lanes m) { return _mm512_max_ps(x, m); }
/// v where begin ≤ lane < end, `other` elsewhere.
LANES lanes lanes_within(lanes v, size_t begin, size_t end, lanes other) {
  __mmask16 mask = (__mmask16)(((1u << end) - 1) & ~((1u << begin) - 1));
  return _mm512_mask_blend_ps(mask, other, v);
}

LANES float lanes_fold_sum(lanes v) {
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
/// The largest lane; lanes hold no NaN.
LANES float lanes_fold_larger(lanes v) { return _mm512_reduce_max_ps(v); }

/// Lane i of vector v to to[8·i + v], for eight vectors: in fours within each quarter, then the
/// quarters one by one.
LANES void lanes_store_transposed(const lanes *v, float *to) {
  for (int half = 0; half < 2; ++half, v += 4, to += 4) {
    __m512d ab = _mm512_castps_pd(_mm512_unpacklo_ps(v[0], v[1]));
    __m512d cd = _mm512_castps_pd(_mm512_unpacklo_ps(v[2], v[3]));
    __m512d ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(v[0], v[1]));
    __m512d cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(v[2], v[3]));
    const __m512 rows[4] = {_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                            _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
                            _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high)),
                            _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high))};
    for (int row = 0; row < 4; ++row) {
      _mm_storeu_ps(to + 8 * row, _mm512_extractf32x4_ps(rows[row], 0));
      _mm_storeu_ps(to + 8 * (4 + row), _mm512_extractf32x4_ps(rows[row], 1));
      _mm_storeu_ps(to + 8 * (8 + row), _mm512_extractf32x4_ps(rows[row], 2));
      _mm_storeu_ps(to + 8 * (12 + row), _mm512_extractf32x4_ps(rows[row], 3));
    }
  }
}

/// Eight vectors' folds with one operation `op` per level: each level puts the halves of two
/// vectors side by side, so a lane meets the lane that it meets when folded alone.
#define LANES_FOLD_EIGHT(v, op)                                                              \
  __m512 two[4], four[2];                                                                    \
  for (int i = 0; i < 4; ++i)                                                                \
    two[i] = op(_mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0x44),                          \
                _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0xee));                         \
  for (int i = 0; i < 2; ++i)                                                                \
    four[i] = op(_mm512_shuffle_f32x4(two[2 * i], two[2 * i + 1], 0x88),                     \
                 _mm512_shuffle_f32x4(two[2 * i], two[2 * i + 1], 0xdd));                    \
  __m512 eight = op(_mm512_shuffle_ps(four[0], four[1], 0x44),                               \
                    _mm512_shuffle_ps(four[0], four[1], 0xee));                              \
  eight = op(eight, _mm512_movehdup_ps(eight));                                              \
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 1, 1, 1, 1, 1, 1, 1, 1); \
  return _mm512_permutexvar_ps(order, eight)

LANES lanes lanes_fold_eight_sums(const lanes *v) { LANES_FOLD_EIGHT(v, _mm512_add_ps); }
LANES lanes lanes_fold_eight_larger(const lanes *v) { LANES_FOLD_EIGHT(v, _mm512_max_ps); }
#undef LANES_FOLD_EIGHT

/// lanes_fold_sum of each of `count` ≤ 8 vectors, in lanes 0 ..< count.
LANES lanes lanes_fold_sums(const lanes *v, int count) {
  if (count == 1) return lanes_set(lanes_fold_sum(v[0]));
  lanes all[8];
  for (int i = 0; i < 8; ++i) all[i] = v[i < count ? i : 0];
  return lanes_fold_eight_sums(all);
}
/// lanes_fold_larger of each.
LANES lanes lanes_fold_largers(const lanes *v, int count) {
  if (count == 1) return lanes_set(lanes_fold_larger(v[0]));
  lanes all[8];
  for (int i = 0; i < 8; ++i) all[i] = v[i < count ? i : 0];
  return lanes_fold_eight_larger(all);
}

LANES lanes lanes_exp(lanes x) {
  lanes n = _mm512_roundscale_ps(_mm512_mul_ps(x, lanes_set(MARTLET_EXP_LOG2E)),
                                 _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  lanes r = lanes_fma(n, lanes_set(-MARTLET_EXP_LN2_HIGH), x);
  r = lanes_fma(n, lanes_set(-MARTLET_EXP_LN2_LOW), r);
  lanes p = lanes_set(MARTLET_EXP_C6);
  p = lanes_fma(p, r, lanes_set(MARTLET_EXP_C5));
  p = lanes_fma(p, r, lanes_set(MARTLET_EXP_C4));
  p = lanes_fma(p, r, lanes_set(MARTLET_EXP_C3));
  p = lanes_fma(p, r, lanes_set(MARTLET_EXP_C2));
  p = lanes_fma(p, r, lanes_set(1.0f));
  p = lanes_fma(p, r, lanes_set(1.0f));
  // Scaling by a power of two is exact here, so it equals adding n to the exponent.
  lanes result = _mm512_scalef_ps(p, n);
  __mmask16 high = _mm512_cmp_ps_mask(x, lanes_set(MARTLET_EXP_HIGH), _CMP_GT_OQ);
  __mmask16 kept = _mm512_cmp_ps_mask(x, lanes_set(MARTLET_EXP_LOW), _CMP_NLT_UQ);
  return _mm512_mask_mov_ps(_mm512_maskz_mov_ps(kept, result), high, lanes_set(INFINITY));
}

// ---- pairs --------------------------------------------------------------------------------------

/// (a0 a1 a2 a3 …) → (a1 a0 a3 a2 …).
LANES lanes lanes_swap_pairs(lanes v) { return _mm512_permute_ps(v, 0xb1); }
LANES lanes lanes_duplicate_even(lanes v) { return _mm512_moveldup_ps(v); }
LANES lanes lanes_duplicate_odd(lanes v) { return _mm512_movehdup_ps(v); }
/// a·b - c in even lanes, a·b + c in odd lanes, fused.
LANES lanes lanes_fma_alternating(lanes a, lanes b, lanes c) {
  return _mm512_fmaddsub_ps(a, b, c);
}
/// a·b - c, fused.
LANES lanes lanes_fms(lanes a, lanes b, lanes c) { return _mm512_fmsub_ps(a, b, c); }
/// The even and the odd elements of 32 neighbours.
LANES void lanes_unzip(const float *p, lanes *even, lanes *odd) {
  lanes a = lanes_load(p), b = lanes_load(p + 16);
  const __m512i evens =
      _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odds =
      _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  *even = _mm512_permutex2var_ps(a, evens, b);
  *odd = _mm512_permutex2var_ps(a, odds, b);
}

// ---- half precision -----------------------------------------------------------------------------

LANES lanes lanes_load_f16(const void *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
LANES lanes lanes_load_f16_first(const void *p, size_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes_first(n), p));
}
LANES lanes lanes_of_bf16(__m256i v) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}
LANES lanes lanes_load_bf16(const void *p) {
  return lanes_of_bf16(_mm256_loadu_si256((const __m256i *)p));
}
/// The even and the odd ones of 32.
LANES lanes lanes_load_even_bf16(const void *p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
LANES lanes lanes_load_odd_bf16(const void *p) {
  const __m512i high = _mm512_set1_epi32((int)0xffff0000);
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), high));
}
LANES lanes lanes_load_bf16_first(const void *p, size_t n) {
  return lanes_of_bf16(_mm256_maskz_loadu_epi16(lanes_first(n), p));
}
LANES void lanes_store_f16_first(void *p, size_t n, lanes v) {
  __m256i half = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm256_mask_storeu_epi16(p, lanes_first(n), half);
}
LANES void lanes_store_bf16_first(void *p, size_t n, lanes v) {
  __m512i bits = _mm512_castps_si512(v), high = _mm512_srli_epi32(bits, 16);
  __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
  __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
  __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  rounded = _mm512_mask_or_epi32(rounded, nan, high, _mm512_set1_epi32(0x40));
  _mm256_mask_storeu_epi16(p, lanes_first(n), _mm512_cvtepi32_epi16(rounded));
}

/// One float16 in every lane. Broadcast before it is converted: a conversion of one lane alone is
/// compiled to an insertion into the register's old value, which chains loop iterations together.
LANES lanes lanes_set_f16(const void *p) {
  short half;
  memcpy(&half, p, sizeof half);
  return _mm512_cvtph_ps(_mm256_set1_epi16(half));
}
LANES float lanes_scalar_f16(const void *p) {
  uint16_t half;
  memcpy(&half, p, sizeof half);
  return _cvtsh_ss(half);
}

// ---- bytes --------------------------------------------------------------------------------------

LANES lanes lanes_of_signed(bytes v) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v)); }
LANES lanes lanes_of_unsigned(bytes v) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v)); }
/// 16 in byte i where bit i is set, else 0.
LANES bytes bytes_of_bits(uint16_t bits) { return _mm_maskz_set1_epi8(bits, 16); }

#include "x86/bytes_sse.h"

#endif

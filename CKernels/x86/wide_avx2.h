/// The 64-byte vocabulary (CKernels/lanes/README.md) on AVX2: two ymm registers.
/// Included after lanes_avx2.h.
#ifndef MARTLET_X86_WIDE_AVX2_H
#define MARTLET_X86_WIDE_AVX2_H

/// Queries × pages whose sums a scan keeps in registers at once, at most: 8 or 1.
#define WIDE_CHAINS 1

typedef struct wide {
  __m256i low, high;
} wide;

#define WIDE_EACH(expression_low, expression_high) \
  (wide) { expression_low, expression_high }

LANES wide wide_zero(void) { return WIDE_EACH(_mm256_setzero_si256(), _mm256_setzero_si256()); }
LANES wide wide_load(const void *p) {
  const __m256i *at = p;
  return WIDE_EACH(_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1));
}
LANES void wide_store(void *p, wide v) {
  __m256i *at = p;
  _mm256_storeu_si256(at, v.low);
  _mm256_storeu_si256(at + 1, v.high);
}
/// The low and the high four bits of each byte.
LANES wide wide_low(wide v) {
  const __m256i mask = _mm256_set1_epi8(15);
  return WIDE_EACH(_mm256_and_si256(v.low, mask), _mm256_and_si256(v.high, mask));
}
LANES wide wide_high(wide v) {
  return wide_low(WIDE_EACH(_mm256_srli_epi16(v.low, 4), _mm256_srli_epi16(v.high, 4)));
}
/// Each 16 bytes of `v`, all below 16, looked up in the 16 bytes of `table` at the same place.
LANES wide wide_lookup(wide table, wide v) {
  return WIDE_EACH(_mm256_shuffle_epi8(table.low, v.low), _mm256_shuffle_epi8(table.high, v.high));
}
LANES wide wide_add_bytes(wide a, wide b) {
  return WIDE_EACH(_mm256_add_epi8(a.low, b.low), _mm256_add_epi8(a.high, b.high));
}
LANES wide wide_add_words(wide a, wide b) {
  return WIDE_EACH(_mm256_add_epi16(a.low, b.low), _mm256_add_epi16(a.high, b.high));
}
/// The odd bytes as words.
LANES wide wide_odd(wide v) {
  return WIDE_EACH(_mm256_srli_epi16(v.low, 8), _mm256_srli_epi16(v.high, 8));
}

/// `all` sums words whose low byte is meant and whose high byte is summed in `odd`. Adds the two
/// halves of 32 bytes and stores the 32 sums in order.
LANES void wide_store_sums(uint16_t *to, wide all, wide odd) {
  const __m256i o = _mm256_add_epi16(odd.low, odd.high);
  const __m256i e = _mm256_sub_epi16(_mm256_add_epi16(all.low, all.high), _mm256_slli_epi16(o, 8));
  const __m256i low = _mm256_unpacklo_epi16(e, o), high = _mm256_unpackhi_epi16(e, o);
  _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256((__m256i *)(void *)(to + 16), _mm256_permute2x128_si256(low, high, 0x31));
}

/// The larger of 32 words.
LANES wide wide_larger_words(wide a, wide b) {
  return WIDE_EACH(_mm256_max_epu16(a.low, b.low), _mm256_max_epu16(a.high, b.high));
}
/// Bit i where word i is at least `least`.
LANES uint32_t wide_words_at_least(const uint16_t *p, uint16_t least) {
  const wide v = wide_load(p);
  const __m256i bound = _mm256_set1_epi16((short)least);
  const __m256i low = _mm256_cmpeq_epi16(_mm256_max_epu16(v.low, bound), v.low);
  const __m256i high = _mm256_cmpeq_epi16(_mm256_max_epu16(v.high, bound), v.high);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
  return (uint32_t)_mm256_movemask_epi8(packed);
}

/// Writes those of 32 numbers whose bit in `mask` is set, one after another; returns how many.
LANES size_t wide_pack(const uint32_t *from, uint32_t mask, uint32_t *to) {
  size_t n = 0;
  for (; mask; mask &= mask - 1) to[n++] = from[__builtin_ctz(mask)];
  return n;
}
/// The same of first, first + 1 ….
LANES size_t wide_pack_places(uint32_t first, uint32_t mask, uint32_t *to) {
  size_t n = 0;
  for (; mask; mask &= mask - 1) to[n++] = first + (uint32_t)__builtin_ctz(mask);
  return n;
}

/// Sums of products of bytes and words, as lanes of 32 bits.
typedef __m256i wide_sum;
LANES wide_sum wide_sum_zero(void) { return _mm256_setzero_si256(); }
LANES wide_sum wide_add_products(wide_sum sum, __m256i words, const int16_t *weights) {
  const __m256i *at = (const __m256i *)(const void *)weights;
  return _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_loadu_si256(at)));
}
/// Adds 64 unsigned bytes, of `b` where `sides` is 255 and of `a` where it is 0, times words.
LANES wide_sum wide_add_sided(wide_sum sum, const uint8_t *a, const uint8_t *b,
                              const uint8_t *sides, const int16_t *weights) {
  for (int i = 0; i < 64; i += 16) {
    const __m128i v = _mm_blendv_epi8(_mm_loadu_si128((const __m128i *)(const void *)(a + i)),
                                      _mm_loadu_si128((const __m128i *)(const void *)(b + i)),
                                      _mm_loadu_si128((const __m128i *)(const void *)(sides + i)));
    sum = wide_add_products(sum, _mm256_cvtepu8_epi16(v), weights + i);
  }
  return sum;
}
LANES int32_t wide_fold_sum(wide_sum sum) {
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

// ---- lanes --------------------------------------------------------------------------------------

/// Where x > *best, takes x, and `code` for *codes.
LANES void lanes_take_larger(lanes x, float code, lanes *best, lanes *codes) {
  const __m256 low = _mm256_cmp_ps(x.low, best->low, _CMP_GT_OQ), all = _mm256_set1_ps(code);
  const __m256 high = _mm256_cmp_ps(x.high, best->high, _CMP_GT_OQ);
  *best = LANES_EACH(_mm256_blendv_ps(best->low, x.low, low),
                     _mm256_blendv_ps(best->high, x.high, high));
  *codes = LANES_EACH(_mm256_blendv_ps(codes->low, all, low),
                      _mm256_blendv_ps(codes->high, all, high));
}
/// Stores lanes that are integers of 0 ... 255 as bytes.
LANES void lanes_store_bytes(uint8_t *p, lanes v) {
  const __m256i words = _mm256_permute4x64_epi64(
      _mm256_packus_epi32(_mm256_cvttps_epi32(v.low), _mm256_cvttps_epi32(v.high)), 0xd8);
  _mm_storeu_si128(
      (__m128i *)(void *)p,
      _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

#endif

/// The 64-byte vocabulary (CKernels/lanes/README.md) on AVX-512: one zmm register.
/// Included after lanes_avx512.h.
#ifndef MARTLET_X86_WIDE_AVX512_H
#define MARTLET_X86_WIDE_AVX512_H

/// Queries × pages whose sums a scan keeps in registers at once, at most: 8 or 1.
#define WIDE_CHAINS 8

typedef __m512i wide;

LANES wide wide_zero(void) { return _mm512_setzero_si512(); }
LANES wide wide_load(const void *p) { return _mm512_loadu_si512(p); }
LANES void wide_store(void *p, wide v) { _mm512_storeu_si512(p, v); }
/// The low and the high four bits of each byte.
LANES wide wide_low(wide v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
LANES wide wide_high(wide v) { return wide_low(_mm512_srli_epi16(v, 4)); }
/// Each 16 bytes of `v`, all below 16, looked up in the 16 bytes of `table` at the same place.
LANES wide wide_lookup(wide table, wide v) { return _mm512_shuffle_epi8(table, v); }
LANES wide wide_add_bytes(wide a, wide b) { return _mm512_add_epi8(a, b); }
LANES wide wide_add_words(wide a, wide b) { return _mm512_add_epi16(a, b); }
/// The odd bytes as words.
LANES wide wide_odd(wide v) { return _mm512_srli_epi16(v, 8); }

/// `all` sums words whose low byte is meant and whose high byte is summed in `odd`. Adds the two
/// halves of 32 bytes and stores the 32 sums in order.
LANES void wide_store_sums(uint16_t *to, wide all, wide odd) {
  const wide even = _mm512_sub_epi16(all, _mm512_slli_epi16(odd, 8));
  const __m256i e =
      _mm256_add_epi16(_mm512_castsi512_si256(even), _mm512_extracti64x4_epi64(even, 1));
  const __m256i o =
      _mm256_add_epi16(_mm512_castsi512_si256(odd), _mm512_extracti64x4_epi64(odd, 1));
  const __m256i low = _mm256_unpacklo_epi16(e, o), high = _mm256_unpackhi_epi16(e, o);
  _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256((__m256i *)(void *)(to + 16), _mm256_permute2x128_si256(low, high, 0x31));
}
/// Two of these, one after the other: a page in each half of a register.
LANES void wide_store_two_sums(uint16_t *to, const wide *all, const wide *odd) {
  const wide o = _mm512_add_epi16(_mm512_shuffle_i64x2(odd[0], odd[1], 0x44),
                                  _mm512_shuffle_i64x2(odd[0], odd[1], 0xee));
  const wide a = _mm512_add_epi16(_mm512_shuffle_i64x2(all[0], all[1], 0x44),
                                  _mm512_shuffle_i64x2(all[0], all[1], 0xee));
  const wide e = _mm512_sub_epi16(a, _mm512_slli_epi16(o, 8));
  const wide low = _mm512_unpacklo_epi16(e, o), high = _mm512_unpackhi_epi16(e, o);
  const wide first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const wide second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  wide_store(to, _mm512_permutex2var_epi64(low, first, high));
  wide_store(to + 32, _mm512_permutex2var_epi64(low, second, high));
}

/// The larger of 32 words.
LANES wide wide_larger_words(wide a, wide b) { return _mm512_max_epu16(a, b); }
/// Bit i where word i is at least `least`.
LANES uint32_t wide_words_at_least(const uint16_t *p, uint16_t least) {
  return _mm512_cmpge_epu16_mask(_mm512_loadu_si512(p), _mm512_set1_epi16((short)least));
}

LANES size_t wide_pack_sixteen(__m512i places, uint32_t mask, uint32_t *to) {
  const size_t n = (size_t)__builtin_popcount(mask);
  _mm512_mask_storeu_epi32(to, lanes_first(n), _mm512_maskz_compress_epi32((__mmask16)mask, places));
  return n;
}
/// Writes those of 32 numbers whose bit in `mask` is set, one after another; returns how many.
LANES size_t wide_pack(const uint32_t *from, uint32_t mask, uint32_t *to) {
  const size_t n = wide_pack_sixteen(_mm512_loadu_si512(from), mask & 0xffff, to);
  return n + wide_pack_sixteen(_mm512_loadu_si512(from + 16), mask >> 16, to + n);
}
/// The same of first, first + 1 ….
LANES size_t wide_pack_places(uint32_t first, uint32_t mask, uint32_t *to) {
  const __m512i places = _mm512_add_epi32(
      _mm512_set1_epi32((int)first),
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  const size_t n = wide_pack_sixteen(places, mask & 0xffff, to);
  return n + wide_pack_sixteen(_mm512_add_epi32(places, _mm512_set1_epi32(16)), mask >> 16, to + n);
}

/// Sums of products of bytes and words, as lanes of 32 bits.
typedef __m512i wide_sum;
LANES wide_sum wide_sum_zero(void) { return _mm512_setzero_si512(); }
LANES wide_sum wide_add_products(wide_sum sum, __m512i words, const int16_t *weights) {
  return _mm512_add_epi32(sum, _mm512_madd_epi16(words, _mm512_loadu_si512(weights)));
}
/// Adds 64 unsigned bytes, of `b` where `sides` is 255 and of `a` where it is 0, times words.
LANES wide_sum wide_add_sided(wide_sum sum, const uint8_t *a, const uint8_t *b,
                              const uint8_t *sides, const int16_t *weights) {
  const wide v = _mm512_mask_blend_epi8(_mm512_movepi8_mask(wide_load(sides)), wide_load(a),
                                        wide_load(b));
  sum = wide_add_products(sum, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(v)), weights);
  return wide_add_products(sum, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(v, 1)),
                           weights + 32);
}
LANES int32_t wide_fold_sum(wide_sum sum) { return _mm512_reduce_add_epi32(sum); }

// ---- lanes --------------------------------------------------------------------------------------

/// Where x > *best, takes x, and `code` for *codes.
LANES void lanes_take_larger(lanes x, float code, lanes *best, lanes *codes) {
  const __mmask16 larger = _mm512_cmp_ps_mask(x, *best, _CMP_GT_OQ);
  *best = _mm512_mask_mov_ps(*best, larger, x);
  *codes = _mm512_mask_mov_ps(*codes, larger, lanes_set(code));
}
/// Stores lanes that are integers of 0 ... 255 as bytes.
LANES void lanes_store_bytes(uint8_t *p, lanes v) {
  _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(v)));
}

#endif

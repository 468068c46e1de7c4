/// The byte vocabulary (CKernels/lanes/README.md) on x86: 16 bytes in an xmm register, the same for
/// AVX2 and AVX-512. Included by the lanes header of each.
LANES bytes bytes_load(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
LANES bytes bytes_set(uint8_t x) { return _mm_set1_epi8((char)x); }
LANES bytes bytes_and(bytes a, bytes b) { return _mm_and_si128(a, b); }
LANES bytes bytes_or(bytes a, bytes b) { return _mm_or_si128(a, b); }
LANES bytes bytes_subtract(bytes a, bytes b) { return _mm_sub_epi8(a, b); }
/// Each byte shifted right by a constant.
#define bytes_shift_right(v, n) \
  _mm_and_si128(_mm_srli_epi16(v, n), _mm_set1_epi8((char)(0xff >> (n))))
/// Each byte shifted left by a constant.
#define bytes_shift_left(v, n) \
  _mm_and_si128(_mm_slli_epi16(v, n), _mm_set1_epi8((char)(uint8_t)(0xff << (n))))
/// table[v[i]] for v[i] < 16.
LANES bytes bytes_lookup(bytes table, bytes v) { return _mm_shuffle_epi8(table, v); }

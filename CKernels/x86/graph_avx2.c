/// The graph of retrieval attention on AVX2: the bodies of lanes/graph.h over wide_avx2.h.
#include "dispatch/graph_variants.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c"))), \
    apply_to = function)
#define LANES_ISA avx2
#include "x86/lanes_avx2.h"
#include "x86/wide_avx2.h"

LANES wide_sum graph_squares(wide_sum sum, const int8_t *a, const int8_t *b) {
  for (int half = 0; half < 64; half += 32) {
    const __m256i d = _mm256_abs_epi8(
        _mm256_sub_epi8(_mm256_loadu_si256((const __m256i *)(const void *)(a + half)),
                        _mm256_loadu_si256((const __m256i *)(const void *)(b + half))));
    sum = _mm256_add_epi32(
        sum, _mm256_madd_epi16(_mm256_maddubs_epi16(d, d), _mm256_set1_epi16(1)));
  }
  return sum;
}

#include "lanes/graph.h"
#pragma clang attribute pop
#endif

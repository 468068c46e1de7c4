/// The graph of retrieval attention on AVX-512: the bodies of lanes/graph.h over wide_avx512.h.
#include "dispatch/graph_variants.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c"))), \
    apply_to = function)
#define LANES_ISA avx512
#include "x86/lanes_avx512.h"
#include "x86/wide_avx512.h"

LANES wide_sum graph_squares(wide_sum sum, const int8_t *a, const int8_t *b) {
  const __m512i d = _mm512_abs_epi8(_mm512_sub_epi8(wide_load(a), wide_load(b)));
  return _mm512_add_epi32(
      sum, _mm512_madd_epi16(_mm512_maddubs_epi16(d, d), _mm512_set1_epi16(1)));
}

#include "lanes/graph.h"
#pragma clang attribute pop
#endif

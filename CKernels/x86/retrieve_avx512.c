/// The index of retrieval attention on AVX-512: the bodies of lanes/retrieve.h,
/// retrieve_scan.h and retrieve_search.h over lanes_avx512.h and wide_avx512.h.
#include "dispatch/retrieve_variants.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c"))), \
    apply_to = function)
#define LANES_ISA avx512
#include "x86/lanes_avx512.h"
#include "x86/wide_avx512.h"

#include "lanes/retrieve.h"
#include "lanes/retrieve_scan.h"
#include "lanes/retrieve_search.h"
#pragma clang attribute pop
#endif

/// The index of retrieval attention on AVX2: the bodies of lanes/retrieve.h,
/// retrieve_scan.h and retrieve_search.h over lanes_avx2.h and wide_avx2.h.
#include "dispatch/retrieve_variants.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c"))), \
    apply_to = function)
#define LANES_ISA avx2
#include "x86/lanes_avx2.h"
#include "x86/wide_avx2.h"

#include "lanes/retrieve.h"
#include "lanes/retrieve_scan.h"
#include "lanes/retrieve_search.h"
#pragma clang attribute pop
#endif

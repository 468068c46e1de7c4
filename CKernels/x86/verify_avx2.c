/// Verifying on AVX2: the bodies of lanes/verify.h over lanes_avx2.h.
#include "dispatch/verify_variants.h"
#include "reference/verify.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c"))), \
    apply_to = function)
#define LANES_ISA avx2
#include "x86/lanes_avx2.h"

#include "lanes/verify.h"
#pragma clang attribute pop
#endif

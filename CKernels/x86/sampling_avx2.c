/// Drawing on AVX2: the bodies of lanes/sampling.h over lanes_avx2.h.
#include "dispatch/sampling_variants.h"
#include "reference/sampling.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c"))), \
    apply_to = function)
#define LANES_ISA avx2
#include "x86/lanes_avx2.h"

#include "lanes/sampling.h"
#pragma clang attribute pop
#endif

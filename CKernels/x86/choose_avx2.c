/// Sampling by rules on AVX2: the passes of lanes/choose.h over what the compiler makes of reference/choose_blocks.h.
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
#include "x86/choose_look_up_avx2.h"

#define BLOCK_LOOK_UP choose_look_up
#include "reference/choose_blocks.h"

#include "lanes/choose.h"
#pragma clang attribute pop
#endif

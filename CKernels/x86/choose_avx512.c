/// Sampling by rules on AVX-512: the passes of lanes/choose.h over choose_blocks_avx512.h.
#include "dispatch/sampling_variants.h"
#include "reference/sampling.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,popcnt"))), \
    apply_to = function)
#define LANES_ISA avx512
#include "x86/lanes_avx512.h"
#include "x86/choose_look_up_avx512.h"

#define BLOCK_LOOK_UP choose_look_up
#include "reference/choose_blocks.h"
#include "x86/choose_blocks_avx512.h"

#include "lanes/choose.h"
#pragma clang attribute pop
#endif

/// Products of quantised weights with int8 activations, NEON with sdot: gemm_q8_neon.h.
///
/// Work per block, four rows and 8 outputs: 64 sdot, 8 each of scvtf, fmul and fmla (16 with
/// minimums, twice for Q6_K), 16 loads of weights and 8 of activations. At two vector pipes 44
/// cycles of which 32 are sdot: 73 % of the dot peak is the bound for Q4_0 and Q8_0. Nibbles of up
/// to four rows are unpacked on the way, 16 operations more. One row reads weights at 16 bytes per
/// 4 operations, ahead of memory. Bytes: columns · depth · (0.5625 bytes for Q4_0, 1.0625 Q8_0) per
/// group of rows; operations: 2 · rows · columns · depth. Run under emulation alone so far.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "dispatch/gemm_variants.h"

#pragma STDC FP_CONTRACT OFF

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

#define MULTIPLIES_PAIRS 0
#include "arm/dot_lane_sdot.h"
#include "arm/gemm_q8_neon.h"

MARTLET_DEFINE_PRODUCTS(neon_dotprod)

#pragma clang attribute pop
#endif

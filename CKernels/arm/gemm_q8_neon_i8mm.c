/// Products of quantised weights with int8 activations, NEON with smmla: gemm_q8_neon.h.
///
/// smmla multiplies two rows by two outputs by eight depths, twice the work of sdot; a row alone
/// goes through sdot. Work per block, four rows and 8 outputs: 32 smmla, 8 each of scvtf, fmul and
/// fmla (16 with minimums, twice for Q6_K), 16 loads of weights, 16 of half registers of
/// activations (8 of which insert into the upper half). At two vector pipes 32 cycles of which 16
/// are smmla: half of its peak, 1.4 times what sdot gives. Nibbles of up to four rows are unpacked
/// on the way, 16 operations and 16 zips more. Bytes and operations are as in
/// gemm_q8_neon_dotprod.c. Run under emulation alone so far.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "dispatch/gemm_variants.h"

#pragma STDC FP_CONTRACT OFF

#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)

#define MULTIPLIES_PAIRS 1
#include "arm/dot_lane_sdot.h"
#include "arm/gemm_q8_neon.h"

MARTLET_DEFINE_PRODUCTS(neon_i8mm)

#pragma clang attribute pop
#endif

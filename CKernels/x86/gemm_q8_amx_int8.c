/// Products of quantised weights with int8 activations, AMX int8. Not yet run on a CPU that has it:
/// the checks run this body over emulated tiles (Tests/CKernelsCheck/emulated.c).
///
/// Tile. Each block of 32 depth has scales of its own, so a tile product takes 32 of the 64 bytes
/// of depth a tile row holds: 16 rows by 32 bytes times 8 rows of weights (the `bytes` of
/// gemm_layout.h) into 16 × 16 int32; Q6_K, with a scale per 16, takes two of half that depth. The
/// sums are stored and scaled in AVX-512, 16 rows' float sums in registers for a chunk of depth.
///
/// Work per block, 16 rows and 16 outputs, in cycles of Sapphire Rapids: TDPBSSD 16 (one row of
/// activations per cycle whatever the depth, so half of its multipliers idle); on two vector ports
/// 16 each of conversion, scale product and multiply-add, 24 (32 with minimums, 48 for Q6_K); 16
/// stores of sums, one per cycle; loads of 16 rows, 8 lines of weights, 16 sums and 16 scales, two
/// per cycle, 28. A tile of the whole 64 bytes would halve what is hidden behind the scaling
/// already, and two blocks in one sum would lose their scales. That is 290 multiply-adds per cycle
/// where VNNI, with the same scaling and 8 vpdpbusd per row on the same two ports, is bound by 93:
/// three times as fast is expected from 16 rows on.
///
/// Weights are unpacked to signed bytes once per chunk and panel of 64 rows, offsets removed,
/// because adding a start to each stored sum would cost a fourth vector operation. From 4 rows on
/// that should pay (20 cycles per block where VNNI takes 28); fewer rows go to
/// gemm_q8_avx512_vnni.c, which gives the same bits.
///
/// Bytes: columns · depth · (0.5625 bytes for Q4_0, 1.0625 Q8_0) per group of rows whose
/// activations fit 1 MB; operations: 2 · rows · columns · depth.
#if defined(__x86_64__)
#include <immintrin.h>

#include "dispatch/gemm_variants.h"

#pragma clang attribute push(                                                                     \
    __attribute__((target("amx-tile,amx-int8,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), \
    apply_to = function)

#include "x86/tiles_amx.h"

#define MARTLET_FEW_ROWS(operation) martlet_##operation##_avx512_vnni
#include "x86/gemm_q8_amx.h"

MARTLET_DEFINE_PRODUCTS(amx_int8)

#pragma clang attribute pop
#endif

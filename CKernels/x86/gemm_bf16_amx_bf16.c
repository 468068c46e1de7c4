/// Products of bf16 weights with bf16 activations, AMX bf16: the class bf16-amx. Not yet run on a
/// CPU that has it: the checks run this body over emulated tiles (Tests/CKernelsCheck/emulated.c).
///
/// Tile. A packed tile of 16 outputs is, 32 depths at a time, the 16 rows of a weight tile as it
/// lies. Up to 16 rows take four tiles of outputs, 17 to 32 rows two: four sums in tile registers
/// for the whole depth, which hide TDPBF16PS's latency of 52 cycles at one per 16. Even and odd
/// depths of a step are summed apart from zero, added, and added to the sum: another order than
/// vdpbf16ps, so a class of its own, in which a row has the same bits alone and in a crowd.
///
/// Work per step of 32 rows, 32 outputs and 32 depths: 64 cycles of TDPBF16PS for 64 lines loaded,
/// half of them weights. From the first-level cache they take 32 cycles; from the second, where
/// 4096 deep activations lie, 64 and more, so that two thirds of the peak of 512 multiply-adds per
/// cycle are expected there. Up to 16 rows read 64 lines of weights per 64 cycles, ahead of memory.
/// Bytes: 2 · columns · depth per group of rows whose activations fit 1 MB; operations: 2 · rows ·
/// columns · depth.
#if defined(__x86_64__)
#include <immintrin.h>

#include "dispatch/gemm_variants.h"

#pragma clang attribute push(                                                                     \
    __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), \
    apply_to = function)

#include "x86/tiles_amx.h"

#include "x86/gemm_bf16_amx.h"

MARTLET_DEFINE_BF16_PRODUCT(amx_bf16)

#pragma clang attribute pop
#endif

/// The body of gemm_bf16_amx_bf16.c over emulated tiles.
#include "emulated_gemm.h"

#pragma STDC FP_CONTRACT OFF

#include "tiles_emulated.h"
#include "x86/gemm_bf16_amx.h"

MARTLET_DEFINE_BF16_PRODUCT(amx_bf16_emulated)

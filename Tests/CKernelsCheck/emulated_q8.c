/// The body of gemm_q8_amx_int8.c over emulated tiles.
#include "emulated_gemm.h"

#pragma STDC FP_CONTRACT OFF

#include "tiles_emulated.h"
#define MARTLET_FEW_ROWS(operation) martlet_##operation##_reference
#include "x86/gemm_q8_amx.h"

MARTLET_DEFINE_PRODUCTS(amx_int8_emulated)

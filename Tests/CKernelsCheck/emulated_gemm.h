/// Products over emulated tiles.
#ifndef MARTLET_TESTS_EMULATED_GEMM_H
#define MARTLET_TESTS_EMULATED_GEMM_H

#include "dispatch/gemm_variants.h"

/// X(family, operation, isa, numeric class, required capabilities), as dispatch's lists have it.
#define MARTLET_EMULATED_VARIANTS(X)                  \
  MARTLET_GEMM_Q8_VARIANTS(X, amx_int8_emulated, 0)   \
  X(gemm, gemm_bf16_bf16, amx_bf16_emulated, MARTLET_NUMERIC_BF16_AMX, 0)

MARTLET_EMULATED_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

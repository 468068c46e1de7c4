/// The gemm family's internal signatures. The variants themselves are declared from the list in
/// gemm_variants.h.
#ifndef MARTLET_GEMM_KERNELS_H
#define MARTLET_GEMM_KERNELS_H

#include "gemm_layout.h"

/// Computes columns [column_begin, column_end) of a checked product: `rows` and the range are not
/// empty, column_begin is a multiple of 16, operands are laid out by gemm_layout.h.
typedef void (*martlet_gemm_kernel)(const martlet_gemm_arguments *arguments);

/// Prepares one row. The padding after `depth` elements is the door's to clear.
typedef void (*martlet_prepare_kernel)(const float *input, size_t depth, void *prepared);

#define MARTLET_DECLARE_GEMM(operation_types, isa, numeric_class, requires_isa)                    \
  void martlet_##operation_types##_##isa(const martlet_gemm_arguments *arguments);
#define MARTLET_DECLARE_PREPARE(operation_types, isa, numeric_class, requires_isa)                 \
  void martlet_##operation_types##_##isa(const float *input, size_t depth, void *prepared);

#include "gemm_variants.h"
MARTLET_GEMM_VARIANTS(MARTLET_DECLARE_GEMM)
MARTLET_PREPARE_VARIANTS(MARTLET_DECLARE_PREPARE)

#undef MARTLET_DECLARE_GEMM
#undef MARTLET_DECLARE_PREPARE

#endif

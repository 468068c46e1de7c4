/// The gemm family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_GEMM_VARIANTS_H
#define MARTLET_DISPATCH_GEMM_VARIANTS_H

#include "dispatch/variant.h"

#define MARTLET_GEMM_OPERATIONS(O)
#define MARTLET_GEMM_VARIANTS(X)

MARTLET_GEMM_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

/// OpenBLAS as a library that is loaded when its numeric class is first asked for, never linked:
/// merely loading it starts threads and takes address space, which no other class should pay for.
#ifndef MARTLET_OPENBLAS_OPENBLAS_H
#define MARTLET_OPENBLAS_OPENBLAS_H

#include <stdint.h>

#include "dispatch/variant.h"

/// `cblas_sgemm` with 32-bit counts, as the interface of the reference BLAS has it.
typedef void martlet_sgemm(int order, int transpose_a, int transpose_b, int32_t rows,
                           int32_t columns, int32_t depth, float alpha, const float *a,
                           int32_t a_stride, const float *b, int32_t b_stride, float beta,
                           float *c, int32_t c_stride);
enum { MARTLET_BLAS_ROW_MAJOR = 101, MARTLET_BLAS_PLAIN = 111, MARTLET_BLAS_TRANSPOSED = 112 };

/// OpenBLAS's product, or null when the library cannot be loaded. The first call loads it; safe
/// from any thread.
MARTLET_HIDDEN martlet_sgemm *martlet_openblas_sgemm(void);

#endif

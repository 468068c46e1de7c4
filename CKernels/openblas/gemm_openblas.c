/// Products by OpenBLAS, a numeric class of its own: weights lie as float32 rows, and OpenBLAS
/// picks its blocking, and so its rounding, by shape. Martlet's threads split the columns, so
/// OpenBLAS runs on the calling thread alone.
#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_variants.h"
#include "openblas/openblas.h"

void martlet_gemm_f32_f32_openblas(const martlet_gemm_arguments *arguments) {
  // Dispatch has loaded it, or this variant would not serve.
  martlet_sgemm *sgemm = martlet_openblas_sgemm();
  const martlet_gemm_arguments *a = arguments;
  size_t columns = a->column_end - a->column_begin;
  size_t activation_stride = martlet_gemm_row_bytes(MARTLET_ACTIVATION_F32, a->depth) / 4;
  float *output = a->output + a->column_begin;
  const float *weights = (const float *)a->weights + a->column_begin * a->depth;
  // BLAS adds the product to what is there: start from output and bias, or from the bias alone.
  for (size_t row = 0; row < a->rows; ++row)
    for (size_t column = 0; column < columns; ++column) {
      float *target = output + row * a->output_stride + column;
      float start = a->accumulate ? *target : 0;
      *target = a->bias ? start + a->bias[a->column_begin + column] : start;
    }
  sgemm(MARTLET_BLAS_ROW_MAJOR, MARTLET_BLAS_PLAIN, MARTLET_BLAS_TRANSPOSED, (int32_t)a->rows,
        (int32_t)columns, (int32_t)a->depth, 1, a->activations, (int32_t)activation_stride, weights,
        (int32_t)a->depth, 1, output, (int32_t)(a->rows > 1 ? a->output_stride : columns));
}

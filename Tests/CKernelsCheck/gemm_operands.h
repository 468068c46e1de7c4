/// Operands of the gemm family's checks: random weights and activations, their packed and prepared
/// forms, and what they mean in float64 by an own reading of the layouts.
#ifndef MARTLET_TESTS_GEMM_OPERANDS_H
#define MARTLET_TESTS_GEMM_OPERANDS_H

#include "check.h"

#include "dispatch/gemm_layout.h"

/// One operation of the list.
typedef struct gemm_operation {
  const char *name;
  martlet_weight_type weight_type;
  martlet_activation_type activation_type;
} gemm_operation;

/// The operation a product's variant belongs to.
const gemm_operation *gemm_operation_of(const martlet_check *check);

typedef enum gemm_weight_kind {
  GEMM_WEIGHTS_NORMAL,   ///< Any quants, scales of ordinary size, floats about N(0, 1).
  GEMM_WEIGHTS_EXTREME,  ///< Quants, scales and floats at the ends of their ranges.
  GEMM_WEIGHTS_BITS,     ///< Any bits, except that float16 scales are finite.
} gemm_weight_kind;

/// What a product is asked to be. Depth is a multiple of the type's block.
typedef struct gemm_shape {
  size_t rows, columns, depth;
  int bias, accumulate;
  check_kind input_kind;
  gemm_weight_kind weight_kind;
} gemm_shape;

/// A product in guarded memory; inputs are sealed.
typedef struct gemm_product {
  gemm_shape shape;
  const gemm_operation *operation;
  unsigned char *source;          ///< GGUF rows, at any alignment.
  float *input, *bias;
  size_t input_stride, output_stride;
  float *expected, *actual;       ///< Hold the same values where the product accumulates.
  martlet_gemm_arguments reference, variant;  ///< Outputs `expected` and `actual`, all columns.
} gemm_product;

gemm_product gemm_make(martlet_check *check, gemm_shape shape);

/// Random weights of `rows` rows of `depth` elements at `source`.
void gemm_fill_weights(martlet_check *check, martlet_weight_type type, gemm_weight_kind kind,
                       size_t rows, size_t depth, unsigned char *source);

/// Bytes of one row of `depth` elements as GGUF stores them.
size_t gemm_source_row_bytes(martlet_weight_type type, size_t depth);

/// A weight in float64, exactly, from a packed tile of `depth`; `*parts` is |quant · scale| + |minimum|.
double gemm_packed_weight(martlet_weight_type type, const unsigned char *tile, size_t depth,
                          size_t output, size_t depth_index, double *parts);

/// Output [row][column] of the reference's operands in float64; `*tolerance` bounds what float32
/// may be away from it.
double gemm_exact(const gemm_product *product, size_t row, size_t column, double *tolerance);

#endif

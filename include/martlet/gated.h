/// The first half of a gated feed-forward layer in one pass: both products, the activation between
/// them and the preparation of the result for the product after it.
///
/// Gates and ups are rows × columns floats each that nobody wants but the activation. Made, gated
/// and prepared a few columns at a time they stay in the first two levels of the cache; only the
/// prepared result, 1.5 bytes per element of Q8 where the two float matrices take 8, is written.
/// The same operations run in the same order as in martlet_gemm, martlet_silu_gate_f32 (or
/// martlet_gelu_gate_f32) and martlet_gemm_prepare, by the same variants: the bits are theirs.
///
/// Threads: reentrant. Split by columns, in multiples of MARTLET_GATED_COLUMNS.
#ifndef MARTLET_GATED_H
#define MARTLET_GATED_H

#include "gemm.h"

/// Column ranges given to threads start at multiples of it: one block of Q8.
#define MARTLET_GATED_COLUMNS 32

typedef enum martlet_gate_activation {
  MARTLET_GATE_SILU = 0,
  MARTLET_GATE_GELU = 1,
} martlet_gate_activation;

/// What a product multiplies, as in martlet_gemm_arguments.
typedef struct martlet_gated_operands {
  martlet_weight_type weight_type;
  martlet_numeric_class numeric_class;
  const void *activations; ///< As martlet_gemm_prepare left them for this type and class.
  const void *weights;     ///< As martlet_gemm_pack left them.
} martlet_gated_operands;

/// One gated pair of products. Set `size` to sizeof(martlet_gated_arguments).
typedef struct martlet_gated_arguments {
  uint32_t size;
  martlet_gate_activation activation;
  size_t rows, columns, depth; ///< Of both products.
  martlet_gated_operands gate, up;
  /// What the result is prepared as, with `columns` as its depth; Q8 needs a multiple of 32.
  martlet_activation_type prepared_type;
  void *prepared; ///< 64-byte aligned, martlet_gemm_activation_bytes long; overlaps no operand.
  /// `column_begin` is a multiple of 32; `column_end` is too, or equals `columns`.
  size_t column_begin, column_end;
} martlet_gated_arguments;

/// Columns [column_begin, column_end) of prepare(activation(gate product) × up product).
/// 4·rows·columns·depth operations and what the gates take. The range that ends at `columns` also
/// clears what pads the rows.
MARTLET_API martlet_status martlet_gated_products(const martlet_gated_arguments *arguments);

#endif

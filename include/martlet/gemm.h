/// Matrix products of activations with packed weights.
///
/// output[row][column] = sum over depth of activation[row][depth] * weight[column][depth]
///
/// `rows` is BLAS's M (tokens in the batch), `columns` is N (outputs of the layer), `depth` is K.
/// Weights come as GGUF stores them (one row of `depth` elements per output) and are packed once,
/// at load, into tiles of 16 outputs; see CKernels/dispatch/gemm_layout.h for every layout.
/// Activations are prepared once per batch and shared by all products that read them.
///
/// Threads: all functions are reentrant. Split a product by columns (multiples of 16), a packing by
/// columns, a preparation by rows; depth is never split. Inputs and outputs must not overlap.
#ifndef MARTLET_GEMM_H
#define MARTLET_GEMM_H

#include "common.h"

/// Outputs per tile; column ranges given to threads start at multiples of it.
#define MARTLET_GEMM_TILE 16

/// How activations are held for a product.
typedef enum martlet_activation_type {
  MARTLET_ACTIVATION_F32 = 0,
  MARTLET_ACTIVATION_BF16 = 1,
  /// int8 in blocks of 32 with one float32 scale and the int32 sums of each half block. Of eight
  /// steps near the absolute maximum / 127 a block takes the one that rounding to nearest even
  /// loses least at, and for its quants the least-squares scale; a block that holds a value that is
  /// not finite gives NaN.
  MARTLET_ACTIVATION_Q8 = 2,
} martlet_activation_type;

/// The activation type that products with `type` weights read in a numeric class.
MARTLET_API martlet_activation_type martlet_gemm_activation_type(martlet_weight_type type,
                                                                 martlet_numeric_class numeric_class);

/// Bytes of the packed form, a multiple of 64, or 0 when the type is unknown, `depth` is not a
/// multiple of the type's block, or the size overflows.
MARTLET_API size_t martlet_gemm_packed_bytes(martlet_weight_type type,
                                             martlet_numeric_class numeric_class, size_t columns,
                                             size_t depth);

/// Packs outputs [column_begin, column_end) of `source` (`columns` rows in GGUF layout, contiguous)
/// into `packed` (64-byte aligned, martlet_gemm_packed_bytes long). `column_begin` is a multiple of
/// 16; `column_end` is too, or equals `columns`. Columns that pad the last tile are zero.
MARTLET_API martlet_status martlet_gemm_pack(martlet_weight_type type,
                                             martlet_numeric_class numeric_class, size_t columns,
                                             size_t depth, const void *source, void *packed,
                                             size_t column_begin, size_t column_end);

/// Number of the packed layouts of this build; it grows with every change of what martlet_gemm_pack
/// writes, so that packed weights kept in a file are not misread.
MARTLET_API uint32_t martlet_gemm_layout_version(void);

/// Name of the packed layouts of a numeric class on this CPU, such as "tiles-16". Layouts chosen for
/// an ISA have names of their own. Never null; lives forever.
MARTLET_API const char *martlet_gemm_layout_name(martlet_numeric_class numeric_class);

/// Bytes of `rows` prepared rows, a multiple of 64, or 0 on overflow.
MARTLET_API size_t martlet_gemm_activation_bytes(martlet_activation_type type, size_t rows,
                                                 size_t depth);

/// Prepares rows [row_begin, row_end) of `input` (row-major float32, `input_stride` elements from
/// row to row) into `prepared` (64-byte aligned). Q8 needs `depth` to be a multiple of 32.
MARTLET_API martlet_status martlet_gemm_prepare(martlet_activation_type type, size_t rows,
                                                size_t depth, const float *input,
                                                size_t input_stride, void *prepared,
                                                size_t row_begin, size_t row_end);

/// One product. Set `size` to sizeof(martlet_gemm_arguments).
typedef struct martlet_gemm_arguments {
  uint32_t size;
  martlet_weight_type weight_type;
  martlet_numeric_class numeric_class;
  uint32_t accumulate;       ///< 0: output = product. 1: output += product (one float32 add).
  size_t rows, columns, depth;
  const void *activations;   ///< As martlet_gemm_prepare left them.
  const void *weights;       ///< As martlet_gemm_pack left them.
  const float *bias;         ///< Added after the product, `columns` floats, or null.
  float *output;             ///< Row-major.
  size_t output_stride;      ///< Elements from row to row, at least `columns`.
  size_t column_begin, column_end;
} martlet_gemm_arguments;

/// Computes columns [column_begin, column_end) of the product. 2·rows·columns·depth operations.
MARTLET_API martlet_status martlet_gemm(const martlet_gemm_arguments *arguments);

#endif

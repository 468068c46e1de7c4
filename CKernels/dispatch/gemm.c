/// The public doors of the gemm family: sizes, packing, preparing and the product.
#include <martlet/gemm.h>
#include <martlet/rows.h>

#include <string.h>

#include "dispatch/families.h"
#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_pack.h"

static bool is_class(martlet_numeric_class numeric_class) {
  return numeric_class == MARTLET_NUMERIC_PORTABLE || numeric_class == MARTLET_NUMERIC_BF16_DOT ||
         numeric_class == MARTLET_NUMERIC_OPENBLAS || numeric_class == MARTLET_NUMERIC_BF16_AMX;
}

static bool is_quantised(martlet_weight_type type) {
  return martlet_weight_block_elements(type) > 1;
}

static bool is_aligned(const void *pointer) { return (uintptr_t)pointer % 64 == 0; }

/// Whether [begin, end) is a range of whole tiles of `columns`, the last of which may be partial.
static bool is_tile_range(size_t begin, size_t end, size_t columns) {
  return begin <= end && end <= columns && begin % MARTLET_GEMM_TILE == 0 &&
         (end % MARTLET_GEMM_TILE == 0 || end == columns);
}

/// Whether depth is a multiple of the type's block and no size of the product overflows.
static bool is_shape(martlet_weight_type type, martlet_numeric_class numeric_class, size_t columns,
                     size_t depth) {
  size_t block = martlet_weight_block_elements(type), elements, bytes;
  if (block == 0 || !is_class(numeric_class) || depth % block != 0) return false;
  if (columns > SIZE_MAX / 2 - MARTLET_GEMM_TILE || depth > SIZE_MAX / 2) return false;
  // No packed element takes more than 4 bytes; 64 pads each tile.
  return !__builtin_mul_overflow(columns + MARTLET_GEMM_TILE, depth + 64, &elements) &&
         !__builtin_mul_overflow(elements, 4, &bytes);
}

martlet_activation_type martlet_gemm_activation_type(martlet_weight_type type,
                                                     martlet_numeric_class numeric_class) {
  if (numeric_class == MARTLET_NUMERIC_OPENBLAS) return MARTLET_ACTIVATION_F32;
  if (is_quantised(type)) return MARTLET_ACTIVATION_Q8;
  if (type == MARTLET_WEIGHT_BF16 && numeric_class != MARTLET_NUMERIC_PORTABLE)
    return MARTLET_ACTIVATION_BF16;
  return MARTLET_ACTIVATION_F32;
}

size_t martlet_gemm_packed_bytes(martlet_weight_type type, martlet_numeric_class numeric_class,
                                 size_t columns, size_t depth) {
  if (!is_shape(type, numeric_class, columns, depth)) return 0;
  if (numeric_class == MARTLET_NUMERIC_OPENBLAS)
    return (columns * depth * sizeof(float) + 63) / 64 * 64;
  size_t tiles = (columns + MARTLET_GEMM_TILE - 1) / MARTLET_GEMM_TILE;
  return tiles * martlet_gemm_tile_bytes(type, depth);
}

martlet_status martlet_gemm_pack(martlet_weight_type type, martlet_numeric_class numeric_class,
                                 size_t columns, size_t depth, const void *source, void *packed,
                                 size_t column_begin, size_t column_end) {
  if (!is_shape(type, numeric_class, columns, depth)) return MARTLET_E_ARGUMENT;
  if (!is_tile_range(column_begin, column_end, columns)) return MARTLET_E_ARGUMENT;
  if (column_begin == column_end || depth == 0) return MARTLET_OK;
  if (!source || !packed || !is_aligned(packed)) return MARTLET_E_ARGUMENT;
  size_t row_bytes =
      depth / martlet_weight_block_elements(type) * martlet_weight_block_bytes(type);
  const uint8_t *rows = source;
  if (numeric_class == MARTLET_NUMERIC_OPENBLAS)
    return martlet_dequantize(type, (column_end - column_begin) * depth,
                              rows + column_begin * row_bytes,
                              (float *)packed + column_begin * depth);
  size_t tile_bytes = martlet_gemm_tile_bytes(type, depth);
  for (size_t column = column_begin; column < column_end; column += MARTLET_GEMM_TILE) {
    size_t outputs = column_end - column;
    if (outputs > MARTLET_GEMM_TILE) outputs = MARTLET_GEMM_TILE;
    martlet_gemm_pack_tile(type, rows + column * row_bytes, row_bytes, outputs, depth,
                           (uint8_t *)packed + column / MARTLET_GEMM_TILE * tile_bytes);
  }
  return MARTLET_OK;
}

static bool is_activation(martlet_activation_type type, size_t depth) {
  switch (type) {
    case MARTLET_ACTIVATION_F32:
    case MARTLET_ACTIVATION_BF16: return depth <= SIZE_MAX / 8;
    case MARTLET_ACTIVATION_Q8: return depth % MARTLET_GEMM_BLOCK == 0 && depth <= SIZE_MAX / 8;
  }
  return false;
}

size_t martlet_gemm_activation_bytes(martlet_activation_type type, size_t rows, size_t depth) {
  size_t bytes;
  if (!is_activation(type, depth)) return 0;
  if (__builtin_mul_overflow(rows, martlet_gemm_row_bytes(type, depth), &bytes)) return 0;
  return bytes;
}

martlet_status martlet_gemm_prepare(martlet_activation_type type, size_t rows, size_t depth,
                                    const float *input, size_t input_stride, void *prepared,
                                    size_t row_begin, size_t row_end) {
  if (!is_activation(type, depth)) return MARTLET_E_ARGUMENT;
  if (row_begin > row_end || row_end > rows) return MARTLET_E_ARGUMENT;
  if (row_begin == row_end || depth == 0) return MARTLET_OK;
  if (!input || !prepared || !is_aligned(prepared)) return MARTLET_E_ARGUMENT;
  if (rows > 1 && input_stride < depth) return MARTLET_E_ARGUMENT;
  size_t row_bytes = martlet_gemm_row_bytes(type, depth);
  size_t used = martlet_gemm_row_used_bytes(type, depth);
  martlet_prepare_function *prepare = NULL;
  if (type == MARTLET_ACTIVATION_BF16)
    prepare = MARTLET_CHOSEN(prepare_bf16, MARTLET_NUMERIC_BF16_DOT);
  else if (type == MARTLET_ACTIVATION_Q8)
    prepare = MARTLET_CHOSEN(prepare_q8, MARTLET_NUMERIC_PORTABLE);
  for (size_t row = row_begin; row < row_end; ++row) {
    uint8_t *target = (uint8_t *)prepared + row * row_bytes;
    if (prepare)
      prepare(input + row * input_stride, depth, target);
    else
      memcpy(target, input + row * input_stride, used);
    memset(target + used, 0, row_bytes - used);
  }
  return MARTLET_OK;
}

/// The variant that serves a product. Only bf16 weights have variants in the classes of bf16
/// activations; every other type is portable there too.
static martlet_gemm_function *kernel_of(martlet_weight_type type,
                                        martlet_numeric_class numeric_class) {
  if (numeric_class == MARTLET_NUMERIC_OPENBLAS)
    return MARTLET_CHOSEN(gemm_f32_f32, MARTLET_NUMERIC_OPENBLAS);
  switch (type) {
    case MARTLET_WEIGHT_F32: return MARTLET_CHOSEN(gemm_f32_f32, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_F16: return MARTLET_CHOSEN(gemm_f16_f32, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_BF16:
      if (numeric_class != MARTLET_NUMERIC_PORTABLE)
        return MARTLET_CHOSEN(gemm_bf16_bf16, numeric_class);
      return MARTLET_CHOSEN(gemm_bf16_f32, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q4_0: return MARTLET_CHOSEN(gemm_q4_0_q8, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q4_1: return MARTLET_CHOSEN(gemm_q4_1_q8, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q5_0: return MARTLET_CHOSEN(gemm_q5_0_q8, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q5_1: return MARTLET_CHOSEN(gemm_q5_1_q8, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q8_0: return MARTLET_CHOSEN(gemm_q8_0_q8, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q4_K: return MARTLET_CHOSEN(gemm_q4_k_q8, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q5_K: return MARTLET_CHOSEN(gemm_q5_k_q8, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q6_K: return MARTLET_CHOSEN(gemm_q6_k_q8, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_IQ4_NL: return MARTLET_CHOSEN(gemm_iq4_nl_q8, MARTLET_NUMERIC_PORTABLE);
  }
  return NULL;
}

martlet_status martlet_gemm(const martlet_gemm_arguments *arguments) {
  if (!arguments || arguments->size < sizeof(martlet_gemm_arguments)) return MARTLET_E_ARGUMENT;
  const martlet_gemm_arguments *a = arguments;
  if (!is_shape(a->weight_type, a->numeric_class, a->columns, a->depth))
    return MARTLET_E_ARGUMENT;
  if (!is_tile_range(a->column_begin, a->column_end, a->columns) || a->accumulate > 1)
    return MARTLET_E_ARGUMENT;
  if (a->rows == 0 || a->column_begin == a->column_end) return MARTLET_OK;
  if (!a->output || (a->rows > 1 && a->output_stride < a->columns)) return MARTLET_E_ARGUMENT;
  if (a->depth == 0) {
    // An empty sum has no operands to read.
    for (size_t row = 0; row < a->rows; ++row)
      for (size_t column = a->column_begin; column < a->column_end; ++column)
        martlet_gemm_finish(a, row, column, 0);
    return MARTLET_OK;
  }
  if (!a->activations || !a->weights || !is_aligned(a->activations) || !is_aligned(a->weights))
    return MARTLET_E_ARGUMENT;
  // OpenBLAS counts in 32 bits.
  if (a->numeric_class == MARTLET_NUMERIC_OPENBLAS &&
      (a->rows > INT32_MAX || a->columns > INT32_MAX || a->depth > INT32_MAX - 16 ||
       a->output_stride > INT32_MAX))
    return MARTLET_E_UNSUPPORTED;
  martlet_gemm_function *kernel = kernel_of(a->weight_type, a->numeric_class);
  if (!kernel) return MARTLET_E_UNSUPPORTED;
  kernel(arguments);
  return MARTLET_OK;
}

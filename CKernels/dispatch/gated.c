/// The public door of gated products: a blocking over the doors of gemm and activation.
///
/// Rows go through in groups whose activations stay in the second-level cache, columns in steps
/// whose gates and ups fit 32 KB of stack. A step's values lie without gaps, so that gating and
/// preparing each are one call for all of its rows; the prepared pieces then move to their rows, 48
/// bytes per 32 values of Q8.
#include <martlet/activation.h>
#include <martlet/gated.h>

#include <string.h>

#include "dispatch/gemm_layout.h"

enum {
  STEP_VALUES = 4096,        ///< Gates of a step; as many ups.
  MOST_ROWS = STEP_VALUES / MARTLET_GATED_COLUMNS,
  ROWS_BYTES = 1 << 19,      ///< Of the activations of a group of MOST_ROWS.
  LEAST_ROWS = 64,           ///< A group's, however long they are: they share each read of weights.
};

/// Rows that pass all columns together.
static size_t rows_of_group(const martlet_gated_operands *operands, size_t depth) {
  const martlet_activation_type type =
      martlet_gemm_activation_type(operands->weight_type, operands->numeric_class);
  const size_t fit = ROWS_BYTES / martlet_gemm_row_bytes(type, depth);
  return fit >= MOST_ROWS ? MOST_ROWS : LEAST_ROWS;
}

/// Columns of a step of `rows` rows: whole blocks.
static size_t columns_of_step(size_t rows) {
  return STEP_VALUES / rows / MARTLET_GATED_COLUMNS * MARTLET_GATED_COLUMNS;
}

/// Columns [column, column + count) of a product for rows [row, row + rows), without gaps.
static martlet_status multiply(const martlet_gated_arguments *a,
                               const martlet_gated_operands *operands, size_t row, size_t rows,
                               size_t column, size_t count, float *output) {
  const martlet_activation_type type =
      martlet_gemm_activation_type(operands->weight_type, operands->numeric_class);
  // The tiles before a column take what as many columns packed alone would.
  const size_t before = martlet_gemm_packed_bytes(operands->weight_type, operands->numeric_class,
                                                  column, a->depth);
  const martlet_gemm_arguments product = {
      .size = sizeof product,
      .weight_type = operands->weight_type,
      .numeric_class = operands->numeric_class,
      .rows = rows,
      .columns = count,
      .depth = a->depth,
      .activations =
          (const uint8_t *)operands->activations + row * martlet_gemm_row_bytes(type, a->depth),
      .weights = (const uint8_t *)operands->weights + before,
      .output = output,
      .output_stride = count,
      .column_end = count,
  };
  return martlet_gemm(&product);
}

/// Gates and prepares a step's values and moves them to their rows.
static martlet_status deliver(const martlet_gated_arguments *a, size_t row, size_t rows,
                              size_t column, size_t count, float *gates, const float *ups) {
  _Alignas(64) uint8_t pieces[STEP_VALUES * sizeof(float) + 64];
  martlet_status status = a->activation == MARTLET_GATE_GELU
                              ? martlet_gelu_gate_f32(rows * count, gates, ups, gates)
                              : martlet_silu_gate_f32(rows * count, gates, ups, gates);
  if (status) return status;
  const size_t values = rows * count;
  status = martlet_gemm_prepare(a->prepared_type, 1, values, gates, values, pieces, 0, 1);
  if (status) return status;
  const size_t row_bytes = martlet_gemm_row_bytes(a->prepared_type, a->columns);
  const size_t used = martlet_gemm_row_used_bytes(a->prepared_type, a->columns);
  const size_t offset = martlet_gemm_row_used_bytes(a->prepared_type, column);
  const size_t piece = martlet_gemm_row_used_bytes(a->prepared_type, count);
  uint8_t *target = (uint8_t *)a->prepared + row * row_bytes;
  for (size_t i = 0; i < rows; ++i, target += row_bytes) {
    memcpy(target + offset, pieces + i * piece, piece);
    if (column + count == a->columns) memset(target + used, 0, row_bytes - used);
  }
  return MARTLET_OK;
}

/// Whether shapes, ranges and pointers are what the header asks.
static bool is_valid(const martlet_gated_arguments *a) {
  if (a->activation != MARTLET_GATE_SILU && a->activation != MARTLET_GATE_GELU) return false;
  if (a->column_begin > a->column_end || a->column_end > a->columns) return false;
  if (a->column_begin % MARTLET_GATED_COLUMNS) return false;
  if (a->column_end % MARTLET_GATED_COLUMNS && a->column_end != a->columns) return false;
  if (a->depth == 0 || a->columns == 0) return false;
  const martlet_gated_operands *both[] = {&a->gate, &a->up};
  for (int i = 0; i < 2; ++i)
    if (!martlet_gemm_packed_bytes(both[i]->weight_type, both[i]->numeric_class, a->columns,
                                   a->depth) ||
        !both[i]->weights || !both[i]->activations)
      return false;
  if (a->rows == 0) return true;
  return martlet_gemm_activation_bytes(a->prepared_type, a->rows, a->columns) && a->prepared &&
         (uintptr_t)a->prepared % 64 == 0;
}

martlet_status martlet_gated_products(const martlet_gated_arguments *arguments) {
  const martlet_gated_arguments *a = arguments;
  if (!a || a->size < sizeof(martlet_gated_arguments) || !is_valid(a)) return MARTLET_E_ARGUMENT;
  _Alignas(64) float gates[STEP_VALUES], ups[STEP_VALUES];
  const size_t group = rows_of_group(&a->gate, a->depth);
  for (size_t row = 0, rows; row < a->rows; row += rows) {
    rows = a->rows - row < group ? a->rows - row : group;
    const size_t step = columns_of_step(rows);
    for (size_t column = a->column_begin, count; column < a->column_end; column += count) {
      count = a->column_end - column < step ? a->column_end - column : step;
      martlet_status status = multiply(a, &a->gate, row, rows, column, count, gates);
      if (!status) status = multiply(a, &a->up, row, rows, column, count, ups);
      if (!status) status = deliver(a, row, rows, column, count, gates, ups);
      if (status) return status;
    }
  }
  return MARTLET_OK;
}

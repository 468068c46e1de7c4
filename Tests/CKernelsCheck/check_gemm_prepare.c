/// Checks of the preparation of activations.
#include "check.h"

#include "dispatch/gemm_layout.h"

#include "reference/half.h"

#include <math.h>
#include <string.h>

/// One row in guarded memory; the prepared forms start on a cache line as the door promises.
typedef struct prepared_row {
  size_t depth, bytes;
  float *input;
  unsigned char *expected, *actual;
} prepared_row;

static int is_q8(const martlet_check *check) {
  return !strcmp(check->entry->operation, "prepare_q8");
}

static prepared_row make(martlet_check *check, check_kind kind, size_t depth) {
  check_new_run(check);
  check_describe(check, "%s inputs, depth %zu", check_kind_name(kind), depth);
  prepared_row row = {.depth = depth};
  row.bytes = martlet_gemm_row_used_bytes(
      is_q8(check) ? MARTLET_ACTIVATION_Q8 : MARTLET_ACTIVATION_BF16, depth);
  row.input = check_buffer(check, "input", depth * sizeof(float), 4 * check_below(check, 16));
  row.expected = check_aligned_buffer(check, "expected", row.bytes);
  row.actual = check_aligned_buffer(check, "prepared", row.bytes);
  check_fill(check, kind, row.input, depth);
  check_seal(check, row.input);
  return row;
}

static void call(const martlet_entry *entry, const prepared_row *row, void *prepared) {
  ((martlet_prepare_function *)entry->function)(row->input, row->depth, prepared);
}

static void compare(martlet_check *check, check_kind kind, size_t depth) {
  prepared_row row = make(check, kind, depth);
  call(check->reference, &row, row.expected);
  CHECK_CALL(check, call(check->entry, &row, row.actual));
  check_same_bytes(check, row.expected, row.actual, row.bytes);
  check_poison(check);
}

static void lengths(martlet_check *check) {
  for (size_t i = 1; i <= 66; ++i) compare(check, CHECK_NORMAL, is_q8(check) ? 32 * i : i);
}

static void special_values(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (int repeat = 0; repeat < 8; ++repeat) compare(check, (check_kind)kind, 96);
}

/// The values a block can carry: within half a step of what came in, with sums that add up, and a
/// scale that shows when something was not finite.
static void check_blocks(martlet_check *check, const prepared_row *row) {
  for (size_t b = 0; b < row->depth / 32; ++b) {
    const martlet_q8_block *block = (const martlet_q8_block *)(const void *)row->actual + b;
    const float *input = row->input + 32 * b;
    int finite = 1, first = 0, sum = 0;
    for (size_t i = 0; i < 32; ++i) finite &= isfinite(input[i]) != 0;
    if (!finite) {
      if (!isnan(block->scale) || !isnan(block->scaled_sum))
        check_fail(check, "block %zu is not finite but its scale is", b);
      continue;
    }
    const double scale = (double)block->scale;
    for (size_t i = 0; i < 32; ++i) {
      const double tolerance = scale * 0.5001 + (double)MARTLET_Q8_SMALLEST;
      check_close(check, "half a step", scale * block->values[i], input[i], tolerance);
      sum += block->values[i];
      if (i == 15) first = sum;
    }
    if (block->start != -8 * sum || block->start_first != -8 * first)
      check_fail(check, "block %zu starts at %d and %d", b, block->start, block->start_first);
    if (block->scaled_sum != (float)(scale * sum))
      check_fail(check, "block %zu has the scaled sum %a", b, (double)block->scaled_sum);
  }
}

/// Nearest even: within half a unit of the last of bf16's eight bits; zero below the normal range.
static void check_halves(martlet_check *check, const prepared_row *row) {
  for (size_t i = 0; i < row->depth; ++i) {
    uint16_t bits;
    memcpy(&bits, row->actual + 2 * i, 2);
    const float value = martlet_float_of_bfloat(bits), input = row->input[i];
    if (fabsf(input) < 0x1p-126f) {
      if (value != 0 || signbit(value) != signbit(input))
        check_fail(check, "a subnormal became %a", (double)value);
    } else if (fabsf(input) < 0x1.ffp127f) {
      check_close(check, "half a unit of bf16", (double)input, value,
                  fabs((double)input) * 0x1p-8);
    } else if (isnan(input) != isnan(value)) {
      check_fail(check, "%a became %a", (double)input, (double)value);
    }
  }
}

static void meaning(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind) {
    prepared_row row = make(check, (check_kind)kind, 320);
    CHECK_CALL(check, call(check->entry, &row, row.actual));
    (is_q8(check) ? check_blocks : check_halves)(check, &row);
  }
}

/// The door pads rows with zeros and leaves rows outside the range alone.
static void door(martlet_check *check) {
  const martlet_activation_type type =
      is_q8(check) ? MARTLET_ACTIVATION_Q8 : MARTLET_ACTIVATION_BF16;
  const size_t depth = is_q8(check) ? 96 : 45, rows = 5, stride = depth + 3;
  check_new_run(check);
  check_describe(check, "rows 1 to 3 of 5");
  const size_t row_bytes = martlet_gemm_row_bytes(type, depth);
  const size_t used = martlet_gemm_row_used_bytes(type, depth);
  float *input = check_buffer(check, "input", ((rows - 1) * stride + depth) * sizeof(float), 4);
  unsigned char *prepared = check_aligned_buffer(
      check, "prepared", martlet_gemm_activation_bytes(type, rows, depth));
  unsigned char *row = check_aligned_buffer(check, "one row", used);
  check_fill(check, CHECK_NORMAL, input, (rows - 1) * stride + depth);
  check_seal(check, input);
  CHECK_CALL(check, martlet_gemm_prepare(type, rows, depth, input, stride, prepared, 1, 4));
  if (!check_untouched(prepared, row_bytes) ||
      !check_untouched(prepared + 4 * row_bytes, row_bytes))
    check_fail(check, "rows outside the range changed");
  for (size_t i = 1; i < 4; ++i) {
    ((martlet_prepare_function *)check->reference->function)(input + i * stride, depth, row);
    check_same_bytes(check, row, prepared + i * row_bytes, used);
    for (size_t k = used; k < row_bytes; ++k)
      if (prepared[i * row_bytes + k]) check_fail(check, "padding of row %zu is not zero", i);
  }
  check_poison(check);
  ++check->runs;
  if (martlet_gemm_prepare(type, rows, depth, input, stride, prepared + 4, 1, 4) !=
      MARTLET_E_ARGUMENT)
    check_fail(check, "a misaligned target was accepted");
  if (martlet_gemm_prepare(MARTLET_ACTIVATION_Q8, rows, 33, input, stride, prepared, 0, 1) !=
      MARTLET_E_ARGUMENT)
    check_fail(check, "part of a block was accepted");
}

static void repeat(void *context, martlet_any_function function) {
  const prepared_row *row = context;
  ((martlet_prepare_function *)function)(row->input, row->depth, row->actual);
}

static void time_prepare(martlet_check *check, martlet_check_timing *timing) {
  prepared_row row = make(check, CHECK_NORMAL, 4096);
  strcpy(timing->shape, "1 × 4096");
  timing->bytes = 4096.0 * sizeof(float) + (double)row.bytes;
  timing->operations = 4096 * 4;
  check_time(check, timing, repeat, &row);
}

static const martlet_check_case cases[] = {
    {"lengths", lengths, 0}, {"special values", special_values, 0}, {"meaning", meaning, 0},
    {"door", door, 1},
};
const martlet_check_operation martlet_check_gemm_prepare_operations[] = {
    {"prepare_q8", cases, sizeof(cases) / sizeof(cases[0]), time_prepare},
    {"prepare_bf16", cases, sizeof(cases) / sizeof(cases[0]), time_prepare},
};
const size_t martlet_check_gemm_prepare_operation_count =
    sizeof(martlet_check_gemm_prepare_operations) /
    sizeof(martlet_check_gemm_prepare_operations[0]);

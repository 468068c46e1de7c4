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

/// One block of a row, to be judged.
typedef struct check_place {
  martlet_check *check;
  const float *input;
  const martlet_q8_block *block;
  size_t index;
} check_place;

static int is_q8(const martlet_check *check) {
  return !strcmp(check->entry->operation, "prepare_q8");
}

/// A row whose inputs follow the kind; `largest`, unless 0, is what their magnitudes then reach.
static prepared_row make_scaled(martlet_check *check, check_kind kind, size_t depth,
                                float largest) {
  check_new_run(check);
  check_describe(check, "%s inputs, depth %zu, largest %g", check_kind_name(kind), depth,
                 (double)largest);
  prepared_row row = {.depth = depth};
  row.bytes = martlet_gemm_row_used_bytes(
      is_q8(check) ? MARTLET_ACTIVATION_Q8 : MARTLET_ACTIVATION_BF16, depth);
  row.input = check_buffer(check, "input", depth * sizeof(float), 4 * check_below(check, 16));
  row.expected = check_aligned_buffer(check, "expected", row.bytes);
  row.actual = check_aligned_buffer(check, "prepared", row.bytes);
  check_fill(check, kind, row.input, depth);
  if (largest > 0) {
    double reached = 0;
    for (size_t i = 0; i < depth; ++i) reached = fmax(reached, fabs((double)row.input[i]));
    for (size_t i = 0; i < depth; ++i)
      row.input[i] = (float)(row.input[i] / reached * (double)largest);
  }
  check_seal(check, row.input);
  return row;
}

static prepared_row make(martlet_check *check, check_kind kind, size_t depth) {
  return make_scaled(check, kind, depth, 0);
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

/// Σ (input − quant · scale)², where quants are what `steps` / largest rounds to, in float64.
static double error_of_steps(const float *input, double largest, double steps) {
  double error = 0;
  for (size_t i = 0; i < 32; ++i) {
    const double rest = input[i] - nearbyint(input[i] * steps / largest) * (largest / steps);
    error += rest * rest;
  }
  return error;
}

/// In float64, against the rule of gemm_layout.h: quants that are roundings at one candidate's
/// step, none of which is clearly better; the least-squares scale; and so an error never above
/// what plain scaling by the absolute maximum / 127 leaves.
static void check_quants(check_place place) {
  martlet_check *check = place.check;
  const martlet_q8_block *block = place.block;
  double largest = 0, error = 0, product = 0, square = 0;
  for (size_t i = 0; i < 32; ++i) {
    const double value = place.input[i], quant = block->values[i];
    largest = fmax(largest, fabs(value));
    error += (value - quant * (double)block->scale) * (value - quant * (double)block->scale);
    product += value * quant, square += quant * quant;
    if (block->values[i] == -128) check_fail(check, "block %zu holds -128", place.index);
  }
  if (largest < (double)MARTLET_Q8_SMALLEST) {
    if (square != 0 || block->scale != 0) check_fail(check, "block %zu is not zero", place.index);
    return;
  }
  check_close(check, "the least-squares scale", product / square, block->scale,
              0x1p-21 * product / square);
  // Rounding moves no input by more than this.
  const double slack = largest * 0x1p-20;
  const double plain = error_of_steps(place.input, largest, 127);
  if (sqrt(error) > sqrt(plain) + slack)
    check_fail(check, "block %zu: error %g is above the plain scale's %g", place.index, error,
               plain);
  double least = INFINITY, own = INFINITY;
  for (int k = 0; k < MARTLET_Q8_CANDIDATES; ++k) {
    const double steps = 127 - k, candidate = error_of_steps(place.input, largest, steps);
    int matches = 1;
    for (size_t i = 0; i < 32; ++i)
      matches &= fabs(place.input[i] * steps / largest - block->values[i]) <= 0.5001;
    least = fmin(least, candidate);
    if (matches) own = fmin(own, candidate);
  }
  if (own == INFINITY)
    check_fail(check, "block %zu is rounded at no candidate's step", place.index);
  else if (sqrt(own) > sqrt(least) + slack)
    check_fail(check, "block %zu: error %g where a candidate has %g", place.index, own, least);
}

/// The values a block can carry: quants by the rule, sums that add up, and a scale that shows when
/// something was not finite.
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
    check_quants((check_place){check, input, block, b});
    for (size_t i = 0; i < 32; ++i) {
      sum += block->values[i];
      if (i == 15) first = sum;
    }
    if (block->start != -8 * sum || block->start_first != -8 * first)
      check_fail(check, "block %zu starts at %d and %d", b, block->start, block->start_first);
    if (block->scaled_sum != (float)((double)block->scale * sum))
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

static void check_meaning(martlet_check *check, prepared_row row) {
  CHECK_CALL(check, call(check->entry, &row, row.actual));
  (is_q8(check) ? check_blocks : check_halves)(check, &row);
}

static void meaning(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    check_meaning(check, make(check, (check_kind)kind, 320));
  // Where scales or their inverses come near the ends of float32's range, and exact steps.
  static const float ends[] = {0x1p-140f, 0x1.fffffep-119f, 0x1p-118f, 0x1.000002p-118f,
                               0x1p-100f, 1,                127,       0x1p126f,
                               0x1.fffffep127f};
  for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); ++i)
    for (int repeat = 0; repeat < 16; ++repeat) {
      prepared_row row = make_scaled(check, CHECK_NORMAL, 32, ends[i]);
      check_meaning(check, row);
      call(check->reference, &row, row.expected);
      check_same_bytes(check, row.expected, row.actual, row.bytes);
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
  timing->operations = 4096 * (is_q8(check) ? 8 * 8 : 4);
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

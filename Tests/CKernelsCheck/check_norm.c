/// Checks of the norm family.
#include "check.h"

#include <math.h>
#include <string.h>

enum { rows_tried = 3 };

/// Buffers of one norm call, for the variant and for the reference.
typedef struct norm_buffers {
  size_t rows, width, input_stride, output_stride;
  float *input, *weight, *bias, *expected, *actual;
} norm_buffers;

static size_t span(size_t rows, size_t width, size_t stride) {
  return rows == 0 ? 0 : ((rows - 1) * stride + width) * sizeof(float);
}

static norm_buffers prepare(martlet_check *check, check_kind kind, size_t rows, size_t width,
                            size_t gap, int with_bias) {
  check_new_run(check);
  const size_t offset = 4 * check_below(check, 16);
  norm_buffers b = {rows, width, width + gap, width + 2 * gap, 0, 0, 0, 0, 0};
  b.input = check_buffer(check, "input", span(rows, width, b.input_stride), offset);
  b.weight = check_buffer(check, "weight", width * sizeof(float), offset);
  if (with_bias) b.bias = check_buffer(check, "bias", width * sizeof(float), 0);
  b.expected = check_buffer(check, "expected", span(rows, width, b.output_stride), offset);
  b.actual = check_buffer(check, "output", span(rows, width, b.output_stride), offset);
  for (size_t row = 0; row < rows; ++row)
    check_fill(check, kind, b.input + row * b.input_stride, width);
  check_fill(check, CHECK_NORMAL, b.weight, width);
  if (with_bias) check_fill(check, CHECK_NORMAL, b.bias, width);
  check_seal(check, b.input);
  check_seal(check, b.weight);
  if (with_bias) check_seal(check, b.bias);
  return b;
}

static void call_rms(martlet_any_function function, const norm_buffers *b, size_t first,
                     size_t rows, float *output) {
  ((martlet_rms_norm_f32_function *)function)(
      rows, b->width, b->input + first * b->input_stride, b->input_stride, b->weight, 1e-5f,
      output + first * b->output_stride, b->output_stride);
}

static void call_layer(martlet_any_function function, const norm_buffers *b, size_t first,
                       size_t rows, float *output) {
  ((martlet_layer_norm_f32_function *)function)(
      rows, b->width, b->input + first * b->input_stride, b->input_stride, b->weight, b->bias,
      1e-5f, output + first * b->output_stride, b->output_stride);
}

typedef void norm_call(martlet_any_function, const norm_buffers *, size_t, size_t, float *);

static void compare(martlet_check *check, norm_call *call, const norm_buffers *b) {
  call(check->reference->function, b, 0, b->rows, b->expected);
  CHECK_CALL(check, call(check->entry->function, b, 0, b->rows, b->actual));
  check_same_bits(check, b->expected, b->actual, b->rows, b->width, b->output_stride);
  check_poison(check);
}

static void lengths(martlet_check *check, norm_call *call, int bias) {
  for (size_t i = 0; i < check_length_count; ++i)
    for (size_t rows = 1; rows <= rows_tried; rows += rows_tried - 1) {
      // A zero width never reaches a variant: the public door answers it.
      if (check_lengths[i] == 0) continue;
      const size_t gap = check_below(check, 5);
      check_describe(check, "%zu rows of %zu, gap %zu", rows, check_lengths[i], gap);
      norm_buffers b = prepare(check, CHECK_NORMAL, rows, check_lengths[i], gap, bias);
      compare(check, call, &b);
    }
}

static void special_values(martlet_check *check, norm_call *call, int bias) {
  static const size_t widths[] = {1, 7, 16, 33, 100};
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); ++i) {
      check_describe(check, "%s inputs, width %zu", check_kind_name((check_kind)kind), widths[i]);
      norm_buffers b = prepare(check, (check_kind)kind, 2, widths[i], 1, bias);
      compare(check, call, &b);
    }
}

static void invariance(martlet_check *check, norm_call *call, int bias) {
  for (size_t width = 5; width < 300; width += 59) {
    const size_t rows = 7;
    check_describe(check, "%zu rows of %zu, one at a time", rows, width);
    norm_buffers b = prepare(check, CHECK_NORMAL, rows, width, 2, bias);
    CHECK_CALL(check, call(check->entry->function, &b, 0, rows, b.actual));
    CHECK_CALL(check, for (size_t row = 0; row < rows; ++row)
                          call(check->entry->function, &b, row, 1, b.expected));
    check_same_bits(check, b.expected, b.actual, rows, width, b.output_stride);
  }
}

static void in_place(martlet_check *check, norm_call *call, int bias) {
  for (size_t width = 1; width < 70; width += 4) {
    check_describe(check, "in place, width %zu", width);
    norm_buffers b = prepare(check, CHECK_NORMAL, 2, width, 0, bias);
    memcpy(b.actual, b.input, 2 * width * sizeof(float));
    call(check->reference->function, &b, 0, 2, b.expected);
    norm_buffers same = b;
    same.input = b.actual;
    CHECK_CALL(check, call(check->entry->function, &same, 0, 2, b.actual));
    check_same_bits(check, b.expected, b.actual, 2, width, width);
    check_poison(check);
  }
}

static void rms_lengths(martlet_check *check) { lengths(check, call_rms, 0); }
static void rms_special(martlet_check *check) { special_values(check, call_rms, 0); }
static void rms_invariance(martlet_check *check) { invariance(check, call_rms, 0); }
static void rms_in_place(martlet_check *check) { in_place(check, call_rms, 0); }
static void layer_lengths(martlet_check *check) {
  lengths(check, call_layer, 0);
  lengths(check, call_layer, 1);
}
static void layer_special(martlet_check *check) { special_values(check, call_layer, 1); }
static void layer_invariance(martlet_check *check) { invariance(check, call_layer, 1); }
static void layer_in_place(martlet_check *check) { in_place(check, call_layer, 1); }

static void rms_float64(martlet_check *check) {
  for (size_t i = 1; i < check_length_count; ++i) {
    const size_t width = check_lengths[i];
    check_describe(check, "width %zu against float64", width);
    norm_buffers b = prepare(check, CHECK_NORMAL, 1, width, 0, 0);
    CHECK_CALL(check, call_rms(check->entry->function, &b, 0, 1, b.actual));
    double sum = 0;
    for (size_t d = 0; d < width; ++d) sum += (double)b.input[d] * b.input[d];
    double inverse = 1 / sqrt(sum / (double)width + 1e-5f);
    // Positive terms: each lane adds width/16 times and the fold four times.
    double relative = ((double)width / 16 + 12) * CHECK_EPSILON;
    for (size_t d = 0; d < width; ++d) {
      double expected = b.input[d] * inverse * b.weight[d];
      check_close(check, "sum of width/16 + 12 roundings", expected, b.actual[d],
                  fabs(expected) * relative + 1e-45);
    }
  }
}

static void layer_float64(martlet_check *check) {
  for (size_t i = 2; i < check_length_count; ++i) {
    const size_t width = check_lengths[i];
    check_describe(check, "width %zu against float64", width);
    norm_buffers b = prepare(check, CHECK_NORMAL, 1, width, 0, 1);
    CHECK_CALL(check, call_layer(check->entry->function, &b, 0, 1, b.actual));
    double sum = 0, absolute = 0, squares = 0;
    for (size_t d = 0; d < width; ++d) sum += b.input[d], absolute += fabs((double)b.input[d]);
    double mean = sum / (double)width;
    for (size_t d = 0; d < width; ++d) squares += (b.input[d] - mean) * (b.input[d] - mean);
    double inverse = 1 / sqrt(squares / (double)width + 1e-5f);
    double roundings = ((double)width / 16 + 12) * CHECK_EPSILON;
    double mean_error = absolute / (double)width * roundings;
    for (size_t d = 0; d < width; ++d) {
      double scaled = (b.input[d] - mean) * inverse * b.weight[d];
      double expected = scaled + b.bias[d];
      // The mean's error moves the value itself and, through the variance, its scale.
      double tolerance = fabs(inverse * b.weight[d]) * mean_error * (1 + fabs(scaled)) +
                         fabs(scaled) * (2 * roundings + 2 * mean_error * inverse) +
                         fabs(expected) * 2 * CHECK_EPSILON;
      check_close(check, "sums of width/16 + 12 roundings", expected, b.actual[d], tolerance);
    }
  }
}

// ---- add ----------------------------------------------------------------------------------------

static void compare_add(martlet_check *check, check_kind kind, size_t count) {
  check_new_run(check);
  check_describe(check, "%s inputs, %zu elements", check_kind_name(kind), count);
  const size_t offset = 4 * check_below(check, 16);
  float *addend = check_buffer(check, "addend", count * sizeof(float), offset);
  float *expected = check_buffer(check, "expected", count * sizeof(float), 0);
  float *actual = check_buffer(check, "target", count * sizeof(float), offset);
  check_fill(check, kind, addend, count);
  check_fill(check, kind, expected, count);
  memcpy(actual, expected, count * sizeof(float));
  check_seal(check, addend);
  ((martlet_add_f32_function *)check->reference->function)(count, addend, expected);
  CHECK_CALL(check, ((martlet_add_f32_function *)check->entry->function)(count, addend, actual));
  check_same_bits(check, expected, actual, 1, count, count);
  check_poison(check);
}

static void add_lengths(martlet_check *check) {
  for (size_t i = 0; i < check_length_count; ++i)
    compare_add(check, CHECK_NORMAL, check_lengths[i]);
}

static void add_special(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind) compare_add(check, (check_kind)kind, 101);
}

static void add_float64(martlet_check *check) {
  check_new_run(check);
  check_describe(check, "against float64");
  float addend[64], target[64], sum[64];
  check_fill(check, CHECK_WIDE, addend, 64);
  check_fill(check, CHECK_WIDE, target, 64);
  memcpy(sum, target, sizeof sum);
  CHECK_CALL(check, ((martlet_add_f32_function *)check->entry->function)(64, addend, sum));
  for (int i = 0; i < 64; ++i) {
    double expected = (double)addend[i] + target[i];
    check_close(check, "one rounding", expected, sum[i], fabs(expected) * CHECK_EPSILON);
  }
}

// ---- timings ------------------------------------------------------------------------------------

static void repeat_rms(void *context, martlet_any_function function) {
  norm_buffers *b = context;
  call_rms(function, b, 0, b->rows, b->actual);
}

static void repeat_layer(void *context, martlet_any_function function) {
  norm_buffers *b = context;
  call_layer(function, b, 0, b->rows, b->actual);
}

static void repeat_add(void *context, martlet_any_function function) {
  norm_buffers *b = context;
  ((martlet_add_f32_function *)function)(b->width, b->weight, b->actual);
}

static void time_norm(martlet_check *check, martlet_check_timing *timing,
                      void (*repeat)(void *, martlet_any_function), int arrays,
                      double operations) {
  norm_buffers b = prepare(check, CHECK_NORMAL, 1, 4096, 0, 1);
  memset(b.actual, 0, 4096 * sizeof(float));
  strcpy(timing->shape, "1 × 4096");
  timing->bytes = 4.0 * 4096 * arrays;
  timing->operations = 4096 * operations;
  check_time(check, timing, repeat, &b);
}

static void time_rms(martlet_check *check, martlet_check_timing *timing) {
  time_norm(check, timing, repeat_rms, 3, 4);
}
static void time_layer(martlet_check *check, martlet_check_timing *timing) {
  time_norm(check, timing, repeat_layer, 4, 8);
}
static void time_add(martlet_check *check, martlet_check_timing *timing) {
  time_norm(check, timing, repeat_add, 3, 1);
}

static const martlet_check_case rms_cases[] = {
    {"lengths", rms_lengths, 0},       {"special values", rms_special, 0},
    {"batch invariance", rms_invariance, 0}, {"in place", rms_in_place, 0},
    {"float64", rms_float64, 1},
};
static const martlet_check_case layer_cases[] = {
    {"lengths", layer_lengths, 0},     {"special values", layer_special, 0},
    {"batch invariance", layer_invariance, 0}, {"in place", layer_in_place, 0},
    {"float64", layer_float64, 1},
};
static const martlet_check_case add_cases[] = {
    {"lengths", add_lengths, 0},
    {"special values", add_special, 0},
    {"float64", add_float64, 1},
};

const martlet_check_operation martlet_check_norm_operations[] = {
    {"rms_norm_f32", rms_cases, 5, time_rms},
    {"layer_norm_f32", layer_cases, 5, time_layer},
    {"add_f32", add_cases, 3, time_add},
};
const size_t martlet_check_norm_operation_count = 3;

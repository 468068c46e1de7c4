/// Checks of the softmax family.
#include "check.h"

#include <math.h>
#include <string.h>

typedef struct softmax_buffers {
  int logarithm;
  size_t rows, width, input_stride, output_stride;
  float scale;
  float *input, *expected, *actual;
} softmax_buffers;

static size_t span(size_t rows, size_t width, size_t stride) {
  return ((rows - 1) * stride + width) * sizeof(float);
}

static softmax_buffers prepare(martlet_check *check, check_kind kind, size_t rows, size_t width,
                               size_t gap, float scale) {
  check_new_run(check);
  const size_t offset = 4 * check_below(check, 16);
  softmax_buffers b = {.logarithm = !strcmp(check->entry->operation, "log_softmax_f32"),
                       .rows = rows,
                       .width = width,
                       .input_stride = width + gap,
                       .output_stride = width + 2 * gap,
                       .scale = scale};
  b.input = check_buffer(check, "input", span(rows, width, b.input_stride), offset);
  b.expected = check_buffer(check, "expected", span(rows, width, b.output_stride), 0);
  b.actual = check_buffer(check, "output", span(rows, width, b.output_stride), offset);
  for (size_t row = 0; row < rows; ++row)
    check_fill(check, kind, b.input + row * b.input_stride, width);
  return b;
}

static void call(martlet_any_function function, const softmax_buffers *b, size_t first,
                 size_t rows, float *output) {
  const float *input = b->input + first * b->input_stride;
  float *out = output + first * b->output_stride;
  if (b->logarithm)
    ((martlet_log_softmax_f32_function *)function)(rows, b->width, input, b->input_stride, out,
                                                   b->output_stride);
  else
    ((martlet_softmax_f32_function *)function)(rows, b->width, b->scale, input, b->input_stride,
                                               out, b->output_stride);
}

static void compare(martlet_check *check, const softmax_buffers *b) {
  check_seal(check, b->input);
  call(check->reference->function, b, 0, b->rows, b->expected);
  CHECK_CALL(check, call(check->entry->function, b, 0, b->rows, b->actual));
  check_same_bits(check, b->expected, b->actual, b->rows, b->width, b->output_stride);
  check_poison(check);
}

static void lengths(martlet_check *check) {
  for (size_t i = 1; i < check_length_count; ++i)
    for (size_t rows = 1; rows <= 3; rows += 2) {
      const size_t gap = check_below(check, 5);
      check_describe(check, "%zu rows of %zu, gap %zu", rows, check_lengths[i], gap);
      softmax_buffers b = prepare(check, CHECK_NORMAL, rows, check_lengths[i], gap, 2.5f);
      compare(check, &b);
    }
}

static void special_values(martlet_check *check) {
  static const size_t widths[] = {1, 7, 16, 33, 100};
  static const float scales[] = {1.0f, 0.0f, -3.0f, 0x1p-140f, INFINITY, NAN};
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (size_t i = 0; i < 5; ++i)
      for (size_t s = 0; s < sizeof(scales) / sizeof(scales[0]); ++s) {
        check_describe(check, "%s inputs, width %zu, scale %g", check_kind_name((check_kind)kind),
                       widths[i], (double)scales[s]);
        softmax_buffers b = prepare(check, (check_kind)kind, 2, widths[i], 1, scales[s]);
        compare(check, &b);
      }
}

static void invariance(martlet_check *check) {
  for (size_t width = 5; width < 300; width += 59) {
    const size_t rows = 7;
    check_describe(check, "%zu rows of %zu, one at a time", rows, width);
    softmax_buffers b = prepare(check, CHECK_NORMAL, rows, width, 2, 1.0f);
    CHECK_CALL(check, call(check->entry->function, &b, 0, rows, b.actual));
    CHECK_CALL(check, for (size_t row = 0; row < rows; ++row)
                          call(check->entry->function, &b, row, 1, b.expected));
    check_same_bits(check, b.expected, b.actual, rows, width, b.output_stride);
  }
}

static void in_place(martlet_check *check) {
  for (size_t width = 1; width < 70; width += 4) {
    check_describe(check, "in place, width %zu", width);
    softmax_buffers b = prepare(check, CHECK_NORMAL, 2, width, 0, 1.0f);
    call(check->reference->function, &b, 0, 2, b.expected);
    CHECK_CALL(check, call(check->entry->function, &b, 0, 2, b.input));
    check_same_bits(check, b.expected, b.input, 2, width, width);
    check_poison(check);
  }
}

/// What the header promises of rows with infinities and NaN.
static void promises(martlet_check *check) {
  check_describe(check, "rows with infinities");
  softmax_buffers b = prepare(check, CHECK_NORMAL, 3, 20, 0, 1.0f);
  b.input[3] = b.input[17] = INFINITY;
  b.input[20 + 5] = NAN;
  for (size_t i = 0; i < 20; ++i) b.input[40 + i] = -INFINITY;
  CHECK_CALL(check, call(check->entry->function, &b, 0, 3, b.actual));
  for (size_t i = 0; i < 20; ++i) {
    double share = i == 3 || i == 17 ? 0.5 : 0;
    check_close(check, "equal shares", b.logarithm ? log(share) : share, b.actual[i], 1e-7);
    check_close(check, "NaN in the row", (double)NAN, b.actual[20 + i], 0);
    check_close(check, "all -inf", (double)NAN, b.actual[40 + i], 0);
  }
}

static void float64(martlet_check *check) {
  for (size_t i = 1; i < check_length_count; ++i) {
    const size_t width = check_lengths[i];
    const float scale = i % 3 == 0 ? 8.0f : 1.0f;
    check_describe(check, "width %zu against float64", width);
    softmax_buffers b = prepare(check, CHECK_NORMAL, 1, width, 0, scale);
    CHECK_CALL(check, call(check->entry->function, &b, 0, 1, b.actual));
    const double factor = b.logarithm ? 1.0 : (double)scale;
    double largest = -INFINITY, sum = 0, magnitude = 0;
    for (size_t d = 0; d < width; ++d) {
      largest = fmax(largest, b.input[d] * factor);
      magnitude = fmax(magnitude, fabs(b.input[d] * factor));
    }
    for (size_t d = 0; d < width; ++d) sum += exp(b.input[d] * factor - largest);
    // Each exponent is off by its own size times three roundings; the sum adds width/16 + 4.
    double relative = ((double)width / 16 + 12 + 6 * magnitude) * CHECK_EPSILON;
    for (size_t d = 0; d < width; ++d) {
      double logarithm = b.input[d] * factor - largest - log(sum);
      if (b.logarithm)
        check_close(check, "width/16 + 12 + 6·|input| roundings", logarithm, b.actual[d],
                    relative + fabs(logarithm) * 2 * CHECK_EPSILON);
      else
        check_close(check, "width/16 + 12 + 6·|input| roundings", exp(logarithm), b.actual[d],
                    exp(logarithm) * relative + 1.2e-38);
    }
  }
}

static void repeat(void *context, martlet_any_function function) {
  softmax_buffers *b = context;
  call(function, b, 0, b->rows, b->actual);
}

static void time_softmax(martlet_check *check, martlet_check_timing *timing) {
  softmax_buffers b = prepare(check, CHECK_NORMAL, 1, 32000, 0, 1.0f);
  strcpy(timing->shape, "1 × 32000");
  timing->bytes = 32000.0 * 4 * (b.logarithm ? 4 : 5);
  timing->operations = 32000.0 * 18;
  check_time(check, timing, repeat, &b);
}

static const martlet_check_case cases[] = {
    {"lengths", lengths, 0},   {"special values", special_values, 0},
    {"batch invariance", invariance, 0}, {"in place", in_place, 0},
    {"promises", promises, 0}, {"float64", float64, 1},
};

const martlet_check_operation martlet_check_softmax_operations[] = {
    {"softmax_f32", cases, 6, time_softmax},
    {"log_softmax_f32", cases, 6, time_softmax},
};
const size_t martlet_check_softmax_operation_count = 2;

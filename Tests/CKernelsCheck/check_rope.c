/// Checks of the rotary embedding.
#include "check.h"

#include <math.h>
#include <string.h>

static martlet_rope_configuration plain(uint32_t rotary) {
  return (martlet_rope_configuration){.size = sizeof(martlet_rope_configuration),
                                      .layout = MARTLET_ROPE_HALVES,
                                      .scaling = MARTLET_ROPE_SCALING_NONE,
                                      .rotary_dimensions = rotary,
                                      .base = 10000,
                                      .factor = 1,
                                      .original_context = 4096,
                                      .yarn_extrapolation = 1,
                                      .yarn_attention = 1,
                                      .yarn_beta_fast = 32,
                                      .yarn_beta_slow = 1,
                                      .low_frequency_factor = 1,
                                      .high_frequency_factor = 4};
}

// ---- the table ----------------------------------------------------------------------------------

/// Calls the table on guarded memory and compares each angle with `frequency(pair)` · position.
static void compare_table(martlet_check *check, const martlet_rope_configuration *c,
                          const double *frequencies, double magnitude) {
  static const int32_t positions[] = {0, 1, 2, 77, 4095, 131071};
  const size_t rows = sizeof(positions) / sizeof(positions[0]), pairs = c->rotary_dimensions / 2;
  check_new_run(check);
  float *table = check_buffer(check, "table", rows * pairs * 2 * sizeof(float), 0);
  CHECK_CALL(check, ((martlet_rope_table_function *)check->entry->function)(c, rows, positions,
                                                                            table));
  for (size_t row = 0; row < rows; ++row)
    for (size_t pair = 0; pair < pairs; ++pair) {
      const double angle = positions[row] * frequencies[pair];
      const float *entry = table + (row * pairs + pair) * 2;
      // One rounding to float32; the angle itself is good to 2⁻⁵⁰ of its size.
      const double tolerance = magnitude * (CHECK_EPSILON + fabs(angle) * 0x1p-50);
      check_close(check, "one rounding", cos(angle) * magnitude, entry[0], tolerance);
      check_close(check, "one rounding", sin(angle) * magnitude, entry[1], tolerance);
    }
  check_poison(check);
}

static void table_plain(martlet_check *check) {
  for (uint32_t rotary = 2; rotary <= 256; rotary += rotary < 16 ? 2 : 48) {
    double frequencies[128];
    float factors[128];
    for (uint32_t pair = 0; pair < rotary / 2; ++pair) {
      factors[pair] = 1.0f + (float)pair;
      frequencies[pair] = exp(-2.0 * pair / rotary * log(10000.0));
    }
    martlet_rope_configuration c = plain(rotary);
    check_describe(check, "no scaling, %u dimensions", rotary);
    compare_table(check, &c, frequencies, 1);
    check_describe(check, "linear scaling, %u dimensions", rotary);
    c.scaling = MARTLET_ROPE_SCALING_LINEAR;
    c.factor = 4;
    for (uint32_t pair = 0; pair < rotary / 2; ++pair) frequencies[pair] /= 4;
    compare_table(check, &c, frequencies, 1);
    check_describe(check, "frequency factors, %u dimensions", rotary);
    c.frequency_factors = factors;
    for (uint32_t pair = 0; pair < rotary / 2; ++pair) frequencies[pair] /= factors[pair];
    compare_table(check, &c, frequencies, 1);
  }
}

/// Llama 3.1's published bands: base 500,000, factor 8, context 8192, factors 1 and 4.
static void table_llama3(martlet_check *check) {
  check_describe(check, "Llama 3 bands");
  martlet_rope_configuration c = plain(128);
  c.scaling = MARTLET_ROPE_SCALING_LLAMA3;
  c.base = 500000;
  c.factor = 8;
  c.original_context = 8192;
  double frequencies[64];
  for (int pair = 0; pair < 64; ++pair) {
    double frequency = exp(-2.0 * pair / 128 * log(500000.0));
    double turns = 8192 * frequency / (2 * acos(-1.0));  // Turns within the training context.
    double kept = fmin(1, fmax(0, (turns - 1) / (4 - 1)));
    frequencies[pair] = frequency * (kept + (1 - kept) / 8);
  }
  compare_table(check, &c, frequencies, 1);
}

/// YaRN with the paper's constants, its ramp written over the pair index.
static void table_yarn(martlet_check *check) {
  check_describe(check, "YaRN");
  martlet_rope_configuration c = plain(128);
  c.scaling = MARTLET_ROPE_SCALING_YARN;
  c.base = 1000000;
  c.factor = 4;
  c.original_context = 32768;
  const double pi = acos(-1.0), log_base = log(1000000.0);
  double edges[2];
  for (int i = 0; i < 2; ++i)
    edges[i] = 64 * (log(32768.0) - log((i ? 1.0 : 32.0) * 2 * pi)) / log_base;
  const double low = floor(edges[0]), high = ceil(edges[1]);
  double frequencies[64];
  for (int pair = 0; pair < 64; ++pair) {
    double frequency = exp(-2.0 * pair / 128 * log_base);
    double interpolated = fmin(1, fmax(0, (pair - low) / (high - low)));
    frequencies[pair] = frequency * (interpolated / 4 + 1 - interpolated);
  }
  if (!(low > 0 && high < 64 && low < high)) check_fail(check, "the ramp is empty");
  compare_table(check, &c, frequencies, 1 + 0.1 * log(4.0));
}

// ---- the rotation -------------------------------------------------------------------------------

typedef struct rope_buffers {
  martlet_rope_layout layout;
  size_t rows, heads, dimensions, rotary, stride, span;
  float *table, *expected, *actual;
} rope_buffers;

static rope_buffers prepare(martlet_check *check, check_kind kind, martlet_rope_layout layout,
                            size_t rows, size_t heads, size_t dimensions, size_t rotary) {
  check_new_run(check);
  rope_buffers b = {.layout = layout, .rows = rows, .heads = heads, .dimensions = dimensions,
                    .rotary = rotary};
  b.stride = heads * dimensions + check_below(check, 4);
  b.span = ((rows - 1) * b.stride + heads * dimensions) * sizeof(float);
  const size_t offset = 4 * check_below(check, 16);
  b.table = check_buffer(check, "table", rows * rotary * sizeof(float), offset);
  b.expected = check_buffer(check, "expected", b.span, 0);
  b.actual = check_buffer(check, "values", b.span, offset);
  for (size_t i = 0; i < rows * rotary; i += 2) {
    double angle = (double)check_uniform(check) * 100;
    b.table[i] = (float)cos(angle);
    b.table[i + 1] = (float)sin(angle);
  }
  for (size_t row = 0; row < rows; ++row)
    check_fill(check, kind, b.expected + row * b.stride, heads * dimensions);
  memcpy(b.actual, b.expected, b.span);
  check_seal(check, b.table);
  return b;
}

static void call(martlet_any_function function, const rope_buffers *b, size_t first, size_t rows,
                 float *values) {
  ((martlet_rope_f32_function *)function)(b->layout, rows, b->heads, b->dimensions, b->rotary,
                                          b->table + first * b->rotary, values + first * b->stride,
                                          b->stride);
}

static void compare(martlet_check *check, const rope_buffers *b) {
  call(check->reference->function, b, 0, b->rows, b->expected);
  CHECK_CALL(check, call(check->entry->function, b, 0, b->rows, b->actual));
  check_same_bits(check, b->expected, b->actual, b->rows, b->heads * b->dimensions, b->stride);
  check_poison(check);
}

static void lengths(martlet_check *check) {
  for (size_t rotary = 2; rotary <= 140; rotary += 2)
    for (int layout = MARTLET_ROPE_ADJACENT; layout <= MARTLET_ROPE_HALVES; ++layout) {
      const size_t dimensions = rotary + check_below(check, 2) * check_below(check, 20);
      const size_t rows = 1 + check_below(check, 3), heads = 1 + check_below(check, 5);
      check_describe(check, "layout %d, %zu rows, %zu heads of %zu, %zu rotary", layout, rows,
                     heads, dimensions, rotary);
      rope_buffers b = prepare(check, CHECK_NORMAL, (martlet_rope_layout)layout, rows, heads,
                               dimensions, rotary);
      compare(check, &b);
    }
}

static void special_values(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (int layout = MARTLET_ROPE_ADJACENT; layout <= MARTLET_ROPE_HALVES; ++layout) {
      check_describe(check, "%s inputs, layout %d", check_kind_name((check_kind)kind), layout);
      rope_buffers b =
          prepare(check, (check_kind)kind, (martlet_rope_layout)layout, 2, 3, 86, 86);
      compare(check, &b);
    }
}

static void invariance(martlet_check *check) {
  for (int layout = MARTLET_ROPE_ADJACENT; layout <= MARTLET_ROPE_HALVES; ++layout) {
    check_describe(check, "5 rows, one at a time, layout %d", layout);
    rope_buffers b = prepare(check, CHECK_NORMAL, (martlet_rope_layout)layout, 5, 3, 80, 64);
    CHECK_CALL(check, call(check->entry->function, &b, 0, 5, b.actual));
    CHECK_CALL(check, for (size_t row = 0; row < 5; ++row)
                          call(check->entry->function, &b, row, 1, b.expected));
    check_same_bits(check, b.expected, b.actual, 5, 3 * 80, b.stride);
  }
}

static void float64(martlet_check *check) {
  for (int layout = MARTLET_ROPE_ADJACENT; layout <= MARTLET_ROPE_HALVES; ++layout) {
    check_describe(check, "layout %d against float64", layout);
    rope_buffers b = prepare(check, CHECK_NORMAL, (martlet_rope_layout)layout, 1, 2, 72, 64);
    CHECK_CALL(check, call(check->entry->function, &b, 0, 1, b.actual));
    for (size_t head = 0; head < 2; ++head)
      for (size_t d = 0; d < 72; ++d) {
        const float *in = b.expected + head * 72;
        double expected = in[d];
        const size_t pair = layout ? d % 32 : d / 2, second = layout ? d / 32 : d % 2;
        if (d < 64) {
          const size_t first_at = layout ? pair : 2 * pair, second_at = layout ? pair + 32 : d | 1;
          double x = in[first_at], y = in[second_at];
          double cosine = b.table[2 * pair], sine = b.table[2 * pair + 1];
          expected = second ? x * sine + y * cosine : x * cosine - y * sine;
        }
        check_close(check, "two roundings of terms below 8", expected, b.actual[head * 72 + d],
                    16 * CHECK_EPSILON);
      }
  }
}

static void repeat(void *context, martlet_any_function function) {
  rope_buffers *b = context;
  call(function, b, 0, b->rows, b->actual);
}

static void time_rope(martlet_check *check, martlet_check_timing *timing) {
  rope_buffers b = prepare(check, CHECK_NORMAL, MARTLET_ROPE_HALVES, 4, 16, 128, 128);
  strcpy(timing->shape, "4 × 16 heads × 128");
  timing->bytes = 4.0 * 16 * 128 * 8 + 4.0 * 128 * 4;
  timing->operations = 4.0 * 16 * 128 * 3;
  check_time(check, timing, repeat, &b);
}

typedef struct table_context {
  martlet_rope_configuration configuration;
  int32_t positions[64];
  float *table;
} table_context;

static void repeat_table(void *context, martlet_any_function function) {
  table_context *t = context;
  ((martlet_rope_table_function *)function)(&t->configuration, 64, t->positions, t->table);
}

static void time_table(martlet_check *check, martlet_check_timing *timing) {
  table_context t = {.configuration = plain(128)};
  for (int32_t i = 0; i < 64; ++i) t.positions[i] = 1000 + i;
  t.table = check_buffer(check, "table", 64 * 128 * sizeof(float), 0);
  strcpy(timing->shape, "64 × 128");
  timing->bytes = 64.0 * 128 * 4;
  timing->operations = 64.0 * 128;
  check_time(check, timing, repeat_table, &t);
}

static const martlet_check_case table_cases[] = {
    {"plain and linear", table_plain, 0},
    {"Llama 3", table_llama3, 0},
    {"YaRN", table_yarn, 0},
};
static const martlet_check_case rope_cases[] = {
    {"lengths", lengths, 0},
    {"special values", special_values, 0},
    {"batch invariance", invariance, 0},
    {"float64", float64, 1},
};

const martlet_check_operation martlet_check_rope_operations[] = {
    {"rope_table", table_cases, 3, time_table},
    {"rope_f32", rope_cases, 4, time_rope},
};
const size_t martlet_check_rope_operation_count = 2;

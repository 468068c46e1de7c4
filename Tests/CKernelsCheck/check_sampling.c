/// Checks of the sampling family.
#include "check.h"

#include <math.h>
#include <string.h>

typedef struct draw_buffers {
  size_t width;
  float inverse;
  double uniform;
  float *logits, *expected_scratch, *scratch;
  martlet_logits_shape *expected, *actual;
} draw_buffers;

/// Rows that end before, at and after a block and 16 lanes, on top of check_lengths.
static const size_t block_widths[] = {240, 256, 272, 511, 512, 513, 769, 5000};
static const float inverses[] = {0.0f, 1.0f, 0.7f, 3.0f, 1e-3f, 50.0f, 0x1p126f, 0x1p-128f};
enum { INVERSES = sizeof(inverses) / sizeof(inverses[0]), BLOCK_WIDTHS = 8 };

static double uniform_of(martlet_check *check) {
  // Both ends of the range come up as well.
  const size_t which = check_below(check, 10);
  if (which == 0) return 0;
  if (which == 1) return 1 - 0x1p-53;
  return (double)(check_random(check) >> 11) * 0x1p-53;
}

static draw_buffers prepare(martlet_check *check, check_kind kind, size_t width, float inverse) {
  check_new_run(check);
  const size_t offset = 4 * check_below(check, 16), bytes = 4 * martlet_logits_blocks(width);
  draw_buffers b = {.width = width, .inverse = inverse, .uniform = uniform_of(check)};
  b.logits = check_buffer(check, "logits", width * sizeof(float), offset);
  b.expected_scratch = check_buffer(check, "expected scratch", bytes, 0);
  b.scratch = check_buffer(check, "scratch", bytes, offset);
  b.expected = check_aligned_buffer(check, "expected shape", sizeof *b.expected);
  b.actual = check_aligned_buffer(check, "shape", sizeof *b.actual);
  b.expected->size = b.actual->size = sizeof *b.actual;
  check_fill(check, kind, b.logits, width);
  return b;
}

static void call(martlet_any_function function, const draw_buffers *b, float *scratch,
                 martlet_logits_shape *shape) {
  ((martlet_logits_draw_f32_function *)function)(b->width, b->logits, b->inverse, b->uniform,
                                                 b->inverse > 0 ? scratch : NULL, shape);
}

static void compare(martlet_check *check, const draw_buffers *b) {
  check_seal(check, b->logits);
  call(check->reference->function, b, b->expected_scratch, b->expected);
  CHECK_CALL(check, call(check->entry->function, b, b->scratch, b->actual));
  check_same_bytes(check, b->expected, b->actual, sizeof *b->actual);
  if (b->inverse > 0 && b->expected->clean)
    check_same_bits(check, b->expected_scratch, b->scratch, 1, martlet_logits_blocks(b->width),
                    martlet_logits_blocks(b->width));
  check_poison(check);
}

static void lengths(martlet_check *check) {
  for (size_t i = 0; i < check_length_count + BLOCK_WIDTHS; ++i)
    for (size_t t = 0; t < INVERSES; ++t) {
      const size_t width =
          i < check_length_count ? check_lengths[i] : block_widths[i - check_length_count];
      check_describe(check, "width %zu, 1/temperature %g", width, (double)inverses[t]);
      draw_buffers b = prepare(check, CHECK_NORMAL, width, inverses[t]);
      compare(check, &b);
    }
}

static void special_values(martlet_check *check) {
  static const size_t widths[] = {1, 7, 16, 33, 100, 300, 1040};
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); ++i)
      for (size_t t = 0; t < INVERSES; ++t) {
        check_describe(check, "%s logits, width %zu, 1/temperature %g",
                       check_kind_name((check_kind)kind), widths[i], (double)inverses[t]);
        draw_buffers b = prepare(check, (check_kind)kind, widths[i], inverses[t]);
        compare(check, &b);
      }
}

/// What the header promises of ties, impossible tokens and rows that are not clean.
static void promises(martlet_check *check) {
  for (size_t round = 0; round < 200; ++round) {
    const size_t width = 1 + check_below(check, 1200), peak = check_below(check, width);
    check_describe(check, "width %zu, peak at %zu", width, peak);
    draw_buffers b = prepare(check, CHECK_NORMAL, width, inverses[1 + round % (INVERSES - 1)]);
    for (size_t i = 0; i < width; ++i)
      if (check_random(check) & 1) b.logits[i] = -INFINITY;
    // Equals of the maximum stand after it alone.
    b.logits[peak] = 10;
    for (size_t i = peak; i < width; i += 97) b.logits[i] = 10;
    CHECK_CALL(check, call(check->entry->function, &b, b.scratch, b.actual));
    if (!b.actual->clean || b.actual->most_likely != peak || b.actual->maximum != 10)
      check_fail(check, "clean %u, maximum %g at %u", b.actual->clean, b.actual->maximum,
                 b.actual->most_likely);
    if (b.actual->drawn >= width || b.logits[b.actual->drawn] == -INFINITY)
      check_fail(check, "drew %u, which is impossible", b.actual->drawn);
    const float dirt[] = {NAN, INFINITY};
    b.logits[check_below(check, width)] = dirt[round % 2];
    CHECK_CALL(check, call(check->entry->function, &b, b.scratch, b.actual));
    if (b.actual->clean)
      check_fail(check, "a row with %g is called clean", (double)dirt[round % 2]);
    for (size_t i = 0; i < width; ++i) b.logits[i] = -INFINITY;
    CHECK_CALL(check, call(check->entry->function, &b, b.scratch, b.actual));
    if (b.actual->clean || b.actual->maximum != -INFINITY)
      check_fail(check, "a row of -inf is called clean, or has a maximum");
    check_poison(check);
  }
}

/// Rows whose errors of rounding would all point one way: one token against many equal ones that
/// share `shared` of the mass.
static void fill_two_levels(float *logits, size_t width, double peak, double shared) {
  const double gap = log(shared / (1 - shared) / (double)(width - 1));
  for (size_t i = 0; i < width; ++i) logits[i] = (float)(peak + gap);
  logits[width / 3] = (float)peak;
}

static void check_against_float64(martlet_check *check, const draw_buffers *b) {
  CHECK_CALL(check, call(check->entry->function, b, b->scratch, b->actual));
  double maximum = -INFINITY, sum = 0, moment = 0, total = 0, before = 0;
  for (size_t i = 0; i < b->width; ++i) maximum = fmax(maximum, (double)b->logits[i]);
  for (size_t i = 0; i < b->width; ++i) {
    const double x = (double)b->logits[i] - maximum, e = exp(x);
    sum += e;
    moment += x * e;
    total += exp(x * (double)b->inverse);
    if (i < b->actual->drawn) before = total;
  }
  const double log_sum = log(sum), entropy = log_sum - moment / sum;
  if (fabs(b->actual->log_sum - log_sum) > 2e-6)
    check_fail(check, "log_sum %.12g, %.12g in float64", b->actual->log_sum, log_sum);
  if (fabs(b->actual->entropy - entropy) > 2e-6)
    check_fail(check, "entropy %.12g, %.12g in float64", b->actual->entropy, entropy);
  if (b->inverse == 0) return;
  const double weight =
      exp(((double)b->logits[b->actual->drawn] - maximum) * (double)b->inverse);
  if (before / total > b->uniform + 4e-6 || (before + weight) / total < b->uniform - 4e-6)
    check_fail(check, "drew %u, which spans %.9g to %.9g, at %.9g", b->actual->drawn,
               before / total, (before + weight) / total, b->uniform);
}

static void float64(martlet_check *check) {
  static const size_t widths[] = {2, 300, 5000, 32000, 128256, 1 << 18};
  static const float spreads[] = {0.1f, 1, 3, 8};
  for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); ++i) {
    for (size_t s = 0; s < 4; ++s) {
      check_describe(check, "width %zu, spread %g", widths[i], (double)spreads[s]);
      draw_buffers b = prepare(check, CHECK_NORMAL, widths[i], inverses[s]);
      for (size_t d = 0; d < b.width; ++d) b.logits[d] *= spreads[s];
      check_against_float64(check, &b);
    }
    for (double peak = -20; peak < 40; peak += 3.7)
      for (double shared = 0.1; shared < 1; shared += 0.2) {
        check_describe(check, "width %zu, %g of the mass below a peak of %g", widths[i], shared,
                       peak);
        draw_buffers b = prepare(check, CHECK_EQUAL, widths[i], 1);
        fill_two_levels(b.logits, b.width, peak, shared);
        check_against_float64(check, &b);
      }
  }
}

static void repeat_draw(void *context, martlet_any_function function) {
  draw_buffers *b = context;
  call(function, b, b->scratch, b->actual);
}

static void time_draw(martlet_check *check, martlet_check_timing *timing) {
  draw_buffers b = prepare(check, CHECK_NORMAL, 32000, 1 / 0.7f);
  strcpy(timing->shape, "32000, temperature 0.7");
  timing->bytes = 32000.0 * 4 * 2;
  timing->operations = 32000.0 * 40;
  timing->compute_bound = 1;
  check_time(check, timing, repeat_draw, &b);
}

// ---- weights ------------------------------------------------------------------------------------

typedef struct weigh_buffers {
  size_t count;
  float maximum, inverse;
  float *logits, *expected, *actual;
} weigh_buffers;

static weigh_buffers prepare_weights(martlet_check *check, check_kind kind, size_t count,
                                     float inverse) {
  check_new_run(check);
  const size_t offset = 4 * check_below(check, 16);
  weigh_buffers b = {.count = count, .maximum = 2 * check_normal(check), .inverse = inverse};
  b.logits = check_buffer(check, "logits", count * sizeof(float), offset);
  b.expected = check_buffer(check, "expected", count * sizeof(float), 0);
  b.actual = check_buffer(check, "weights", count * sizeof(float), offset);
  check_fill(check, kind, b.logits, count);
  return b;
}

static void weigh(martlet_any_function function, const weigh_buffers *b, float *weights) {
  ((martlet_logits_weigh_f32_function *)function)(b->count, b->logits, b->maximum, b->inverse,
                                                  weights);
}

static void weights(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (size_t i = 0; i < check_length_count; ++i) {
      const float inverse = inverses[1 + check_below(check, INVERSES - 1)];
      check_describe(check, "%s logits, %zu of them, 1/temperature %g",
                     check_kind_name((check_kind)kind), check_lengths[i], (double)inverse);
      weigh_buffers b = prepare_weights(check, (check_kind)kind, check_lengths[i], inverse);
      weigh(check->reference->function, &b, b.expected);
      check_seal(check, b.logits);
      CHECK_CALL(check, weigh(check->entry->function, &b, b.actual));
      check_same_bits(check, b.expected, b.actual, 1, b.count, b.count);
      check_poison(check);
    }
}

static void weights_in_place(martlet_check *check) {
  for (size_t count = 1; count < 70; count += 4) {
    check_describe(check, "in place, %zu logits", count);
    weigh_buffers b = prepare_weights(check, CHECK_NORMAL, count, 1.5f);
    weigh(check->reference->function, &b, b.expected);
    CHECK_CALL(check, weigh(check->entry->function, &b, b.logits));
    check_same_bits(check, b.expected, b.logits, 1, count, count);
    check_poison(check);
  }
}

static void weights_float64(martlet_check *check) {
  weigh_buffers b = prepare_weights(check, CHECK_NORMAL, 4097, 2.5f);
  check_describe(check, "weights against float64");
  CHECK_CALL(check, weigh(check->entry->function, &b, b.actual));
  for (size_t i = 0; i < b.count; ++i) {
    const double y = ((double)b.logits[i] - (double)b.maximum) * (double)b.inverse;
    check_close(check, "3 + 2·|exponent| roundings", exp(y), b.actual[i],
                exp(y) * (3 + 2 * fabs(y)) * CHECK_EPSILON);
  }
}

static void repeat_weigh(void *context, martlet_any_function function) {
  weigh_buffers *b = context;
  weigh(function, b, b->actual);
}

static void time_weigh(martlet_check *check, martlet_check_timing *timing) {
  weigh_buffers b = prepare_weights(check, CHECK_NORMAL, 32000, 1 / 0.7f);
  strcpy(timing->shape, "32000");
  timing->bytes = 32000.0 * 4 * 2;
  timing->operations = 32000.0 * 18;
  check_time(check, timing, repeat_weigh, &b);
}

static const martlet_check_case draw_cases[] = {
    {"lengths", lengths, 0},
    {"special values", special_values, 0},
    {"promises", promises, 0},
    {"float64", float64, 1},
};
static const martlet_check_case weigh_cases[] = {
    {"lengths", weights, 0}, {"in place", weights_in_place, 0}, {"float64", weights_float64, 1}};

const martlet_check_operation martlet_check_sampling_operations[] = {
    {"logits_draw_f32", draw_cases, 4, time_draw},
    {"logits_weigh_f32", weigh_cases, 3, time_weigh},
};
const size_t martlet_check_sampling_operation_count = 2;

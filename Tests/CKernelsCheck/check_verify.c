/// Checks of the verify family's passes. What they add up to is in law_verify.c.
#include "check.h"

#include <float.h>
#include <math.h>
#include <string.h>

/// Rows that end before, at and after a block, four sets of lanes and 16 lanes, on top of
/// check_lengths.
static const size_t block_widths[] = {48, 63, 64, 65, 240, 256, 272, 511, 512, 513, 769, 5000};
enum { BLOCK_WIDTHS = sizeof(block_widths) / sizeof(block_widths[0]) };

static size_t width_count(void) { return check_length_count + BLOCK_WIDTHS; }
static size_t width_at(size_t i) {
  return i < check_length_count ? check_lengths[i] : block_widths[i - check_length_count];
}

typedef struct buffers {
  size_t width, blocks;
  float times;
  float *base, *draft;
  float *expected_output, *output, *expected_sums, *sums, *expected_draft_sums, *draft_sums;
  martlet_verify_sums *expected, *actual;
  martlet_verify_bounds bounds;
  float factors[MARTLET_VERIFY_LEVELS];
} buffers;

/// Turns values into something like probabilities: most of them small, some 0.
static void make_probabilities(martlet_check *check, float *values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    values[i] = check_below(check, 4) == 0 ? 0 : expf(3 * check_normal(check));
    sum += (double)values[i];
  }
  for (size_t i = 0; i < count; ++i) values[i] = sum > 0 ? (float)((double)values[i] / sum) : 0;
}

/// Rows of a kind; CHECK_KIND_COUNT is probabilities.
static void fill(martlet_check *check, int kind, float *values, size_t count) {
  if (kind == CHECK_KIND_COUNT)
    make_probabilities(check, values, count);
  else
    check_fill(check, (check_kind)kind, values, count);
}

static const char *name_of(int kind) {
  return kind == CHECK_KIND_COUNT ? "probabilities" : check_kind_name((check_kind)kind);
}

static buffers prepare(martlet_check *check, int kind, size_t width) {
  static const float times[] = {1, 0.3f, 1.7f, 0x1p-20f, 40};
  check_new_run(check);
  const size_t offset = 4 * check_below(check, 16), bytes = width * sizeof(float);
  buffers b = {.width = width, .blocks = martlet_logits_blocks(width)};
  b.times = times[check_below(check, 5)];
  b.base = check_buffer(check, "base", bytes, offset);
  b.draft = check_buffer(check, "draft", bytes, 4 * check_below(check, 16));
  b.expected_output = check_buffer(check, "expected output", bytes, 0);
  b.output = check_buffer(check, "output", bytes, offset);
  b.expected_sums = check_buffer(check, "expected sums", b.blocks * sizeof(float), 0);
  b.sums = check_buffer(check, "sums", b.blocks * sizeof(float), offset);
  b.expected_draft_sums = check_buffer(check, "expected sums of draft", b.blocks * sizeof(float), 0);
  b.draft_sums = check_buffer(check, "sums of draft", b.blocks * sizeof(float), offset);
  b.expected = check_aligned_buffer(check, "expected totals", sizeof *b.expected);
  b.actual = check_aligned_buffer(check, "totals", sizeof *b.actual);
  fill(check, kind, b.base, width);
  fill(check, kind, b.draft, width);
  // Some tokens have a ratio that is exactly a bound.
  for (size_t i = 0; i < width; i += 7) b.base[i] = b.draft[i];
  for (int i = 0; i < MARTLET_VERIFY_LEVELS - 1; ++i)
    b.bounds.bounds[i] = 0.25f * (float)(i + 1);
  b.bounds.cap = 2;
  for (int i = 0; i < MARTLET_VERIFY_LEVELS; ++i) b.factors[i] = fabsf(check_normal(check));
  return b;
}

/// The totals as bits, NaN being NaN.
static void compare_doubles(martlet_check *check, const char *what, double expected,
                            double actual) {
  if (expected != expected && actual != actual) return;
  if (memcmp(&expected, &actual, sizeof expected) != 0)
    check_fail(check, "%s is %a, %a in the reference", what, actual, expected);
}

static void compare_totals(martlet_check *check, const martlet_verify_sums *expected,
                           const martlet_verify_sums *actual) {
  compare_doubles(check, "the residual's sum", expected->residual, actual->residual);
  compare_doubles(check, "the base's sum", expected->base, actual->base);
  compare_doubles(check, "the draft's sum", expected->draft, actual->draft);
  compare_doubles(check, "the lowest", (double)expected->lowest, (double)actual->lowest);
}

// ---- residuals ----------------------------------------------------------------------------------

typedef enum residual_form { WITH_OUTPUT, SUMS_ALONE, IN_PLACE, BASE_ALONE, FORMS } residual_form;

static void residual(martlet_any_function function, const buffers *b, residual_form form,
                     float *output, float *sums, float *draft_sums, martlet_verify_sums *totals) {
  const int drafted = form != BASE_ALONE;
  ((martlet_verify_residual_f32_function *)function)(
      b->width, form == IN_PLACE ? output : b->base, drafted ? b->times : 0,
      drafted ? b->draft : NULL, form == SUMS_ALONE ? NULL : output, sums,
      form == WITH_OUTPUT ? draft_sums : NULL, totals);
}

static void compare_residual(martlet_check *check, buffers *b, residual_form form) {
  if (form == IN_PLACE && b->width > 0) {
    memcpy(b->expected_output, b->base, b->width * sizeof(float));
    memcpy(b->output, b->base, b->width * sizeof(float));
  }
  check_seal(check, b->base);
  check_seal(check, b->draft);
  residual(check->reference->function, b, form, b->expected_output, b->expected_sums,
           b->expected_draft_sums, b->expected);
  CHECK_CALL(check, residual(check->entry->function, b, form, b->output, b->sums, b->draft_sums,
                             b->actual));
  check_same_bits(check, b->expected_sums, b->sums, 1, b->blocks, b->blocks);
  if (form == WITH_OUTPUT)
    check_same_bits(check, b->expected_draft_sums, b->draft_sums, 1, b->blocks, b->blocks);
  if (form != SUMS_ALONE)
    check_same_bits(check, b->expected_output, b->output, 1, b->width, b->width);
  else if (!check_untouched(b->output, b->width * sizeof(float)))
    check_fail(check, "wrote a row that was not asked for");
  compare_totals(check, b->expected, b->actual);
  check_poison(check);
}

static void residual_lengths(martlet_check *check) {
  for (size_t i = 0; i < width_count(); ++i)
    for (int form = 0; form < FORMS; ++form) {
      check_describe(check, "width %zu, form %d", width_at(i), form);
      buffers b = prepare(check, CHECK_KIND_COUNT, width_at(i));
      compare_residual(check, &b, (residual_form)form);
    }
}

static void residual_special_values(martlet_check *check) {
  static const size_t widths[] = {1, 7, 16, 33, 100, 300, 1040};
  for (int kind = 0; kind <= CHECK_KIND_COUNT; ++kind)
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); ++i)
      for (int form = 0; form < FORMS; ++form) {
        check_describe(check, "%s, width %zu, form %d", name_of(kind), widths[i], form);
        buffers b = prepare(check, kind, widths[i]);
        compare_residual(check, &b, (residual_form)form);
      }
}

/// The sums of blocks of float32 numbers of one sign err by less than 256 / 16 + 4 roundings.
enum { SUM_ROUNDINGS = 20 };

static void residual_float64(martlet_check *check) {
  static const size_t widths[] = {1, 300, 32000, 128256};
  for (size_t w = 0; w < 4; ++w) {
    check_describe(check, "width %zu against float64", widths[w]);
    buffers b = prepare(check, CHECK_KIND_COUNT, widths[w]);
    CHECK_CALL(check, residual(check->entry->function, &b, WITH_OUTPUT, b.output, b.sums,
                               b.draft_sums, b.actual));
    double left = 0, whole = 0;
    for (size_t i = 0; i < b.width; ++i) {
      const double exact = (double)b.base[i] - (double)b.times * (double)b.draft[i];
      check_close(check, "one rounding", exact > 0 ? exact : 0, b.output[i],
                  fabs(exact) * CHECK_EPSILON + (double)FLT_TRUE_MIN);
      left += exact > 0 ? exact : 0;
      whole += (double)b.base[i];
    }
    if (fabs(b.actual->residual - left) > left * (SUM_ROUNDINGS + 1) * CHECK_EPSILON)
      check_fail(check, "sum %.12g, %.12g in float64", b.actual->residual, left);
    if (fabs(b.actual->base - whole) > whole * SUM_ROUNDINGS * CHECK_EPSILON)
      check_fail(check, "sum of the base %.12g, %.12g in float64", b.actual->base, whole);
  }
}

/// What the walk relies on to refuse a row: dirt reaches the totals.
static void residual_dirt(martlet_check *check) {
  static const float dirt[] = {NAN, INFINITY, -INFINITY, -1e-30f};
  for (int round = 0; round < 200; ++round) {
    const size_t width = 1 + check_below(check, 900), place = check_below(check, width);
    const int in_draft = round & 1;
    const float bad = dirt[round / 2 % 4];
    check_describe(check, "%g at %zu of %zu of the %s", (double)bad, place, width,
                   in_draft ? "draft" : "base");
    buffers b = prepare(check, CHECK_KIND_COUNT, width);
    (in_draft ? b.draft : b.base)[place] = bad;
    CHECK_CALL(check, residual(check->entry->function, &b, SUMS_ALONE, NULL, b.sums, NULL,
                               b.actual));
    const double sum = in_draft ? b.actual->draft : b.actual->base;
    if (b.actual->lowest >= 0 && sum < INFINITY) check_fail(check, "passed for clean");
  }
}

static void repeat_residual(void *context, martlet_any_function function) {
  buffers *b = context;
  residual(function, b, SUMS_ALONE, NULL, b->sums, b->draft_sums, b->actual);
}

static void time_residual(martlet_check *check, martlet_check_timing *timing) {
  buffers b = prepare(check, CHECK_KIND_COUNT, 128256);
  strcpy(timing->shape, "128256");
  timing->bytes = 128256.0 * 4 * 2;
  timing->operations = 128256.0 * 9;
  check_time(check, timing, repeat_residual, &b);
}

// ---- levels -------------------------------------------------------------------------------------

static void levels(martlet_any_function function, const buffers *b,
                   martlet_verify_shares *shares) {
  ((martlet_verify_levels_f32_function *)function)(b->width, b->base, b->draft, &b->bounds, shares);
}

static void compare_levels(martlet_check *check, const buffers *b) {
  martlet_verify_shares expected, actual;
  check_seal(check, b->base);
  check_seal(check, b->draft);
  levels(check->reference->function, b, &expected);
  CHECK_CALL(check, levels(check->entry->function, b, &actual));
  for (int i = 0; i < MARTLET_VERIFY_LEVELS; ++i) {
    compare_doubles(check, "a level's base", expected.base[i], actual.base[i]);
    compare_doubles(check, "a level's draft", expected.draft[i], actual.draft[i]);
  }
  compare_doubles(check, "the base's sum", expected.whole, actual.whole);
  compare_doubles(check, "the lowest", (double)expected.lowest, (double)actual.lowest);
  check_poison(check);
}

static void level_lengths(martlet_check *check) {
  for (size_t i = 0; i < width_count(); ++i) {
    check_describe(check, "width %zu", width_at(i));
    buffers b = prepare(check, CHECK_KIND_COUNT, width_at(i));
    compare_levels(check, &b);
  }
}

static void level_special_values(martlet_check *check) {
  static const size_t widths[] = {1, 7, 16, 33, 100, 300, 1040};
  for (int kind = 0; kind <= CHECK_KIND_COUNT; ++kind)
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); ++i) {
      check_describe(check, "%s, width %zu", name_of(kind), widths[i]);
      buffers b = prepare(check, kind, widths[i]);
      compare_levels(check, &b);
    }
}

static void level_float64(martlet_check *check) {
  buffers b = prepare(check, CHECK_KIND_COUNT, 5000);
  martlet_verify_shares shares;
  check_describe(check, "levels against float64");
  CHECK_CALL(check, levels(check->entry->function, &b, &shares));
  for (int level = 0; level < MARTLET_VERIFY_LEVELS; ++level) {
    double base = 0, draft = 0;
    for (size_t i = 0; i < b.width; ++i) {
      const double p = (double)b.base[i], q = (double)b.draft[i];
      if (level > 0 && !(p >= (double)(b.bounds.bounds[level - 1] * b.draft[i]))) continue;
      base += fmin(p, (double)b.bounds.cap * q);
      draft += q;
    }
    if (fabs(shares.base[level] - base) > base * 24 * CHECK_EPSILON)
      check_fail(check, "level %d: base %.12g, %.12g in float64", level, shares.base[level], base);
    if (fabs(shares.draft[level] - draft) > draft * 24 * CHECK_EPSILON)
      check_fail(check, "level %d: draft %.12g, %.12g in float64", level, shares.draft[level],
                 draft);
  }
}

static void repeat_levels(void *context, martlet_any_function function) {
  martlet_verify_shares shares;
  levels(function, context, &shares);
}

static void time_levels(martlet_check *check, martlet_check_timing *timing) {
  buffers b = prepare(check, CHECK_KIND_COUNT, 128256);
  strcpy(timing->shape, "128256");
  timing->bytes = 128256.0 * 4 * 2;
  timing->operations = 128256.0 * 30;
  timing->compute_bound = 1;
  check_time(check, timing, repeat_levels, &b);
}

// ---- weighted residuals -------------------------------------------------------------------------

static void weighted(martlet_any_function function, const buffers *b, int stored, float *output,
                     float *sums) {
  ((martlet_verify_weighted_f32_function *)function)(b->width, b->base, b->draft, &b->bounds,
                                                     b->factors, stored ? output : NULL, sums);
}

static void compare_weighted(martlet_check *check, const buffers *b, int stored) {
  check_seal(check, b->base);
  check_seal(check, b->draft);
  weighted(check->reference->function, b, stored, b->expected_output, b->expected_sums);
  CHECK_CALL(check, weighted(check->entry->function, b, stored, b->output, b->sums));
  check_same_bits(check, b->expected_sums, b->sums, 1, b->blocks, b->blocks);
  if (stored) check_same_bits(check, b->expected_output, b->output, 1, b->width, b->width);
  check_poison(check);
}

static void weighted_lengths(martlet_check *check) {
  for (size_t i = 0; i < width_count(); ++i)
    for (int stored = 0; stored < 2; ++stored) {
      check_describe(check, "width %zu%s", width_at(i), stored ? ", stored" : "");
      buffers b = prepare(check, CHECK_KIND_COUNT, width_at(i));
      compare_weighted(check, &b, stored);
    }
}

static void weighted_special_values(martlet_check *check) {
  static const size_t widths[] = {1, 7, 16, 33, 100, 300, 1040};
  for (int kind = 0; kind <= CHECK_KIND_COUNT; ++kind)
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); ++i) {
      check_describe(check, "%s, width %zu", name_of(kind), widths[i]);
      buffers b = prepare(check, kind, widths[i]);
      compare_weighted(check, &b, 1);
    }
}

/// With one factor everywhere it is the plain residual, and levels are counted by ≥.
static void weighted_meaning(martlet_check *check) {
  buffers b = prepare(check, CHECK_KIND_COUNT, 700);
  check_describe(check, "factors by level");
  CHECK_CALL(check, weighted(check->entry->function, &b, 1, b.output, b.sums));
  for (size_t i = 0; i < b.width; ++i) {
    int level = 0;
    for (int k = 0; k < MARTLET_VERIFY_LEVELS - 1; ++k)
      level += b.base[i] >= b.bounds.bounds[k] * b.draft[i];
    const double exact = (double)b.base[i] - (double)b.factors[level] * (double)b.draft[i];
    check_close(check, "one rounding", exact > 0 ? exact : 0, b.output[i],
                fabs(exact) * CHECK_EPSILON + (double)FLT_TRUE_MIN);
  }
}

static void repeat_weighted(void *context, martlet_any_function function) {
  buffers *b = context;
  weighted(function, b, 0, NULL, b->sums);
}

static void time_weighted(martlet_check *check, martlet_check_timing *timing) {
  buffers b = prepare(check, CHECK_KIND_COUNT, 128256);
  strcpy(timing->shape, "128256");
  timing->bytes = 128256.0 * 4 * 2;
  timing->operations = 128256.0 * 23;
  timing->compute_bound = 1;
  check_time(check, timing, repeat_weighted, &b);
}

// ---- largest ------------------------------------------------------------------------------------

static uint32_t largest(martlet_any_function function, const buffers *b) {
  uint32_t place = 12345;
  ((martlet_verify_largest_f32_function *)function)(b->width, b->base, &place);
  return place;
}

static void compare_largest(martlet_check *check, const buffers *b) {
  check_seal(check, b->base);
  const uint32_t expected = largest(check->reference->function, b);
  uint32_t actual = 0;
  CHECK_CALL(check, actual = largest(check->entry->function, b));
  if (actual != expected) check_fail(check, "%u, %u in the reference", actual, expected);
}

static void largest_lengths(martlet_check *check) {
  for (size_t i = 0; i < width_count(); ++i) {
    check_describe(check, "width %zu", width_at(i));
    buffers b = prepare(check, CHECK_NORMAL, width_at(i));
    compare_largest(check, &b);
  }
}

static void largest_special_values(martlet_check *check) {
  static const size_t widths[] = {1, 7, 16, 33, 100, 300, 1040};
  for (int kind = 0; kind <= CHECK_KIND_COUNT; ++kind)
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); ++i) {
      check_describe(check, "%s, width %zu", name_of(kind), widths[i]);
      buffers b = prepare(check, kind, widths[i]);
      compare_largest(check, &b);
    }
}

/// The first of equals, and what is no row of logits.
static void largest_promises(martlet_check *check) {
  for (int round = 0; round < 300; ++round) {
    const size_t width = 1 + check_below(check, 1200), peak = check_below(check, width);
    buffers b = prepare(check, CHECK_NORMAL, width);
    check_describe(check, "width %zu, peak at %zu", width, peak);
    for (size_t i = 0; i < width; ++i)
      b.base[i] = check_random(check) & 1 ? -INFINITY : -fabsf(b.base[i]) - 1;
    for (size_t i = peak; i < width; i += 1 + check_below(check, 97))
      b.base[i] = check_random(check) & 1 ? 0.0f : -0.0f;
    b.base[peak] = -0.0f;
    uint32_t place = 0;
    CHECK_CALL(check, place = largest(check->entry->function, &b));
    if (place != peak) check_fail(check, "the largest is said to be at %u", place);
    b.base[check_below(check, width)] = round & 1 ? NAN : INFINITY;
    CHECK_CALL(check, place = largest(check->entry->function, &b));
    if (place != MARTLET_VERIFY_NONE) check_fail(check, "dirt passed for a row, %u", place);
    for (size_t i = 0; i < width; ++i) b.base[i] = -INFINITY;
    CHECK_CALL(check, place = largest(check->entry->function, &b));
    if (place != MARTLET_VERIFY_NONE) check_fail(check, "-inf passed for a row, %u", place);
  }
}

static void repeat_largest(void *context, martlet_any_function function) {
  largest(function, context);
}

static void time_largest(martlet_check *check, martlet_check_timing *timing) {
  buffers b = prepare(check, CHECK_NORMAL, 128256);
  strcpy(timing->shape, "128256");
  timing->bytes = 128256.0 * 4;
  timing->operations = 128256.0 * 3;
  check_time(check, timing, repeat_largest, &b);
}

// ---- entropy ------------------------------------------------------------------------------------

static void entropy(martlet_any_function function, const buffers *b,
                    martlet_verify_sums *totals) {
  ((martlet_verify_entropy_f32_function *)function)(b->width, b->base, totals);
}

static void compare_entropy(martlet_check *check, const buffers *b) {
  check_seal(check, b->base);
  entropy(check->reference->function, b, b->expected);
  CHECK_CALL(check, entropy(check->entry->function, b, b->actual));
  compare_totals(check, b->expected, b->actual);
  check_poison(check);
}

static void entropy_lengths(martlet_check *check) {
  for (size_t i = 0; i < width_count(); ++i) {
    check_describe(check, "width %zu", width_at(i));
    buffers b = prepare(check, CHECK_KIND_COUNT, width_at(i));
    compare_entropy(check, &b);
  }
}

static void entropy_special_values(martlet_check *check) {
  static const size_t widths[] = {1, 7, 16, 33, 100, 300, 1040};
  for (int kind = 0; kind <= CHECK_KIND_COUNT; ++kind)
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); ++i) {
      check_describe(check, "%s, width %zu", name_of(kind), widths[i]);
      buffers b = prepare(check, kind, widths[i]);
      compare_entropy(check, &b);
    }
}

static void entropy_float64(martlet_check *check) {
  static const size_t widths[] = {1, 2, 300, 32000, 128256};
  for (size_t w = 0; w < 5; ++w)
    for (int flat = 0; flat < 2; ++flat) {
      check_describe(check, "width %zu%s against float64", widths[w], flat ? ", flat" : "");
      buffers b = prepare(check, CHECK_KIND_COUNT, widths[w]);
      for (size_t i = 0; flat && i < b.width; ++i) b.base[i] = 1 / (float)b.width;
      CHECK_CALL(check, entropy(check->entry->function, &b, b.actual));
      double exact = 0;
      for (size_t i = 0; i < b.width; ++i)
        if (b.base[i] > 0) exact -= (double)b.base[i] * log((double)b.base[i]);
      if (fabs(b.actual->residual - exact) > 1e-7 + exact * 16 * CHECK_EPSILON)
        check_fail(check, "entropy %.12g, %.12g in float64", b.actual->residual, exact);
    }
}

static void repeat_entropy(void *context, martlet_any_function function) {
  buffers *b = context;
  entropy(function, b, b->actual);
}

static void time_entropy(martlet_check *check, martlet_check_timing *timing) {
  buffers b = prepare(check, CHECK_KIND_COUNT, 128256);
  strcpy(timing->shape, "128256");
  timing->bytes = 128256.0 * 4;
  timing->operations = 128256.0 * 30;
  timing->compute_bound = 1;
  check_time(check, timing, repeat_entropy, &b);
}

static const martlet_check_case residual_cases[] = {
    {"lengths", residual_lengths, 0},
    {"special values", residual_special_values, 0},
    {"dirt", residual_dirt, 0},
    {"float64", residual_float64, 1},
};
static const martlet_check_case level_cases[] = {
    {"lengths", level_lengths, 0},
    {"special values", level_special_values, 0},
    {"float64", level_float64, 1},
};
static const martlet_check_case weighted_cases[] = {
    {"lengths", weighted_lengths, 0},
    {"special values", weighted_special_values, 0},
    {"float64", weighted_meaning, 1},
};
static const martlet_check_case largest_cases[] = {
    {"lengths", largest_lengths, 0},
    {"special values", largest_special_values, 0},
    {"promises", largest_promises, 0},
};
static const martlet_check_case entropy_cases[] = {
    {"lengths", entropy_lengths, 0},
    {"special values", entropy_special_values, 0},
    {"float64", entropy_float64, 1},
};

const martlet_check_operation martlet_check_verify_operations[] = {
    {"verify_residual_f32", residual_cases, 4, time_residual},
    {"verify_levels_f32", level_cases, 3, time_levels},
    {"verify_weighted_f32", weighted_cases, 3, time_weighted},
    {"verify_largest_f32", largest_cases, 3, time_largest},
    {"verify_entropy_f32", entropy_cases, 3, time_entropy},
};
const size_t martlet_check_verify_operation_count = 5;

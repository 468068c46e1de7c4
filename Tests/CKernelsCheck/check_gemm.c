/// Checks of the gemm family's products and packing; check_gemm_prepare.c has the preparation.
#include "gemm_operands.h"

#include <martlet/rows.h>
#include <math.h>
#include <string.h>

static void call(const martlet_entry *entry, const martlet_gemm_arguments *arguments) {
  ((martlet_gemm_function *)entry->function)(arguments);
}

/// Depths come in multiples of this.
static size_t step_depth(const martlet_check *check) {
  return martlet_weight_block_elements(gemm_operation_of(check)->weight_type);
}

static int is_openblas(const martlet_check *check) {
  return check->entry->numeric_class == MARTLET_NUMERIC_OPENBLAS;
}

/// Bits in the portable class, the sum's rounding bound in the others, and untouched gaps in all.
static void compare_outputs(martlet_check *check, const gemm_product *p) {
  const gemm_shape *shape = &p->shape;
  if (check->entry->numeric_class == MARTLET_NUMERIC_PORTABLE) {
    check_same_bits(check, p->expected, p->actual, shape->rows, shape->columns, p->output_stride);
    return;
  }
  for (size_t row = 0; row < shape->rows; ++row) {
    const float *got = p->actual + row * p->output_stride;
    const float *want = p->expected + row * p->output_stride;
    for (size_t column = 0; column < shape->columns; ++column) {
      double tolerance;
      gemm_exact(p, row, column, &tolerance);
      // Both sides may be off, and both add to outputs of a few units at most.
      tolerance = 2 * tolerance + 4 * CHECK_EPSILON * (fabs((double)want[column]) + 8);
      check_close(check, "twice the rounding of the sum", (double)want[column], got[column],
                  tolerance);
    }
    if (row + 1 < shape->rows &&
        !check_untouched(got + shape->columns,
                         (p->output_stride - shape->columns) * sizeof(float)))
      check_fail(check, "wrote between row %zu and the next", row);
  }
}

static void compare(martlet_check *check, gemm_shape shape) {
  check_describe(check, "%zu rows, %zu columns, depth %zu%s%s, %s inputs, weights of kind %d",
                 shape.rows, shape.columns, shape.depth, shape.bias ? ", bias" : "",
                 shape.accumulate ? ", accumulating" : "", check_kind_name(shape.input_kind),
                 shape.weight_kind);
  gemm_product p = gemm_make(check, shape);
  call(check->reference, &p.reference);
  CHECK_CALL(check, call(check->entry, &p.variant));
  compare_outputs(check, &p);
  check_poison(check);
}

static void shapes(martlet_check *check) {
  static const size_t columns[] = {1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65, 80};
  const size_t step = step_depth(check);
  for (size_t rows = 1; rows <= 18; ++rows)
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); ++i) {
      const uint64_t flags = check_random(check);
      compare(check, (gemm_shape){.rows = rows == 18 ? 33 : rows,
                                  .columns = columns[i],
                                  .depth = step == 1 ? 1 + check_below(check, 40) : step,
                                  .bias = flags & 1,
                                  .accumulate = flags >> 1 & 1});
    }
}

static void depths(martlet_check *check) {
  static const size_t columns[] = {19, 39, 71};
  static const size_t rows[] = {1, 3, 9};
  const size_t step = step_depth(check);
  const size_t limit = step == 1 ? 65 : step == 32 ? 12 : 3;
  for (size_t depth = 1; depth <= limit; ++depth)
    for (size_t i = 0; i < 3; ++i)
      compare(check, (gemm_shape){.rows = rows[i], .columns = columns[i], .depth = depth * step});
}

/// More rows than share a panel, too deep for one group of them to stay in the cache.
static void groups(martlet_check *check) {
  if (check->placement != CHECK_AT_END) return;
  compare(check, (gemm_shape){.rows = 67, .columns = 17, .depth = 22 * 256});
}

static void special_values(martlet_check *check) {
  const size_t step = step_depth(check);
  // Which NaN or infinity a library meets first is its own affair.
  const int kinds = is_openblas(check) ? 1 : CHECK_KIND_COUNT;
  for (int kind = 0; kind < kinds; ++kind)
    for (int weights = GEMM_WEIGHTS_NORMAL; weights <= GEMM_WEIGHTS_BITS; ++weights) {
      // Outside the portable class overflow has no tolerance, so values stay moderate there.
      if (check->entry->numeric_class != MARTLET_NUMERIC_PORTABLE &&
          (weights != GEMM_WEIGHTS_NORMAL || kind == CHECK_HUGE || kind == CHECK_BITS))
        continue;
      // A single product shows the sign of a zero that a longer sum would swallow.
      for (size_t rows = 1; rows <= 5; rows += 4)
        for (int several = 0; several < 2; ++several)
          compare(check, (gemm_shape){.rows = rows,
                                      .columns = 37,
                                      .depth = !several ? step : step == 1 ? 31 : 2 * step,
                                      .bias = kind & 1,
                                      .input_kind = (check_kind)kind,
                                      .weight_kind = (gemm_weight_kind)weights});
    }
}

/// A row alone, and columns in pieces, give the bits of the whole product.
static void invariance(martlet_check *check) {
  if (is_openblas(check)) return;
  const size_t step = step_depth(check);
  for (size_t rows = 2; rows <= 40; rows += 5) {
    check_describe(check, "%zu rows at once and one at a time, columns whole and split", rows);
    const gemm_shape shape = {.rows = rows, .columns = 83, .depth = step == 1 ? 45 : 2 * step};
    gemm_product p = gemm_make(check, shape);
    CHECK_CALL(check, call(check->entry, &p.variant));
    static const size_t cuts[] = {0, 16, 64, 80, 83};
    const size_t row_bytes =
        martlet_gemm_row_bytes(p.operation->activation_type, shape.depth);
    martlet_gemm_arguments part = p.variant;
    part.rows = 1;
    for (size_t row = 0; row < rows; ++row)
      for (int cut = 0; cut < 4; ++cut) {
        part.activations = (const char *)p.variant.activations + row * row_bytes;
        part.output = p.expected + row * p.output_stride;
        part.column_begin = cuts[cut];
        part.column_end = cuts[cut + 1];
        CHECK_CALL(check, call(check->entry, &part));
      }
    check_same_bits(check, p.expected, p.actual, rows, shape.columns, p.output_stride);
    check_poison(check);
  }
}

static void float64(martlet_check *check) {
  const size_t step = step_depth(check);
  for (size_t rows = 1; rows <= 4; rows += 3)
    for (int kind = CHECK_NORMAL; kind <= CHECK_CANCELLING; ++kind) {
      if (kind == CHECK_HUGE || kind == CHECK_SUBNORMAL) continue;
      const gemm_shape shape = {.rows = rows,
                                .columns = 21,
                                .depth = step == 1 ? 200 : step == 32 ? 320 : 512,
                                .bias = 1,
                                .input_kind = (check_kind)kind};
      check_describe(check, "%zu rows, %s inputs against float64", rows,
                     check_kind_name(shape.input_kind));
      gemm_product p = gemm_make(check, shape);
      CHECK_CALL(check, call(check->entry, &p.variant));
      for (size_t row = 0; row < rows; ++row)
        for (size_t column = 0; column < shape.columns; ++column) {
          double tolerance;
          const double exact = gemm_exact(&p, row, column, &tolerance);
          check_close(check, "rounding of the sum", exact,
                      p.actual[row * p.output_stride + column], tolerance);
        }
    }
}

static int is_zero(const unsigned char *bytes, size_t count) {
  for (size_t i = 0; i < count; ++i)
    if (bytes[i]) return 0;
  return 1;
}

/// Packing loses nothing: every packed weight is the dequantised one, whatever the source's
/// alignment and however the columns are split; what pads a tile is zero.
static void packing(martlet_check *check) {
  const martlet_weight_type type = gemm_operation_of(check)->weight_type;
  const martlet_numeric_class class_tried = (martlet_numeric_class)check->entry->numeric_class;
  const size_t step = step_depth(check);
  for (size_t columns = 1; columns <= 50; columns += 7)
    for (size_t depth = step; depth <= 3 * step; depth += step) {
      check_describe(check, "packing %zu columns, depth %zu", columns, depth);
      check_new_run(check);
      unsigned char *source =
          check_buffer(check, "source", columns * gemm_source_row_bytes(type, depth),
                       1 + check_below(check, 15));
      const gemm_weight_kind kind =
          columns % 2 && martlet_weight_block_elements(type) > 1 ? GEMM_WEIGHTS_BITS
                                                                 : GEMM_WEIGHTS_NORMAL;
      gemm_fill_weights(check, type, kind, columns, depth, source);
      check_seal(check, source);
      const size_t bytes = martlet_gemm_packed_bytes(type, class_tried, columns, depth);
      unsigned char *whole = check_aligned_buffer(check, "packed", bytes);
      unsigned char *parts = check_aligned_buffer(check, "packed in parts", bytes);
      float *expected = check_buffer(check, "dequantised", columns * depth * sizeof(float), 0);
      float *actual = check_buffer(check, "unpacked", columns * depth * sizeof(float), 0);
      CHECK_CALL(check,
                 martlet_gemm_pack(type, class_tried, columns, depth, source, whole, 0, columns));
      for (size_t begin = 0; begin < columns; begin += 16)
        martlet_gemm_pack(type, class_tried, columns, depth, source, parts, begin,
                          begin + 16 < columns ? begin + 16 : columns);
      check_same_bytes(check, whole, parts, bytes);
      martlet_dequantize(type, columns * depth, source, expected);
      const size_t tile_bytes = martlet_gemm_tile_bytes(type, depth);
      double magnitude;
      for (size_t column = 0; column < columns; ++column)
        for (size_t k = 0; k < depth; ++k)
          actual[column * depth + k] = (float)gemm_packed_weight(
              type, whole + column / 16 * tile_bytes, depth, column % 16, k, &magnitude);
      check_same_bits(check, expected, actual, columns, depth, depth);
      // A tile with one output present holds nothing of the others.
      if (columns % 16 == 1 && type == MARTLET_WEIGHT_F32 &&
          !is_zero(whole + bytes - tile_bytes + 4, 60))
        check_fail(check, "absent outputs are not zero");
      check_poison(check);
    }
}

// ---- the public door ----------------------------------------------------------------------------

static void expect(martlet_check *check, const martlet_gemm_arguments *arguments,
                   martlet_status expected, const char *what) {
  volatile martlet_status status = expected;
  CHECK_CALL(check, status = martlet_gemm(arguments));
  if (status != expected)
    check_fail(check, "%s gave '%s'", what, martlet_status_name(status));
}

/// What the door refuses, and the empty sums it answers itself.
static void door(martlet_check *check) {
  const size_t step = step_depth(check);
  const gemm_shape shape = {.rows = 3, .columns = 40, .depth = 2 * step, .bias = 1};
  gemm_product p = gemm_make(check, shape);
  check_describe(check, "the public door");
  const martlet_gemm_arguments good = p.variant;
  martlet_gemm_arguments bad = good;
  expect(check, &good, MARTLET_OK, "a valid product");
  expect(check, NULL, MARTLET_E_ARGUMENT, "no arguments");
  bad.size = 8;
  expect(check, &bad, MARTLET_E_ARGUMENT, "a short structure");
  bad = good, bad.column_begin = 8;
  expect(check, &bad, MARTLET_E_ARGUMENT, "a range inside a tile");
  bad = good, bad.column_end = 41;
  expect(check, &bad, MARTLET_E_ARGUMENT, "a range past the columns");
  bad = good, bad.column_end = 24;
  expect(check, &bad, MARTLET_E_ARGUMENT, "a range that ends inside a tile");
  bad = good, bad.weights = (const char *)good.weights + 4;
  expect(check, &bad, MARTLET_E_ARGUMENT, "misaligned weights");
  bad = good, bad.output_stride = 39;
  expect(check, &bad, MARTLET_E_ARGUMENT, "a stride below the columns");
  bad = good, bad.weight_type = (martlet_weight_type)77;
  expect(check, &bad, MARTLET_E_ARGUMENT, "an unknown type");
  bad = good, bad.numeric_class = (martlet_numeric_class)9;
  expect(check, &bad, MARTLET_E_ARGUMENT, "an unknown class");
  bad = good, bad.depth = SIZE_MAX / 512 * 256;
  expect(check, &bad, MARTLET_E_ARGUMENT, "an overflowing shape");
  if (step > 1) {
    bad = good, bad.depth = step + 1;
    expect(check, &bad, MARTLET_E_ARGUMENT, "part of a block");
  }
  bad = good, bad.depth = 0, bad.activations = NULL, bad.weights = NULL;
  expect(check, &bad, MARTLET_OK, "an empty sum");
  check_same_bytes(check, p.bias, p.actual, 40 * sizeof(float));
  check_poison(check);
}

// ---- timings ------------------------------------------------------------------------------------

typedef struct timed_product {
  gemm_product product;
  martlet_any_function reference;
} timed_product;

/// The reference and a variant of another class read different packed forms.
static void repeat(void *context, martlet_any_function function) {
  const timed_product *timed = context;
  ((martlet_gemm_function *)function)(function == timed->reference ? &timed->product.reference
                                                                   : &timed->product.variant);
}

static void time_product(martlet_check *check, martlet_check_timing *timing) {
  const gemm_shape shape = {.rows = 4, .columns = 256, .depth = 1024};
  timed_product timed = {gemm_make(check, shape), check->reference->function};
  strcpy(timing->shape, "4 rows · 256 × 1024");
  timing->bytes = (double)martlet_gemm_packed_bytes(
      timed.product.operation->weight_type, timed.product.variant.numeric_class, 256, 1024);
  timing->operations = 2.0 * 4 * 256 * 1024;
  timing->compute_bound = 1;
  check_time(check, timing, repeat, &timed);
}

static const martlet_check_case cases[] = {
    {"shapes", shapes, 0},     {"depths", depths, 0},   {"groups", groups, 0},
    {"special values", special_values, 0}, {"invariance", invariance, 0},
    {"float64", float64, 0},   {"packing", packing, 1}, {"door", door, 1},
};

#define PRODUCT(name) {name, cases, sizeof(cases) / sizeof(cases[0]), time_product},
const martlet_check_operation martlet_check_gemm_operations[] = {
    PRODUCT("gemm_f32_f32") PRODUCT("gemm_f16_f32") PRODUCT("gemm_bf16_f32")
    PRODUCT("gemm_bf16_bf16") PRODUCT("gemm_q4_0_q8") PRODUCT("gemm_q4_1_q8")
    PRODUCT("gemm_q5_0_q8") PRODUCT("gemm_q5_1_q8") PRODUCT("gemm_q8_0_q8")
    PRODUCT("gemm_q4_k_q8") PRODUCT("gemm_q5_k_q8") PRODUCT("gemm_q6_k_q8")
    PRODUCT("gemm_iq4_nl_q8")
};
const size_t martlet_check_gemm_operation_count =
    sizeof(martlet_check_gemm_operations) / sizeof(martlet_check_gemm_operations[0]);

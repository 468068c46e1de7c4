/// Checks of attention over pages: rows with pages of their own, and against float64.
#include "attention_case.h"

#include <math.h>
#include <string.h>

static void dimensions(martlet_check *check) {
  static const uint32_t sizes[] = {1,  2,  3,  7,  8,  15, 16, 17,  24,  31,  32,  33,
                                   40, 47, 48, 49, 64, 80, 96, 100, 112, 128, 255, 256};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      const uint32_t group = 1 + (uint32_t)check_below(check, 6);
      const uint32_t first = (uint32_t)check_below(check, 50);
      const uint32_t end = first + 1 + (uint32_t)check_below(check, 70);
      check_describe(check, "%s, %u dimensions, group of %u, positions %u ..< %u",
                     attention_type_names[type], sizes[i], group, first, end);
      attention_case a = attention_shape((martlet_kv_type)type, 1 + i % 2, group, sizes[i]);
      attention_prepare(check, &a, CHECK_NORMAL, 1, &first, &end);
      attention_compare(check, &a);
    }
}

static void groups(martlet_check *check) {
  for (uint32_t group = 1; group <= 80; group += group < 18 ? 1 : 31) {
    const uint32_t first[2] = {0, 33}, end[2] = {70, 34};
    check_describe(check, "groups of %u heads", group);
    attention_case a = attention_shape((martlet_kv_type)(group % 5), 2, group, 20);
    attention_prepare(check, &a, CHECK_NORMAL, 2, first, end);
    attention_compare(check, &a);
  }
}

/// Every first and last position of a page, as a sliding window meets them; NaN beyond them.
static void windows(martlet_check *check) {
  for (uint32_t edge = 0; edge < page_tokens; ++edge)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      const uint32_t first[3] = {edge, 0, edge}, end[3] = {page_tokens, edge + 1, 65 + edge};
      check_describe(check, "%s, windows at slot %u", attention_type_names[type], edge);
      attention_case a = attention_shape((martlet_kv_type)type, 1, 1 + edge % 4, 18);
      attention_prepare(check, &a, CHECK_NORMAL, 3, first, end);
      attention_compare(check, &a);
      for (size_t i = 0; i < 3 * a.width && !check->failures; ++i)
        if (isnan(a.actual[i])) check_fail(check, "NaN came from a position outside the window");
    }
}

static void special_values(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      const uint32_t first[2] = {0, 3}, end[2] = {5, 99};
      check_describe(check, "%s, %s inputs", attention_type_names[type],
                     check_kind_name((check_kind)kind));
      attention_case a = attention_shape((martlet_kv_type)type, 1, 4, 24);
      attention_prepare(check, &a, (check_kind)kind, 2, first, end);
      attention_compare(check, &a);
    }
}

/// Records of some chunks at a time, written in any order, merge to the bits of one whole call.
static void chunks(martlet_check *check) {
  for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
    const uint32_t first[5] = {0, 0, 500, 513, 0};
    const uint32_t end[5] = {1200, 512, 530, 1025, 3};
    check_describe(check, "%s, chunks apart", attention_type_names[type]);
    attention_case a = attention_shape((martlet_kv_type)type, 2, 3, 20);
    attention_prepare(check, &a, CHECK_NORMAL, 5, first, end);
    attention_compare(check, &a);
    martlet_attention_row row[attention_most_rows];
    martlet_attention_arguments arguments = attention_arguments_of(&a, 0, 5, row, a.expected);
    const size_t floats = martlet_attention_partial_floats(&a.layout);
    const size_t bytes = 3 * 5 * (size_t)a.query_heads * floats * sizeof(float);
    arguments.partials = check_buffer(check, "records", bytes, 0);
    for (size_t i = 0; i < a.rows * a.width; ++i) a.expected[i] = NAN;
    CHECK_CALL(check, for (uint32_t chunk = 3; chunk-- > 0;)
                          for (uint32_t head = 0; head < 2; ++head) {
                            arguments.chunk_begin = chunk;
                            arguments.chunk_end = chunk + 1;
                            arguments.kv_head_begin = head;
                            arguments.kv_head_end = head + 1;
                            ((martlet_attention_f32_function *)check->entry->function)(&arguments);
                          });
    // A row's records of chunks that it does not see stay as they were: row 1, chunk 1.
    if (!check_untouched(arguments.partials + (5 + 1) * (size_t)a.query_heads * floats,
                         a.query_heads * floats * sizeof(float)))
      check_fail(check, "a record of a chunk that its row does not see was written");
    arguments.kv_head_begin = 0;
    martlet_attention_merge_f32_reference(&arguments);
    check_same_bits(check, a.expected, a.actual, a.rows, a.width, a.width);
    check_poison(check);
  }
}

// ---- against float64 ----------------------------------------------------------------------------

/// Plain softmax attention in float64 over what the pages hold.
static void compare_float64(martlet_check *check, const attention_case *a, uint32_t head) {
  const size_t d_count = a->layout.head_dimensions, kv_head = head / (a->query_heads /
                                                                      a->layout.kv_heads);
  const martlet_attention_row *row = &a->row[0];
  double scores[attention_most_pages * page_tokens], largest = -INFINITY, sum = 0, size = 0;
  for (uint32_t p = row->first; p < row->end; ++p) {
    double dot = 0, magnitude = 0;
    for (size_t d = 0; d < d_count; ++d) {
      double term = row->query[head * d_count + d] *
                    attention_stored(&a->layout, row->pages[p / page_tokens], 0, kv_head, d,
                                     p % page_tokens);
      dot += term;
      magnitude += fabs(term);
    }
    scores[p] = dot * a->scale;
    size = fmax(size, magnitude * a->scale);
    largest = fmax(largest, scores[p]);
  }
  for (uint32_t p = row->first; p < row->end; ++p) sum += exp(scores[p] - largest);
  for (size_t d = 0; d < d_count; ++d) {
    double expected = 0, magnitude = 0;
    for (uint32_t p = row->first; p < row->end; ++p) {
      double term = exp(scores[p] - largest) / sum *
                    attention_stored(&a->layout, row->pages[p / page_tokens], 1, kv_head, d,
                                     p % page_tokens);
      expected += term;
      magnitude += fabs(term);
    }
    // A score is off by one rounding per dimension; that shifts its weight, twice (numerator, sum).
    double roundings = 2 * size * ((double)d_count + 12) + page_tokens + 48;
    check_close(check, "dimensions + positions roundings", expected,
                a->actual[head * d_count + d], magnitude * roundings * CHECK_EPSILON + 1e-37);
  }
}

static void float64(martlet_check *check) {
  for (uint32_t size = 1; size <= 256; size = size * 3 / 2 + 1)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      const uint32_t first = (uint32_t)check_below(check, 40), end = 100;
      check_describe(check, "%s, %u dimensions against float64", attention_type_names[type], size);
      attention_case a = attention_shape((martlet_kv_type)type, 2, 2, size);
      attention_prepare(check, &a, CHECK_NORMAL, 1, &first, &end);
      CHECK_CALL(check, attention_call(check->entry->function, &a, 0, 1, 0, 2, a.actual));
      for (uint32_t head = 0; head < 4; ++head) compare_float64(check, &a, head);
    }
}

// ---- timing -------------------------------------------------------------------------------------

static void repeat(void *context, martlet_any_function function) {
  attention_case *a = context;
  attention_call(function, a, 0, a->rows, 0, a->layout.kv_heads, a->actual);
}

/// Branches of one prefix: every page but the last is everybody's.
static void time_attention(martlet_check *check, martlet_check_timing *timing) {
  attention_case a = attention_shape(MARTLET_KV_F16, 1, 4, 128);
  attention_allocate(check, &a, CHECK_NORMAL, 16, 8 + 16);
  const size_t page_bytes = martlet_kv_page_bytes(&a.layout);
  for (size_t page = 0; page < 8 + 16; ++page)
    attention_write_positions(check, &a, CHECK_NORMAL, a.slab + page * page_bytes, 0, page_tokens);
  for (size_t r = 0; r < 16; ++r) {
    for (size_t page = 0; page < 8; ++page) a.pages[r][page] = a.slab + page * page_bytes;
    a.pages[r][8] = a.slab + (8 + r) * page_bytes;
    attention_set_row(&a, r, 0, 9 * page_tokens);
  }
  strcpy(timing->shape, "16 × (256 shared + 32) × 4/1 × 128 f16");
  timing->bytes = (8 + 16) * (double)page_bytes;
  timing->operations = 4.0 * 288 * 4 * 128 * 16;
  timing->compute_bound = 1;
  check_time(check, timing, repeat, &a);
}

static const martlet_check_case attention_cases[] = {
    {"dimensions", dimensions, 0},
    {"groups", groups, 0},
    {"windows", windows, 0},
    {"special values", special_values, 0},
    {"shared pages", check_attention_sharing, 0},
    {"isolation", check_attention_isolation, 0},
    {"chunks", chunks, 0},
    {"token trees", check_attention_trees, 0},
    {"turned pages", check_attention_turned, 0},
    {"selections", check_attention_selections, 0},
    {"float64", float64, 1},
};

const martlet_check_operation martlet_check_attention_operations[] = {
    {"attention_f32", attention_cases, 11, time_attention},
};
const size_t martlet_check_attention_operation_count = 1;

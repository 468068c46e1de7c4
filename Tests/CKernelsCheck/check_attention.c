/// Checks of attention over pages, and of writing and copying positions.
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { page_tokens = MARTLET_KV_PAGE_TOKENS, most_rows = 6, most_pages = 6 };

static const char *const type_names[] = {"f32", "f16", "bf16"};

/// One call: rows over a slab of pages in a shuffled order. Slots that no row may see hold NaN.
typedef struct attention_case {
  martlet_kv_layout layout;
  uint32_t query_heads;
  float scale;
  size_t rows, width;
  char *slab;
  const void *pages[most_rows][most_pages];
  float *queries, *expected, *actual;
  martlet_attention_row row[most_rows];
} attention_case;

static void write_positions(martlet_check *check, attention_case *a, check_kind kind, char *page,
                            uint32_t begin, uint32_t end) {
  float keys[8 * 256], values[8 * 256];
  const size_t count = (size_t)a->layout.kv_heads * a->layout.head_dimensions;
  for (uint32_t slot = begin; slot < end; ++slot) {
    check_fill(check, kind, keys, count);
    check_fill(check, kind, values, count);
    martlet_kv_write_reference(&a->layout, page, slot, keys, values);
  }
}

/// Fills `a`; its layout and query heads are set. Row r sees positions [first[r], end[r]).
static void prepare(martlet_check *check, attention_case *a, check_kind kind, size_t rows,
                    const uint32_t *first, const uint32_t *end) {
  check_new_run(check);
  const size_t page_bytes = martlet_kv_page_bytes(&a->layout);
  a->rows = rows;
  a->width = (size_t)a->query_heads * a->layout.head_dimensions;
  a->scale = 1.0f / sqrtf((float)a->layout.head_dimensions);
  size_t pages = 0;
  for (size_t r = 0; r < rows; ++r)
    pages += (end[r] - 1) / page_tokens - first[r] / page_tokens + 1;
  a->slab = check_aligned_buffer(check, "pages", pages * page_bytes);
  memset(a->slab, 0xff, pages * page_bytes);
  const size_t bytes = rows * a->width * sizeof(float);
  a->queries = check_buffer(check, "queries", bytes, 4);
  a->expected = check_buffer(check, "expected", bytes, 0);
  a->actual = check_buffer(check, "output", bytes, 8);
  check_fill(check, kind, a->queries, rows * a->width);
  size_t next = pages;
  for (size_t r = 0; r < rows; ++r) {
    for (uint32_t page = 0; page < most_pages; ++page) a->pages[r][page] = NULL;
    for (uint32_t page = first[r] / page_tokens; page <= (end[r] - 1) / page_tokens; ++page) {
      char *memory = a->slab + --next * page_bytes;
      const uint32_t begin = page * page_tokens, past = begin + page_tokens;
      write_positions(check, a, kind, memory, (first[r] > begin ? first[r] : begin) - begin,
                      (end[r] < past ? end[r] : past) - begin);
      a->pages[r][page] = memory;
    }
    a->row[r] = (martlet_attention_row){a->pages[r], first[r], end[r],
                                        a->queries + r * a->width, NULL};
  }
  check_seal(check, a->slab);
  check_seal(check, a->queries);
}

static void call(martlet_any_function function, attention_case *a, size_t first_row, size_t rows,
                 uint32_t head_begin, uint32_t head_end, float *output) {
  martlet_attention_row row[most_rows];
  for (size_t r = 0; r < rows; ++r) {
    row[r] = a->row[first_row + r];
    row[r].output = output + (first_row + r) * a->width;
  }
  ((martlet_attention_f32_function *)function)(&a->layout, a->query_heads, a->scale, row, rows,
                                               head_begin, head_end);
}

static void compare(martlet_check *check, attention_case *a) {
  call(check->reference->function, a, 0, a->rows, 0, a->layout.kv_heads, a->expected);
  CHECK_CALL(check, call(check->entry->function, a, 0, a->rows, 0, a->layout.kv_heads, a->actual));
  check_same_bits(check, a->expected, a->actual, a->rows, a->width, a->width);
  check_poison(check);
}

static attention_case shape(martlet_kv_type type, uint32_t kv_heads, uint32_t group,
                            uint32_t dimensions) {
  return (attention_case){.layout = {sizeof(martlet_kv_layout), type, kv_heads, dimensions},
                          .query_heads = kv_heads * group};
}

static void dimensions(martlet_check *check) {
  static const uint32_t sizes[] = {1,  2,  3,  7,  8,  15, 16, 17,  24,  31,  32,  33,
                                   40, 47, 48, 49, 64, 80, 96, 100, 112, 128, 255, 256};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_BF16; ++type) {
      const uint32_t group = 1 + (uint32_t)check_below(check, 6);
      const uint32_t first = (uint32_t)check_below(check, 50);
      const uint32_t end = first + 1 + (uint32_t)check_below(check, 70);
      check_describe(check, "%s, %u dimensions, group of %u, positions %u ..< %u",
                     type_names[type], sizes[i], group, first, end);
      attention_case a = shape((martlet_kv_type)type, 1 + i % 2, group, sizes[i]);
      prepare(check, &a, CHECK_NORMAL, 1, &first, &end);
      compare(check, &a);
    }
}

static void groups(martlet_check *check) {
  for (uint32_t group = 1; group <= 18; ++group) {
    const uint32_t first[2] = {0, 33}, end[2] = {70, 34};
    check_describe(check, "groups of %u heads", group);
    attention_case a = shape((martlet_kv_type)(group % 3), 2, group, 20);
    prepare(check, &a, CHECK_NORMAL, 2, first, end);
    compare(check, &a);
  }
}

/// Every first and last position of a page, as a sliding window meets them; NaN beyond them.
static void windows(martlet_check *check) {
  for (uint32_t edge = 0; edge < page_tokens; ++edge)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_BF16; ++type) {
      const uint32_t first[3] = {edge, 0, edge}, end[3] = {page_tokens, edge + 1, 65 + edge};
      check_describe(check, "%s, windows at slot %u", type_names[type], edge);
      attention_case a = shape((martlet_kv_type)type, 1, 1 + edge % 4, 18);
      prepare(check, &a, CHECK_NORMAL, 3, first, end);
      compare(check, &a);
      for (size_t i = 0; i < 3 * a.width && !check->failures; ++i)
        if (isnan(a.actual[i])) check_fail(check, "NaN came from a position outside the window");
    }
}

static void special_values(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_BF16; ++type) {
      const uint32_t first[2] = {0, 3}, end[2] = {5, 99};
      check_describe(check, "%s, %s inputs", type_names[type], check_kind_name((check_kind)kind));
      attention_case a = shape((martlet_kv_type)type, 1, 4, 24);
      prepare(check, &a, (check_kind)kind, 2, first, end);
      compare(check, &a);
    }
}

/// Rows alone, rows together, heads split between threads, pages shared: the same bits.
static void invariance(martlet_check *check) {
  const uint32_t first[most_rows] = {0, 0, 20, 0, 64, 31};
  const uint32_t end[most_rows] = {1, 90, 90, 64, 120, 33};
  for (int type = MARTLET_KV_F32; type <= MARTLET_KV_BF16; ++type) {
    check_describe(check, "%s, rows alone and heads split", type_names[type]);
    attention_case a = shape((martlet_kv_type)type, 3, 5, 40);
    prepare(check, &a, CHECK_NORMAL, most_rows, first, end);
    // Row 2 sees the pages of row 1, as a fork does.
    a.row[2].pages = a.row[1].pages;
    CHECK_CALL(check, call(check->entry->function, &a, 0, most_rows, 0, 3, a.actual));
    CHECK_CALL(check, for (size_t row = 0; row < most_rows; ++row)
                          for (uint32_t head = 0; head < 3; ++head)
                              call(check->entry->function, &a, row, 1, head, head + 1,
                                   a.expected));
    check_same_bits(check, a.expected, a.actual, most_rows, a.width, a.width);
    check_poison(check);
  }
}

static double stored(const attention_case *a, const void *base, size_t index) {
  float value = 0;
  if (a->layout.type == MARTLET_KV_F32) return (double)((const float *)base)[index];
  const uint16_t *word = (const uint16_t *)base + index;
  if (a->layout.type == MARTLET_KV_F16) martlet_dequantize_f16_reference(1, word, &value);
  else martlet_dequantize_bf16_reference(1, word, &value);
  return (double)value;
}

/// Plain softmax attention in float64 over what the pages hold.
static void compare_float64(martlet_check *check, const attention_case *a, uint32_t head) {
  const size_t d_count = a->layout.head_dimensions, kv_head = head / (a->query_heads /
                                                                      a->layout.kv_heads);
  const martlet_attention_row *row = &a->row[0];
  const size_t half = martlet_kv_page_bytes(&a->layout) / 2;
  double scores[most_pages * page_tokens], largest = -INFINITY, sum = 0, size = 0;
  for (uint32_t p = row->first; p < row->end; ++p) {
    double dot = 0, magnitude = 0;
    for (size_t d = 0; d < d_count; ++d) {
      double term = row->query[head * d_count + d] *
                    stored(a, row->pages[p / page_tokens],
                           (kv_head * d_count + d) * page_tokens + p % page_tokens);
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
                    stored(a, (const char *)row->pages[p / page_tokens] + half,
                           (kv_head * page_tokens + p % page_tokens) * d_count + d);
      expected += term;
      magnitude += fabs(term);
    }
    // A score is off by one rounding per dimension; that shifts its weight, twice (numerator, sum).
    double roundings = 2 * size * ((double)d_count + 4) + page_tokens + 8.0 * most_pages;
    check_close(check, "dimensions + positions roundings", expected,
                a->actual[head * d_count + d], magnitude * roundings * CHECK_EPSILON + 1e-37);
  }
}

static void float64(martlet_check *check) {
  for (uint32_t size = 1; size <= 256; size = size * 3 / 2 + 1)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_BF16; ++type) {
      const uint32_t first = (uint32_t)check_below(check, 40), end = 100;
      check_describe(check, "%s, %u dimensions against float64", type_names[type], size);
      attention_case a = shape((martlet_kv_type)type, 2, 2, size);
      prepare(check, &a, CHECK_NORMAL, 1, &first, &end);
      CHECK_CALL(check, call(check->entry->function, &a, 0, 1, 0, 2, a.actual));
      for (uint32_t head = 0; head < 4; ++head) compare_float64(check, &a, head);
    }
}

// ---- writing and copying ------------------------------------------------------------------------

static void write_slots(martlet_check *check) {
  static const uint32_t sizes[] = {1, 2, 5, 15, 16, 17, 31, 32, 33, 64, 100, 128};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i)
    for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
      for (int type = MARTLET_KV_F32; type <= MARTLET_KV_BF16; ++type) {
        const uint32_t heads = 1 + i % 3, slot = (uint32_t)check_below(check, page_tokens);
        const martlet_kv_layout layout = {sizeof layout, (martlet_kv_type)type, heads, sizes[i]};
        const size_t bytes = martlet_kv_page_bytes(&layout), count = (size_t)heads * sizes[i];
        check_new_run(check);
        check_describe(check, "%s, %u heads of %u, slot %u, %s inputs", type_names[type], heads,
                       sizes[i], slot, check_kind_name((check_kind)kind));
        float *keys = check_buffer(check, "keys", count * sizeof(float), 4);
        float *values = check_buffer(check, "values", count * sizeof(float), 8);
        char *expected = check_aligned_buffer(check, "expected", bytes);
        char *actual = check_aligned_buffer(check, "page", bytes);
        check_fill(check, (check_kind)kind, keys, count);
        check_fill(check, (check_kind)kind, values, count);
        check_seal(check, keys);
        check_seal(check, values);
        ((martlet_kv_write_function *)check->reference->function)(&layout, expected, slot, keys,
                                                                  values);
        CHECK_CALL(check, ((martlet_kv_write_function *)check->entry->function)(
                              &layout, actual, slot, keys, values));
        // NaN payloads may differ in float32 arithmetic, never here: this is a conversion.
        check_same_bytes(check, expected, actual, bytes);
        check_poison(check);
      }
}

static void write_float64(martlet_check *check) {
  check_describe(check, "written values against what they round");
  for (int type = MARTLET_KV_F16; type <= MARTLET_KV_BF16; ++type) {
    attention_case a = shape((martlet_kv_type)type, 1, 1, 256);
    _Alignas(64) char page[2 * 256 * 32 * 2];
    float keys[256], values[256];
    for (int i = 0; i < 256; ++i) {
      keys[i] = check_normal(check);
      values[i] = ldexpf(check_uniform(check), -(int)check_below(check, 13));
    }
    CHECK_CALL(check, ((martlet_kv_write_function *)check->entry->function)(&a.layout, page, 9,
                                                                            keys, values));
    const double step = type == MARTLET_KV_F16 ? 0x1p-11 : 0x1p-8;
    for (size_t i = 0; i < 256; ++i) {
      const double key = stored(&a, page, i * 32 + 9);
      const double value = stored(&a, page + sizeof page / 2, 9 * 256 + i);
      check_close(check, "half a unit", keys[i], (float)key, fabs((double)keys[i]) * step);
      check_close(check, "half a unit", values[i], (float)value,
                  fabs((double)values[i]) * step + (type == MARTLET_KV_F16 ? 0x1p-25 : 0));
    }
  }
}

static void copy_slots(martlet_check *check) {
  for (uint32_t slots = 0; slots <= page_tokens; ++slots)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_BF16; ++type) {
      attention_case a = shape((martlet_kv_type)type, 2, 1, 9);
      const size_t bytes = martlet_kv_page_bytes(&a.layout);
      check_new_run(check);
      check_describe(check, "%s, %u slots", type_names[type], slots);
      char *source = check_aligned_buffer(check, "source", bytes);
      char *target = check_aligned_buffer(check, "target", bytes);
      write_positions(check, &a, CHECK_NORMAL, source, 0, page_tokens);
      check_seal(check, source);
      CHECK_CALL(check, ((martlet_kv_copy_function *)check->entry->function)(&a.layout, source,
                                                                             target, slots));
      const size_t each = type == MARTLET_KV_F32 ? 4 : 2;
      for (size_t i = 0; i < bytes / each; ++i) {
        const size_t half = bytes / each / 2;
        const size_t position = i < half ? i % page_tokens : (i - half) / 9 % page_tokens;
        const char *at = target + i * each;
        if (position < slots ? memcmp(at, source + i * each, each) != 0
                             : !check_untouched(at, each)) {
          check_fail(check, "element %zu (position %zu) is wrong", i, position);
          break;
        }
      }
      check_poison(check);
    }
}

// ---- timings ------------------------------------------------------------------------------------

static void repeat(void *context, martlet_any_function function) {
  attention_case *a = context;
  call(function, a, 0, a->rows, 0, a->layout.kv_heads, a->actual);
}

static void time_attention(martlet_check *check, martlet_check_timing *timing) {
  const uint32_t first[4] = {0, 0, 0, 0}, end[4] = {192, 192, 192, 192};
  attention_case a = shape(MARTLET_KV_F16, 2, 4, 128);
  prepare(check, &a, CHECK_NORMAL, 4, first, end);
  strcpy(timing->shape, "4 × 192 × 8/2 heads × 128 f16");
  timing->bytes = 4.0 * 6 * (double)martlet_kv_page_bytes(&a.layout);
  timing->operations = 4.0 * 192 * 8 * 128 * 4;
  timing->compute_bound = 1;
  check_time(check, timing, repeat, &a);
}

typedef struct write_context {
  martlet_kv_layout layout;
  char *page, *target;
  float *keys, *values;
} write_context;

static void repeat_write(void *context, martlet_any_function function) {
  write_context *w = context;
  ((martlet_kv_write_function *)function)(&w->layout, w->page, 7, w->keys, w->values);
}

static void time_write(martlet_check *check, martlet_check_timing *timing) {
  write_context w = {.layout = {sizeof(martlet_kv_layout), MARTLET_KV_F16, 8, 128}};
  w.page = check_aligned_buffer(check, "page", martlet_kv_page_bytes(&w.layout));
  w.keys = check_buffer(check, "keys", 4096, 0);
  w.values = check_buffer(check, "values", 4096, 0);
  check_fill(check, CHECK_NORMAL, w.keys, 1024);
  check_fill(check, CHECK_NORMAL, w.values, 1024);
  strcpy(timing->shape, "8 heads × 128 f16");
  timing->bytes = 2 * 1024.0 * 6;
  timing->operations = 2 * 1024.0;
  check_time(check, timing, repeat_write, &w);
}

static void repeat_copy(void *context, martlet_any_function function) {
  write_context *w = context;
  ((martlet_kv_copy_function *)function)(&w->layout, w->page, w->target, 17);
}

static void time_copy(martlet_check *check, martlet_check_timing *timing) {
  write_context w = {.layout = {sizeof(martlet_kv_layout), MARTLET_KV_F16, 8, 128}};
  const size_t bytes = martlet_kv_page_bytes(&w.layout);
  w.page = check_aligned_buffer(check, "source", bytes);
  w.target = check_aligned_buffer(check, "target", bytes);
  strcpy(timing->shape, "17 slots × 8 heads × 128 f16");
  timing->bytes = (double)bytes * 17 / page_tokens * 2;
  check_time(check, timing, repeat_copy, &w);
}

static const martlet_check_case attention_cases[] = {
    {"dimensions", dimensions, 0},         {"groups", groups, 0},
    {"windows", windows, 0},               {"special values", special_values, 0},
    {"batch invariance", invariance, 0},   {"float64", float64, 1},
};
static const martlet_check_case write_cases[] = {
    {"slots", write_slots, 0},
    {"rounding", write_float64, 0},
};
static const martlet_check_case copy_cases[] = {{"slots", copy_slots, 0}};

const martlet_check_operation martlet_check_attention_operations[] = {
    {"kv_write", write_cases, 2, time_write},
    {"kv_copy", copy_cases, 1, time_copy},
    {"attention_f32", attention_cases, 6, time_attention},
};
const size_t martlet_check_attention_operation_count = 3;

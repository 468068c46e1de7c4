/// Checks of attention over pages, and of writing and copying positions.
#include "check.h"

#include "dispatch/kv_layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  page_tokens = MARTLET_KV_PAGE_TOKENS,
  chunk_tokens = MARTLET_ATTENTION_CHUNK_TOKENS,
  most_rows = 24,
  most_pages = 40,
  most_path = 12,
};

static const char *const type_names[] = {"f32", "f16", "bf16", "i8", "i4"};

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
  uint32_t path[most_rows][most_path];
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

/// Memory of `a` for `rows` rows over `pages` pages of nothing but NaN; its layout and query heads
/// are set.
static void allocate(martlet_check *check, attention_case *a, check_kind kind, size_t rows,
                     size_t pages) {
  check_new_run(check);
  const size_t page_bytes = martlet_kv_page_bytes(&a->layout);
  a->rows = rows;
  a->width = (size_t)a->query_heads * a->layout.head_dimensions;
  a->scale = 1.0f / sqrtf((float)a->layout.head_dimensions);
  a->slab = check_aligned_buffer(check, "pages", pages * page_bytes);
  memset(a->slab, 0xff, pages * page_bytes);
  const size_t bytes = rows * a->width * sizeof(float);
  a->queries = check_buffer(check, "queries", bytes, 4);
  a->expected = check_buffer(check, "expected", bytes, 0);
  a->actual = check_buffer(check, "output", bytes, 8);
  check_fill(check, kind, a->queries, rows * a->width);
  memset(a->pages, 0, sizeof a->pages);
}

static void set_row(attention_case *a, size_t r, uint32_t first, uint32_t end) {
  a->row[r] = (martlet_attention_row){.pages = a->pages[r], .first = first, .end = end,
                                      .query = a->queries + r * a->width};
}

/// Fills `a` with rows that have pages of their own. Row r sees positions [first[r], end[r]).
static void prepare(martlet_check *check, attention_case *a, check_kind kind, size_t rows,
                    const uint32_t *first, const uint32_t *end) {
  const size_t page_bytes = martlet_kv_page_bytes(&a->layout);
  size_t pages = 0;
  for (size_t r = 0; r < rows; ++r)
    pages += (end[r] - 1) / page_tokens - first[r] / page_tokens + 1;
  allocate(check, a, kind, rows, pages);
  size_t next = pages;
  for (size_t r = 0; r < rows; ++r) {
    for (uint32_t page = first[r] / page_tokens; page <= (end[r] - 1) / page_tokens; ++page) {
      char *memory = a->slab + --next * page_bytes;
      const uint32_t begin = page * page_tokens, past = begin + page_tokens;
      write_positions(check, a, kind, memory, (first[r] > begin ? first[r] : begin) - begin,
                      (end[r] < past ? end[r] : past) - begin);
      a->pages[r][page] = memory;
    }
    set_row(a, r, first[r], end[r]);
  }
  check_seal(check, a->slab);
  check_seal(check, a->queries);
}

static martlet_attention_arguments arguments_of(attention_case *a, size_t first_row, size_t rows,
                                                martlet_attention_row *row, float *output) {
  for (size_t r = 0; r < rows; ++r) {
    row[r] = a->row[first_row + r];
    row[r].output = output + (first_row + r) * a->width;
  }
  return (martlet_attention_arguments){.size = sizeof(martlet_attention_arguments),
                                       .query_heads = a->query_heads,
                                       .layout = &a->layout,
                                       .rows = row,
                                       .row_count = rows,
                                       .scale = a->scale,
                                       .kv_head_end = a->layout.kv_heads};
}

static void call(martlet_any_function function, attention_case *a, size_t first_row, size_t rows,
                 uint32_t head_begin, uint32_t head_end, float *output) {
  martlet_attention_row row[most_rows];
  martlet_attention_arguments arguments = arguments_of(a, first_row, rows, row, output);
  arguments.kv_head_begin = head_begin;
  arguments.kv_head_end = head_end;
  ((martlet_attention_f32_function *)function)(&arguments);
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
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
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
  for (uint32_t group = 1; group <= 80; group += group < 18 ? 1 : 31) {
    const uint32_t first[2] = {0, 33}, end[2] = {70, 34};
    check_describe(check, "groups of %u heads", group);
    attention_case a = shape((martlet_kv_type)(group % 5), 2, group, 20);
    prepare(check, &a, CHECK_NORMAL, 2, first, end);
    compare(check, &a);
  }
}

/// Every first and last position of a page, as a sliding window meets them; NaN beyond them.
static void windows(martlet_check *check) {
  for (uint32_t edge = 0; edge < page_tokens; ++edge)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
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
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      const uint32_t first[2] = {0, 3}, end[2] = {5, 99};
      check_describe(check, "%s, %s inputs", type_names[type], check_kind_name((check_kind)kind));
      attention_case a = shape((martlet_kv_type)type, 1, 4, 24);
      prepare(check, &a, (check_kind)kind, 2, first, end);
      compare(check, &a);
    }
}

/// Random forks: each row takes over another's pages up to some page and has its own from there, as
/// branches do; some rows are windows, some are a prefill chunk's. Neighbours share pages in every
/// way. Together, alone and head by head the bits are the same, and those of the reference.
static void random_sharing(martlet_check *check, attention_case *a, uint32_t most_end) {
  const size_t rows = 2 + check_below(check, most_rows - 2);
  const size_t page_bytes = martlet_kv_page_bytes(&a->layout);
  allocate(check, a, CHECK_NORMAL, rows, rows * most_pages);
  size_t next = 0;
  for (size_t r = 0; r < rows; ++r) {
    const uint32_t end = 1 + (uint32_t)check_below(check, most_end);
    const uint32_t first = check_below(check, 3) ? 0 : (uint32_t)check_below(check, end);
    const size_t parent = r ? check_below(check, r) : 0;
    // Three in four share; half of those as a chunk of one sequence does, to the last page.
    const size_t kept = !r || !check_below(check, 4) ? 0
                        : check_below(check, 2)      ? most_pages
                                                     : check_below(check, most_pages);
    for (size_t page = 0; page <= (end - 1) / page_tokens; ++page) {
      if (page < kept && a->pages[parent][page]) {
        a->pages[r][page] = a->pages[parent][page];
        continue;
      }
      char *memory = a->slab + next++ * page_bytes;
      // A few positions stay NaN at the end of the last page.
      write_positions(check, a, CHECK_NORMAL, memory, 0, page_tokens);
      a->pages[r][page] = memory;
    }
    set_row(a, r, first, end);
  }
  check_seal(check, a->slab);
  check_seal(check, a->queries);
}

static void sharing(martlet_check *check) {
  for (int round = 0; round < 30; ++round) {
    const uint32_t group = 1 + (uint32_t)check_below(check, 9);
    const uint32_t dimensions = 1 + (uint32_t)check_below(check, 40);
    const int type = round % 5;
    check_describe(check, "%s, group of %u, %u dimensions, random forks (%d)", type_names[type],
                   group, dimensions, round);
    attention_case a = shape((martlet_kv_type)type, 2, group, dimensions);
    random_sharing(check, &a, 330);
    compare(check, &a);
    CHECK_CALL(check, for (size_t row = 0; row < a.rows; ++row)
                          for (uint32_t head = 0; head < 2; ++head)
                              call(check->entry->function, &a, row, 1, head, head + 1,
                                   a.expected));
    check_same_bits(check, a.expected, a.actual, a.rows, a.width, a.width);
    check_poison(check);
  }
}

/// NaN and infinities that one row sees reach no other row of the same page.
static void isolation(martlet_check *check) {
  for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
    check_describe(check, "%s, a neighbour's NaN", type_names[type]);
    attention_case a = shape((martlet_kv_type)type, 1, 2, 24);
    allocate(check, &a, CHECK_NORMAL, 8, 2);
    for (int page = 0; page < 2; ++page)
      write_positions(check, &a, CHECK_NORMAL,
                      a.slab + (size_t)page * martlet_kv_page_bytes(&a.layout), 0, page_tokens);
    char *second = a.slab + martlet_kv_page_bytes(&a.layout);
    write_positions(check, &a, CHECK_ONE_NAN, second, 4, 5);
    write_positions(check, &a, CHECK_INFINITIES, second, 5, 6);
    for (size_t r = 0; r < 8; ++r) {
      a.pages[r][0] = a.slab;
      a.pages[r][1] = second;
      set_row(&a, r, 0, 33 + (uint32_t)r);
    }
    check_seal(check, a.slab);
    compare(check, &a);
    for (size_t i = 0; i < 4 * a.width && !check->failures; ++i)
      if (isnan(a.actual[i])) check_fail(check, "NaN came from a position past the row's own");
    for (size_t i = 5 * a.width; i < 6 * a.width && !check->failures; ++i)
      if (type >= MARTLET_KV_I8 && !isnan(a.actual[i]))
        check_fail(check, "a quantised position hides its NaN");
  }
}

/// Records of some chunks at a time, written in any order, merge to the bits of one whole call.
static void chunks(martlet_check *check) {
  for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
    const uint32_t first[5] = {0, 0, 500, 513, 0};
    const uint32_t end[5] = {1200, 512, 530, 1025, 3};
    check_describe(check, "%s, chunks apart", type_names[type]);
    attention_case a = shape((martlet_kv_type)type, 2, 3, 20);
    prepare(check, &a, CHECK_NORMAL, 5, first, end);
    compare(check, &a);
    martlet_attention_row row[most_rows];
    martlet_attention_arguments arguments = arguments_of(&a, 0, 5, row, a.expected);
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

/// Rows of token trees: an ancestor path in any slots gives the bits of the same positions laid out
/// in order, and those of the reference.
static void trees(martlet_check *check) {
  for (int round = 0; round < 20; ++round) {
    const int type = round % 5;
    const uint32_t prefix = (uint32_t)check_below(check, 100), rows = 8;
    const uint32_t group = 1 + (uint32_t)check_below(check, 5);
    check_describe(check, "%s, a tree after %u positions", type_names[type], prefix);
    attention_case a = shape((martlet_kv_type)type, 2, group, 21);
    const size_t page_bytes = martlet_kv_page_bytes(&a.layout);
    const size_t shared = (prefix + rows - 1) / page_tokens + 1, apart = shared;
    allocate(check, &a, CHECK_NORMAL, 2 * rows, shared + rows * apart);
    for (uint32_t p = 0; p < prefix + rows; ++p)
      write_positions(check, &a, CHECK_NORMAL, a.slab + p / page_tokens * page_bytes,
                      p % page_tokens, p % page_tokens + 1);
    for (uint32_t r = 0; r < rows; ++r) {
      for (size_t page = 0; page < shared; ++page) a.pages[r][page] = a.slab + page * page_bytes;
      // Row r's parent is a random earlier row; its path is its parent's and its own slot.
      const uint32_t parent = (uint32_t)check_below(check, r + 1);
      const uint32_t above = parent < r ? a.row[parent].path_count : 0;
      memcpy(a.path[r], a.path[parent], above * sizeof(uint32_t));
      a.path[r][above] = prefix + r;
      const uint32_t end = prefix + above + 1;
      set_row(&a, r, end > 40 && r % 3 == 0 ? end - 40 : 0, end);
      a.row[r].path = a.path[r];
      a.row[r].path_count = above + 1;
      // The same positions in order, in pages of their own.
      for (uint32_t p = 0; p < end; ++p) {
        char *page = a.slab + (shared + r * apart + p / page_tokens) * page_bytes;
        const uint32_t from = p < prefix ? p : a.path[r][p - prefix];
        a.pages[rows + r][p / page_tokens] = page;
        martlet_kv_copy_reference(&a.layout, a.slab + from / page_tokens * page_bytes,
                                  from % page_tokens, page, p % page_tokens, 1);
      }
      set_row(&a, rows + r, a.row[r].first, end);
    }
    memcpy(a.queries + rows * a.width, a.queries, rows * a.width * sizeof(float));
    check_seal(check, a.slab);
    check_seal(check, a.queries);
    compare(check, &a);
    check_same_bits(check, a.actual, a.actual + rows * a.width, rows, a.width, a.width);
  }
}

static double float_at(martlet_kv_type type, const void *base, size_t index) {
  float value = 0;
  if (type == MARTLET_KV_F32) return (double)((const float *)base)[index];
  if (type == MARTLET_KV_I8) return ((const int8_t *)base)[index];
  const uint16_t *word = (const uint16_t *)base + index;
  if (type == MARTLET_KV_BF16) martlet_dequantize_bf16_reference(1, word, &value);
  else martlet_dequantize_f16_reference(1, word, &value);
  return (double)value;
}

/// What dimension d of a head's key (or value) in a slot is worth, scale included.
static double stored(const martlet_kv_layout *layout, const char *page, int value, size_t head,
                     size_t d, size_t slot) {
  const size_t heads = layout->kv_heads, dimensions = layout->head_dimensions;
  const size_t padded = (dimensions + 15) / 16 * 16;
  if (layout->type == MARTLET_KV_I4) {
    const size_t pairs = (dimensions + 1) / 2, row = (dimensions + 31) / 32 * 16;
    const size_t groups = (dimensions + 31) / 32;
    const char *values = page + (heads * pairs * 32 + 63) / 64 * 64;
    const char *scales = values + heads * row * 32;
    const unsigned char code =
        (unsigned char)(value ? values[(head * 32 + slot) * row + d / 32 * 16 + d % 16]
                              : page[(head * pairs + d / 2) * 32 + slot]);
    const int high = value ? d % 32 >= 16 : d % 2;
    const size_t scale = ((value ? heads : 0) + head) * groups * 32 + d / 32 * 32 + slot;
    return ((high ? code >> 4 : code & 15) - 8) * float_at(MARTLET_KV_F16, scales, scale);
  }
  const size_t each = layout->type == MARTLET_KV_F32 ? 4 : layout->type == MARTLET_KV_I8 ? 1 : 2;
  const char *values = page + (heads * dimensions * 32 * each + 63) / 64 * 64;
  const char *scales = values + heads * 32 * padded * each;
  const double number = value ? float_at(layout->type, values, (head * 32 + slot) * padded + d)
                              : float_at(layout->type, page, (head * dimensions + d) * 32 + slot);
  if (layout->type != MARTLET_KV_I8) return number;
  return number * float_at(MARTLET_KV_F16, scales, ((value ? heads : 0) + head) * 32 + slot);
}

/// Plain softmax attention in float64 over what the pages hold.
static void compare_float64(martlet_check *check, const attention_case *a, uint32_t head) {
  const size_t d_count = a->layout.head_dimensions, kv_head = head / (a->query_heads /
                                                                      a->layout.kv_heads);
  const martlet_attention_row *row = &a->row[0];
  double scores[most_pages * page_tokens], largest = -INFINITY, sum = 0, size = 0;
  for (uint32_t p = row->first; p < row->end; ++p) {
    double dot = 0, magnitude = 0;
    for (size_t d = 0; d < d_count; ++d) {
      double term = row->query[head * d_count + d] *
                    stored(&a->layout, row->pages[p / page_tokens], 0, kv_head, d,
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
                    stored(&a->layout, row->pages[p / page_tokens], 1, kv_head, d,
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
      for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
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

/// Half a step of the type, as a part of the number (floats) or of the largest of those that share
/// its scale.
static double half_step(martlet_kv_type type, const float *x, size_t d, size_t dimensions) {
  if (type == MARTLET_KV_F32) return 0;
  if (type == MARTLET_KV_F16) return fabs((double)x[d]) * 0x1p-11 + 0x1p-25;
  if (type == MARTLET_KV_BF16) return fabs((double)x[d]) * 0x1p-8;
  const size_t group = type == MARTLET_KV_I4 ? 32 : dimensions, begin = d / group * group;
  double largest = 0;
  for (size_t i = begin; i < dimensions && i < begin + group; ++i)
    largest = fmax(largest, fabs((double)x[i]));
  // Four bits reach 8 steps on one side and 7 on the other, which may cost a whole step there. The
  // scale itself is rounded to float16: 2⁻¹¹ of it, or 2⁻²⁵ of 1, times the code.
  return type == MARTLET_KV_I8 ? largest / 127 * (0.5 + 127 * 0x1p-11) + 127 * 0x1p-25
                               : largest / 8 * (1 + 8 * 0x1p-11) + 8 * 0x1p-25;
}

static void write_float64(martlet_check *check) {
  check_describe(check, "written values against what they round");
  for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type)
    for (int round = 0; round < 4; ++round) {
      static const size_t sizes[] = {256, 128, 80, 33};
      const size_t d_count = sizes[round];
      const martlet_kv_layout layout = {sizeof layout, (martlet_kv_type)type, 2, (uint32_t)d_count};
      check_new_run(check);
      char *page = check_aligned_buffer(check, "page", martlet_kv_page_bytes(&layout));
      float keys[512], values[512];
      for (size_t i = 0; i < 2 * d_count; ++i) {
        keys[i] = check_normal(check);
        values[i] = ldexpf(check_uniform(check), -(int)check_below(check, 13));
      }
      CHECK_CALL(check, ((martlet_kv_write_function *)check->entry->function)(&layout, page, 9,
                                                                              keys, values));
      for (size_t i = 0; i < 2 * d_count; ++i) {
        const size_t head = i / d_count, d = i % d_count;
        const float *key = keys + head * d_count, *value = values + head * d_count;
        check_close(check, "half a step", key[d],
                    (float)stored(&layout, page, 0, head, d, 9),
                    half_step((martlet_kv_type)type, key, d, d_count));
        check_close(check, "half a step", value[d],
                    (float)stored(&layout, page, 1, head, d, 9),
                    half_step((martlet_kv_type)type, value, d, d_count));
      }
    }
}

/// Whether the `bytes` at a place are what the copy should have left there.
static int copied(const char *source, const char *target, size_t bytes, int within) {
  return within ? memcmp(source, target, bytes) == 0 : check_untouched(target, bytes);
}

/// Every run of slots, to the same slots as a fork has it and to others as moving a position has
/// it.
static void copy_slots(martlet_check *check) {
  for (uint32_t slots = 0; slots <= page_tokens; ++slots)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      attention_case a = shape((martlet_kv_type)type, 2, 1, 9);
      const size_t bytes = martlet_kv_page_bytes(&a.layout);
      const uint32_t from = slots % 2 ? (uint32_t)check_below(check, page_tokens - slots + 1) : 0;
      const uint32_t to = slots % 2 ? (uint32_t)check_below(check, page_tokens - slots + 1) : 0;
      check_new_run(check);
      check_describe(check, "%s, %u slots from %u to %u", type_names[type], slots, from, to);
      char *source = check_aligned_buffer(check, "source", bytes);
      char *target = check_aligned_buffer(check, "target", bytes);
      write_positions(check, &a, CHECK_NORMAL, source, 0, page_tokens);
      check_seal(check, source);
      CHECK_CALL(check, ((martlet_kv_copy_function *)check->entry->function)(
                            &a.layout, source, from, target, to, slots));
      const kv_shape s = kv_shape_of(&a.layout);
      size_t wrong = 0;
      for (size_t head = 0; head < 2; ++head) {
        const kv_head old = kv_head_of(&s, source, head), new = kv_head_of(&s, target, head);
        for (size_t slot = 0; slot < page_tokens; ++slot) {
          const int within = slot >= to && slot < to + slots;
          const size_t was = within ? slot - to + from : slot;
          for (size_t row = 0; row < s.key_rows; ++row)
            wrong += !copied(old.keys + (row * page_tokens + was) * s.element,
                             new.keys + (row * page_tokens + slot) * s.element, s.element, within);
          wrong += !copied(old.values + was * s.value_row_bytes,
                           new.values + slot * s.value_row_bytes, s.value_row_bytes, within);
          for (size_t g = 0; g < s.groups; ++g) {
            const size_t now = 2 * (g * page_tokens + slot), then = 2 * (g * page_tokens + was);
            wrong += !copied(old.key_scales + then, new.key_scales + now, 2, within);
            wrong += !copied(old.value_scales + then, new.value_scales + now, 2, within);
          }
        }
      }
      if (wrong) check_fail(check, "%zu places hold what they should not", wrong);
      check_poison(check);
    }
}

// ---- merging ------------------------------------------------------------------------------------

static void merging(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (uint32_t size = 1; size <= 256; size = size * 2 + 1) {
      check_new_run(check);
      check_describe(check, "%u dimensions, %s records", size, check_kind_name((check_kind)kind));
      attention_case a = shape(MARTLET_KV_F16, 2, 2, size);
      a.rows = 3;
      a.width = 4 * size;
      const size_t floats = martlet_attention_partial_floats(&a.layout), records = 4 * 3 * 4;
      a.queries = check_buffer(check, "queries", 3 * a.width * sizeof(float), 0);
      a.expected = check_buffer(check, "expected", 3 * a.width * sizeof(float), 0);
      a.actual = check_buffer(check, "output", 3 * a.width * sizeof(float), 4);
      float *partials = check_buffer(check, "records", records * floats * sizeof(float), 8);
      check_fill(check, (check_kind)kind, partials, records * floats);
      check_seal(check, partials);
      set_row(&a, 0, 1024, 1024 + 4 * chunk_tokens);
      set_row(&a, 1, 1024 + chunk_tokens, 1024 + chunk_tokens + 1);
      set_row(&a, 2, 1024 + chunk_tokens - 1, 1024 + 3 * chunk_tokens);
      martlet_attention_row row[most_rows];
      martlet_attention_arguments arguments = arguments_of(&a, 0, 3, row, a.expected);
      arguments.partials = partials;
      arguments.partials_chunk = 1024 / chunk_tokens;
      ((martlet_attention_merge_f32_function *)check->reference->function)(&arguments);
      arguments = arguments_of(&a, 0, 3, row, a.actual);
      arguments.partials = partials;
      arguments.partials_chunk = 1024 / chunk_tokens;
      CHECK_CALL(check, ((martlet_attention_merge_f32_function *)check->entry->function)(
                            &arguments));
      check_same_bits(check, a.expected, a.actual, 3, a.width, a.width);
      check_poison(check);
    }
}

// ---- timings ------------------------------------------------------------------------------------

static void repeat(void *context, martlet_any_function function) {
  attention_case *a = context;
  call(function, a, 0, a->rows, 0, a->layout.kv_heads, a->actual);
}

/// Branches of one prefix: every page but the last is everybody's.
static void time_attention(martlet_check *check, martlet_check_timing *timing) {
  attention_case a = shape(MARTLET_KV_F16, 1, 4, 128);
  allocate(check, &a, CHECK_NORMAL, 16, 8 + 16);
  const size_t page_bytes = martlet_kv_page_bytes(&a.layout);
  for (size_t page = 0; page < 8 + 16; ++page)
    write_positions(check, &a, CHECK_NORMAL, a.slab + page * page_bytes, 0, page_tokens);
  for (size_t r = 0; r < 16; ++r) {
    for (size_t page = 0; page < 8; ++page) a.pages[r][page] = a.slab + page * page_bytes;
    a.pages[r][8] = a.slab + (8 + r) * page_bytes;
    set_row(&a, r, 0, 9 * page_tokens);
  }
  strcpy(timing->shape, "16 × (256 shared + 32) × 4/1 × 128 f16");
  timing->bytes = (8 + 16) * (double)page_bytes;
  timing->operations = 4.0 * 288 * 4 * 128 * 16;
  timing->compute_bound = 1;
  check_time(check, timing, repeat, &a);
}

static void repeat_merge(void *context, martlet_any_function function) {
  ((martlet_attention_merge_f32_function *)function)(context);
}

static void time_merge(martlet_check *check, martlet_check_timing *timing) {
  attention_case a = shape(MARTLET_KV_F16, 8, 4, 128);
  a.width = 32 * 128;
  const size_t floats = martlet_attention_partial_floats(&a.layout);
  a.queries = check_buffer(check, "queries", a.width * sizeof(float), 0);
  a.actual = check_buffer(check, "output", a.width * sizeof(float), 0);
  set_row(&a, 0, 0, 8 * chunk_tokens);
  martlet_attention_row row[most_rows];
  martlet_attention_arguments arguments = arguments_of(&a, 0, 1, row, a.actual);
  arguments.partials = check_buffer(check, "records", 8 * 32 * floats * sizeof(float), 0);
  check_fill(check, CHECK_NORMAL, arguments.partials, 8 * 32 * floats);
  strcpy(timing->shape, "8 records × 32 heads × 128");
  timing->bytes = 8.0 * 32 * (double)floats * 4;
  timing->operations = 8.0 * 32 * 128 * 3;
  check_time(check, timing, repeat_merge, &arguments);
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
  ((martlet_kv_copy_function *)function)(&w->layout, w->page, 0, w->target, 0, 17);
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
    {"shared pages", sharing, 0},          {"isolation", isolation, 0},
    {"chunks", chunks, 0},                 {"token trees", trees, 0},
    {"float64", float64, 1},
};
static const martlet_check_case merge_cases[] = {{"merging", merging, 0}};
static const martlet_check_case write_cases[] = {
    {"slots", write_slots, 0},
    {"rounding", write_float64, 0},
};
static const martlet_check_case copy_cases[] = {{"slots", copy_slots, 0}};

const martlet_check_operation martlet_check_attention_operations[] = {
    {"kv_write", write_cases, 2, time_write},
    {"kv_copy", copy_cases, 1, time_copy},
    {"attention_f32", attention_cases, 9, time_attention},
    {"attention_merge_f32", merge_cases, 1, time_merge},
};
const size_t martlet_check_attention_operation_count = 4;

/// Checks of the index of retrieval attention: every variant against the reference, the reference
/// against float64, whole searches against brute force.
#include "attention_case.h"

#include "dispatch/retrieve_layout.h"
#include "dispatch/retrieve_variants.h"

#include <math.h>
#include <string.h>

/// A head's index over pages of random keys. Parts lie in slabs, pages in shuffled order.
typedef struct index_case {
  martlet_retrieve_shape shape;
  martlet_kv_layout layout;
  uint32_t head;
  size_t pages, offset;  ///< `offset` from each part's page address, as a layer has.
  char *slab, *codebook;
  char *codes, *bounds;
  const void *kv_pages[64], *code_pages[64], *key_pages[64], *bound_pages[64];
  char *turned;  ///< A copy of the pages whose keys of `head` are turned; key_pages are there.
  float *queries;
  size_t query_count;
} index_case;

/// Queries and keys that lie in different directions: `tilt` of the first dimensions.
static void fill_tilted(martlet_check *check, float *x, size_t dimensions, float tilt) {
  for (size_t d = 0; d < dimensions; ++d)
    x[d] = check_normal(check) * (d < (dimensions + 1) / 2 ? tilt : 1.0f) + (d == 1 ? tilt : 0);
}

static index_case make_index(martlet_check *check, uint32_t dimensions, uint32_t nibbles,
                             martlet_kv_type type, size_t pages, check_kind kind) {
  check_new_run(check);
  index_case c = {.shape = {sizeof c.shape, dimensions, nibbles},
                  .layout = {sizeof c.layout, type, 2, dimensions},
                  .head = (uint32_t)check_below(check, 2),
                  .pages = pages,
                  .query_count = 12};
  const size_t page_bytes = martlet_kv_page_bytes(&c.layout);
  c.slab = check_aligned_buffer(check, "pages", pages * page_bytes);
  c.queries = check_buffer(check, "queries", c.query_count * dimensions * sizeof(float), 4);
  c.codebook = check_aligned_buffer(check, "codebook", martlet_retrieve_codebook_bytes(&c.shape));
  char *scratch = check_aligned_buffer(check, "fit", martlet_retrieve_fit_scratch(&c.shape));
  for (size_t i = 0; i < pages; ++i) c.kv_pages[i] = c.slab + (i * 7 + 3) % pages * page_bytes;
  if (pages % 7 == 0)
    for (size_t i = 0; i < pages; ++i) c.kv_pages[i] = c.slab + i * page_bytes;
  float keys[2 * kv_most_dimensions];
  for (size_t i = 0; i < pages; ++i)
    for (uint32_t slot = 0; slot < page_tokens; ++slot) {
      for (size_t h = 0; h < 2; ++h) fill_tilted(check, keys + h * dimensions, dimensions, 0.3f);
      martlet_kv_write_reference(&c.layout, (char *)(uintptr_t)c.kv_pages[i], slot, keys, keys);
    }
  for (size_t i = 0; i < c.query_count; ++i)
    fill_tilted(check, c.queries + i * dimensions, dimensions, 3.0f);
  const martlet_retrieve_fit_arguments fit = {.size = sizeof fit,
                                              .kv_head = c.head,
                                              .shape = &c.shape,
                                              .layout = &c.layout,
                                              .pages = c.kv_pages,
                                              .page_count = pages,
                                              .queries = check_below(check, 4) ? c.queries : NULL,
                                              .query_stride = dimensions,
                                              .query_count = c.query_count};
  martlet_retrieve_fit_arguments used = fit;
  if (!used.queries) used.query_count = 0;
  if (martlet_retrieve_fit(&used, scratch, c.codebook) != MARTLET_OK)
    check_fail(check, "the fit refused its arguments");
  check_seal(check, c.codebook);
  if (kind == CHECK_NORMAL) return c;
  // Keys and queries unlike those of the fit.
  for (size_t i = 0; i < pages; ++i)
    attention_write_positions(check, &(attention_case){.layout = c.layout}, kind,
                              (char *)(uintptr_t)c.kv_pages[i], 0, page_tokens);
  check_fill(check, kind, c.queries, c.query_count * dimensions);
  return c;
}

/// Encodes all pages with the reference.
static void encode_all(martlet_check *check, index_case *c) {
  const size_t codes = martlet_retrieve_codes_bytes(&c->shape);
  const size_t page = martlet_kv_page_bytes(&c->layout);
  const size_t bounds = martlet_retrieve_bounds_bytes(&c->shape);
  c->offset = 64 * check_below(check, 2);
  c->codes = check_aligned_buffer(check, "codes", c->pages * codes);
  c->turned = check_aligned_buffer(check, "turned pages", c->pages * page);
  c->bounds = check_aligned_buffer(check, "bounds", c->pages * bounds);
  for (size_t i = 0; i < c->pages; ++i) {
    const size_t at = c->pages - 1 - i;
    martlet_retrieve_encode_reference(c->codebook, &c->layout, c->kv_pages[i], 0, c->head,
                                      page_tokens, c->codes + at * codes,
                                      c->bounds + at * bounds);
    memcpy(c->turned + at * page, c->kv_pages[i], page);
    martlet_kv_turn_keys_reference(&c->layout, c->turned + at * page, c->head, 1);
    c->code_pages[i] = c->codes + at * codes - c->offset;
    c->key_pages[i] = c->turned + at * page - c->offset;
    c->bound_pages[i] = c->bounds + at * bounds - c->offset;
  }
  check_seal(check, c->codes);
  check_seal(check, c->turned);
  check_seal(check, c->bounds);
}

/// Prepares the case's first queries with the reference; one buffer, one after another.
static void prepare(martlet_check *check, const index_case *c, size_t count,
                    const void **prepared) {
  const size_t bytes = martlet_retrieve_query_bytes(&c->shape);
  char *memory = check_aligned_buffer(check, "prepared", count * bytes);
  for (size_t q = 0; q < count; ++q) {
    martlet_retrieve_query_reference(c->codebook, c->queries + q * c->shape.head_dimensions,
                                     memory + q * bytes);
    prepared[q] = memory + q * bytes;
  }
  check_seal(check, memory);
}

// ---- encoding -----------------------------------------------------------------------------------

/// Encodes page 0 with the variant, as it is and turned, and compares; each part may be left out.
static void compare_encoding(martlet_check *check, const index_case *c, uint32_t slots,
                             unsigned parts) {
  const size_t bytes[2] = {martlet_retrieve_codes_bytes(&c->shape),
                           martlet_retrieve_bounds_bytes(&c->shape)};
  const size_t page_bytes = martlet_kv_page_bytes(&c->layout);
  void *expected[2] = {NULL}, *actual[2] = {NULL};
  char *page = check_aligned_buffer(check, "page", page_bytes);
  memcpy(page, c->kv_pages[0], page_bytes);
  const int turned = (int)check_below(check, 2);
  if (turned) martlet_kv_turn_keys_reference(&c->layout, page, c->head, 1);
  for (int i = 0; i < 2; ++i) {
    if (!(parts >> i & 1)) continue;
    expected[i] = check_aligned_buffer(check, "expected", bytes[i]);
    actual[i] = check_aligned_buffer(check, "part", bytes[i]);
  }
  martlet_retrieve_encode_function *reference =
      (martlet_retrieve_encode_function *)check->reference->function;
  martlet_retrieve_encode_function *variant =
      (martlet_retrieve_encode_function *)check->entry->function;
  check_seal(check, page);
  reference(c->codebook, &c->layout, c->kv_pages[0], 0, c->head, slots, expected[0], expected[1]);
  CHECK_CALL(check, variant(c->codebook, &c->layout, page, turned, c->head, slots, actual[0],
                            actual[1]));
  for (int i = 0; i < 2; ++i)
    if (expected[i]) check_same_bytes(check, expected[i], actual[i], bytes[i]);
  check_poison(check);
}

static void encode_shapes(martlet_check *check) {
  static const uint32_t sizes[] = {1, 2, 3, 8, 15, 16, 17, 31, 33, 48, 64, 80, 100, 128, 256};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      const uint32_t nibbles = 8 * (1 + (uint32_t)check_below(check, sizes[i] < 64 ? 4 : 16));
      const uint32_t slots = 1 + (uint32_t)check_below(check, page_tokens);
      check_describe(check, "%s, %u dimensions, %u nibbles, %u slots", attention_type_names[type],
                     sizes[i], nibbles, slots);
      index_case c = make_index(check, sizes[i], nibbles, (martlet_kv_type)type, 2, CHECK_NORMAL);
      compare_encoding(check, &c, i % 2 ? page_tokens : slots, 1 + i % 3);
    }
}

static void encode_special(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      check_describe(check, "%s, %s keys", attention_type_names[type],
                     check_kind_name((check_kind)kind));
      index_case c = make_index(check, 24, 16, (martlet_kv_type)type, 2, (check_kind)kind);
      compare_encoding(check, &c, 1 + (uint32_t)check_below(check, page_tokens), 3);
    }
}

/// Slots that hold nothing yet leave no trace.
static void encode_slots(martlet_check *check) {
  for (uint32_t slots = 1; slots <= page_tokens; ++slots) {
    check_describe(check, "%u slots, NaN after them", slots);
    index_case c = make_index(check, 20, 8, MARTLET_KV_F32, 2, CHECK_NORMAL);
    if (slots < page_tokens) {
      float nan[2 * 20];
      for (int i = 0; i < 40; ++i) nan[i] = NAN;
      for (uint32_t slot = slots; slot < page_tokens; ++slot)
        martlet_kv_write_reference(&c.layout, (char *)(uintptr_t)c.kv_pages[0], slot, nan, nan);
    }
    compare_encoding(check, &c, slots, 3);
  }
}

/// What a position's codes and box say about its key, in float64.
static void encode_float64(martlet_check *check) {
  static const uint32_t sizes[] = {5, 32, 64, 128};
  for (int i = 0; i < 4; ++i) {
    check_describe(check, "%u dimensions against float64", sizes[i]);
    index_case c = make_index(check, sizes[i], 16, MARTLET_KV_BF16, 6, CHECK_NORMAL);
    encode_all(check, &c);
    const retrieve_book book = retrieve_book_of(c.codebook);
    const size_t side_bytes = retrieve_side_bytes(sizes[i]);
    for (size_t page = 0; page < c.pages; ++page)
      for (uint32_t slot = 0; slot < page_tokens; ++slot) {
        double x[kv_most_dimensions] = {0};
        for (uint32_t d = 0; d < sizes[i]; ++d) {
          const double key = attention_stored(&c.layout, c.kv_pages[page], 0, c.head, d, slot);
          for (size_t j = 0; j < book.kept; ++j)
            x[j] += key * (double)book.key_map[d * book.padded + j];
          const double step = (double)book.steps[d];
          const uint8_t *box = (const uint8_t *)c.bound_pages[page] + c.offset;
          if (key > step * (box[d] - 128.0) * 1.000001 + 1e-9 * step ||
              -key > step * (box[side_bytes + d] - 127.0) * 1.000001 + 1e-9 * step)
            check_fail(check, "dimension %u of slot %u is outside its page's box", d, slot);
        }
        const uint8_t *codes = (const uint8_t *)c.code_pages[page] + c.offset;
        for (size_t m = 0; m < book.nibbles; ++m) {
          const unsigned pair = codes[m / 2 * 32 + slot], code = m % 2 ? pair >> 4 : pair & 15;
          double least = INFINITY, own = 0, size = 1;
          for (unsigned k = 0; k < 16; ++k) {
            double distance = 0;
            for (size_t j = book.first[m]; j < (size_t)book.first[m] + book.count[m]; ++j) {
              const double off = x[j] - (double)book.centroids[j * 16 + k];
              distance += off * off;
              size += x[j] * x[j];
            }
            least = fmin(least, distance);
            own = k == code ? distance : own;
          }
          ++check->runs;
          if (own > least + size * 1e-4)
            check_fail(check, "nibble %zu of slot %u is not the nearest centroid", m, slot);
        }
      }
  }
}

static void call_encode(void *context, martlet_any_function function) {
  index_case *c = context;
  ((martlet_retrieve_encode_function *)function)(c->codebook, &c->layout, c->kv_pages[0], 0,
                                                 c->head, page_tokens, c->codes, c->bounds);
}

static void time_encode(martlet_check *check, martlet_check_timing *timing) {
  index_case c = make_index(check, 128, 32, MARTLET_KV_BF16, 8, CHECK_NORMAL);
  c.codes = check_aligned_buffer(check, "codes", martlet_retrieve_codes_bytes(&c.shape));
  c.bounds = check_aligned_buffer(check, "bounds", martlet_retrieve_bounds_bytes(&c.shape));
  const retrieve_book book = retrieve_book_of(c.codebook);
  strcpy(timing->shape, "a page of 128, 32 nibbles");
  timing->bytes = 128 * 64 + 512 + 256;
  timing->operations = 2.0 * 32 * ((double)book.kept * 128 + 16 * (double)book.kept);
  timing->compute_bound = 1;
  check_time(check, timing, call_encode, &c);
}

// ---- queries ------------------------------------------------------------------------------------

static void query_shapes(martlet_check *check) {
  static const uint32_t sizes[] = {1, 2, 3, 15, 16, 17, 32, 33, 64, 80, 128, 200, 256};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i)
    for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind) {
      const uint32_t nibbles = 8 * (1 + (uint32_t)check_below(check, 12));
      check_describe(check, "%u dimensions, %u nibbles, %s queries", sizes[i], nibbles,
                     check_kind_name((check_kind)kind));
      index_case c = make_index(check, sizes[i], nibbles, MARTLET_KV_F32, 1, (check_kind)kind);
      const size_t bytes = martlet_retrieve_query_bytes(&c.shape);
      char *expected = check_aligned_buffer(check, "expected", bytes);
      char *actual = check_aligned_buffer(check, "prepared", bytes);
      check_seal(check, c.queries);
      martlet_retrieve_query_reference(c.codebook, c.queries, expected);
      CHECK_CALL(check, ((martlet_retrieve_query_function *)check->entry->function)(
                            c.codebook, c.queries, actual));
      check_same_bytes(check, expected, actual, bytes);
      check_poison(check);
    }
}

static double exact_score(const index_case *c, size_t query, size_t position) {
  double sum = 0;
  for (uint32_t d = 0; d < c->shape.head_dimensions; ++d)
    sum += (double)c->queries[query * c->shape.head_dimensions + d] *
           attention_stored(&c->layout, c->kv_pages[position / 32], 0, c->head, d, position % 32);
  return sum;
}

/// The three kinds of scores against q·k in float64.
static void query_float64(martlet_check *check) {
  for (uint32_t dimensions = 4; dimensions <= 128; dimensions *= 2) {
    check_describe(check, "scores of %u dimensions against float64", dimensions);
    index_case c = make_index(check, dimensions, 32, MARTLET_KV_F32, 4, CHECK_NORMAL);
    encode_all(check, &c);
    const void *prepared[12];
    prepare(check, &c, c.query_count, prepared);
    const retrieve_book book = retrieve_book_of(c.codebook);
    uint16_t scores[4 * 32], bounds[4];
    float ranks[4 * 32];
    uint32_t positions[4 * 32];
    for (uint32_t p = 0; p < 128; ++p) positions[p] = p;
    for (size_t q = 0; q < c.query_count; ++q) {
      martlet_retrieve_scan_arguments scan = {.size = sizeof scan, .query_count = 1,
                                              .queries = prepared + q, .pages = c.code_pages,
                                              .offset = c.offset, .page_end = 4,
                                              .scores = scores};
      martlet_retrieve_scan_reference(&scan);
      scan.pages = c.bound_pages;
      scan.scores = bounds;
      martlet_retrieve_scan_bounds_reference(&scan);
      martlet_retrieve_rank_reference(prepared[q], &c.layout, c.head, c.key_pages, c.offset, 128,
                                      positions, ranks);
      martlet_retrieve_scale scale = {.size = sizeof scale};
      martlet_retrieve_query_scale(prepared[q], &scale);
      const float *query = c.queries + q * dimensions;
      for (uint32_t p = 0; p < 128; ++p) {
        const double exact = exact_score(&c, q, p);
        double size = 0;
        for (uint32_t d = 0; d < dimensions; ++d)
          size += fabs((double)query[d] *
                       attention_stored(&c.layout, c.kv_pages[p / 32], 0, c.head, d, p % 32));
        // A lane of 16 adds up to eight products, a fold four levels.
        check_close(check, "12 roundings of the sum", exact, ranks[p], size * 12 * 0x1p-24);
        const double bound = (double)scale.bound_base +
                             (double)scale.bound_step * (bounds[p / 32] + 1.0);
        ++check->runs;
        if (exact > bound + fabs(bound) * 1e-5)
          check_fail(check, "a score of %g is above its page's bound %g", exact, bound);
        // What the centroids themselves give.
        double coded = 0;
        for (size_t m = 0; m < book.nibbles; ++m) {
          const uint8_t *codes = (const uint8_t *)c.code_pages[p / 32] + c.offset;
          const unsigned pair = codes[m / 2 * 32 + p % 32], code = m % 2 ? pair >> 4 : pair & 15;
          for (size_t j = book.first[m]; j < (size_t)book.first[m] + book.count[m]; ++j)
            for (uint32_t d = 0; d < dimensions; ++d)
              coded += (double)query[d] * (double)book.query_map[d * book.padded + j] *
                       (double)book.centroids[j * 16 + code];
        }
        check_close(check, "half a table step per nibble", coded,
                    scale.scan_base + scale.scan_step * (float)scores[p],
                    0.51 * (double)scale.scan_step * 32 + 1e-3);
      }
    }
  }
}

typedef struct query_timing {
  index_case c;
  char *prepared;
} query_timing;

static void call_query(void *context, martlet_any_function function) {
  query_timing *t = context;
  ((martlet_retrieve_query_function *)function)(t->c.codebook, t->c.queries, t->prepared);
}

static void time_query(martlet_check *check, martlet_check_timing *timing) {
  query_timing t = {.c = make_index(check, 128, 32, MARTLET_KV_F32, 8, CHECK_NORMAL)};
  t.prepared = check_aligned_buffer(check, "prepared", martlet_retrieve_query_bytes(&t.c.shape));
  const retrieve_book book = retrieve_book_of(t.c.codebook);
  strcpy(timing->shape, "128 dimensions, 32 nibbles");
  timing->bytes = (double)book.kept * 128 * 4;
  timing->operations = 2.0 * (double)book.kept * 144;
  check_time(check, timing, call_query, &t);
}

// ---- scanning -----------------------------------------------------------------------------------

/// Scores of some queries over some pages, the variant's against the reference's.
static void compare_scan(martlet_check *check, const index_case *c, const void *const *pages,
                         size_t each, size_t queries, size_t begin, size_t end) {
  const void *prepared[12];
  prepare(check, c, queries, prepared);
  const size_t count = (end - begin) * each, stride = count + check_below(check, 40);
  const size_t bytes = (count + stride * (queries - 1)) * sizeof(uint16_t);
  martlet_retrieve_scan_arguments scan = {.size = sizeof scan,
                                          .query_count = (uint32_t)queries,
                                          .queries = prepared,
                                          .pages = pages,
                                          .offset = c->offset,
                                          .page_begin = begin,
                                          .page_end = end,
                                          .stride = stride};
  uint16_t *expected = check_buffer(check, "expected", bytes, 0);
  uint16_t *actual = check_buffer(check, "scores", bytes, 2 * check_below(check, 32));
  scan.scores = expected;
  ((martlet_retrieve_scan_function *)check->reference->function)(&scan);
  scan.scores = actual;
  CHECK_CALL(check, ((martlet_retrieve_scan_function *)check->entry->function)(&scan));
  // The gaps between queries are poison in both.
  check_same_bytes(check, expected, actual, bytes);
  check_poison(check);
  // A query alone, over one page of them, has the same scores.
  const size_t q = check_below(check, queries), page = begin + check_below(check, end - begin);
  uint16_t alone[32];
  scan.queries = prepared + q;
  scan.query_count = 1;
  scan.page_begin = page;
  scan.page_end = page + 1;
  scan.scores = alone;
  CHECK_CALL(check, ((martlet_retrieve_scan_function *)check->entry->function)(&scan));
  check_same_bytes(check, actual + q * stride + (page - begin) * each, alone,
                   each * sizeof(uint16_t));
}

static void scan_shapes(martlet_check *check) {
  for (uint32_t nibbles = 8; nibbles <= 256; nibbles += nibbles < 72 ? 8 : 56)
    for (int round = 0; round < 4; ++round) {
      const size_t pages = 1 + check_below(check, 44), queries = 1 + check_below(check, 11);
      const size_t begin = check_below(check, pages);
      check_describe(check, "%u nibbles, %zu queries, pages %zu ..< %zu", nibbles, queries, begin,
                     pages);
      index_case c = make_index(check, 20, nibbles, MARTLET_KV_F16, pages, CHECK_NORMAL);
      encode_all(check, &c);
      compare_scan(check, &c, c.code_pages, 32, queries, begin, pages);
    }
}

/// Any codes and the largest entries everywhere: sums reach their ends.
static void scan_extremes(martlet_check *check) {
  for (uint32_t nibbles = 8; nibbles <= 256; nibbles *= 2) {
    check_describe(check, "%u nibbles, largest sums", nibbles);
    index_case c = make_index(check, 16, nibbles, MARTLET_KV_F32, 5, CHECK_NORMAL);
    c.codes = check_aligned_buffer(check, "codes", 5 * 16 * nibbles);
    for (size_t i = 0; i < 5 * 16 * nibbles; ++i) c.codes[i] = (char)check_random(check);
    for (size_t i = 0; i < 5; ++i) c.code_pages[i] = c.codes + i * 16 * nibbles;
    const size_t bytes = martlet_retrieve_query_bytes(&c.shape);
    char *prepared = check_aligned_buffer(check, "prepared", bytes);
    martlet_retrieve_query_reference(c.codebook, c.queries, prepared);
    // Those in quads follow.
    memset(retrieve_tables(prepared), retrieve_table_most, 48 * nibbles);
    const void *queries[4] = {prepared, prepared, prepared, prepared};
    uint16_t *scores = check_buffer(check, "scores", 4 * 160 * sizeof(uint16_t), 0);
    martlet_retrieve_scan_arguments scan = {.size = sizeof scan, .query_count = 4,
                                            .queries = queries, .pages = c.code_pages,
                                            .page_end = 5, .scores = scores, .stride = 160};
    CHECK_CALL(check, ((martlet_retrieve_scan_function *)check->entry->function)(&scan));
    for (size_t i = 0; i < 4 * 160; ++i)
      if (scores[i] != nibbles * retrieve_table_most)
        check_fail(check, "score %zu is %u instead of %u", i, scores[i],
                   nibbles * retrieve_table_most);
  }
}

/// A sieve over some pages, then over the rest, as a search does where rows part: the variant's lists
/// against the reference's. Bounds let all, some or nothing pass; lists that are too short are full.
static void compare_sieve(martlet_check *check, const index_case *c, size_t queries, size_t room) {
  const void *prepared[12];
  prepare(check, c, queries, prepared);
  const size_t list = room + retrieve_sieve_slack, cut = check_below(check, c->pages);
  uint16_t *least = check_buffer(check, "bounds", queries * sizeof *least, 0);
  size_t counts[2][12] = {0};
  uint32_t *places[2];
  uint16_t *kept[2], one[64 * 32];
  for (size_t q = 0; q < queries; ++q) {
    // What one of the query's own scores is, or the ends.
    martlet_retrieve_scan_arguments scan = {.size = sizeof scan, .query_count = 1,
                                            .queries = prepared + q, .pages = c->code_pages,
                                            .offset = c->offset, .page_end = c->pages, .scores = one};
    martlet_retrieve_scan_reference(&scan);
    const size_t kind = check_below(check, 8);
    least[q] = kind == 0 ? 0 : kind == 1 ? UINT16_MAX : one[check_below(check, c->pages * 32)];
  }
  check_seal(check, least);
  for (int side = 0; side < 2; ++side) {
    places[side] = check_buffer(check, "places", queries * list * sizeof(uint32_t), 4);
    kept[side] = check_buffer(check, "kept", queries * list * sizeof(uint16_t), 2);
    martlet_retrieve_sieve_function *function =
        (martlet_retrieve_sieve_function *)(side ? check->entry : check->reference)->function;
    for (int part = 0; part < 2; ++part) {
      if (part == 0 && cut == 0) continue;
      const martlet_retrieve_scan_arguments scan = {
          .size = sizeof scan, .query_count = (uint32_t)queries, .queries = prepared,
          .pages = c->code_pages, .offset = c->offset, .page_begin = part ? cut : 0,
          .page_end = part ? c->pages : cut};
      const retrieve_sieve sieve = {.scan = &scan, .least = least,
                                    .first_place = (uint32_t)(scan.page_begin * 32), .room = room,
                                    .places = places[side], .kept = kept[side],
                                    .counts = counts[side]};
      CHECK_CALL(check, function(&sieve));
    }
  }
  check_same_bytes(check, counts[0], counts[1], queries * sizeof counts[0][0]);
  for (size_t q = 0; q < queries; ++q) {
    if (counts[0][q] > room || counts[0][q] != counts[1][q]) continue;
    check_same_bytes(check, places[0] + q * list, places[1] + q * list,
                     counts[0][q] * sizeof(uint32_t));
    check_same_bytes(check, kept[0] + q * list, kept[1] + q * list, counts[0][q] * sizeof(uint16_t));
  }
  check_poison(check);
}

static void sieve_shapes(martlet_check *check) {
  for (uint32_t nibbles = 8; nibbles <= 256; nibbles += nibbles < 72 ? 8 : 56)
    for (int round = 0; round < 6; ++round) {
      const size_t pages = 1 + check_below(check, 60), queries = 1 + check_below(check, 11);
      const size_t room = check_below(check, 3) ? 32 * pages : check_below(check, 32 * pages);
      check_describe(check, "%u nibbles, %zu queries, %zu pages, room for %zu", nibbles, queries,
                     pages, room);
      index_case c = make_index(check, 20, nibbles, MARTLET_KV_F16, pages, CHECK_NORMAL);
      encode_all(check, &c);
      compare_sieve(check, &c, queries, room);
    }
}

/// The reference against its definition: what a scan gives, one by one.
static void sieve_definition(martlet_check *check) {
  check_describe(check, "a sieve by definition");
  index_case c = make_index(check, 20, 16, MARTLET_KV_F16, 20, CHECK_NORMAL);
  encode_all(check, &c);
  const void *prepared[12];
  prepare(check, &c, 1, prepared);
  uint16_t scores[640], kept[640 + retrieve_sieve_slack];
  uint32_t places[640 + retrieve_sieve_slack];
  martlet_retrieve_scan_arguments scan = {.size = sizeof scan, .query_count = 1, .queries = prepared,
                                          .pages = c.code_pages, .offset = c.offset, .page_end = 20,
                                          .scores = scores};
  martlet_retrieve_scan_reference(&scan);
  for (size_t i = 0; i < 640; i += 37) {
    size_t count = 0, next = 0;
    const retrieve_sieve sieve = {.scan = &scan, .least = scores + i, .first_place = 1000,
                                  .room = 640, .places = places, .kept = kept, .counts = &count};
    CHECK_CALL(check, ((martlet_retrieve_sieve_function *)check->entry->function)(&sieve));
    for (uint32_t p = 0; p < 640; ++p) {
      if (scores[p] < scores[i]) continue;
      if (next >= count || places[next] != 1000 + p || kept[next] != scores[p])
        check_fail(check, "place %u is missing above %u", p, scores[i]);
      ++next;
    }
    if (next != count) check_fail(check, "%zu places instead of %zu", count, next);
  }
}

typedef struct sieve_timing {
  index_case c;
  const void *prepared[12];
  martlet_retrieve_scan_arguments scan;
  retrieve_sieve sieve;
  size_t counts[4];
  uint16_t least[4];
} sieve_timing;

static void call_sieve(void *context, martlet_any_function function) {
  sieve_timing *t = context;
  memset(t->counts, 0, sizeof t->counts);
  ((martlet_retrieve_sieve_function *)function)(&t->sieve);
}

static void time_sieve(martlet_check *check, martlet_check_timing *timing) {
  sieve_timing t = {.c = make_index(check, 128, 32, MARTLET_KV_F32, 64, CHECK_NORMAL)};
  encode_all(check, &t.c);
  prepare(check, &t.c, 4, t.prepared);
  uint16_t scores[64 * 32];
  t.scan = (martlet_retrieve_scan_arguments){
      .size = sizeof t.scan, .query_count = 1, .queries = t.prepared, .pages = t.c.code_pages,
      .offset = t.c.offset, .page_end = 64, .scores = scores};
  for (size_t q = 0; q < 4; ++q, ++t.scan.queries) {
    martlet_retrieve_scan_reference(&t.scan);
    size_t counts[65] = {0}, above = 0;
    for (size_t i = 0; i < 2048; ++i) ++counts[scores[i] >> 8];
    size_t bucket = 64;
    while (bucket > 0 && above + counts[bucket] <= 32) above += counts[bucket--];
    t.least[q] = (uint16_t)((bucket + 1) << 8);
  }
  t.scan.queries = t.prepared;
  t.scan.query_count = 4;
  const size_t list = 2048 + retrieve_sieve_slack;
  t.sieve = (retrieve_sieve){.scan = &t.scan, .least = t.least, .room = 2048,
                             .places = check_buffer(check, "places", 4 * list * 4, 0),
                             .kept = check_buffer(check, "kept", 4 * list * 2, 0),
                             .counts = t.counts};
  strcpy(timing->shape, "4 queries × 2,048 keys, 32 nibbles");
  timing->bytes = 64.0 * 512;
  timing->operations = 4.0 * 2048 * 32;
  check_time(check, timing, call_sieve, &t);
}

/// What one row of a search should find, by counting better positions for each query.
static void expect_search(const index_case *c, const martlet_retrieve_search_row *row,
                          int by_bounds, uint8_t *expected) {
  const size_t begin = row->page_begin, pages = row->page_end, count = 32 * (pages - begin);
  const int ranked = row->key_pages && row->candidates > row->wanted;
  static uint16_t scores[64 * 32];
  static float ranks[64 * 32];
  memset(expected, 0, count);
  for (size_t q = 0; q < row->query_count; ++q) {
    martlet_retrieve_scan_arguments scan = {.size = sizeof scan, .query_count = 1,
                                            .queries = row->queries + q, .pages = row->pages,
                                            .offset = c->offset, .page_begin = begin,
                                            .page_end = pages, .scores = scores};
    if (by_bounds) martlet_retrieve_scan_bounds_reference(&scan);
    else martlet_retrieve_scan_reference(&scan);
    const size_t places = by_bounds ? pages - begin : count;
    const uint32_t each = by_bounds ? (row->wanted + 31) / 32 : row->wanted;
    static uint8_t in[64 * 32];
    for (size_t i = 0; i < places; ++i) {
      size_t better = 0;
      for (size_t j = 0; j < places; ++j)
        better += scores[j] > scores[i] || (scores[j] == scores[i] && j < i);
      in[i] = better < (ranked ? row->candidates : each);
    }
    if (ranked) {
      float low = INFINITY, high = -INFINITY;
      for (uint32_t i = 0; i < count; ++i) {
        const uint32_t position = (uint32_t)begin * 32 + i;
        martlet_retrieve_rank_reference(row->queries[q], &c->layout, c->head, row->key_pages,
                                        c->offset, 1, &position, ranks + i);
        if (in[i]) low = fminf(low, ranks[i]), high = fmaxf(high, ranks[i]);
      }
      // Ranks are compared as words.
      for (size_t i = 0; i < count; ++i)
        ranks[i] = floorf((ranks[i] - low) * (65535.0f / (high - low)));
      static uint8_t best[64 * 32];
      for (size_t i = 0; i < count; ++i) {
        size_t better = 0;
        for (size_t j = 0; j < count; ++j)
          better += in[j] && (ranks[j] > ranks[i] || (ranks[j] == ranks[i] && j < i));
        best[i] = in[i] && better < row->wanted;
      }
      memcpy(in, best, count);
    }
    for (size_t i = 0; i < count; ++i) expected[i] |= in[by_bounds ? i / 32 : i];
  }
}

/// Whole searches of rows that share none, some or all of their pages, against sorting everything.
static void search_brute_force(martlet_check *check) {
  for (int round = 0; round < 40; ++round) {
    enum { most_rows = 4 };
    const size_t pages = 2 + check_below(check, 40), rows = 1 + check_below(check, most_rows);
    const int by_bounds = round % 3 == 2, ranked = round % 3 == 1, type = round / 3 % 5;
    check_describe(check, "%zu rows of at most %zu pages, %s, %s", rows, pages,
                   attention_type_names[type],
                   by_bounds ? "bounds" : ranked ? "codes and keys" : "codes");
    index_case c = make_index(check, 24, 16, (martlet_kv_type)type, pages, CHECK_NORMAL);
    encode_all(check, &c);
    const void *prepared[12];
    prepare(check, &c, 12, prepared);
    martlet_retrieve_search_row row[most_rows];
    const void *lists[2][most_rows][64];
    const size_t shared_begin = check_below(check, pages - 1);
    for (size_t r = 0; r < rows; ++r) {
      // Up to some page the first row's pages, then any.
      const size_t kept = check_below(check, 2) ? pages : check_below(check, pages);
      for (size_t i = 0; i < pages; ++i) {
        const size_t own = i < kept ? i : check_below(check, pages);
        lists[0][r][i] = by_bounds ? c.bound_pages[own] : c.code_pages[own];
        lists[1][r][i] = c.key_pages[own];
      }
      const size_t begin = check_below(check, 4) ? shared_begin : check_below(check, pages - 1);
      const size_t end = begin + 1 + check_below(check, pages - begin), count = 32 * (end - begin);
      const uint32_t queries = (uint32_t)check_below(check, 4);
      const uint32_t wanted = 1 + (uint32_t)check_below(check, round % 5 ? 60 : 2 * count);
      const size_t each = by_bounds ? (wanted + 31) / 32 * 32 : wanted;
      const size_t room = queries * each < count ? queries * each : count;
      row[r] = (martlet_retrieve_search_row){
          .query_count = queries,
          .queries = prepared + check_below(check, 12 - queries),
          .pages = lists[0][r],
          .key_pages = ranked ? lists[1][r] : NULL,
          .page_begin = begin,
          .page_end = end,
          .candidates = wanted + (uint32_t)check_below(check, 200),
          .wanted = wanted,
          .positions = check_buffer(check, "positions", room * sizeof(uint32_t), 0)};
    }
    martlet_retrieve_search_arguments a = {.size = sizeof a,
                                           .kv_head = c.head,
                                           .layout = &c.layout,
                                           .rows = row,
                                           .row_count = rows,
                                           .by_bounds = by_bounds,
                                           .offset = c.offset,
                                           .page_offset = c.offset};
    char *scratch =
        check_aligned_buffer(check, "scratch", martlet_retrieve_search_scratch(&a));
    CHECK_CALL(check, if (martlet_retrieve_search(&a, scratch) != MARTLET_OK)
                          check_fail(check, "the search was refused"));
    check_poison(check);
    for (size_t r = 0; r < rows; ++r) {
      static uint8_t expected[64 * 32];
      expect_search(&c, &row[r], by_bounds, expected);
      size_t next = 0;
      for (size_t i = 0; i < 32 * (row[r].page_end - row[r].page_begin); ++i) {
        if (!expected[i]) continue;
        const size_t position = row[r].page_begin * 32 + i;
        if (next >= row[r].found || row[r].positions[next] != position) {
          check_fail(check, "row %zu misses position %zu", r, position);
          break;
        }
        ++next;
      }
      if (next != row[r].found)
        check_fail(check, "row %zu: %zu positions found, %zu expected", r, row[r].found, next);
    }
  }
}

/// What one query finds among many pages, step by step with the reference.
static void expect_steps(const index_case *c, const martlet_retrieve_search_row *row, size_t q,
                         uint8_t *expected) {
  enum { most = 400 * 32 };
  static uint16_t scores[most], words[most];
  static float ranks[most];
  static uint32_t places[most], best[most];
  const size_t count = 32 * row->page_end;
  martlet_retrieve_scan_arguments scan = {.size = sizeof scan, .query_count = 1,
                                          .queries = row->queries + q, .pages = row->pages,
                                          .offset = c->offset, .page_end = row->page_end,
                                          .scores = scores};
  martlet_retrieve_scan_reference(&scan);
  const size_t finds = row->key_pages ? row->candidates : row->wanted;
  martlet_retrieve_select_reference(count, scores, finds, NULL, places);
  if (row->key_pages) {
    martlet_retrieve_rank_reference(row->queries[q], &c->layout, c->head, row->key_pages, c->offset,
                                    finds, places, ranks);
    float low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < finds; ++i) low = fminf(low, ranks[i]), high = fmaxf(high, ranks[i]);
    for (size_t i = 0; i < finds; ++i)
      words[i] = (uint16_t)fminf((ranks[i] - low) * (65535.0f / (high - low)), 65535.0f);
    martlet_retrieve_select_reference(finds, words, row->wanted, NULL, best);
    for (size_t i = 0; i < row->wanted; ++i) expected[places[best[i]]] = 1;
  } else {
    for (size_t i = 0; i < finds; ++i) expected[places[i]] = 1;
  }
}

/// Searches of so many pages that a sample of them bounds what a scan keeps: also where all pages are
/// alike, and where the sample's are unlike all others, so that too little or too much passes its bound.
static void search_many_pages(martlet_check *check) {
  enum { most_rows = 3, most_pages = 400 };
  for (int round = 0; round < 30; ++round) {
    const size_t pages = 130 + check_below(check, most_pages - 130);
    const size_t rows = 1 + check_below(check, most_rows), kinds = round % 6 ? 40 : 1;
    const int ranked = round % 2;
    check_describe(check, "%zu rows of %zu pages, %s, round %d", rows, pages,
                   ranked ? "codes and keys" : "codes", round);
    index_case c = make_index(check, 24, 16, MARTLET_KV_BF16, 40, CHECK_NORMAL);
    encode_all(check, &c);
    const void *prepared[12];
    prepare(check, &c, 12, prepared);
    static const void *lists[2][most_rows][most_pages];
    martlet_retrieve_search_row row[most_rows];
    const size_t sampled = check_below(check, kinds), other = check_below(check, kinds);
    const size_t common = check_below(check, pages);
    for (size_t r = 0; r < rows; ++r) {
      const uint32_t queries = 1 + (uint32_t)check_below(check, 4);
      const size_t finds = 256 + check_below(check, pages * 4 - 256);
      uint8_t in_sample[most_pages] = {0};
      const size_t sample = retrieve_sample_pages(pages, finds);
      for (size_t i = 0; i < sample; ++i) in_sample[retrieve_sample_page(i, sample, pages)] = 1;
      for (size_t i = 0; i < pages; ++i) {
        const size_t own = round % 3 == 0 ? check_below(check, kinds) : in_sample[i] ? sampled : other;
        lists[0][r][i] = r && i < common ? lists[0][0][i] : c.code_pages[own];
        lists[1][r][i] = r && i < common ? lists[1][0][i] : c.key_pages[own];
      }
      row[r] = (martlet_retrieve_search_row){
          .query_count = queries,
          .queries = prepared + check_below(check, 12 - queries),
          .pages = lists[0][r],
          .key_pages = ranked ? lists[1][r] : NULL,
          .page_end = pages,
          .candidates = (uint32_t)finds,
          .wanted = (uint32_t)(ranked ? 1 + check_below(check, finds - 1) : finds)};
      row[r].positions = check_buffer(check, "positions", queries * row[r].wanted * 4, 0);
      if (queries * row[r].wanted > 32 * pages)
        row[r].positions = check_buffer(check, "positions", 32 * pages * 4, 0);
    }
    martlet_retrieve_search_arguments a = {.size = sizeof a, .kv_head = c.head,
                                           .layout = &c.layout, .rows = row, .row_count = rows,
                                           .offset = c.offset, .page_offset = c.offset};
    char *scratch = check_aligned_buffer(check, "scratch", martlet_retrieve_search_scratch(&a));
    CHECK_CALL(check, if (martlet_retrieve_search(&a, scratch) != MARTLET_OK)
                          check_fail(check, "the search was refused"));
    check_poison(check);
    for (size_t r = 0; r < rows; ++r) {
      static uint8_t expected[most_pages * 32];
      memset(expected, 0, sizeof expected);
      for (size_t q = 0; q < row[r].query_count; ++q) expect_steps(&c, &row[r], q, expected);
      size_t next = 0;
      for (size_t i = 0; i < 32 * pages; ++i) {
        if (!expected[i]) continue;
        if (next >= row[r].found || row[r].positions[next] != i) {
          check_fail(check, "row %zu misses position %zu", r, i);
          break;
        }
        ++next;
      }
      if (next != row[r].found)
        check_fail(check, "row %zu: %zu positions found, %zu expected", r, row[r].found, next);
    }
  }
}

/// The path of what was found and what is always seen: each once, whole pages first.
static void path_layout(martlet_check *check) {
  for (int round = 0; round < 300; ++round) {
    const uint32_t end = 1 + (uint32_t)check_below(check, 400);
    const uint32_t recent = (uint32_t)check_below(check, end + 1);
    const uint32_t sinks = (uint32_t)check_below(check, recent + 1);
    static uint8_t expected[400];
    uint32_t found[400], count = 0;
    size_t found_count = 0;
    const size_t density = 1 + check_below(check, 8);
    for (uint32_t p = 0; p < end; ++p) {
      const int whole = p / 32 % 3 == 0;
      if (whole || check_below(check, density) == 0) found[found_count++] = p;
    }
    memset(expected, 0, sizeof expected);
    for (uint32_t p = 0; p < end; ++p) expected[p] = p < sinks || p >= recent;
    for (size_t i = 0; i < found_count; ++i) expected[found[i]] = 1;
    uint32_t room = 0;
    for (uint32_t p = 0; p < end; ++p) room += expected[p];
    check_new_run(check);
    check_describe(check, "a path of %u sinks, %u ..< %u, %zu found", sinks, recent, end,
                   found_count);
    uint32_t *path = check_buffer(check, "path", room * sizeof(uint32_t), 0);
    CHECK_CALL(check, if (martlet_retrieve_path(found, found_count, sinks, recent, end, path,
                                                &count) != MARTLET_OK)
                          check_fail(check, "the path was refused"));
    check_poison(check);
    if (count != room) {
      check_fail(check, "%u positions instead of %u", count, room);
      continue;
    }
    uint32_t singles = 0;
    for (uint32_t i = 0; i < count; ++i) {
      if (!expected[path[i]]--) check_fail(check, "position %u is there twice or not meant", path[i]);
      const int starts = path[i] % 32 == 0 && i + 32 <= count && path[i + 31] == path[i] + 31;
      if (starts && i % 32) check_fail(check, "the page of %u is not in place", path[i]);
      singles += path[i] % 32 != i % 32;
    }
    if (count == end && end % 32 == 0 && singles) check_fail(check, "a full list out of order");
  }
}

/// A codebook fitted to queries finds their best keys: of 512 the true best 8 are among 32 found.
static void fit_recall(martlet_check *check) {
  check_describe(check, "recall of 16 nibbles, 48 dimensions");
  index_case c = make_index(check, 48, 16, MARTLET_KV_F32, 16, CHECK_NORMAL);
  encode_all(check, &c);
  const void *prepared[12];
  prepare(check, &c, c.query_count, prepared);
  size_t hits = 0;
  for (size_t q = 0; q < c.query_count; ++q) {
    double exact[512];
    uint16_t scores[512];
    martlet_retrieve_scan_arguments scan = {.size = sizeof scan, .query_count = 1,
                                            .queries = prepared + q, .pages = c.code_pages,
                                            .offset = c.offset, .page_end = 16, .scores = scores};
    martlet_retrieve_scan_reference(&scan);
    for (size_t p = 0; p < 512; ++p) exact[p] = exact_score(&c, q, p);
    for (size_t p = 0; p < 512; ++p) {
      size_t better = 0, ahead = 0;
      for (size_t o = 0; o < 512; ++o) better += exact[o] > exact[p], ahead += scores[o] > scores[p];
      hits += better < 8 && ahead < 32;
    }
  }
  ++check->runs;
  if (hits < 12 * 8 * 8 / 10)
    check_fail(check, "%zu of %d best keys found", hits, 12 * 8);
}

typedef struct scan_timing {
  index_case c;
  martlet_retrieve_scan_arguments scan;
  const void *prepared[12];
} scan_timing;

static void call_scan(void *context, martlet_any_function function) {
  ((martlet_retrieve_scan_function *)function)(&((scan_timing *)context)->scan);
}

static void time_scans(martlet_check *check, martlet_check_timing *timing, int bounds) {
  scan_timing t = {.c = make_index(check, 128, 32, MARTLET_KV_F32, 64, CHECK_NORMAL)};
  encode_all(check, &t.c);
  prepare(check, &t.c, 4, t.prepared);
  uint16_t *scores = check_buffer(check, "scores", 4 * 64 * 32 * sizeof(uint16_t), 0);
  t.scan = (martlet_retrieve_scan_arguments){
      .size = sizeof t.scan, .query_count = 4, .queries = t.prepared,
      .pages = bounds ? t.c.bound_pages : t.c.code_pages, .offset = t.c.offset, .page_end = 64,
      .scores = scores, .stride = 64 * 32};
  strcpy(timing->shape, bounds ? "4 queries × 64 pages of 128" : "4 queries × 2,048 keys, 32 nibbles");
  timing->bytes = bounds ? 64.0 * 256 : 64.0 * 512 + 4 * 64 * 64;
  timing->operations = bounds ? 4.0 * 64 * 256 : 4.0 * 2048 * 32;
  check_time(check, timing, call_scan, &t);
}

static void time_scan(martlet_check *check, martlet_check_timing *timing) {
  time_scans(check, timing, 0);
}
static void time_scan_bounds(martlet_check *check, martlet_check_timing *timing) {
  time_scans(check, timing, 1);
}

static void bounds_shapes(martlet_check *check) {
  static const uint32_t sizes[] = {1, 3, 16, 33, 63, 64, 65, 128, 200, 256};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i) {
    const size_t pages = 1 + check_below(check, 30), queries = 1 + check_below(check, 11);
    const size_t begin = check_below(check, pages);
    check_describe(check, "%u dimensions, %zu queries, pages %zu ..< %zu", sizes[i], queries, begin,
                   pages);
    index_case c = make_index(check, sizes[i], 8, MARTLET_KV_F16, pages, CHECK_NORMAL);
    encode_all(check, &c);
    compare_scan(check, &c, c.bound_pages, 1, queries, begin, pages);
  }
}

// ---- ranking ------------------------------------------------------------------------------------

static void rank_shapes(martlet_check *check) {
  static const uint32_t sizes[] = {1, 16, 31, 33, 64, 65, 80, 128, 256};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i)
    for (size_t n = 0; n < check_length_count; n += 2) {
      const size_t count = check_lengths[n];
      const int type = (int)((i + n / 2) % 5);
      const check_kind kind = n % 3 ? CHECK_NORMAL : (check_kind)(n / 3 % CHECK_KIND_COUNT);
      check_describe(check, "%s, %zu positions of %u dimensions, %s", attention_type_names[type],
                     count, sizes[i], check_kind_name(kind));
      index_case c = make_index(check, sizes[i], 8, (martlet_kv_type)type, 5, kind);
      encode_all(check, &c);
      const void *prepared[1];
      prepare(check, &c, 1, prepared);
      uint32_t *positions = check_buffer(check, "positions", count * 4, 4);
      float *expected = check_buffer(check, "expected", count * 4, 0);
      float *actual = check_buffer(check, "scores", count * 4, 8);
      for (size_t p = 0; p < count; ++p) positions[p] = (uint32_t)check_below(check, 160);
      check_seal(check, positions);
      martlet_retrieve_rank_function *variant =
          (martlet_retrieve_rank_function *)check->entry->function;
      martlet_retrieve_rank_reference(prepared[0], &c.layout, c.head, c.key_pages, c.offset,
                                      count, positions, expected);
      CHECK_CALL(check, variant(prepared[0], &c.layout, c.head, c.key_pages, c.offset, count,
                                positions, actual));
      check_same_bytes(check, expected, actual, count * 4);
      for (size_t p = 0; p < count; ++p)
        if (isnan(actual[p])) check_fail(check, "score %zu is NaN", p);
      check_poison(check);
    }
}

typedef struct rank_timing {
  index_case c;
  const void *prepared[1];
  uint32_t positions[512];
  float scores[512];
} rank_timing;

static void call_rank(void *context, martlet_any_function function) {
  rank_timing *t = context;
  ((martlet_retrieve_rank_function *)function)(t->prepared[0], &t->c.layout, t->c.head,
                                               t->c.key_pages, t->c.offset, 512, t->positions,
                                               t->scores);
}

static void time_rank(martlet_check *check, martlet_check_timing *timing) {
  rank_timing t = {.c = make_index(check, 128, 32, MARTLET_KV_BF16, 64, CHECK_NORMAL)};
  encode_all(check, &t.c);
  prepare(check, &t.c, 1, t.prepared);
  for (uint32_t i = 0; i < 512; ++i) t.positions[i] = i * 4;
  strcpy(timing->shape, "512 of 2,048 keys of 128 bf16");
  timing->bytes = 512.0 * 256;
  timing->operations = 2.0 * 512 * 128;
  check_time(check, timing, call_rank, &t);
}

// ---- selecting ----------------------------------------------------------------------------------

/// Scores of a kind: any, few values, all equal, rising, with the largest number among them.
static void fill_scores(martlet_check *check, int kind, uint16_t *scores, size_t count) {
  for (size_t i = 0; i < count; ++i)
    scores[i] = kind == 0   ? (uint16_t)check_random(check)
                : kind == 1 ? (uint16_t)(1000 + check_below(check, 3))
                : kind == 2 ? 77
                : kind == 3 ? (uint16_t)i
                : kind == 4 ? (check_below(check, 3) ? UINT16_MAX : 0)
                            : (uint16_t)(600 + 60 * check_normal(check));
}

static void compare_select(martlet_check *check, int kind, size_t count, size_t k) {
  check_new_run(check);
  check_describe(check, "%zu of %zu scores of kind %d", k, count, kind);
  uint16_t *scores = check_buffer(check, "scores", count * sizeof *scores, 2);
  char *scratch = check_aligned_buffer(check, "scratch", martlet_retrieve_select_scratch(count));
  uint32_t *expected = check_buffer(check, "expected", k * sizeof *expected, 0);
  uint32_t *actual = check_buffer(check, "places", k * sizeof *actual, 4);
  fill_scores(check, kind, scores, count);
  check_seal(check, scores);
  martlet_retrieve_select_reference(count, scores, k, scratch, expected);
  CHECK_CALL(check, ((martlet_retrieve_select_function *)check->entry->function)(
                        count, scores, k, scratch, actual));
  check_same_bytes(check, expected, actual, k * sizeof *expected);
  check_poison(check);
}

static void select_lengths(martlet_check *check) {
  for (int kind = 0; kind < 6; ++kind) {
    for (size_t n = 0; n < check_length_count; ++n) {
      const size_t count = check_lengths[n];
      if (count < 2) continue;
      compare_select(check, kind, count, 1);
      compare_select(check, kind, count, count - 1);
      compare_select(check, kind, count, 1 + check_below(check, count - 1));
    }
    for (int round = 0; round < 12; ++round) {
      const size_t count = 200 + check_below(check, 20000);
      compare_select(check, kind, count, 1 + check_below(check, count / 40));
    }
  }
}

/// The reference against its definition.
static void select_definition(martlet_check *check) {
  for (int round = 0; round < 60; ++round) {
    const size_t count = 2 + check_below(check, 300), k = 1 + check_below(check, count - 1);
    check_describe(check, "%zu of %zu scores by definition", k, count);
    uint16_t scores[302];
    uint32_t places[302];
    fill_scores(check, round % 6, scores, count);
    CHECK_CALL(check, ((martlet_retrieve_select_function *)check->entry->function)(
                          count, scores, k, NULL, places));
    size_t next = 0;
    for (size_t i = 0; i < count; ++i) {
      size_t better = 0;
      for (size_t j = 0; j < count; ++j)
        better += scores[j] > scores[i] || (scores[j] == scores[i] && j < i);
      if (better < k && (next >= k || places[next++] != i))
        check_fail(check, "place %zu is missing", i);
    }
    if (next != k) check_fail(check, "%zu places instead of %zu", next, k);
  }
}

typedef struct select_timing {
  uint16_t *scores;
  char *scratch;
  uint32_t *places;
} select_timing;

static void call_select(void *context, martlet_any_function function) {
  select_timing *t = context;
  ((martlet_retrieve_select_function *)function)(32768, t->scores, 400, t->scratch, t->places);
}

static void time_select(martlet_check *check, martlet_check_timing *timing) {
  check_new_run(check);
  select_timing t = {
      .scores = check_aligned_buffer(check, "scores", 32768 * sizeof(uint16_t)),
      .scratch = check_aligned_buffer(check, "scratch", martlet_retrieve_select_scratch(32768)),
      .places = check_aligned_buffer(check, "places", 400 * sizeof(uint32_t))};
  fill_scores(check, 5, t.scores, 32768);
  strcpy(timing->shape, "400 of 32,768");
  timing->bytes = 32768 * 2;
  timing->operations = 32768;
  check_time(check, timing, call_select, &t);
}

static const martlet_check_case encode_cases[] = {
    {"shapes", encode_shapes, 0},
    {"special values", encode_special, 0},
    {"slots", encode_slots, 0},
    {"float64", encode_float64, 1},
    {"recall", fit_recall, 1},
};
static const martlet_check_case query_cases[] = {
    {"shapes", query_shapes, 0},
    {"float64", query_float64, 1},
};
static const martlet_check_case scan_cases[] = {
    {"shapes", scan_shapes, 0},
    {"extremes", scan_extremes, 0},
    {"whole searches", search_brute_force, 1},
    {"many pages", search_many_pages, 1},
    {"paths", path_layout, 1},
};
static const martlet_check_case sieve_cases[] = {
    {"shapes", sieve_shapes, 0},
    {"definition", sieve_definition, 1},
};
static const martlet_check_case bounds_cases[] = {{"shapes", bounds_shapes, 0}};
static const martlet_check_case rank_cases[] = {{"shapes", rank_shapes, 0}};
static const martlet_check_case select_cases[] = {
    {"lengths", select_lengths, 0},
    {"definition", select_definition, 1},
};

const martlet_check_operation martlet_check_retrieve_operations[] = {
    {"retrieve_encode", encode_cases, 5, time_encode},
    {"retrieve_query", query_cases, 2, time_query},
    {"retrieve_scan", scan_cases, 5, time_scan},
    {"retrieve_sieve", sieve_cases, 2, time_sieve},
    {"retrieve_scan_bounds", bounds_cases, 1, time_scan_bounds},
    {"retrieve_rank", rank_cases, 1, time_rank},
    {"retrieve_select", select_cases, 2, time_select},
};
const size_t martlet_check_retrieve_operation_count = 7;

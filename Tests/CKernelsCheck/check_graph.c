/// Checks of the graph of retrieval attention: its kernels against the reference, and whole graphs
/// against brute force while keys come and go.
#include "check.h"

#include "dispatch/graph_layout.h"
#include "dispatch/graph_variants.h"

#include <stdlib.h>
#include <string.h>

// ---- kernels ------------------------------------------------------------------------------------

static void compare_distances(martlet_check *check, size_t bytes, size_t count, int extreme) {
  enum { keys = 40 };
  check_new_run(check);
  check_describe(check, "%zu rows of %zu%s", count, bytes, extreme ? ", extremes" : "");
  int8_t *row = check_aligned_buffer(check, "row", bytes);
  int8_t *rows = check_aligned_buffer(check, "rows", keys * bytes);
  uint32_t *ids = check_buffer(check, "ids", count * sizeof *ids, 4);
  int32_t *expected = check_buffer(check, "expected", count * sizeof *expected, 0);
  int32_t *actual = check_buffer(check, "distances", count * sizeof *actual, 4);
  for (size_t i = 0; i < keys * bytes; ++i)
    rows[i] = (int8_t)(extreme ? (check_below(check, 2) ? 63 : -63)
                               : (int)check_below(check, 127) - 63);
  for (size_t i = 0; i < bytes; ++i) row[i] = (int8_t)(extreme ? -rows[i] : rows[bytes + i] / 2);
  for (size_t i = 0; i < count; ++i) ids[i] = (uint32_t)check_below(check, keys);
  check_seal(check, rows);
  check_seal(check, ids);
  martlet_graph_distances_reference(bytes, row, rows, count, ids, expected);
  CHECK_CALL(check, ((martlet_graph_distances_function *)check->entry->function)(
                        bytes, row, rows, count, ids, actual));
  check_same_bytes(check, expected, actual, count * sizeof *actual);
  check_poison(check);
}

static void distances_shapes(martlet_check *check) {
  for (size_t bytes = 64; bytes <= 256; bytes += 64)
    for (size_t i = 0; i < check_length_count; ++i)
      for (int extreme = 0; extreme < 2; ++extreme)
        compare_distances(check, bytes, check_lengths[i] < 70 ? check_lengths[i] : 3, extreme);
}

static void pass_shapes(martlet_check *check) {
  static const uint16_t bounds[] = {0, 1, 77, 1000, 16128, UINT16_MAX};
  for (size_t blocks = 0; blocks <= 17; ++blocks)
    for (size_t i = 0; i < 2 * sizeof bounds / sizeof bounds[0]; ++i) {
      check_new_run(check);
      const uint16_t least = bounds[i / 2];
      check_describe(check, "%zu blocks of at least %u", blocks, least);
      uint16_t *scores = check_buffer(check, "scores", 32 * blocks * sizeof *scores, 2);
      uint32_t *expected = check_buffer(check, "expected", blocks * sizeof *expected, 0);
      uint32_t *actual = check_buffer(check, "masks", blocks * sizeof *actual, 4);
      for (size_t s = 0; s < 32 * blocks; ++s)
        scores[s] = (uint16_t)(i % 2 ? check_random(check) : least - 1 + check_below(check, 3));
      check_seal(check, scores);
      martlet_graph_pass_reference(blocks, scores, least, expected);
      CHECK_CALL(check, ((martlet_graph_pass_function *)check->entry->function)(blocks, scores,
                                                                                least, actual));
      check_same_bytes(check, expected, actual, blocks * sizeof *actual);
      check_poison(check);
    }
}

// ---- whole graphs -------------------------------------------------------------------------------

enum { most_pages = 40, most_queries = 3 };

/// A head's keys in pages, their codes, and a graph over some of them. Pages of a second sequence, a
/// fork, follow those of the first.
typedef struct graph_case {
  martlet_retrieve_shape shape;
  martlet_kv_layout layout;
  uint32_t head;
  size_t pages, kinds;  ///< `kinds`: different keys; 0: all different.
  char *slab, *codes, *codebook, *graph;
  const void *keys[2 * most_pages], *code_pages[2 * most_pages];
  float *queries;
  size_t query_count;
} graph_case;

static void random_key(martlet_check *check, const graph_case *c, float *key) {
  const size_t d = c->layout.head_dimensions;
  for (size_t i = 0; i < d; ++i) key[i] = check_normal(check) * (i < d / 2 ? 0.4f : 1.0f);
  if (c->kinds == 0) return;
  const size_t kind = check_below(check, c->kinds);
  for (size_t i = 0; i < d; ++i) key[i] = (float)((kind * 7 + i * (kind + 3)) % 11) - 5;
}

/// Fills positions from `begin` on of a page, which is turned afterwards, and codes all of it.
static void write_page(martlet_check *check, graph_case *c, size_t page, uint32_t begin) {
  float keys[2 * kv_most_dimensions];
  char *at = (char *)(uintptr_t)c->keys[page];
  martlet_kv_turn_keys(&c->layout, at, c->head, 0);
  for (uint32_t slot = begin; slot < kv_positions; ++slot) {
    for (size_t h = 0; h < 2; ++h) random_key(check, c, keys + h * c->layout.head_dimensions);
    martlet_kv_write(&c->layout, at, slot, keys, keys);
  }
  martlet_kv_turn_keys(&c->layout, at, c->head, 1);
  if (c->codebook)
    martlet_retrieve_encode(c->codebook, &c->layout, at, 1, c->head, kv_positions,
                            (char *)(uintptr_t)c->code_pages[page], NULL);
}

static graph_case make_case(martlet_check *check, uint32_t dimensions, uint32_t nibbles,
                            size_t pages, size_t kinds) {
  check_new_run(check);
  graph_case c = {.shape = {sizeof c.shape, dimensions, nibbles},
                  .layout = {sizeof c.layout, MARTLET_KV_BF16, 2, dimensions},
                  .head = (uint32_t)check_below(check, 2),
                  .pages = pages,
                  .kinds = kinds,
                  .query_count = 64};
  const size_t page_bytes = martlet_kv_page_bytes(&c.layout);
  const size_t code_bytes = martlet_retrieve_codes_bytes(&c.shape);
  c.slab = check_aligned_buffer(check, "pages", 2 * pages * page_bytes);
  c.codes = check_aligned_buffer(check, "codes", 2 * pages * code_bytes);
  memset(c.slab, 0, 2 * pages * page_bytes);
  c.queries = check_buffer(check, "queries", c.query_count * dimensions * sizeof(float), 4);
  for (size_t i = 0; i < 2 * pages; ++i) {
    c.keys[i] = c.slab + (2 * pages - 1 - i) * page_bytes;
    c.code_pages[i] = c.codes + i * code_bytes;
    martlet_kv_turn_keys(&c.layout, (char *)(uintptr_t)c.keys[i], c.head, 1);
    write_page(check, &c, i, 0);
  }
  for (size_t i = 0; i < c.query_count * dimensions; ++i)
    c.queries[i] = check_normal(check) * (i % dimensions < dimensions / 2 ? 3.0f : 0.5f);
  char *codebook =
      check_aligned_buffer(check, "codebook", martlet_retrieve_codebook_bytes(&c.shape));
  char *scratch = check_aligned_buffer(check, "fit", martlet_retrieve_fit_scratch(&c.shape));
  uint8_t turned[2 * most_pages];
  memset(turned, 1, sizeof turned);
  const martlet_retrieve_fit_arguments fit = {.size = sizeof fit,
                                              .kv_head = c.head,
                                              .shape = &c.shape,
                                              .layout = &c.layout,
                                              .pages = c.keys,
                                              .turned = turned,
                                              .page_count = pages,
                                              .queries = c.queries,
                                              .query_stride = dimensions,
                                              .query_count = c.query_count};
  if (martlet_retrieve_fit(&fit, scratch, codebook) != MARTLET_OK)
    check_fail(check, "the fit refused its arguments");
  c.codebook = codebook;
  for (size_t i = 0; i < 2 * pages; ++i)
    martlet_retrieve_encode(codebook, &c.layout, c.keys[i], 1, c.head, kv_positions,
                            c.codes + i * code_bytes, NULL);
  c.graph = check_aligned_buffer(check, "graph",
                                 martlet_graph_bytes(&c.shape, pages * kv_positions));
  if (martlet_graph_create(codebook, pages * kv_positions, c.graph) != MARTLET_OK)
    check_fail(check, "the graph was not created");
  return c;
}

/// Builds from pages [0, pages) and the case's queries.
static void build(martlet_check *check, graph_case *c, size_t pages, size_t queries) {
  const martlet_graph_build_arguments a = {.size = sizeof a,
                                           .kv_head = c->head,
                                           .codebook = c->codebook,
                                           .layout = &c->layout,
                                           .pages = c->code_pages,
                                           .key_pages = c->keys,
                                           .count = pages * kv_positions,
                                           .queries = c->queries,
                                           .query_stride = c->layout.head_dimensions,
                                           .query_count = queries};
  char *scratch = check_aligned_buffer(check, "building", martlet_graph_build_scratch(&a));
  if (martlet_graph_build(&a, scratch, c->graph) != MARTLET_OK)
    check_fail(check, "the graph was not built");
}

/// Memory of one search, to the byte: a run has room for few guarded buffers, and sanitisers see past
/// the end of these too.
static void *scratch_of(size_t bytes) { return aligned_alloc(64, bytes); }

/// What a search is to find: the best of each query by their keys, of all positions < end.
static size_t brute_force(const graph_case *c, const void *const *key_pages,
                          const void *const *queries, size_t query_count, size_t end,
                          size_t wanted, uint8_t *marks) {
  static uint32_t positions[most_pages * kv_positions];
  static float scores[most_pages * kv_positions];
  memset(marks, 0, most_pages * kv_positions);
  for (uint32_t i = 0; i < end; ++i) positions[i] = i;
  for (size_t q = 0; q < query_count; ++q) {
    martlet_retrieve_rank(queries[q], &c->layout, c->head, key_pages, 0, end, positions, scores);
    for (size_t i = 0; i < end; ++i) {
      size_t better = 0;
      for (size_t j = 0; j < end; ++j)
        better += scores[j] > scores[i] || (scores[j] == scores[i] && j < i);
      marks[i] |= better < wanted;
    }
  }
  size_t count = 0;
  for (size_t i = 0; i < end; ++i) count += marks[i];
  return count;
}

/// Queries that search together find what each of them finds alone.
static void same_apart(martlet_check *check, martlet_graph_search_arguments together,
                       void *scratch) {
  static uint8_t marks[most_pages * kv_positions];
  static uint32_t found[32];
  memset(marks, 0, sizeof marks);
  size_t count = 0;
  for (uint32_t q = 0; q < together.query_count; ++q) {
    martlet_graph_search_arguments alone = together;
    alone.query_count = 1;
    alone.queries = together.queries + q;
    alone.positions = found;
    if (martlet_graph_search(&alone, scratch) != MARTLET_OK)
      check_fail(check, "a search of one query was refused");
    for (size_t i = 0; i < alone.found; ++i) {
      count += !marks[found[i]];
      marks[found[i]] = 1;
    }
  }
  size_t hits = 0;
  for (size_t i = 0; i < together.found; ++i) hits += marks[together.positions[i]];
  if (hits != count || together.found != count)
    check_fail(check, "%zu found together, %zu of them among %zu found apart", together.found, hits,
               count);
}

/// Searches keys of the graph below `limit` and pages from there to page_end of the fork's or the own
/// table; an exhaustive search must find what brute force does, another something sensible.
static void search(martlet_check *check, graph_case *c, size_t limit, size_t page_end, int forked,
                   int exhaustive) {
  const size_t count = martlet_graph_count(c->graph);
  const size_t own = limit < count ? limit : count;
  const size_t tail = (own + kv_positions - 1) / kv_positions;
  const void *keys[most_pages], *codes[most_pages];
  for (size_t i = 0; i < c->pages; ++i) {
    const size_t from = forked && i >= tail ? c->pages + i : i;
    keys[i] = c->keys[from], codes[i] = c->code_pages[from];
  }
  const size_t begin = page_end > tail && own % kv_positions == 0 ? tail : page_end;
  const size_t end = begin < page_end ? page_end * kv_positions : own;
  const uint32_t query_count = 1 + (uint32_t)check_below(check, most_queries);
  const size_t bytes = martlet_retrieve_query_bytes(&c->shape);
  const void *queries[most_queries];
  char *prepared = scratch_of(query_count * bytes);
  for (uint32_t q = 0; q < query_count; ++q) {
    const size_t from = check_below(check, c->query_count);
    martlet_retrieve_query(c->codebook, c->queries + from * c->layout.head_dimensions,
                           prepared + q * bytes);
    queries[q] = prepared + q * bytes;
  }
  const uint32_t wanted = 1 + (uint32_t)check_below(check, 20);
  const uint32_t all = most_pages * kv_positions;
  static uint32_t found[most_queries * 32];
  martlet_graph_search_arguments a = {.size = sizeof a,
                                      .query_count = query_count,
                                      .queries = queries,
                                      .graph = c->graph,
                                      .limit = limit,
                                      .pages = codes,
                                      .page_begin = begin,
                                      .page_end = page_end > begin ? page_end : begin,
                                      .key_pages = keys,
                                      .layout = &c->layout,
                                      .kv_head = c->head,
                                      .expanded = exhaustive ? all : 4,
                                      .candidates = exhaustive ? all : 24,
                                      .wanted = wanted,
                                      .positions = found};
  char *scratch = scratch_of(martlet_graph_search_scratch(&a));
  ++check->runs;
  if (martlet_graph_search(&a, scratch) != MARTLET_OK) check_fail(check, "a search was refused");
  same_apart(check, a, scratch);
  free(scratch);
  static uint8_t marks[most_pages * kv_positions];
  const size_t expected = brute_force(c, keys, queries, query_count, end, wanted, marks);
  free(prepared);
  for (size_t i = 0; i < a.found; ++i)
    if (found[i] >= end || (i && found[i] <= found[i - 1]))
      check_fail(check, "position %u after %u of %zu", found[i], i ? found[i - 1] : 0, end);
  if (!exhaustive) {
    if (a.found < (wanted < end ? wanted : end))
      check_fail(check, "%zu found of %u wanted among %zu", a.found, wanted, end);
    return;
  }
  size_t hits = 0;
  for (size_t i = 0; i < a.found; ++i) hits += found[i] < end && marks[found[i]];
  if (a.found != expected || hits != expected)
    check_fail(check, "%zu found, %zu of them right, of %zu (%zu of the graph, pages %zu to %zu)",
               a.found, hits, expected, own, begin, page_end);
}

/// A block's links: to keys that there are, other than `self`, each once, with the codes that they have.
static void links_hold(martlet_check *check, const graph_case *c, const uint8_t *block,
                       size_t self) {
  const graph_parts g = graph_parts_of(c->graph);
  const graph_codes codes = {c->code_pages, 0};
  const uint32_t *ids = graph_ids(&g, block);
  for (size_t slot = 0; slot < graph_links; ++slot) {
    const uint32_t key = ids[slot] & graph_none;
    if (key == graph_none) continue;
    if (key >= g.header->count || key == self) check_fail(check, "a link to %u", key);
    for (size_t other = 0; other < slot; ++other)
      if ((ids[other] & graph_none) == key) check_fail(check, "two links to %u", key);
    for (size_t at = 0; at < g.code_bytes && key < g.header->count; at += kv_positions)
      if (block[at + slot] != graph_codes_of(&codes, key)[at]) {
        check_fail(check, "codes of %u are others", key);
        return;
      }
  }
}

/// Keys come and go; all the while searches that may look at everything find what brute force does.
static void whole_graphs(martlet_check *check) {
  static const uint32_t sizes[] = {3, 16, 24, 64, 72};
  for (int round = 0; round < 12; ++round) {
    const size_t pages = 4 + check_below(check, most_pages - 4);
    const size_t kinds = round % 4 == 3 ? 1 + check_below(check, 5) : 0;
    const uint32_t dimensions = sizes[round % 5];
    graph_case c = make_case(check, dimensions, 8 * (1 + (uint32_t)check_below(check, 3)), pages,
                             kinds);
    const size_t queries = check_below(check, 3) ? c.query_count : 0;
    check_describe(check, "%u dimensions, %zu pages, %zu kinds, %zu queries, round %d", dimensions,
                   pages, kinds, queries, round);
    if (check_below(check, 4)) build(check, &c, 1 + check_below(check, pages), queries);
    char *scratch =
        check_aligned_buffer(check, "insertion", martlet_graph_insert_scratch(c.graph));
    for (int step = 0; step < 8; ++step) {
      const size_t count = martlet_graph_count(c.graph), capacity = pages * kv_positions;
      if (check_below(check, 2)) {
        const size_t end = count + check_below(check, 80);
        if (martlet_graph_insert(c.graph, c.code_pages, 0, end < capacity ? end : capacity,
                                 scratch) != MARTLET_OK)
          check_fail(check, "keys were not inserted");
      } else {
        // What comes after a cut is another text.
        const size_t end = check_below(check, 3) ? count - check_below(check, count + 1) / 4 : 0;
        if (martlet_graph_truncate(c.graph, end) != MARTLET_OK)
          check_fail(check, "the graph was not cut");
        for (size_t page = end / kv_positions; page < pages; ++page)
          write_page(check, &c, page,
                     page == end / kv_positions ? (uint32_t)(end % kv_positions) : 0);
      }
      const graph_parts g = graph_parts_of(c.graph);
      for (size_t key = 0; key < g.header->count; ++key)
        links_hold(check, &c, graph_block(&g, key), key);
      for (size_t hub = 0; hub < g.header->hubs; hub += kv_positions)
        links_hold(check, &c, g.hubs + hub / kv_positions * g.block_bytes, SIZE_MAX);
      search(check, &c, SIZE_MAX, 0, 0, 1);
      search(check, &c, SIZE_MAX, pages, 0, 1);
      search(check, &c, check_below(check, pages + 1) * kv_positions, pages, 1, 1);
      search(check, &c, check_below(check, capacity + 1), 0, 0, 1);
      search(check, &c, check_below(check, pages + 1) * kv_positions, pages, 1, 0);
      check_poison(check);
    }
  }
}

/// Without looking at everything it finds what queries of the kind it was built from look for, and the
/// same graph comes out twice.
static void recall(martlet_check *check) {
  for (int inserted = 0; inserted < 2; ++inserted) {
    graph_case c = make_case(check, 32, 16, most_pages, 0);
    check_describe(check, "recall, %s", inserted ? "half of the keys inserted" : "built");
    build(check, &c, inserted ? most_pages / 2 : most_pages, c.query_count);
    char *scratch =
        check_aligned_buffer(check, "insertion", martlet_graph_insert_scratch(c.graph));
    const size_t keys = most_pages * kv_positions;
    martlet_graph_insert(c.graph, c.code_pages, 0, keys, scratch);
    const void *query = check_aligned_buffer(check, "prepared",
                                             martlet_retrieve_query_bytes(&c.shape));
    size_t hits = 0, followed = 0;
    enum { wanted = 20, tries = 40 };
    for (int t = 0; t < tries; ++t) {
      float own[32];
      for (size_t d = 0; d < 32; ++d) own[d] = check_normal(check) * (d < 16 ? 3.0f : 0.5f);
      martlet_retrieve_query(c.codebook, own, (void *)(uintptr_t)query);
      uint32_t found[wanted];
      martlet_graph_search_arguments a = {.size = sizeof a,
                                          .query_count = 1,
                                          .queries = &query,
                                          .graph = c.graph,
                                          .limit = SIZE_MAX,
                                          .key_pages = c.keys,
                                          .layout = &c.layout,
                                          .kv_head = c.head,
                                          .expanded = 40,
                                          .candidates = 160,
                                          .wanted = wanted,
                                          .positions = found};
      char *room = t ? scratch : check_aligned_buffer(check, "search",
                                                      martlet_graph_search_scratch(&a));
      if (t == 0) scratch = room;
      if (martlet_graph_search(&a, room) != MARTLET_OK) check_fail(check, "a search was refused");
      static uint8_t marks[most_pages * kv_positions];
      brute_force(&c, c.keys, &query, 1, keys, wanted, marks);
      for (size_t i = 0; i < a.found; ++i) hits += marks[found[i]];
      followed += a.followed;
    }
    if (hits < wanted * tries * (inserted ? 16 : 18) / 20)
      check_fail(check, "%zu of %d found, following %zu keys", hits, wanted * tries, followed);
    if (followed > tries * 80) check_fail(check, "%zu keys followed", followed);
  }
}

/// What cannot be is refused and changes nothing.
static void refusals(martlet_check *check) {
  graph_case c = make_case(check, 16, 8, 4, 0);
  check_describe(check, "refusals");
  char *scratch = check_aligned_buffer(check, "insertion", martlet_graph_insert_scratch(c.graph));
  const void *hole[4] = {c.code_pages[0], NULL, c.code_pages[2], c.code_pages[3]};
  const void *query = check_aligned_buffer(check, "prepared",
                                           martlet_retrieve_query_bytes(&c.shape));
  martlet_retrieve_query(c.codebook, c.queries, (void *)(uintptr_t)query);
  uint32_t found[8];
  martlet_graph_insert(c.graph, c.code_pages, 0, 70, scratch);
  const martlet_graph_search_arguments good = {.size = sizeof good,
                                               .query_count = 1,
                                               .queries = &query,
                                               .graph = c.graph,
                                               .limit = 64,
                                               .pages = c.code_pages,
                                               .page_begin = 2,
                                               .page_end = 4,
                                               .key_pages = c.keys,
                                               .layout = &c.layout,
                                               .expanded = 8,
                                               .candidates = 8,
                                               .wanted = 8,
                                               .positions = found};
  char *room = check_aligned_buffer(check, "search", martlet_graph_search_scratch(&good));
  int refused = 0, wrong = 0;
#define REFUSED(call) (++refused, wrong += (call) != MARTLET_E_ARGUMENT)
#define SEARCH(change)                                \
  do {                                                \
    martlet_graph_search_arguments a = good;          \
    change;                                           \
    REFUSED(martlet_graph_search(&a, room));          \
  } while (0)
  REFUSED(martlet_graph_create(c.codebook, 0, c.graph));
  REFUSED(martlet_graph_create(c.codebook, (size_t)1 << 31, c.graph));
  REFUSED(martlet_graph_create(c.queries, 64, c.graph));
  REFUSED(martlet_graph_insert(c.graph, c.code_pages, 0, 129, scratch));
  REFUSED(martlet_graph_insert(c.graph, hole, 0, 100, scratch));
  REFUSED(martlet_graph_insert(scratch, c.code_pages, 0, 100, scratch));
  REFUSED(martlet_graph_truncate(c.codebook, 0));
  SEARCH(a.page_begin = 1);
  SEARCH(a.pages = hole; a.page_begin = 1; a.limit = 32);
  SEARCH(a.query_count = 65);
  SEARCH(a.expanded = 0);
  SEARCH(a.positions = NULL);
  SEARCH(a.graph = c.codebook);
  SEARCH(a.kv_head = 2);
  SEARCH(a.key_pages = hole; a.candidates = 1000);
  if (wrong) check_fail(check, "%d of %d mistakes were not refused", wrong, refused);
  martlet_graph_search_arguments a = good;
  if (martlet_graph_search(&a, room) != MARTLET_OK || a.found != 8)
    check_fail(check, "a good search was refused");
  if (martlet_graph_bytes(&c.shape, 0) || martlet_graph_count(c.graph) != 70)
    check_fail(check, "counts are wrong");
}

// ---- timings ------------------------------------------------------------------------------------

typedef struct distance_timing {
  int8_t *row, *rows;
  uint32_t ids[512];
  int32_t distances[512];
} distance_timing;

static void call_distances(void *context, martlet_any_function function) {
  distance_timing *t = context;
  ((martlet_graph_distances_function *)function)(128, t->row, t->rows, 512, t->ids, t->distances);
}

static void time_distances(martlet_check *check, martlet_check_timing *timing) {
  check_new_run(check);
  static distance_timing t;
  t.row = check_aligned_buffer(check, "row", 128);
  t.rows = check_aligned_buffer(check, "rows", 4096 * 128);
  memset(t.row, 1, 128);
  memset(t.rows, 7, 4096 * 128);
  for (uint32_t i = 0; i < 512; ++i) t.ids[i] = i * 2654435761u >> 20;
  strcpy(timing->shape, "512 of 4,096 rows of 128");
  timing->bytes = 512 * 128;
  timing->operations = 2.0 * 512 * 128;
  check_time(check, timing, call_distances, &t);
}

typedef struct pass_timing {
  uint16_t *scores;
  uint32_t masks[1024];
} pass_timing;

static void call_pass(void *context, martlet_any_function function) {
  pass_timing *t = context;
  ((martlet_graph_pass_function *)function)(1024, t->scores, 40000, t->masks);
}

static void time_pass(martlet_check *check, martlet_check_timing *timing) {
  check_new_run(check);
  static pass_timing t;
  t.scores = check_aligned_buffer(check, "scores", 32768 * sizeof *t.scores);
  for (size_t i = 0; i < 32768; ++i) t.scores[i] = (uint16_t)check_random(check);
  strcpy(timing->shape, "1,024 blocks");
  timing->bytes = 32768 * 2;
  timing->operations = 32768;
  check_time(check, timing, call_pass, &t);
}

static const martlet_check_case distances_cases[] = {
    {"shapes", distances_shapes, 0},
    {"whole graphs", whole_graphs, 1},
    {"recall", recall, 1},
    {"refusals", refusals, 1},
};
static const martlet_check_case pass_cases[] = {{"shapes", pass_shapes, 0}};

const martlet_check_operation martlet_check_graph_operations[] = {
    {"graph_distances", distances_cases, 4, time_distances},
    {"graph_pass", pass_cases, 1, time_pass},
};
const size_t martlet_check_graph_operation_count = 2;

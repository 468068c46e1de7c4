/// Building a graph from queries: plain C over the family's kernels and those of retrieve.h, one result
/// on every ISA.
///
/// Each query's best keys come from a scan of four queries at a time and a ranking. A key's candidates
/// are what the four queries found that had it highest in their lists; more, and lists of more than a
/// hundred, made no better graph.
#include <martlet/graph.h>

#include "dispatch/families.h"
#include "dispatch/graph_edit.h"

enum {
  build_list = 100,        ///< Keys that a query finds.
  build_candidates = 400,  ///< Of a scan, ranked for them.
  build_lists = 4,         ///< Lists of which a key's candidates come.
  build_group = 4,         ///< Queries of a scan.
};

typedef martlet_graph_build_arguments build_arguments;

typedef struct build_work {
  graph_edit edit;
  uint32_t *lists;         ///< [query][list]: positions, best first.
  uint32_t *starts;        ///< Per key and one: where its entries in `found_by` begin.
  uint32_t *found_by;      ///< Queries that found a key, those first that had it highest.
  uint32_t *stamps;        ///< Per key: the last one of whose candidates it was, and one.
  int8_t *rows;            ///< [key]
  char *prepared;
  uint16_t *scores;        ///< [build_group][key]
  void *select;
  uint32_t *places;
  float *ranks;
  uint64_t *order;
  size_t list, bytes;
} build_work;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static build_work lay_out(const build_arguments *a, const void *graph, void *memory) {
  const graph_codes codes = {a->pages, a->offset};
  const retrieve_header *book = a->codebook;
  const size_t keys = a->count, candidates = least(build_candidates, keys);
  build_work w = {.list = least(build_list, keys)};
  // A graph that is there says its capacity; what is asked for in advance, at least the keys.
  graph_header empty = {.magic = graph_magic, .dimensions = book->dimensions,
                        .nibbles = book->nibbles, .kept = book->kept,
                        .capacity = (uint32_t)keys};
  graph_header own = graph ? *(const graph_header *)graph : empty;
  own.capacity = (uint32_t)keys;
  w.edit = graph_edit_lay_out(&own, &codes, memory);
  size_t offset = w.edit.bytes;
  build_work *s = &w;
  GRAPH_TAKE(s, memory, offset, lists, a->query_count * w.list);
  GRAPH_TAKE(s, memory, offset, starts, keys + 1);
  GRAPH_TAKE(s, memory, offset, found_by, a->query_count * w.list);
  GRAPH_TAKE(s, memory, offset, stamps, keys);
  GRAPH_TAKE(s, memory, offset, rows, keys * w.edit.graph.row_bytes);
  GRAPH_TAKE(s, memory, offset, prepared,
             build_group * retrieve_query_size(book->dimensions, book->nibbles));
  GRAPH_TAKE(s, memory, offset, scores, build_group * keys);
  GRAPH_TAKE(s, memory, offset, places, keys);
  GRAPH_TAKE(s, memory, offset, ranks, candidates);
  GRAPH_TAKE(s, memory, offset, order, candidates);
  w.select = memory ? (char *)memory + offset : NULL;
  w.bytes = offset + martlet_retrieve_select_scratch(keys);
  if (graph) w.edit.graph = w.edit.walk.graph = graph_parts_of(graph);
  return w;
}

static int sized(const build_arguments *a) {
  return a && a->size >= sizeof *a && retrieve_is_codebook(a->codebook) &&
         a->count % kv_positions == 0 && a->count > 0 && a->count <= graph_most &&
         a->query_count <= UINT32_MAX / build_list;
}

static int valid(const build_arguments *a, const void *graph) {
  if (!sized(a) || !graph_is(graph) || !a->pages) return 0;
  const graph_header *h = graph;
  const retrieve_header *book = a->codebook;
  if (h->count || a->count > h->capacity || book->dimensions != h->dimensions ||
      book->nibbles != h->nibbles || book->kept != h->kept)
    return 0;
  for (size_t page = 0; page < a->count / kv_positions; ++page)
    if (!a->pages[page]) return 0;
  if (a->query_count == 0) return 1;
  if (!a->queries || a->query_stride < h->dimensions || !a->key_pages ||
      martlet_kv_page_bytes(a->layout) == 0 || a->kv_head >= a->layout->kv_heads ||
      a->layout->head_dimensions != h->dimensions)
    return 0;
  for (size_t page = 0; page < a->count / kv_positions; ++page)
    if (!a->key_pages[page]) return 0;
  return 1;
}

size_t martlet_graph_build_scratch(const build_arguments *arguments) {
  return sized(arguments) ? lay_out(arguments, NULL, NULL).bytes : 0;
}

/// A query's best keys, from its scores.
static void find_list(const build_arguments *a, const build_work *w, const void *query,
                      const uint16_t *scores, uint32_t *list) {
  size_t count = 0;
  martlet_retrieve_select(a->count, scores, build_candidates, w->select, w->places, &count);
  martlet_retrieve_rank(query, a->layout, a->kv_head, a->key_pages, a->page_offset, count,
                        w->places, w->ranks);
  for (size_t i = 0; i < count; ++i) {
    // The best first: floats as whole numbers against their order.
    const uint32_t bits = martlet_bits_of_float(w->ranks[i] + 0.0f);
    const uint32_t rank = bits >> 31 ? bits : ~(bits | 0x80000000u);
    w->order[i] = (uint64_t)rank << 32 | w->places[i];
  }
  graph_sort(w->order, count);
  for (size_t i = 0; i < w->list; ++i) list[i] = (uint32_t)w->order[i];
}

static void find_lists(const build_arguments *a, const build_work *w) {
  const retrieve_header *book = a->codebook;
  const size_t bytes = retrieve_query_size(book->dimensions, book->nibbles);
  for (size_t q = 0; q < a->query_count; q += build_group) {
    const size_t count = least(build_group, a->query_count - q);
    const void *queries[build_group];
    for (size_t i = 0; i < count; ++i) {
      queries[i] = w->prepared + i * bytes;
      martlet_retrieve_query(a->codebook, a->queries + (q + i) * a->query_stride,
                             w->prepared + i * bytes);
    }
    const martlet_retrieve_scan_arguments scan = {.size = sizeof scan,
                                                  .query_count = (uint32_t)count,
                                                  .queries = queries,
                                                  .pages = a->pages,
                                                  .offset = a->offset,
                                                  .page_end = a->count / kv_positions,
                                                  .scores = w->scores,
                                                  .stride = a->count};
    martlet_retrieve_scan(&scan);
    for (size_t i = 0; i < count; ++i)
      find_list(a, w, queries[i], w->scores + i * a->count, w->lists + (q + i) * w->list);
  }
}

/// For each key the queries that found it, those first in whose lists it comes first.
static void invert(const build_arguments *a, const build_work *w) {
  const size_t entries = a->query_count * w->list;
  memset(w->starts, 0, (a->count + 1) * sizeof *w->starts);
  for (size_t i = 0; i < entries; ++i) ++w->starts[w->lists[i] + 1];
  for (size_t key = 0; key < a->count; ++key) w->starts[key + 1] += w->starts[key];
  memset(w->stamps, 0, a->count * sizeof *w->stamps);
  for (size_t rank = 0; rank < w->list; ++rank)
    for (size_t q = 0; q < a->query_count; ++q) {
      const uint32_t key = w->lists[q * w->list + rank];
      w->found_by[w->starts[key] + w->stamps[key]++] = (uint32_t)q;
    }
  memset(w->stamps, 0, a->count * sizeof *w->stamps);
}

/// Links a key to what queries found with it.
static void project(build_work *w, uint32_t key) {
  uint32_t candidates[build_lists * build_list], chosen[graph_links];
  size_t count = 0;
  const uint32_t end = w->starts[key + 1];
  w->stamps[key] = key + 1;
  for (uint32_t i = w->starts[key]; i < end && i < w->starts[key] + build_lists; ++i)
    for (size_t rank = 0; rank < w->list; ++rank) {
      const uint32_t other = w->lists[w->found_by[i] * w->list + rank];
      if (w->stamps[other] == key + 1) continue;
      w->stamps[other] = key + 1;
      candidates[count++] = other;
    }
  const graph_parts *g = &w->edit.graph;
  const size_t links = graph_choose(&w->edit, w->rows + key * g->row_bytes, w->rows, candidates,
                                    count, chosen);
  for (uint32_t slot = 0; slot < links; ++slot)
    graph_put(g, &w->edit.codes, graph_block(g, key), slot, candidates[chosen[slot]]);
}

/// The first key and those that most queries found.
static void choose_hubs(const build_arguments *a, build_work *w) {
  uint32_t counts[257] = {0}, least_count = 256;
  size_t above = 0;
  for (size_t key = 1; key < a->count; ++key) {
    const uint32_t n = w->starts[key + 1] - w->starts[key];
    ++counts[n < 256 ? n : 256];
  }
  const size_t room = least(w->edit.graph.header->hub_capacity, a->count) - 1;
  while (least_count > 0 && above + counts[least_count] <= room) above += counts[least_count--];
  size_t equal = room - above;
  graph_add_hub(&w->edit, 0);
  for (uint32_t key = 1; key < a->count; ++key) {
    const uint32_t n = w->starts[key + 1] - w->starts[key], capped = n < 256 ? n : 256;
    const int same = capped == least_count && equal > 0;
    if (capped > least_count || same) graph_add_hub(&w->edit, key);
    equal -= (size_t)same;
  }
}

martlet_status martlet_graph_build(const build_arguments *a, void *scratch, void *graph) {
  if (!valid(a, graph) || !scratch || (uintptr_t)scratch % 64) return MARTLET_E_ARGUMENT;
  build_work w = lay_out(a, graph, scratch);
  if (a->query_count == 0) {
    graph_append(&w.edit, a->count);
    return MARTLET_OK;
  }
  const graph_parts *g = &w.edit.graph;
  find_lists(a, &w);
  invert(a, &w);
  g->header->count = (uint32_t)a->count;
  for (uint32_t key = 0; key < a->count; ++key) {
    graph_clear_block(g, graph_block(g, key));
    graph_row(g, graph_codes_of(&w.edit.codes, key), w.rows + key * g->row_bytes);
  }
  choose_hubs(a, &w);
  for (uint32_t key = 0; key < a->count; ++key)
    if (w.starts[key + 1] > w.starts[key]) project(&w, key);
  for (uint32_t key = 0; key < a->count; ++key)
    if (w.starts[key + 1] == w.starts[key]) graph_link(&w.edit, key);
  for (uint32_t key = 0; key < a->count; ++key) graph_root(&w.edit, key);
  return MARTLET_OK;
}

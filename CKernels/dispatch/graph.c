/// The doors of the graph of retrieval attention, insertion and truncation.
#include <martlet/graph.h>

#include "dispatch/families.h"
#include "dispatch/graph_edit.h"

static int aligned(const void *p) { return (uintptr_t)p % 64 == 0; }

size_t martlet_graph_bytes(const martlet_retrieve_shape *shape, size_t capacity) {
  if (martlet_retrieve_codebook_bytes(shape) == 0 || capacity == 0 || capacity > graph_most)
    return 0;
  return graph_lay_out(NULL, shape->head_dimensions, shape->nibbles, 0, capacity).bytes;
}

size_t martlet_graph_count(const void *graph) {
  return graph_is(graph) ? ((const graph_header *)graph)->count : 0;
}

/// Centroids as whole numbers, in one scale for all coordinates.
static void round_centroids(const retrieve_book *book, const graph_parts *g) {
  float largest = 0;
  const size_t count = retrieve_centroids * book->kept;
  for (size_t i = 0; i < count; ++i) {
    const float x = retrieve_finite(book->centroids[i]), magnitude = x < 0 ? -x : x;
    largest = magnitude > largest ? magnitude : largest;
  }
  for (size_t i = 0; i < count; ++i) {
    const float x = largest > 0 ? retrieve_finite(book->centroids[i]) / largest : 0;
    g->centroids[i] = (int8_t)retrieve_round(x * (float)graph_step_most);
  }
}

/// Tables of a key as a query: what each of another key's codes adds to how near it is.
static void tabulate(const graph_parts *g) {
  int32_t largest = 1;
  for (int pass = 0; pass < 2; ++pass)
    for (size_t m = 0; m < g->nibbles; ++m)
      for (unsigned pair = 0; pair < 256; ++pair) {
        int32_t sum = 0;
        for (size_t j = g->first[m]; j < (size_t)g->first[m] + g->counts[m]; ++j) {
          const int8_t *c = g->centroids + retrieve_centroids * j;
          sum += (c[pair / 16] - c[pair % 16]) * (c[pair / 16] - c[pair % 16]);
        }
        if (pass == 0) largest = sum > largest ? sum : largest;
        else
          g->near[256 * m + pair] = (uint8_t)(
              retrieve_table_most - (retrieve_table_most * sum + largest / 2) / largest);
      }
}

martlet_status martlet_graph_create(const void *codebook, size_t capacity, void *graph) {
  if (!retrieve_is_codebook(codebook) || !graph || !aligned(graph) || capacity == 0 ||
      capacity > graph_most)
    return MARTLET_E_ARGUMENT;
  const retrieve_book book = retrieve_book_of(codebook);
  for (size_t m = 0; m < book.nibbles; ++m)
    if ((size_t)book.first[m] + book.count[m] > book.kept) return MARTLET_E_ARGUMENT;
  const graph_parts g =
      graph_lay_out(graph, book.dimensions, book.nibbles, book.kept, capacity);
  *g.header = (graph_header){.magic = graph_magic,
                             .dimensions = (uint32_t)book.dimensions,
                             .nibbles = (uint32_t)book.nibbles,
                             .kept = (uint32_t)book.kept,
                             .capacity = (uint32_t)capacity,
                             .hub_capacity = (uint32_t)graph_hubs(capacity)};
  memcpy(g.first, book.first, 2 * book.nibbles);
  memcpy(g.counts, book.count, 2 * book.nibbles);
  round_centroids(&book, &g);
  tabulate(&g);
  for (size_t hub = 0; hub < graph_hubs(capacity); hub += kv_positions)
    graph_clear_block(&g, g.hubs + hub / kv_positions * g.block_bytes);
  return MARTLET_OK;
}

// ---- linking ------------------------------------------------------------------------------------

graph_edit graph_edit_lay_out(const void *graph, const graph_codes *codes, void *memory) {
  graph_edit e = {.graph = graph_parts_of(graph), .codes = *codes};
  const graph_header *h = e.graph.header;
  e.walk.graph = e.graph;
  e.walk.limit = e.walk.positions = h->capacity;
  // For all keys to come.
  graph_header full = *h;
  full.count = full.capacity;
  e.walk.graph.header = &full;
  size_t offset = graph_walk_lay_out(&e.walk, memory);
  e.walk.graph.header = e.graph.header;
  graph_edit *s = &e;
  GRAPH_TAKE(s, memory, offset, query, retrieve_query_size(h->dimensions, h->nibbles));
  GRAPH_TAKE(s, memory, offset, rows, graph_link_keep * e.graph.row_bytes);
  GRAPH_TAKE(s, memory, offset, order,
             h->capacity > graph_most_candidates ? h->capacity : (size_t)graph_most_candidates);
  GRAPH_TAKE(s, memory, offset, distances, graph_most_candidates);
  e.bytes = offset;
  return e;
}

static void measure(const graph_edit *e, const int8_t *row, const int8_t *rows, size_t count,
                    const uint32_t *ids, int32_t *distances) {
  MARTLET_CHOSEN(graph_distances, MARTLET_NUMERIC_PORTABLE)
  (e->graph.row_bytes, row, rows, count, ids, distances);
}

size_t graph_choose(graph_edit *e, const int8_t *row, const int8_t *rows, const uint32_t *ids,
                    size_t count, uint32_t *chosen) {
  measure(e, row, rows, count, ids, e->distances);
  for (size_t i = 0; i < count; ++i) e->order[i] = (uint64_t)e->distances[i] << 32 | i;
  graph_sort(e->order, count);
  uint32_t kept[graph_links], behind[graph_links];
  size_t n = 0, passed = 0;
  for (size_t i = 0; i < count && n < graph_links; ++i) {
    const uint32_t place = (uint32_t)e->order[i];
    const int64_t own = (int64_t)(e->order[i] >> 32);
    // A kept one that is much nearer to it leads there.
    int led = 0;
    int32_t others[graph_links];
    for (size_t k = 0; k < n && !led; k += 8) {
      const size_t step = n - k < 8 ? n - k : 8;
      measure(e, rows + ids[place] * e->graph.row_bytes, rows, step, kept + k, others);
      for (size_t j = 0; j < step; ++j) led |= 4 * (int64_t)others[j] < 3 * own;
    }
    if (!led) {
      kept[n] = ids[place];
      chosen[n++] = place;
    } else if (passed < graph_links) {
      behind[passed++] = place;
    }
  }
  for (size_t i = 0; i < passed && n < graph_links; ++i) chosen[n++] = behind[i];
  return n;
}

/// Makes a key a query whose scores say how near others are.
static void prepare(const graph_edit *e, const uint8_t *codes) {
  const graph_parts *g = &e->graph;
  retrieve_prepared *p = (retrieve_prepared *)(void *)e->query;
  memset(p, 0, retrieve_prepared_bytes);
  p->dimensions = g->header->dimensions;
  p->nibbles = g->header->nibbles;
  uint8_t *tables = retrieve_tables(p);
  for (size_t m = 0; m < g->nibbles; ++m) {
    const uint8_t *entries = g->near + 256 * m + 16 * graph_code(codes, m);
    memcpy(tables + retrieve_table_offset(m), entries, retrieve_centroids);
    memcpy(tables + retrieve_table_offset(m) + 16, entries, retrieve_centroids);
  }
}

static int is_free(const graph_edit *e, uint32_t link) {
  return (link & graph_none) >= e->graph.header->count;
}
static int is_tree(const graph_edit *e, uint32_t link) {
  return link & graph_tree && !is_free(e, link);
}

/// Links `from` to a key, in place of its farthest if that is farther.
static void link_back(graph_edit *e, uint32_t from, uint32_t key) {
  const graph_parts *g = &e->graph;
  uint8_t *block = graph_block(g, from);
  uint32_t *ids = graph_ids(g, block), places[graph_links + 1];
  int32_t distances[graph_links + 1];
  for (uint32_t slot = 0; slot < graph_links; ++slot) {
    if (ids[slot] == key || ids[slot] == (key | graph_tree)) return;
    if (is_free(e, ids[slot])) {
      graph_put(g, &e->codes, block, slot, key);
      return;
    }
  }
  _Alignas(64) int8_t row[kv_most_dimensions];
  graph_row(g, graph_codes_of(&e->codes, from), row);
  for (uint32_t slot = 0; slot <= graph_links; ++slot) {
    places[slot] = slot;
    graph_row(g, graph_codes_of(&e->codes, slot == graph_links ? key : ids[slot] & graph_none),
              e->rows + slot * g->row_bytes);
  }
  measure(e, row, e->rows, graph_links + 1, places, distances);
  uint32_t farthest = graph_links;
  for (uint32_t slot = graph_links; slot-- > 0;)
    if (!is_tree(e, ids[slot]) && distances[slot] > distances[farthest]) farthest = slot;
  if (farthest < graph_links) graph_put(g, &e->codes, block, farthest, key);
}

void graph_link(graph_edit *e, uint32_t key) {
  const graph_parts *g = &e->graph;
  graph_walk *w = &e->walk;
  w->query = e->query;
  prepare(e, graph_codes_of(&e->codes, key));
  graph_walk_begin(w, graph_link_follow, graph_link_keep);
  w->visited[key / 64] |= 1ull << key % 64;
  graph_walk_run(w);
  const size_t count = graph_walk_kept(w, e->order);
  uint32_t ids[graph_link_keep], places[graph_link_keep], chosen[graph_links];
  // By position, so that of equally near ones the first is the first.
  for (size_t i = 0; i < count; ++i) e->order[i] = w->kept[i];
  graph_sort(e->order, count);
  for (uint32_t i = 0; i < count; ++i) {
    ids[i] = (uint32_t)e->order[i];
    places[i] = i;
    graph_row(g, graph_codes_of(&e->codes, ids[i]), e->rows + i * g->row_bytes);
  }
  _Alignas(64) int8_t row[kv_most_dimensions];
  graph_row(g, graph_codes_of(&e->codes, key), row);
  const size_t links = graph_choose(e, row, e->rows, places, count, chosen);
  uint8_t *block = graph_block(g, key);
  for (uint32_t slot = 0; slot < links; ++slot)
    graph_put(g, &e->codes, block, slot, ids[chosen[slot]]);
  for (size_t i = 0; i < links && i < graph_link_back; ++i) link_back(e, ids[chosen[i]], key);
}

void graph_root(graph_edit *e, uint32_t key) {
  if (key == 0) return;
  const graph_parts *g = &e->graph;
  const uint32_t *own = graph_ids(g, graph_block(g, key));
  // Its links first, nearest first; then the one before it, which leads to no later key by a link
  // that is kept, and so has room.
  for (uint32_t i = 0; i < graph_links + key; ++i) {
    const uint32_t from = i < graph_links ? own[i] & graph_none : key - 1 - (i - graph_links);
    if (from >= key) continue;
    uint8_t *block = graph_block(g, from);
    uint32_t *ids = graph_ids(g, block), room = graph_links;
    for (uint32_t slot = 0; slot < graph_links; ++slot) {
      if ((ids[slot] & graph_none) == key) {
        ids[slot] = key | graph_tree;
        return;
      }
      const int is_better = room == graph_links || !is_free(e, ids[room]);
      if (!is_tree(e, ids[slot]) && is_better) room = slot;
    }
    if (room == graph_links) continue;
    graph_put(g, &e->codes, block, room, key | graph_tree);
    return;
  }
}

void graph_add_hub(graph_edit *e, uint32_t key) {
  graph_header *h = e->graph.header;
  if (h->hubs == h->hub_capacity) return;
  graph_put(&e->graph, &e->codes,
            e->graph.hubs + h->hubs / kv_positions * e->graph.block_bytes,
            h->hubs % kv_positions, key);
  ++h->hubs;
}

// ---- keys that come and go ----------------------------------------------------------------------

void graph_append(graph_edit *e, size_t end) {
  graph_header *h = e->graph.header;
  while (h->count < end) {
    const uint32_t key = h->count;
    graph_clear_block(&e->graph, graph_block(&e->graph, key));
    ++h->count;
    graph_link(e, key);
    graph_root(e, key);
    graph_add_hub(e, key);
  }
}

size_t martlet_graph_insert_scratch(const void *graph) {
  const graph_codes none = {NULL, 0};
  return graph_is(graph) ? graph_edit_lay_out(graph, &none, NULL).bytes : 0;
}

martlet_status martlet_graph_insert(void *graph, const void *const *pages, size_t offset,
                                    size_t end, void *scratch) {
  if (!graph_is(graph) || end > ((graph_header *)graph)->capacity) return MARTLET_E_ARGUMENT;
  if (end <= ((graph_header *)graph)->count) return MARTLET_OK;
  if (!pages || !scratch || !aligned(scratch)) return MARTLET_E_ARGUMENT;
  // Links to earlier keys are replaced, so that their codes are read too.
  for (size_t page = 0; page * kv_positions < end; ++page)
    if (!pages[page]) return MARTLET_E_ARGUMENT;
  graph_edit edit = graph_edit_lay_out(graph, &(graph_codes){pages, offset}, scratch);
  graph_append(&edit, end);
  return MARTLET_OK;
}

/// Takes links to `count` and beyond out of a block.
static void cut_block(const graph_parts *g, uint8_t *block, size_t count) {
  uint32_t *ids = graph_ids(g, block);
  for (size_t slot = 0; slot < graph_links; ++slot)
    if ((ids[slot] & graph_none) >= count) ids[slot] = graph_none;
}

martlet_status martlet_graph_truncate(void *graph, size_t count) {
  if (!graph_is(graph)) return MARTLET_E_ARGUMENT;
  const graph_parts g = graph_parts_of(graph);
  graph_header *h = g.header;
  if (count >= h->count) return MARTLET_OK;
  for (size_t key = 0; key < count; ++key) cut_block(&g, graph_block(&g, key), count);
  for (size_t hub = 0; hub < h->hubs; hub += kv_positions)
    cut_block(&g, g.hubs + hub / kv_positions * g.block_bytes, count);
  while (h->hubs > 0) {
    const size_t last = h->hubs - 1;
    const uint8_t *block = g.hubs + last / kv_positions * g.block_bytes;
    if (graph_ids(&g, block)[last % kv_positions] != graph_none) break;
    h->hubs = (uint32_t)last;
  }
  h->count = (uint32_t)count;
  return MARTLET_OK;
}

// ---- searching ----------------------------------------------------------------------------------

typedef martlet_graph_search_arguments search_arguments;

typedef struct search_scratch {
  graph_walk walk;
  float *ranks;
  uint64_t *order, *seen;
  size_t positions, end, bytes;
} search_scratch;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/// Positions of the graph that may be found.
static size_t findable(const search_arguments *a) {
  return least(a->limit, ((const graph_header *)a->graph)->count);
}

static int sized(const search_arguments *a) {
  return a && a->size >= sizeof *a && graph_is(a->graph) &&
         a->query_count <= graph_most_queries && a->page_begin <= a->page_end &&
         a->page_end <= graph_most / kv_positions;
}

static search_scratch lay_out(const search_arguments *a, void *memory) {
  search_scratch s = {.positions = findable(a) + (a->page_end - a->page_begin) * kv_positions};
  s.end = a->page_begin < a->page_end ? a->page_end * kv_positions : findable(a);
  s.walk.graph = graph_parts_of(a->graph);
  s.walk.limit = findable(a);
  s.walk.positions = s.positions;
  size_t offset = graph_walk_lay_out(&s.walk, memory);
  search_scratch *own = &s;
  GRAPH_TAKE(own, memory, offset, ranks, s.positions);
  GRAPH_TAKE(own, memory, offset, order, s.positions);
  GRAPH_TAKE(own, memory, offset, seen, (s.end + 63) / 64);
  s.bytes = offset + 64;
  return s;
}

size_t martlet_graph_search_scratch(const search_arguments *arguments) {
  return sized(arguments) ? lay_out(arguments, NULL).bytes : 0;
}

static int valid(const search_arguments *a) {
  if (!sized(a)) return 0;
  const graph_header *h = a->graph;
  if (a->query_count && (!a->queries || a->expanded == 0)) return 0;
  for (uint32_t q = 0; q < a->query_count; ++q) {
    const retrieve_prepared *p = a->queries[q];
    if (!retrieve_is_prepared(p) || p->dimensions != h->dimensions || p->nibbles != h->nibbles)
      return 0;
  }
  if (a->page_begin < a->page_end) {
    if (!a->pages || a->page_begin * kv_positions < findable(a)) return 0;
    for (size_t page = a->page_begin; page < a->page_end; ++page)
      if (!a->pages[page]) return 0;
  }
  if (a->key_pages && (martlet_kv_page_bytes(a->layout) == 0 || a->kv_head >= a->layout->kv_heads ||
                       a->layout->head_dimensions != h->dimensions))
    return 0;
  return a->query_count == 0 || a->wanted == 0 || a->positions != NULL;
}

/// Marks a query's best; what does not matter beyond `wanted` is not ranked.
static martlet_status choose(const search_arguments *a, search_scratch *s, uint32_t q) {
  graph_walk *w = &s->walk;
  const size_t count = graph_walk_kept(w, s->order);
  size_t best = count;
  if (count > a->wanted) {
    best = a->wanted;
    if (a->key_pages) {
      for (size_t i = 0; i < count; ++i)
        if (!a->key_pages[w->kept[i] / kv_positions]) return MARTLET_E_ARGUMENT;
      MARTLET_CHOSEN(retrieve_rank, MARTLET_NUMERIC_PORTABLE)
      (a->queries[q], a->layout, a->kv_head, a->key_pages, a->page_offset, count, w->kept,
       s->ranks);
    }
    for (size_t i = 0; i < count; ++i) {
      uint32_t rank = w->kept_scores[i];
      if (a->key_pages) {
        // Floats as whole numbers in their order; both zeros are one.
        const uint32_t bits = martlet_bits_of_float(s->ranks[i] + 0.0f);
        rank = bits >> 31 ? ~bits : bits | 0x80000000u;
      }
      s->order[i] = (uint64_t)rank << 32 | (UINT32_MAX - w->kept[i]);
    }
    graph_largest(s->order, count, best);
    for (size_t i = 0; i < best; ++i) w->kept[i] = UINT32_MAX - (uint32_t)s->order[i];
  }
  for (size_t i = 0; i < best; ++i) s->seen[w->kept[i] / 64] |= 1ull << w->kept[i] % 64;
  return MARTLET_OK;
}

martlet_status martlet_graph_search(search_arguments *a, void *scratch) {
  if (!valid(a)) return MARTLET_E_ARGUMENT;
  a->found = a->followed = 0;
  if (a->query_count == 0 || a->wanted == 0) return MARTLET_OK;
  if (!scratch || !aligned(scratch)) return MARTLET_E_ARGUMENT;
  search_scratch s = lay_out(a, scratch);
  graph_walk *w = &s.walk;
  memset(s.seen, 0, (s.end + 63) / 64 * sizeof *s.seen);
  for (uint32_t q = 0; q < a->query_count; ++q) {
    w->query = a->queries[q];
    graph_walk_begin(w, a->expanded, a->candidates > a->wanted ? a->candidates : a->wanted);
    graph_walk_pages(w, &(graph_codes){a->pages, a->offset}, a->page_begin, a->page_end);
    graph_walk_run(w);
    a->followed += w->follows;
    if (choose(a, &s, q) != MARTLET_OK) return MARTLET_E_ARGUMENT;
  }
  for (size_t word = 0; word < (s.end + 63) / 64; ++word)
    for (uint64_t bits = s.seen[word]; bits; bits &= bits - 1)
      a->positions[a->found++] = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits);
  return MARTLET_OK;
}

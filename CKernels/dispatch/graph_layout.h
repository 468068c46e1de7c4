/// Where things lie in a graph, and small functions on it that building and searching share.
#ifndef MARTLET_DISPATCH_GRAPH_LAYOUT_H
#define MARTLET_DISPATCH_GRAPH_LAYOUT_H

#include "dispatch/retrieve_layout.h"

#include <martlet/graph.h>

#include <stddef.h>
#include <string.h>

enum {
  graph_magic = 0x4d475248,
  graph_links = MARTLET_GRAPH_LINKS,
  graph_none = 0x7fffffff,      ///< No link: more than any position.
  graph_most = 1 << 30,         ///< Keys.
  graph_hub_share = 16,         ///< One key in so many is a hub.
  graph_step_most = 63,         ///< Largest coordinate of a row.
  graph_most_queries = 64,
};
/// In a link: it is the one by which its key is always reached.
static const uint32_t graph_tree = 0x80000000u;

typedef struct graph_header {
  uint32_t magic, dimensions, nibbles, kept;
  uint32_t capacity, count;
  uint32_t hub_capacity, hubs;
} graph_header;

/// A graph's parts. A block holds the codes of 32 keys as a page does, then their positions.
typedef struct graph_parts {
  graph_header *header;
  uint16_t *first, *counts;  ///< Coordinates of each nibble.
  int8_t *centroids;         ///< [coordinate][16], within ±63.
  uint8_t *near;             ///< [nibble][code][code]: 63 less a part of the distance.
  uint8_t *hubs, *blocks;
  size_t nibbles, code_bytes, block_bytes, row_bytes, bytes;
} graph_parts;

static inline size_t graph_hubs(size_t capacity) {
  return kv_round_up((capacity + graph_hub_share - 1) / graph_hub_share, kv_positions);
}

static inline graph_parts graph_lay_out(const void *graph, size_t dimensions, size_t nibbles,
                                        size_t kept, size_t capacity) {
  char *at = (char *)(uintptr_t)graph;
  graph_parts g = {.header = (graph_header *)(void *)at,
                   .nibbles = nibbles,
                   .code_bytes = kv_positions * nibbles / 2,
                   .row_bytes = retrieve_side_bytes(kept)};
  g.block_bytes = g.code_bytes + graph_links * sizeof(uint32_t);
  size_t offset = 64;
#define PART(field, n)                                                        \
  g.field = graph ? (void *)(at + offset) : NULL;                             \
  offset += kv_round_up(n, 64)
  PART(first, 2 * nibbles);
  PART(counts, 2 * nibbles);
  PART(centroids, retrieve_centroids * kv_round_up(dimensions, 16));
  PART(near, 256 * nibbles);
  PART(hubs, graph_hubs(capacity) / kv_positions * g.block_bytes);
  PART(blocks, capacity * g.block_bytes);
#undef PART
  g.bytes = offset;
  return g;
}

static inline graph_parts graph_parts_of(const void *graph) {
  const graph_header *h = graph;
  return graph_lay_out(graph, h->dimensions, h->nibbles, h->kept, h->capacity);
}

static inline int graph_is(const void *graph) {
  const graph_header *h = graph;
  return graph && (uintptr_t)graph % 64 == 0 && h->magic == graph_magic &&
         h->count <= h->capacity && h->capacity <= graph_most;
}

static inline uint8_t *graph_block(const graph_parts *g, size_t key) {
  return g->blocks + key * g->block_bytes;
}
/// The positions of a block's keys.
static inline uint32_t *graph_ids(const graph_parts *g, const uint8_t *block) {
  return (uint32_t *)(void *)(uintptr_t)(block + g->code_bytes);
}
static inline void graph_clear_block(const graph_parts *g, uint8_t *block) {
  for (size_t i = 0; i < graph_links; ++i) graph_ids(g, block)[i] = graph_none;
}

/// Pages of codes.
typedef struct graph_codes {
  const void *const *pages;
  size_t offset;
} graph_codes;

static inline const uint8_t *graph_codes_of(const graph_codes *c, size_t key) {
  return (const uint8_t *)c->pages[key / kv_positions] + c->offset + key % kv_positions;
}

/// Puts a key into a slot of a block: its position, with what flags it brings, and its codes.
static inline void graph_put(const graph_parts *g, const graph_codes *codes, uint8_t *block,
                             size_t slot, uint32_t link) {
  const uint8_t *from = graph_codes_of(codes, link & graph_none);
  for (size_t at = 0; at < g->code_bytes; at += kv_positions) block[at + slot] = from[at];
  graph_ids(g, block)[slot] = link;
}

/// A key's code of a nibble, from the byte that holds two.
static inline unsigned graph_code(const uint8_t *codes, size_t nibble) {
  return codes[nibble / 2 * kv_positions] >> nibble % 2 * 4 & 15;
}

/// A key's row: where its codes' centroids are in the queries' metric.
static inline void graph_row(const graph_parts *g, const uint8_t *codes, int8_t *row) {
  memset(row, 0, g->row_bytes);
  for (size_t m = 0; m < g->nibbles; ++m) {
    const unsigned code = graph_code(codes, m);
    for (size_t j = g->first[m]; j < (size_t)g->first[m] + g->counts[m]; ++j)
      row[j] = g->centroids[retrieve_centroids * j + code];
  }
}

/// Sorts a few hundred numbers, ascending.
static inline void graph_sort(uint64_t *x, size_t count) {
  static const size_t gaps[] = {701, 301, 132, 57, 23, 10, 4, 1};
  for (size_t g = 0; g < sizeof gaps / sizeof gaps[0]; ++g)
    for (size_t i = gaps[g]; i < count; ++i) {
      const uint64_t moved = x[i];
      size_t at = i;
      for (; at >= gaps[g] && x[at - gaps[g]] > moved; at -= gaps[g]) x[at] = x[at - gaps[g]];
      x[at] = moved;
    }
}

/// Brings the `k` largest of `count` numbers to the front, in any order.
static inline void graph_largest(uint64_t *x, size_t count, size_t k) {
  ptrdiff_t begin = 0, last = (ptrdiff_t)count - 1;
  while (begin < last) {
    const uint64_t pivot = x[begin + (last - begin) / 2];
    ptrdiff_t left = begin, right = last;
    while (left <= right) {
      while (x[left] > pivot) ++left;
      while (x[right] < pivot) --right;
      if (left > right) break;
      const uint64_t moved = x[left];
      x[left++] = x[right];
      x[right--] = moved;
    }
    // None up to `right` is less than the pivot, none from `left` on is more.
    if ((ptrdiff_t)k <= right + 1) last = right;
    else if ((ptrdiff_t)k >= left) begin = left;
    else return;
  }
}

/// The memory of a layout made by TAKE, which ends at `offset`.
#define GRAPH_TAKE(s, memory, offset, field, n)                                \
  (s)->field = (memory) ? (void *)((char *)(memory) + (offset)) : NULL;        \
  (offset) += kv_round_up((n) * sizeof *(s)->field, 64)

#endif

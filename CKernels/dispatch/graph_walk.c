/// Walking: see graph_walk.h.
#include "dispatch/graph_walk.h"

#include "dispatch/families.h"

static size_t levels(const graph_walk *w) { return retrieve_table_most * w->graph.nibbles + 1; }
static size_t words(size_t bits) { return (bits + 63) / 64; }

size_t graph_walk_lay_out(graph_walk *w, void *memory) {
  const size_t count = w->graph.header->count;
  size_t offset = 0;
  GRAPH_TAKE(w, memory, offset, follow.counts, levels(w));
  GRAPH_TAKE(w, memory, offset, keep.counts, levels(w));
  GRAPH_TAKE(w, memory, offset, heads, levels(w));
  GRAPH_TAKE(w, memory, offset, queue, count);
  GRAPH_TAKE(w, memory, offset, next, count);
  GRAPH_TAKE(w, memory, offset, kept, w->positions);
  GRAPH_TAKE(w, memory, offset, kept_scores, w->positions);
  GRAPH_TAKE(w, memory, offset, visited, words(count));
  GRAPH_TAKE(w, memory, offset, scores, (size_t)graph_chunk * kv_positions);
  return offset;
}

void graph_walk_begin(graph_walk *w, size_t follow, size_t keep) {
  const size_t bytes = levels(w) * sizeof(uint32_t);
  w->follow = (graph_bound){.counts = w->follow.counts, .most = follow};
  w->keep = (graph_bound){.counts = w->keep.counts, .most = keep};
  memset(w->follow.counts, 0, bytes);
  memset(w->keep.counts, 0, bytes);
  memset(w->heads, 0xff, bytes);
  memset(w->visited, 0, words(w->graph.header->count) * sizeof(uint64_t));
  w->queued = w->found = w->follows = 0;
  w->top = 0;
  w->most_follows = 2 * follow + graph_at_once;
}

/// Whether a bit was set; it is now.
static int set_bit(uint64_t *bits, size_t i) {
  const uint64_t bit = 1ull << i % 64, was = bits[i / 64] & bit;
  bits[i / 64] |= bit;
  return was != 0;
}

/// Counts a score that is at least `least`.
static void count_score(graph_bound *bound, uint32_t score) {
  ++bound->counts[score];
  ++bound->above;
  while (bound->above - bound->counts[bound->least] >= bound->most)
    bound->above -= bound->counts[bound->least++];
}

static void keep_position(graph_walk *w, uint32_t position, uint32_t score) {
  if (score < w->keep.least) return;
  w->kept[w->found] = position;
  w->kept_scores[w->found++] = (uint16_t)score;
  count_score(&w->keep, score);
}

static void follow_key(graph_walk *w, uint32_t key, uint32_t score) {
  if (score < w->follow.least) return;
  const uint32_t at = (uint32_t)w->queued++;
  w->queue[at] = key;
  w->next[at] = w->heads[score];
  w->heads[score] = at;
  if (score > w->top) w->top = score;
  count_score(&w->follow, score);
}

/// The best key that waits to be followed, or graph_none.
static uint32_t best_key(graph_walk *w) {
  for (; w->top >= w->follow.least; --w->top) {
    const uint32_t at = w->heads[w->top];
    if (at != UINT32_MAX) {
      w->heads[w->top] = w->next[at];
      return w->queue[at];
    }
    if (w->top == 0) break;
  }
  return graph_none;
}

static uint32_t lower(uint32_t a, uint32_t b) { return a < b ? a : b; }

/// Scores of up to graph_chunk pages or blocks.
static void score(graph_walk *w, const void *const *blocks, size_t offset, size_t count) {
  const martlet_retrieve_scan_arguments scan = {.size = sizeof scan,
                                                .query_count = 1,
                                                .queries = &w->query,
                                                .pages = blocks,
                                                .offset = offset,
                                                .page_end = count,
                                                .scores = w->scores,
                                                .stride = graph_chunk * kv_positions};
  MARTLET_CHOSEN(retrieve_scan, MARTLET_NUMERIC_PORTABLE)(&scan);
}

/// Looks at the keys of up to graph_chunk blocks.
static void look_at(graph_walk *w, const void *const *blocks, size_t count) {
  uint32_t masks[graph_chunk];
  const uint32_t keys = w->graph.header->count;
  score(w, blocks, 0, count);
  MARTLET_CHOSEN(graph_pass, MARTLET_NUMERIC_PORTABLE)
  (count, w->scores, (uint16_t)lower(w->follow.least, w->keep.least), masks);
  for (size_t b = 0; b < count; ++b) {
    const uint32_t *ids = graph_ids(&w->graph, blocks[b]);
    for (uint32_t mask = masks[b]; mask; mask &= mask - 1) {
      const size_t lane = (size_t)__builtin_ctz(mask);
      const uint32_t key = ids[lane] & graph_none;
      if (key >= keys || set_bit(w->visited, key)) continue;
      const uint32_t own = w->scores[b * kv_positions + lane];
      follow_key(w, key, own);
      if (key < w->limit) keep_position(w, key, own);
    }
  }
}

void graph_walk_pages(graph_walk *w, const graph_codes *codes, size_t begin, size_t end) {
  uint32_t masks[graph_chunk];
  for (size_t page = begin; page < end; page += graph_chunk) {
    const size_t count = end - page < graph_chunk ? end - page : (size_t)graph_chunk;
    score(w, codes->pages + page, codes->offset, count);
    MARTLET_CHOSEN(graph_pass, MARTLET_NUMERIC_PORTABLE)
    (count, w->scores, (uint16_t)w->keep.least, masks);
    for (size_t b = 0; b < count; ++b)
      for (uint32_t mask = masks[b]; mask; mask &= mask - 1) {
        const size_t at = b * kv_positions + (size_t)__builtin_ctz(mask);
        keep_position(w, (uint32_t)(page * kv_positions + at), w->scores[at]);
      }
  }
}

/// Blocks to look at next, the best first. They are called for.
static size_t next_blocks(graph_walk *w, const void **blocks) {
  size_t count = 0;
  while (count < graph_at_once && w->follows < w->most_follows) {
    const uint32_t key = best_key(w);
    if (key == graph_none) break;
    const uint8_t *block = graph_block(&w->graph, key);
    for (size_t at = 0; at < w->graph.block_bytes; at += 64)
      __builtin_prefetch(block + at, 0, 3);
    blocks[count++] = block;
    ++w->follows;
  }
  return count;
}

void graph_walk_run(graph_walk *w) {
  const graph_parts *g = &w->graph;
  const void *blocks[graph_chunk], *later[graph_at_once];
  const size_t hubs = (g->header->hubs + kv_positions - 1) / kv_positions;
  for (size_t hub = 0; hub < hubs; hub += graph_chunk) {
    size_t count = 0;
    for (; count < graph_chunk && hub + count < hubs; ++count)
      blocks[count] = g->hubs + (hub + count) * g->block_bytes;
    look_at(w, blocks, count);
  }
  size_t count = next_blocks(w, blocks);
  while (count) {
    // What comes after is on its way while these are looked at.
    size_t following = next_blocks(w, later);
    look_at(w, blocks, count);
    if (!following) following = next_blocks(w, later);
    memcpy(blocks, later, following * sizeof *later);
    count = following;
  }
}

size_t graph_walk_kept(graph_walk *w, uint64_t *order) {
  const uint32_t least = w->keep.least;
  size_t count = 0, equal = 0;
  for (size_t i = 0; i < w->found; ++i) {
    if (w->kept_scores[i] < least) continue;
    if (w->kept_scores[i] == least) {
      order[equal++] = UINT32_MAX - w->kept[i];
      continue;
    }
    w->kept[count] = w->kept[i];
    w->kept_scores[count++] = w->kept_scores[i];
  }
  const size_t room = w->keep.most - count;
  if (equal > room) {
    graph_largest(order, equal, room);
    equal = room;
  }
  for (size_t i = 0; i < equal; ++i) {
    w->kept[count] = UINT32_MAX - (uint32_t)order[i];
    w->kept_scores[count++] = (uint16_t)least;
  }
  w->found = count;
  return count;
}

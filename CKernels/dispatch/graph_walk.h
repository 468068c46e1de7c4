/// Walks over a graph: best first. What searching and inserting share.
///
/// Scores are small whole numbers, so a queue is a list per score and needs no heap: an insertion is
/// a store, and bounds of the best so many follow by counting. Of 32 keys in a block those below the
/// bounds are passed over by one mask; whether a key was seen is asked of the others alone. In one walk
/// the bounds only rise, so what was passed over stays out.
#ifndef MARTLET_DISPATCH_GRAPH_WALK_H
#define MARTLET_DISPATCH_GRAPH_WALK_H

#include "dispatch/graph_layout.h"
#include "dispatch/variant.h"

enum {
  graph_at_once = 4,    ///< Keys whose links are looked at together; as many more are on their way.
  graph_chunk = 16,     ///< Blocks or pages that a scan takes at once otherwise.
};

/// The best so many scores: how many there are of each, and the least that counts.
typedef struct graph_bound {
  uint32_t *counts;
  size_t above, most;
  uint32_t least;
} graph_bound;

/// A walk for one query. Queries that search together walk apart: what one follows is hardly ever
/// what another needs, and looking at it for all of them took longer than walking again.
typedef struct graph_walk {
  graph_parts graph;
  size_t limit;              ///< Keys from here on are not found.
  size_t positions;          ///< That may be kept: of the graph, and of pages.
  const void *query;
  graph_bound follow, keep;
  uint32_t *heads;           ///< Per score: the key put in last.
  uint32_t *queue, *next;    ///< Keys to follow.
  uint32_t *kept;            ///< Positions to rank.
  uint16_t *kept_scores;     ///< Theirs.
  uint64_t *visited;         ///< A bit per key.
  uint16_t *scores;          ///< [graph_chunk · 32]
  size_t queued, found;
  uint32_t top;              ///< No score beyond it is in the queue.
  size_t follows;
  size_t most_follows;       ///< Where many keys are equally good: no more than this.
} graph_walk;

/// Takes memory for a walk of `graph`, `limit` and `positions`; returns its bytes.
MARTLET_HIDDEN size_t graph_walk_lay_out(graph_walk *walk, void *memory);
/// Begins a walk.
MARTLET_HIDDEN void graph_walk_begin(graph_walk *walk, size_t follow, size_t keep);
/// Offers all positions of pages of codes.
MARTLET_HIDDEN void graph_walk_pages(graph_walk *walk, const graph_codes *codes, size_t begin,
                      size_t end);
/// From the hubs on until the best have been followed.
MARTLET_HIDDEN void graph_walk_run(graph_walk *walk);
/// Leaves the best so many of what was kept, of equal ones the first positions; returns how many
/// there are. `order` has room for a number per position.
MARTLET_HIDDEN size_t graph_walk_kept(graph_walk *walk, uint64_t *order);

#endif

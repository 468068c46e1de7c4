/// Changing a graph: linking a key to those that a search finds for it, and what keeps every key
/// reached. What building and inserting share.
#ifndef MARTLET_DISPATCH_GRAPH_EDIT_H
#define MARTLET_DISPATCH_GRAPH_EDIT_H

#include "dispatch/graph_walk.h"

enum {
  graph_link_follow = 32,     ///< A new key's search.
  graph_link_keep = 64,
  graph_link_back = 8,        ///< Of its links, nearest first, those that get one back.
  graph_most_candidates = 512,
};

/// Scratch of an edit.
typedef struct graph_edit {
  graph_parts graph;
  graph_codes codes;
  graph_walk walk;
  char *query;                ///< Prepared from a key.
  int8_t *rows;               ///< [graph_link_keep]
  uint64_t *order;            ///< As many as keys, or as candidates.
  int32_t *distances;         ///< [graph_most_candidates]
  size_t bytes;
} graph_edit;

/// Lays an edit of a graph out, for as many keys as it can hold; null memory: only the bytes.
MARTLET_HIDDEN graph_edit graph_edit_lay_out(const void *graph, const graph_codes *codes,
                                             void *memory);
/// Of `count` candidates of a key, at most graph_most_candidates, the places of those to link to: at
/// most 32, nearest first. `rows` are all keys' rows and `ids` those of the candidates.
MARTLET_HIDDEN size_t graph_choose(graph_edit *edit, const int8_t *row, const int8_t *rows,
                                   const uint32_t *ids, size_t count, uint32_t *chosen);
/// Searches for a key's nearest and links it to them and back.
MARTLET_HIDDEN void graph_link(graph_edit *edit, uint32_t key);
/// Sees to the link from an earlier key that is never replaced; keys in ascending order.
MARTLET_HIDDEN void graph_root(graph_edit *edit, uint32_t key);
/// Adds keys up to `end`, one after another.
MARTLET_HIDDEN void graph_append(graph_edit *edit, size_t end);
/// Adds a key to the hubs if there is room.
MARTLET_HIDDEN void graph_add_hub(graph_edit *edit, uint32_t key);

#endif

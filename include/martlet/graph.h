/// A graph over the keys of one key-value head, built from the queries that read them, for searches
/// that do not look at every key (retrieve.h scans codes of all of them).
///
/// Ordinary graphs link keys to their nearest keys and lose queries that lie elsewhere: HNSW finds
/// half of a query's best keys here. This one takes its links from queries. Each of many queries
/// finds its best keys (a scan, exactly ranked), which makes a graph between queries and keys; it is
/// projected onto the keys: what queries found together are candidates for links. Of a key's
/// candidates up to 32 are kept, nearest first, each unless a kept one is much nearer to it than the
/// key is. Near is meant in the queries' own metric, in which the codebook sees keys: the expected
/// square of the difference of two keys' scores. Keys that no query found, and keys that arrive
/// later, search the graph for their nearest and are linked to those and back.
///
/// A key's 32 links lie in one block together with the codes of the keys they lead to, in the form of
/// a page of codes. So a step of a search is one scan of one page (martlet_retrieve_scan, on every
/// ISA) where a plain graph would fetch 32 keys from anywhere. A search begins at hubs, a sixteenth
/// of the keys, which queries found most often, and goes on from the best found so far; what it
/// finds is ranked by the keys themselves, equal scores by position.
///
/// Every key is reached: the link to it from one earlier key is never replaced, and those links are a
/// tree, of which what truncation leaves is one too. A search that may visit everything therefore
/// returns exactly the best.
///
/// A graph is plain bytes without addresses, a function of codes, queries and the order of calls, the
/// same on every ISA. Searches may run on many threads; building, inserting and truncating belong to
/// one. What is shared by forks stays as it is: each searches it up to a limit, and scans the codes of
/// pages of its own (`page_begin`, `page_end`) in the same call.
///
/// Sources: "RetrievalAttention" and "RoarGraph: A Projected Bipartite Graph for Efficient Cross-Modal
/// Approximate Nearest Neighbor Search" (queries to keys, projection, connectivity); "Fast
/// Approximate Nearest Neighbor Search With The Navigating Spreading-out Graph" (which links are
/// kept); NGT-QG and "SymphonyQG" (codes of neighbours beside the links).
#ifndef MARTLET_GRAPH_H
#define MARTLET_GRAPH_H

#include "retrieve.h"

/// Links of a key.
#define MARTLET_GRAPH_LINKS 32

/// Bytes of a graph of up to `capacity` keys, about 16.5 · nibbles + 133 per key for one of 64
/// dimensions or more; 0 for a bad shape or a capacity beyond 2³⁰.
MARTLET_API size_t martlet_graph_bytes(const martlet_retrieve_shape *shape, size_t capacity);
/// Makes an empty graph; `graph` is aligned to 64 bytes. What it needs of the codebook it copies.
MARTLET_API martlet_status martlet_graph_create(const void *codebook, size_t capacity, void *graph);
/// Keys in a graph: positions 0 ..< count. 0 for what is no graph.
MARTLET_API size_t martlet_graph_count(const void *graph);

/// What an empty graph is built from.
typedef struct martlet_graph_build_arguments {
  uint32_t size;  ///< sizeof(martlet_graph_build_arguments).
  uint32_t kv_head;
  const void *codebook;            ///< Of the graph.
  const martlet_kv_layout *layout;
  const void *const *pages;        ///< Of codes: page i holds those of positions i*32 ..< (i+1)*32.
  size_t offset;                   ///< Bytes from each to the layer and head that is meant.
  const void *const *key_pages;    ///< As of martlet_retrieve_rank.
  size_t page_offset;
  size_t count;                    ///< Keys: a multiple of 32, at most the capacity.
  /// Queries as of martlet_retrieve_fit; all of them are used. None: keys are inserted one by one.
  const float *queries;
  size_t query_stride, query_count;
} martlet_graph_build_arguments;

/// Bytes of scratch that building needs; 0 for bad arguments.
MARTLET_API size_t
martlet_graph_build_scratch(const martlet_graph_build_arguments *arguments);
/// Builds. About 20 µs per key, and per query a scan of all keys.
MARTLET_API martlet_status martlet_graph_build(const martlet_graph_build_arguments *arguments,
                                               void *scratch, void *graph);

/// Bytes of scratch that an insertion needs.
MARTLET_API size_t martlet_graph_insert_scratch(const void *graph);
/// Adds keys of positions [martlet_graph_count, end) from pages of codes. About 30 µs each.
/// MARTLET_E_ARGUMENT if the capacity is less.
MARTLET_API martlet_status martlet_graph_insert(void *graph, const void *const *pages,
                                                size_t offset, size_t end, void *scratch);
/// Drops positions from `count` on, and every link to them. O(count); nothing if there are fewer.
MARTLET_API martlet_status martlet_graph_truncate(void *graph, size_t count);

/// One search: a group of query heads that look for positions together.
typedef struct martlet_graph_search_arguments {
  uint32_t size;  ///< sizeof(martlet_graph_search_arguments).
  uint32_t query_count;            ///< At most 64.
  const void *const *queries;      ///< Prepared with the graph's codebook.
  const void *graph;
  size_t limit;                    ///< Positions of the graph from here on are walked, not found.
  const void *const *pages;        ///< Of codes; pages [page_begin, page_end) are scanned as well.
  size_t offset;
  size_t page_begin, page_end;     ///< page_begin · 32 ≥ min(limit, count), so that none is found twice.
  /// As of martlet_retrieve_rank, for all positions that may be found; null: codes alone decide.
  const void *const *key_pages;
  const martlet_kv_layout *layout;
  uint32_t kv_head;
  uint32_t expanded;               ///< Per query: keys whose links are followed, the best by codes.
  size_t page_offset;
  uint32_t candidates;             ///< Per query: best positions by codes that are ranked.
  uint32_t wanted;                 ///< Per query: positions to find.
  uint32_t *positions;             ///< Room for query_count · wanted, or all there are if less.
  size_t found;                    ///< Out: how many there are.
  size_t followed;                 ///< Out: keys whose links were followed, by all queries.
} martlet_graph_search_arguments;

/// Bytes of scratch that a search needs; 0 for bad arguments.
MARTLET_API size_t
martlet_graph_search_scratch(const martlet_graph_search_arguments *arguments);
/// Finds positions: for each query the `wanted` best of what was reached, then all queries' together,
/// ascending and each once. What a query finds does not depend on the others.
MARTLET_API martlet_status martlet_graph_search(martlet_graph_search_arguments *arguments,
                                                void *scratch);

#endif

/// The index of retrieval attention: which of a key-value head's positions a query should attend to.
///
/// At long contexts a decode step reads gigabytes of keys and values to use a few per cent of them.
/// Here a search over compact codes finds the positions that matter, and exact attention
/// (martlet_attention_f32 with `path`) runs over those, the first tokens and the recent ones.
///
/// An index is a function of pages. What it keeps for a page of 32 positions follows from that page's
/// keys and from a codebook per layer and key-value head which is fitted once, at prefill. So a fork
/// shares the codes of shared pages, truncation and resampling drop them with the page, and a page is
/// encoded when it fills: in amortised constant time per token. Two parts, each optional, each in
/// memory of its own that the caller gives per page and head:
///   - codes: `nibbles` codes of four bits per position, for the scan of all positions;
///   - bounds: the box around the page's keys in bytes, for an upper bound of every score in it.
/// What the scan finds is ranked by the keys themselves, whose pages are turned for it
/// (martlet_kv_turn_keys): 32 nibbles are all that an index adds, 16 bytes per key.
///
/// Queries and keys are distributed differently, and ordinary quantisers spend their bits on
/// directions no query looks in. The codebook is fitted to both: with S the second moment of the
/// queries and S = L·Lᵀ, keys are seen as k' = Uᵀ·Lᵀ·k and queries as q' = Uᵀ·L⁻¹·q, where U
/// diagonalises the covariance of Lᵀ·k. Scores stay what they are (q'·k' = q·k), an error of any
/// coordinate of k' costs the same, and the coordinates are uncorrelated, so that nibbles are dealt
/// out by variance: to a coordinate alone, or to two, four or eight together, the last ones get
/// none. Each nibble is one of 16 centroids of its coordinates (k-means). A scan adds table entries:
/// one of 0 ... 63 for each nibble.
///
/// All of it is deterministic, has the same bits on every ISA, and a query's results do not depend
/// on the others in the call. Sources: "Product Quantization for Nearest Neighbor Search"; "Quicker
/// ADC" and faiss's fast scan (tables in registers); "Optimized Product Quantization" (the
/// rotation); "RetrievalAttention" (queries lie outside the distribution of keys); "Quest" (bounds
/// of pages).
#ifndef MARTLET_RETRIEVE_H
#define MARTLET_RETRIEVE_H

#include "attention.h"

/// What an index is like; the same for everything that works together.
typedef struct martlet_retrieve_shape {
  uint32_t size;             ///< sizeof(martlet_retrieve_shape).
  uint32_t head_dimensions;  ///< At most 256.
  uint32_t nibbles;          ///< Per position: a multiple of 8, at most 256. 32 make 16 bytes.
} martlet_retrieve_shape;

/// Bytes of a codebook, and of what one query becomes. Multiples of 64; 0 for a bad shape.
MARTLET_API size_t martlet_retrieve_codebook_bytes(const martlet_retrieve_shape *shape);
MARTLET_API size_t martlet_retrieve_query_bytes(const martlet_retrieve_shape *shape);
/// Bytes of each part of a page of one head: 16 · nibbles and 2 · d, where d are the dimensions
/// rounded up to 64. 0 for a bad shape.
MARTLET_API size_t martlet_retrieve_codes_bytes(const martlet_retrieve_shape *shape);
MARTLET_API size_t martlet_retrieve_bounds_bytes(const martlet_retrieve_shape *shape);

/// What a codebook is fitted to: pages of one key-value head and queries of its group.
typedef struct martlet_retrieve_fit_arguments {
  uint32_t size;  ///< sizeof(martlet_retrieve_fit_arguments).
  uint32_t kv_head;
  const martlet_retrieve_shape *shape;
  const martlet_kv_layout *layout;
  const void *const *pages;  ///< `page_count` full pages, at least one; 128 spread over them are read.
  const uint8_t *turned;     ///< Not 0 where a page's keys are turned; null: none are.
  size_t page_offset;        ///< Bytes from each page address to the layer that is meant.
  size_t page_count;
  /// `query_count` queries of head_dimensions float32, `query_stride` floats apart, of any heads
  /// that read this key-value head; 1,024 spread over them are used. None: keys alone decide.
  const float *queries;
  size_t query_stride, query_count;
} martlet_retrieve_fit_arguments;

/// Bytes of scratch that a fit needs.
MARTLET_API size_t martlet_retrieve_fit_scratch(const martlet_retrieve_shape *shape);
/// Fits a codebook: 50 to 80 ms for 128 dimensions. A codebook is plain bytes without addresses and
/// may be copied and stored; it and `scratch` are aligned to 64 bytes.
/// MARTLET_E_ARGUMENT also when a key or query that was read is not finite or beyond 1e15.
MARTLET_API martlet_status martlet_retrieve_fit(const martlet_retrieve_fit_arguments *arguments,
                                                void *scratch, void *codebook);

/// Encodes the first `slots` (1 ... 32) positions of a page of one head, whose keys are turned or not;
/// any of the parts may be null. What belongs to later slots is zero, and bounds cover the first
/// `slots` alone. Parts are aligned to 64 bytes. Keys beyond what the fit saw are clamped in bounds.
/// About 6 µs for a page of 128 dimensions and all parts.
MARTLET_API martlet_status martlet_retrieve_encode(const void *codebook,
                                                   const martlet_kv_layout *layout,
                                                   const void *page, int turned, uint32_t kv_head,
                                                   uint32_t slots, void *codes, void *bounds);

/// Makes a query ready to search: `query` holds head_dimensions float32, `prepared` is aligned to 64
/// bytes. A query's own scale does not matter.
MARTLET_API martlet_status martlet_retrieve_query(const void *codebook, const float *query,
                                                  void *prepared);

/// How scores of a prepared query read as q·k.
typedef struct martlet_retrieve_scale {
  uint32_t size;                   ///< sizeof(martlet_retrieve_scale).
  float scan_base, scan_step;      ///< q·k ≈ base + step · score; tables round by ± nibbles/2 steps.
  float bound_base, bound_step;    ///< q·k ≤ base + step · (score + 1) of any unclamped key.
} martlet_retrieve_scale;
MARTLET_API martlet_status martlet_retrieve_query_scale(const void *prepared,
                                                        martlet_retrieve_scale *scale);

/// One scan: prepared queries × pages. Codes are read once for all queries.
typedef struct martlet_retrieve_scan_arguments {
  uint32_t size;  ///< sizeof(martlet_retrieve_scan_arguments).
  uint32_t query_count;
  const void *const *queries;  ///< Prepared with one codebook.
  const void *const *pages;    ///< Page i holds what belongs to positions i*32 ..< (i+1)*32.
  size_t offset;               ///< Bytes from each page address to the layer and head that is meant.
  size_t page_begin, page_end;
  uint16_t *scores;            ///< Query by query, `stride` scores apart; those of page_begin first.
  size_t stride;
} martlet_retrieve_scan_arguments;

/// Approximate scores of all positions from codes: 32 · (page_end - page_begin) per query.
MARTLET_API martlet_status
martlet_retrieve_scan(const martlet_retrieve_scan_arguments *arguments);
/// Upper bounds of all scores in a page from bounds: page_end - page_begin per query.
MARTLET_API martlet_status
martlet_retrieve_scan_bounds(const martlet_retrieve_scan_arguments *arguments);

/// Bytes of scratch for a selection among `count` scores.
MARTLET_API size_t martlet_retrieve_select_scratch(size_t count);
/// The places of the `k` largest of `count` scores, of equal ones the first; ascending. All places if
/// `k` is `count` or more. `scratch` is aligned to 64 bytes. Reads the scores about twice.
MARTLET_API martlet_status martlet_retrieve_select(size_t count, const uint16_t *scores, size_t k,
                                                   void *scratch, uint32_t *places,
                                                   size_t *selected);

/// Scores q·k of `count` positions from their keys: `pages` are pages of keys and values as attention
/// takes them, `page_offset` to the layer, with the keys of `kv_head` turned. Keys are rounded as they
/// are stored; the sum has 16 lanes as everywhere, of which each takes two neighbouring dimensions where
/// keys are bfloat16 or of four bits. NaN reads as the lowest score.
MARTLET_API martlet_status martlet_retrieve_rank(const void *prepared,
                                                 const martlet_kv_layout *layout, uint32_t kv_head,
                                                 const void *const *pages, size_t page_offset,
                                                 size_t count, const uint32_t *positions,
                                                 float *scores);

/// One row's part of a search: a group of query heads that look for positions together.
typedef struct martlet_retrieve_search_row {
  uint32_t query_count;
  const void *const *queries;     ///< Prepared, all rows' with one codebook.
  const void *const *pages;       ///< Of codes, or of bounds.
  const void *const *key_pages;   ///< As of martlet_retrieve_rank, or null: no ranking.
  size_t page_begin, page_end;    ///< Full pages to search.
  uint32_t candidates;            ///< Per query: positions that the scan hands to the ranking.
  uint32_t wanted;                ///< Per query: positions to find (32 per page by bounds).
  /// Room for query_count · wanted or all 32 · (page_end - page_begin), whichever is less; of pages by
  /// bounds for `wanted` rounded up to 32.
  uint32_t *positions;
  size_t found;                   ///< Out: how many positions there are.
} martlet_retrieve_search_row;

/// A whole search of one key-value head: a group of query heads on one context, or on each of several
/// branches. Codes of pages that the rows have in common are read once for all of them.
typedef struct martlet_retrieve_search_arguments {
  uint32_t size;  ///< sizeof(martlet_retrieve_search_arguments).
  uint32_t kv_head;
  const martlet_kv_layout *layout;  ///< Only read where there are key pages.
  martlet_retrieve_search_row *rows;
  size_t row_count;
  int by_bounds;                    ///< Not 0: whole pages, by bounds. Else single positions, by codes.
  size_t offset;                    ///< Bytes from each of `pages` to the layer and head meant.
  size_t page_offset;               ///< Bytes from each of `key_pages` to the layer meant.
} martlet_retrieve_search_arguments;

/// Bytes of scratch that a search needs.
MARTLET_API size_t
martlet_retrieve_search_scratch(const martlet_retrieve_search_arguments *arguments);
/// Finds positions, row by row: for each query the `wanted` best, then all queries' of the row together,
/// ascending and each once. What a row finds does not depend on the others.
MARTLET_API martlet_status martlet_retrieve_search(
    const martlet_retrieve_search_arguments *arguments, void *scratch);

/// Lays out what a row attends to as the `path` of martlet_attention_row: positions [0, sinks) and
/// [recent, end), and of `found`, ascending, those between. Whole pages come first, so that attention
/// reads them in place; then single positions; then the unfinished last page. The row takes `first` =
/// 0, `end` = `path_count` = what is returned in `count`; its result is plain attention's over a
/// sequence of these positions in this order. `path` has room for found_count + sinks + (end -
/// recent) positions. sinks ≤ recent ≤ end.
MARTLET_API martlet_status martlet_retrieve_path(const uint32_t *found, size_t found_count,
                                                 uint32_t sinks, uint32_t recent, uint32_t end,
                                                 uint32_t *path, uint32_t *count);

#endif

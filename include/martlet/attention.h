/// Attention of query rows over paged keys and values with grouped heads.
///
/// The order of operations is fixed by logical positions alone:
///   - the query is multiplied by `scale` once; a score is one fused multiply-add per dimension in
///     order (quantised keys: one such sum per scale group, then one fused multiply-add with the
///     group's scale, groups in order);
///   - a page of 32 positions is one step: m' = max(m, largest score), weights exp(score - m'),
///     their sum over 16 lanes, the weighted values from zero in order of position, and sum and
///     values so far times exp(m - m') are added to, fused;
///   - a chunk of MARTLET_ATTENTION_CHUNK_TOKENS positions starts afresh and ends as a partial
///     result (m, sum, weighted values); partial results merge in order of chunks by log-sum-exp.
/// So a row's result depends on what it sees and on nothing else: not on other rows, on threads, on
/// which pages are shared, on how chunks are split among calls, or on whether the row came from
/// prefill, decode or the verification of a token tree. Sources: "Online normalizer calculation for
/// softmax"; "FlashAttention-2" (the running maximum); "Flash-Decoding" (merging of parts).
#ifndef MARTLET_ATTENTION_H
#define MARTLET_ATTENTION_H

#include "common.h"

/// Token positions per page.
#define MARTLET_KV_PAGE_TOKENS 32
/// Token positions per partial result; chunk c is positions [512·c, 512·(c + 1)).
#define MARTLET_ATTENTION_CHUNK_TOKENS 512

typedef enum martlet_kv_type {
  MARTLET_KV_F32 = 0,
  MARTLET_KV_F16 = 1,
  MARTLET_KV_BF16 = 2,
  /// Signed bytes with one float16 scale per head and position: largest magnitude / 127.
  MARTLET_KV_I8 = 3,
  /// Four bits, 0 ... 15 for -8 ... 7, with one float16 scale per 32 dimensions of a head and
  /// position: the value of largest magnitude / -8.
  MARTLET_KV_I4 = 4,
} martlet_kv_type;

/// The shape of one layer's part of a page. Keys lie [kv_head][dimension][position], so that a
/// vector holds one dimension of neighbouring positions; values lie [kv_head][position][dimension]
/// with rows padded to 16 dimensions by zeros. Four-bit keys hold dimensions 2i and 2i + 1 in one
/// byte, four-bit values dimensions i and i + 16 of 32, so that no byte belongs to two positions.
/// Scales follow the values, [kv_head][group][position], those of the keys first. A position with
/// an infinity or NaN has NaN for its (quantised) scale.
typedef struct martlet_kv_layout {
  uint32_t size;  ///< sizeof(martlet_kv_layout).
  martlet_kv_type type;
  uint32_t kv_heads;
  uint32_t head_dimensions;  ///< At most 256.
  /// Bytes from a page to its values, a multiple of 64 and no less than its keys and their scales take: then
  /// keys' scales follow the keys and values' scales the values, so that ranking keys (retrieve.h) reads no
  /// line of the values' side, which may lie on a device. 0: all in one piece, as above. A layout whose `size`
  /// ends before this member is of that kind.
  size_t value_offset;
} martlet_kv_layout;

/// Bytes one layer takes in one page, a multiple of 64, wherever its values lie; 0 for a bad layout.
MARTLET_API size_t martlet_kv_page_bytes(const martlet_kv_layout *layout);

/// What a page is made of, in order where it is one piece.
typedef enum martlet_kv_part {
  MARTLET_KV_KEYS = 0,
  MARTLET_KV_VALUES = 1,
  MARTLET_KV_KEY_SCALES = 2,
  MARTLET_KV_VALUE_SCALES = 3,
} martlet_kv_part;

/// Bytes of one layer's part of a page, a multiple of 64; 0 for a bad layout, and for scales of floats.
MARTLET_API size_t martlet_kv_part_bytes(const martlet_kv_layout *layout, martlet_kv_part part);

/// Writes one position's keys and values (kv_heads × head_dimensions float32 each) into `slot`
/// (0 ..< MARTLET_KV_PAGE_TOKENS) of a page, rounding to nearest even. Threads may write different
/// slots of one page.
MARTLET_API martlet_status martlet_kv_write(const martlet_kv_layout *layout, void *page,
                                            uint32_t slot, const float *keys, const float *values);

/// Copies the first `slots` positions from one page to another.
MARTLET_API martlet_status martlet_kv_copy(const martlet_kv_layout *layout, const void *source,
                                           void *target, uint32_t slots);

/// Copies one position from a slot of a page to a slot of the same or another page: how the
/// accepted path of a token tree moves to where plain decoding would have put it.
MARTLET_API martlet_status martlet_kv_move(const martlet_kv_layout *layout, const void *source,
                                           uint32_t source_slot, void *target,
                                           uint32_t target_slot);

/// Turns one head's keys of a page in place, bits unchanged: to [position][dimension] where
/// `to_rows` is not 0, else back. Attention to positions far apart (`path` below) and their ranking
/// (retrieve.h) then read a few lines of each instead of one line per dimension of the page. All
/// other functions of this header want pages that are not turned; attention takes both. About 1 µs
/// for 128 dimensions.
MARTLET_API martlet_status martlet_kv_turn_keys(const martlet_kv_layout *layout, void *page,
                                                uint32_t kv_head, int to_rows);

/// Reads one head's key and value (head_dimensions float32 each, either may be null) of a slot of a page
/// as they are stored, scales included; `turned` is not 0 where the page's keys are turned. What
/// martlet_kv_write stored comes back rounded, and writing it again changes no bit of float types.
MARTLET_API martlet_status martlet_kv_read(const martlet_kv_layout *layout, const void *page,
                                           int turned, uint32_t kv_head, uint32_t slot, float *key,
                                           float *value);

/// One query row: its own page list and how much of it the row may see.
///
/// A row of a token tree sees its sequence's prefix, and then a path of positions that lie in any
/// slots: logical position end - path_count + i is stored at slot path[i] % 32 of page path[i] /
/// 32. Its result has the bits that plain decoding of the same path would have.
///
/// The same serves attention to some positions of a long sequence (retrieve.h): `first` 0, `end` and
/// `path_count` the number of positions, `path` the positions themselves in any order. The result is
/// that of a sequence which holds them in this order. Where 32 of them from a multiple of 32 on are
/// a page in order they are read in place, others are gathered: from turned pages several times faster,
/// to the same bits. Neighbouring rows with one `path` (the same address) meet it together.
typedef struct martlet_attention_row {
  const void *const *pages;  ///< Page i holds positions i*32 ..< (i+1)*32.
  uint32_t first;            ///< First visible position (0, or the start of a sliding window).
  uint32_t end;              ///< One past the last visible position; greater than `first`.
  const float *query;        ///< query_heads × head_dimensions.
  float *output;             ///< query_heads × head_dimensions; must not overlap any input.
  const uint32_t *path;      ///< path_count storage positions, or null.
  uint32_t path_count;       ///< At most `end`; 0 for a row that is no part of a tree.
  /// Not 0 at i where the keys of page i of the list are turned (martlet_kv_turn_keys); null: none are.
  const uint8_t *turned;
} martlet_attention_row;

/// One call: rows × key-value heads [kv_head_begin, kv_head_end), whole or some chunks of them.
/// Neighbouring rows whose page lists hold the same addresses read those pages once together, so
/// rows that share pages should be neighbours.
typedef struct martlet_attention_arguments {
  uint32_t size;         ///< sizeof(martlet_attention_arguments).
  uint32_t query_heads;  ///< A multiple of kv_heads; head h reads h / (query_heads / kv_heads).
  const martlet_kv_layout *layout;
  size_t page_offset;    ///< Bytes from each page address to the layer that is meant.
  const martlet_attention_row *rows;
  size_t row_count;
  float scale;           ///< Of the scores.
  uint32_t kv_head_begin, kv_head_end;
  /// Chunks to do when `partials` is given, and the chunk that its first record belongs to.
  uint32_t chunk_begin, chunk_end, partials_chunk;
  /// Null to finish the rows in this call. Else one record per chunk, row and query head in this
  /// order; those of the chunks and heads above are written, for rows that see the chunk.
  float *partials;
} martlet_attention_arguments;

/// Float32s in one record of partial results: head dimensions rounded up to 16, and 16 more.
MARTLET_API size_t martlet_attention_partial_floats(const martlet_kv_layout *layout);

/// Attends. Threads may split rows, key-value heads and, with `partials`, chunks.
MARTLET_API martlet_status
martlet_attention_f32(const martlet_attention_arguments *arguments);

/// The weights that rows give to positions: softmax of scaled scores over all that a row sees. Of row r
/// and the i-th query head from kv_head_begin's on, that of logical position p goes to weights[(r ·
/// heads + i) · stride + p], where `heads` are the query heads of the call; positions that the row does
/// not see stay as they are. Scores are those of martlet_attention_f32; the sum runs over all
/// positions in 16 lanes, and a weight is exp(score - largest) · (1 / sum). Outputs and partials of
/// the arguments are not used (a row's `output` may be null). `stride` is at least every row's `end`.
MARTLET_API martlet_status martlet_attention_weights_f32(
    const martlet_attention_arguments *arguments, float *weights, size_t stride);

/// Merges the records of all chunks that the rows see into their outputs; `chunk_begin` and
/// `chunk_end` are ignored.
MARTLET_API martlet_status
martlet_attention_merge_f32(const martlet_attention_arguments *arguments);

#endif

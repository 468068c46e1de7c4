/// Attention of query rows over paged keys and values with grouped heads.
///
/// Each page is reduced on its own (scores, maximum, exponentials, weighted values) and the partial
/// results merge in page order: m = max(m, m_page), rescale both sides by exp(old - new), add. So a
/// row's result depends on its own pages alone: not on other rows, on threads, on page sharing, or
/// on whether the row came from prefill or decode. Source of the merge: "Online normalizer
/// calculation for softmax".
#ifndef MARTLET_ATTENTION_H
#define MARTLET_ATTENTION_H

#include "common.h"

/// Token positions per page.
#define MARTLET_KV_PAGE_TOKENS 32

typedef enum martlet_kv_type {
  MARTLET_KV_F32 = 0,
  MARTLET_KV_F16 = 1,
  MARTLET_KV_BF16 = 2,
} martlet_kv_type;

/// The shape of one layer's part of a page. Keys lie [kv_head][dimension][position], so that a
/// vector holds one dimension of neighbouring positions; values lie [kv_head][position][dimension].
typedef struct martlet_kv_layout {
  uint32_t size;  ///< sizeof(martlet_kv_layout).
  martlet_kv_type type;
  uint32_t kv_heads;
  uint32_t head_dimensions;  ///< At most 256.
} martlet_kv_layout;

/// Bytes one layer takes in one page (keys, then values), a multiple of 64; 0 for a bad layout.
MARTLET_API size_t martlet_kv_page_bytes(const martlet_kv_layout *layout);

/// Writes one position's keys and values (kv_heads × head_dimensions float32 each) into `slot`
/// (0 ..< MARTLET_KV_PAGE_TOKENS) of a page, rounding to nearest even.
MARTLET_API martlet_status martlet_kv_write(const martlet_kv_layout *layout, void *page,
                                            uint32_t slot, const float *keys, const float *values);

/// Copies the first `slots` positions from one page to another.
MARTLET_API martlet_status martlet_kv_copy(const martlet_kv_layout *layout, const void *source,
                                           void *target, uint32_t slots);

/// One query row: its own page list and how much of it the row may see.
typedef struct martlet_attention_row {
  const void *const *pages;  ///< Page i holds positions i*32 ..< (i+1)*32.
  uint32_t first;            ///< First visible position (0, or the start of a sliding window).
  uint32_t end;              ///< One past the last visible position; greater than `first`.
  const float *query;        ///< query_heads × head_dimensions.
  float *output;             ///< query_heads × head_dimensions; must not overlap any input.
} martlet_attention_row;

/// Attends `row_count` rows for key-value heads [kv_head_begin, kv_head_end); query head h reads
/// key-value head h / (query_heads / kv_heads). Scores are scaled by `scale`. Threads may split
/// rows or key-value heads.
MARTLET_API martlet_status martlet_attention_f32(const martlet_kv_layout *layout,
                                                 uint32_t query_heads, float scale,
                                                 const martlet_attention_row *rows,
                                                 size_t row_count, uint32_t kv_head_begin,
                                                 uint32_t kv_head_end);

#endif

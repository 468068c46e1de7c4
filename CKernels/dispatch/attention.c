/// The public doors of attention and its pages.
#include <martlet/attention.h>

#include "dispatch/families.h"

static int valid(const martlet_kv_layout *layout) {
  return layout && layout->size >= sizeof(martlet_kv_layout) && layout->type >= MARTLET_KV_F32 &&
         layout->type <= MARTLET_KV_BF16 && layout->kv_heads > 0 && layout->head_dimensions > 0 &&
         layout->head_dimensions <= 256;
}

size_t martlet_kv_page_bytes(const martlet_kv_layout *layout) {
  if (!valid(layout)) return 0;
  const uint64_t each = layout->type == MARTLET_KV_F32 ? 4 : 2;
  uint64_t bytes = 2 * (uint64_t)layout->kv_heads * layout->head_dimensions *
                   MARTLET_KV_PAGE_TOKENS * each;
  return bytes > SIZE_MAX ? 0 : (size_t)bytes;
}

martlet_status martlet_kv_write(const martlet_kv_layout *layout, void *page, uint32_t slot,
                                const float *keys, const float *values) {
  if (!valid(layout) || !page || !keys || !values) return MARTLET_E_ARGUMENT;
  if (slot >= MARTLET_KV_PAGE_TOKENS) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(kv_write, MARTLET_NUMERIC_PORTABLE)(layout, page, slot, keys, values);
  return MARTLET_OK;
}

martlet_status martlet_kv_copy(const martlet_kv_layout *layout, const void *source, void *target,
                               uint32_t slots) {
  if (!valid(layout) || slots > MARTLET_KV_PAGE_TOKENS) return MARTLET_E_ARGUMENT;
  if (slots == 0 || source == target) return MARTLET_OK;
  if (!source || !target) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(kv_copy, MARTLET_NUMERIC_PORTABLE)(layout, source, target, slots);
  return MARTLET_OK;
}

martlet_status martlet_attention_f32(const martlet_kv_layout *layout, uint32_t query_heads,
                                     float scale, const martlet_attention_row *rows,
                                     size_t row_count, uint32_t kv_head_begin,
                                     uint32_t kv_head_end) {
  if (!valid(layout) || query_heads == 0 || query_heads % layout->kv_heads)
    return MARTLET_E_ARGUMENT;
  if (kv_head_begin > kv_head_end || kv_head_end > layout->kv_heads) return MARTLET_E_ARGUMENT;
  if (row_count == 0 || kv_head_begin == kv_head_end) return MARTLET_OK;
  if (!rows) return MARTLET_E_ARGUMENT;
  for (size_t r = 0; r < row_count; ++r) {
    const martlet_attention_row *row = &rows[r];
    if (!row->pages || !row->query || !row->output || row->end <= row->first)
      return MARTLET_E_ARGUMENT;
    for (size_t page = row->first / MARTLET_KV_PAGE_TOKENS;
         page <= (row->end - 1) / MARTLET_KV_PAGE_TOKENS; ++page)
      if (!row->pages[page]) return MARTLET_E_ARGUMENT;
  }
  MARTLET_CHOSEN(attention_f32, MARTLET_NUMERIC_PORTABLE)
  (layout, query_heads, scale, rows, row_count, kv_head_begin, kv_head_end);
  return MARTLET_OK;
}

/// The public doors of attention and its pages.
#include <martlet/attention.h>

#include "dispatch/families.h"
#include "dispatch/kv_layout.h"

#include <stddef.h>

static int valid(const martlet_kv_layout *layout) {
  if (!layout || layout->size < offsetof(martlet_kv_layout, value_offset) ||
      layout->type < MARTLET_KV_F32 || layout->type > MARTLET_KV_I4 || layout->kv_heads == 0 ||
      layout->kv_heads > 1u << 20 || layout->head_dimensions == 0 ||
      layout->head_dimensions > kv_most_dimensions)
    return 0;
  const kv_shape shape = kv_shape_of(layout);
  return !shape.is_apart ||
         (shape.values % 64 == 0 &&
          shape.values >= shape.key_bytes + shape.heads * shape.scale_head_bytes);
}

size_t martlet_kv_page_bytes(const martlet_kv_layout *layout) {
  return valid(layout) ? kv_shape_of(layout).bytes : 0;
}

size_t martlet_kv_part_bytes(const martlet_kv_layout *layout, martlet_kv_part part) {
  if (!valid(layout)) return 0;
  const kv_shape shape = kv_shape_of(layout);
  switch (part) {
    case MARTLET_KV_KEYS: return shape.key_bytes;
    case MARTLET_KV_VALUES: return shape.value_bytes;
    case MARTLET_KV_KEY_SCALES:
    case MARTLET_KV_VALUE_SCALES: return shape.heads * shape.scale_head_bytes;
  }
  return 0;
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
  MARTLET_CHOSEN(kv_copy, MARTLET_NUMERIC_PORTABLE)(layout, source, 0, target, 0, slots);
  return MARTLET_OK;
}

martlet_status martlet_kv_move(const martlet_kv_layout *layout, const void *source,
                               uint32_t source_slot, void *target, uint32_t target_slot) {
  if (!valid(layout) || !source || !target) return MARTLET_E_ARGUMENT;
  if (source_slot >= MARTLET_KV_PAGE_TOKENS || target_slot >= MARTLET_KV_PAGE_TOKENS)
    return MARTLET_E_ARGUMENT;
  if (source == target && source_slot == target_slot) return MARTLET_OK;
  MARTLET_CHOSEN(kv_copy, MARTLET_NUMERIC_PORTABLE)
  (layout, source, source_slot, target, target_slot, 1);
  return MARTLET_OK;
}

martlet_status martlet_kv_turn_keys(const martlet_kv_layout *layout, void *page, uint32_t kv_head,
                                    int to_rows) {
  if (!valid(layout) || !page || kv_head >= layout->kv_heads) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(kv_turn_keys, MARTLET_NUMERIC_PORTABLE)(layout, page, kv_head, to_rows);
  return MARTLET_OK;
}

martlet_status martlet_kv_read(const martlet_kv_layout *layout, const void *page, int turned,
                               uint32_t kv_head, uint32_t slot, float *key, float *value) {
  if (!valid(layout) || !page || kv_head >= layout->kv_heads) return MARTLET_E_ARGUMENT;
  if (slot >= MARTLET_KV_PAGE_TOKENS) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(kv_read, MARTLET_NUMERIC_PORTABLE)
  (layout, page, turned, kv_head, slot, key, value);
  return MARTLET_OK;
}

size_t martlet_attention_partial_floats(const martlet_kv_layout *layout) {
  return valid(layout) ? kv_round_up(layout->head_dimensions, 16) + 16 : 0;
}

/// Whether the row is whole and has its pages among positions [begin, end).
static int valid_row(const martlet_attention_row *row, size_t begin, size_t end) {
  if (!row->pages || !row->query || row->end <= row->first) return 0;
  if (row->path_count > row->end || (row->path_count && !row->path)) return 0;
  const size_t first = row->first > begin ? row->first : begin;
  const size_t past = kv_path_begin(row) < end ? kv_path_begin(row) : end;
  for (size_t page = first / kv_positions; page * kv_positions < past; ++page)
    if (!row->pages[page]) return 0;
  return 1;
}

static int has_outputs(const martlet_attention_arguments *a) {
  for (size_t r = 0; r < a->row_count; ++r)
    if (!a->rows[r].output) return 0;
  return 1;
}

static int valid_arguments(const martlet_attention_arguments *a, int merging) {
  if (!a || a->size < sizeof *a || !valid(a->layout)) return 0;
  if (a->query_heads == 0 || a->query_heads % a->layout->kv_heads) return 0;
  if (a->kv_head_begin > a->kv_head_end || a->kv_head_end > a->layout->kv_heads) return 0;
  if (a->row_count && !a->rows) return 0;
  size_t begin = 0, end = SIZE_MAX;
  if (a->partials && !merging) {
    if (a->chunk_begin > a->chunk_end || a->chunk_begin < a->partials_chunk) return 0;
    begin = (size_t)a->chunk_begin * MARTLET_ATTENTION_CHUNK_TOKENS;
    end = (size_t)a->chunk_end * MARTLET_ATTENTION_CHUNK_TOKENS;
  }
  for (size_t r = 0; r < a->row_count; ++r) {
    if (!valid_row(&a->rows[r], begin, merging ? 0 : end)) return 0;
    if (a->partials && a->rows[r].first / MARTLET_ATTENTION_CHUNK_TOKENS < a->partials_chunk)
      return 0;
  }
  return 1;
}

martlet_status martlet_attention_f32(const martlet_attention_arguments *arguments) {
  if (!valid_arguments(arguments, 0) || !has_outputs(arguments)) return MARTLET_E_ARGUMENT;
  if (arguments->row_count == 0 || arguments->kv_head_begin == arguments->kv_head_end)
    return MARTLET_OK;
  MARTLET_CHOSEN(attention_f32, MARTLET_NUMERIC_PORTABLE)(arguments);
  return MARTLET_OK;
}

martlet_status martlet_attention_merge_f32(const martlet_attention_arguments *arguments) {
  if (!valid_arguments(arguments, 1) || !arguments->partials || !has_outputs(arguments))
    return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(attention_merge_f32, MARTLET_NUMERIC_PORTABLE)(arguments);
  return MARTLET_OK;
}

martlet_status martlet_attention_weights_f32(const martlet_attention_arguments *arguments,
                                             float *weights, size_t stride) {
  if (!arguments) return MARTLET_E_ARGUMENT;
  martlet_attention_arguments whole = *arguments;
  if (whole.size < sizeof whole) return MARTLET_E_ARGUMENT;
  whole.partials = NULL;
  if (!valid_arguments(&whole, 0)) return MARTLET_E_ARGUMENT;
  if (whole.row_count == 0 || whole.kv_head_begin == whole.kv_head_end) return MARTLET_OK;
  if (!weights) return MARTLET_E_ARGUMENT;
  for (size_t r = 0; r < whole.row_count; ++r)
    if (whole.rows[r].end > stride) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(attention_weights_f32, MARTLET_NUMERIC_PORTABLE)(&whole, weights, stride);
  return MARTLET_OK;
}

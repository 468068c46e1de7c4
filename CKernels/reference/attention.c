/// Reference of attention over pages, and of writing and copying positions.
#include "dispatch/attention_variants.h"
#include "reference/exp.h"
#include "reference/half.h"
#include "reference/lanes.h"

#pragma STDC FP_CONTRACT OFF

enum { positions = MARTLET_KV_PAGE_TOKENS };

static size_t element_bytes(martlet_kv_type type) { return type == MARTLET_KV_F32 ? 4 : 2; }

static float read_element(martlet_kv_type type, const void *base, size_t index) {
  if (type == MARTLET_KV_F32) return ((const float *)base)[index];
  uint16_t word = ((const uint16_t *)base)[index];
  return type == MARTLET_KV_F16 ? martlet_float_of_half(word) : martlet_float_of_bfloat(word);
}

static void write_element(martlet_kv_type type, void *base, size_t index, float value) {
  if (type == MARTLET_KV_F32) ((float *)base)[index] = value;
  else if (type == MARTLET_KV_F16) ((uint16_t *)base)[index] = martlet_half_of_float(value);
  else ((uint16_t *)base)[index] = martlet_bfloat_of_float(value);
}

/// One query head over all its pages.
static void attend(martlet_kv_type type, const martlet_attention_row *row, size_t key_offset,
                   size_t value_offset, size_t dimensions, const float *query, float scale,
                   float *output) {
  float largest = 0, sum = 0;
  const size_t first_page = row->first / positions, last_page = (row->end - 1) / positions;
  for (size_t page = first_page; page <= last_page; ++page) {
    const void *keys = (const char *)row->pages[page] + key_offset;
    const void *values = (const char *)row->pages[page] + value_offset;
    const size_t begin = page == first_page ? row->first % positions : 0;
    const size_t end = page == last_page ? (row->end - 1) % positions + 1 : (size_t)positions;

    float weights[positions], page_largest = -INFINITY;
    for (size_t p = begin; p < end; ++p) {
      float score = 0;
      for (size_t d = 0; d < dimensions; ++d)
        score = fmaf(query[d], read_element(type, keys, d * positions + p), score);
      weights[p] = score * scale;
      page_largest = weights[p] > page_largest ? weights[p] : page_largest;
    }
    float lanes[MARTLET_LANES] = {0};
    for (size_t p = begin; p < end; ++p) {
      weights[p] = martlet_exp_f32(weights[p] - page_largest);
      lanes[p % MARTLET_LANES] = lanes[p % MARTLET_LANES] + weights[p];
    }
    float page_sum = martlet_fold_lanes(lanes);

    float old_factor = 0, page_factor = 1;
    if (page == first_page) {
      largest = page_largest;
      sum = page_sum;
    } else {
      float merged = page_largest > largest ? page_largest : largest;
      old_factor = martlet_exp_f32(largest - merged);
      page_factor = martlet_exp_f32(page_largest - merged);
      float kept = sum * old_factor;
      sum = fmaf(page_sum, page_factor, kept);
      largest = merged;
    }
    for (size_t d = 0; d < dimensions; ++d) {
      float weighted = 0;
      for (size_t p = begin; p < end; ++p)
        weighted = fmaf(weights[p], read_element(type, values, p * dimensions + d), weighted);
      if (page == first_page) {
        output[d] = weighted;
      } else {
        float kept = output[d] * old_factor;
        output[d] = fmaf(weighted, page_factor, kept);
      }
    }
  }
  float inverse = 1.0f / sum;
  for (size_t d = 0; d < dimensions; ++d) output[d] = output[d] * inverse;
}

void martlet_attention_f32_reference(const martlet_kv_layout *layout, uint32_t query_heads,
                                     float scale, const martlet_attention_row *rows,
                                     size_t row_count, uint32_t kv_head_begin,
                                     uint32_t kv_head_end) {
  const size_t dimensions = layout->head_dimensions, group = query_heads / layout->kv_heads;
  const size_t head_bytes = dimensions * positions * element_bytes(layout->type);
  for (size_t r = 0; r < row_count; ++r)
    for (size_t head = kv_head_begin * group; head < kv_head_end * group; ++head) {
      const size_t kv_head = head / group;
      attend(layout->type, &rows[r], kv_head * head_bytes,
             (layout->kv_heads + kv_head) * head_bytes, dimensions,
             rows[r].query + head * dimensions, scale, rows[r].output + head * dimensions);
    }
}

void martlet_kv_write_reference(const martlet_kv_layout *layout, void *page, uint32_t slot,
                                const float *keys, const float *values) {
  const size_t dimensions = layout->head_dimensions, heads = layout->kv_heads;
  void *value_page = (char *)page + heads * dimensions * positions * element_bytes(layout->type);
  for (size_t head = 0; head < heads; ++head)
    for (size_t d = 0; d < dimensions; ++d) {
      const size_t from = head * dimensions + d;
      write_element(layout->type, page, from * positions + slot, keys[from]);
      write_element(layout->type, value_page, (head * positions + slot) * dimensions + d,
                    values[from]);
    }
}

void martlet_kv_copy_reference(const martlet_kv_layout *layout, const void *source, void *target,
                               uint32_t slots) {
  const size_t dimensions = layout->head_dimensions, heads = layout->kv_heads;
  const size_t each = element_bytes(layout->type);
  const size_t columns = heads * dimensions, column_bytes = positions * each;
  const char *from = source;
  char *to = target;
  if (slots == positions) {
    memcpy(to, from, 2 * columns * column_bytes);
    return;
  }
  for (size_t column = 0; column < columns; ++column)
    memcpy(to + column * column_bytes, from + column * column_bytes, slots * each);
  for (size_t head = 0; head < heads; ++head) {
    const size_t offset = (columns + head * dimensions) * column_bytes;
    memcpy(to + offset, from + offset, slots * dimensions * each);
  }
}

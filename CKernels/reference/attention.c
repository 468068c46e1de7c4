/// Reference of attention over pages, and of writing and copying positions.
#include "dispatch/attention_variants.h"
#include "dispatch/kv_layout.h"
#include "reference/exp.h"
#include "reference/lanes.h"

#pragma STDC FP_CONTRACT OFF

enum { chunk_pages = MARTLET_ATTENTION_CHUNK_TOKENS / kv_positions };

/// Dimension d of a position's key, without its scale.
static float read_key(martlet_kv_type type, const char *keys, size_t d, size_t p) {
  const size_t index = d * kv_positions + p;
  if (type == MARTLET_KV_F32) return ((const float *)keys)[index];
  if (type == MARTLET_KV_F16) return martlet_float_of_half(((const uint16_t *)keys)[index]);
  if (type == MARTLET_KV_BF16) return martlet_float_of_bfloat(((const uint16_t *)keys)[index]);
  if (type == MARTLET_KV_I8) return (float)((const int8_t *)keys)[index];
  const unsigned pair = (unsigned char)keys[d / 2 * kv_positions + p];
  return (float)((int)(d % 2 ? pair >> 4 : pair & 15) - 8);
}

/// Dimension d of a position's value, without its scale.
static float read_value(martlet_kv_type type, const char *row, size_t d) {
  if (type == MARTLET_KV_F32) return ((const float *)row)[d];
  if (type == MARTLET_KV_F16) return martlet_float_of_half(((const uint16_t *)row)[d]);
  if (type == MARTLET_KV_BF16) return martlet_float_of_bfloat(((const uint16_t *)row)[d]);
  if (type == MARTLET_KV_I8) return (float)((const int8_t *)row)[d];
  const unsigned pair = (unsigned char)row[d / kv_i4_group * 16 + d % 16];
  return (float)((int)(d % kv_i4_group < 16 ? pair & 15 : pair >> 4) - 8);
}

static float read_scale(const char *scales, size_t group, size_t p) {
  return martlet_float_of_half(((const uint16_t *)scales)[group * kv_positions + p]);
}

/// Where one query head stands.
typedef struct state {
  float largest, sum, values[kv_most_dimensions];
} state;

static state empty(void) { return (state){.largest = -INFINITY}; }

static float score(martlet_kv_type type, const kv_shape *shape, const kv_head *page,
                   const float *query, size_t p) {
  float total = 0;
  for (size_t begin = 0, g = 0; begin < shape->dimensions; ++g) {
    const size_t left = shape->dimensions - begin;
    const size_t end = begin + (left < shape->group_dimensions ? left : shape->group_dimensions);
    float part = 0;
    for (size_t d = begin; d < end; ++d)
      part = fmaf(query[d], read_key(type, page->keys, d, p), part);
    total = shape->groups ? fmaf(part, read_scale(page->key_scales, g, p), total) : part;
    begin = end;
  }
  return total;
}

/// Slots [begin, end) of one page.
static void attend_page(martlet_kv_type type, const kv_shape *shape, const kv_head *page,
                        size_t begin, size_t end, const float *query, state *s) {
  float weights[kv_positions], largest = s->largest;
  for (size_t p = begin; p < end; ++p) {
    weights[p] = score(type, shape, page, query, p);
    largest = weights[p] > largest ? weights[p] : largest;
  }
  float lanes[MARTLET_LANES] = {0};
  for (size_t p = begin; p < end; ++p) {
    weights[p] = martlet_exp_f32(weights[p] - largest);
    lanes[p % MARTLET_LANES] = lanes[p % MARTLET_LANES] + weights[p];
  }
  const float factor = martlet_exp_f32(s->largest - largest);
  s->largest = largest;
  s->sum = fmaf(s->sum, factor, martlet_fold_lanes(lanes));
  for (size_t d = 0; d < shape->dimensions; ++d) {
    float weighted = 0;
    for (size_t p = begin; p < end; ++p) {
      float weight = weights[p];
      if (shape->groups)
        weight = weight * read_scale(page->value_scales, d / shape->group_dimensions, p);
      const char *row = page->values + p * shape->value_row_bytes;
      weighted = fmaf(weight, read_value(type, row, d), weighted);
    }
    s->values[d] = fmaf(s->values[d], factor, weighted);
  }
}

static void merge(size_t dimensions, state *all, const state *part) {
  const float largest = part->largest > all->largest ? part->largest : all->largest;
  const float old_factor = martlet_exp_f32(all->largest - largest);
  const float factor = martlet_exp_f32(part->largest - largest);
  all->largest = largest;
  const float kept = all->sum * old_factor;
  all->sum = fmaf(part->sum, factor, kept);
  for (size_t d = 0; d < dimensions; ++d) {
    const float old = all->values[d] * old_factor;
    all->values[d] = fmaf(part->values[d], factor, old);
  }
}

static void finish(size_t dimensions, const state *all, float *output) {
  const float inverse = 1.0f / all->sum;
  for (size_t d = 0; d < dimensions; ++d) output[d] = all->values[d] * inverse;
}

static state attend_chunk(const martlet_attention_arguments *a, const kv_shape *shape,
                          const martlet_attention_row *row, size_t head, size_t chunk) {
  const size_t dimensions = shape->dimensions;
  float query[kv_most_dimensions];
  for (size_t d = 0; d < dimensions; ++d) query[d] = row->query[head * dimensions + d] * a->scale;
  state s = empty();
  kv_gathered gathered;
  for (size_t page = chunk * chunk_pages; page < (chunk + 1) * chunk_pages; ++page) {
    const size_t start = page * kv_positions;
    const size_t begin = row->first > start ? row->first - start : 0;
    if (begin >= kv_positions || row->end <= start) continue;
    const size_t end = row->end - start < kv_positions ? row->end - start : (size_t)kv_positions;
    const kv_head part =
        kv_row_page(shape, row, a->page_offset, page,
                    head / (a->query_heads / a->layout->kv_heads), &gathered);
    attend_page(a->layout->type, shape, &part, begin, end, query, &s);
  }
  return s;
}

void martlet_attention_f32_reference(const martlet_attention_arguments *a) {
  const kv_shape shape = kv_shape_of(a->layout);
  const size_t group = a->query_heads / a->layout->kv_heads, dimensions = shape.dimensions;
  for (size_t r = 0; r < a->row_count; ++r)
    for (size_t head = a->kv_head_begin * group; head < a->kv_head_end * group; ++head) {
      const martlet_attention_row *row = &a->rows[r];
      const size_t begin = row->first / MARTLET_ATTENTION_CHUNK_TOKENS;
      const size_t end = (row->end - 1) / MARTLET_ATTENTION_CHUNK_TOKENS + 1;
      state all = empty();
      for (size_t chunk = begin; chunk < end; ++chunk) {
        if (a->partials && (chunk < a->chunk_begin || chunk >= a->chunk_end)) continue;
        const state part = attend_chunk(a, &shape, row, head, chunk);
        if (!a->partials) {
          merge(dimensions, &all, &part);
          continue;
        }
        float *record = attention_record(a, chunk, r, head);
        const size_t padded = kv_round_up(dimensions, 16);
        for (size_t d = 0; d < padded; ++d) record[d] = d < dimensions ? part.values[d] : 0;
        record[padded] = part.largest;
        record[padded + 1] = part.sum;
      }
      if (!a->partials) finish(dimensions, &all, row->output + head * dimensions);
    }
}

void martlet_attention_merge_f32_reference(const martlet_attention_arguments *a) {
  const size_t dimensions = a->layout->head_dimensions, padded = kv_round_up(dimensions, 16);
  const size_t group = a->query_heads / a->layout->kv_heads;
  for (size_t r = 0; r < a->row_count; ++r)
    for (size_t head = a->kv_head_begin * group; head < a->kv_head_end * group; ++head) {
      const martlet_attention_row *row = &a->rows[r];
      state all = empty();
      for (size_t chunk = row->first / MARTLET_ATTENTION_CHUNK_TOKENS;
           chunk * MARTLET_ATTENTION_CHUNK_TOKENS < row->end; ++chunk) {
        const float *record = attention_record(a, chunk, r, head);
        state part = {.largest = record[padded], .sum = record[padded + 1]};
        memcpy(part.values, record, dimensions * sizeof(float));
        merge(dimensions, &all, &part);
      }
      finish(dimensions, &all, row->output + head * dimensions);
    }
}

/// Scores of one query head, then weights, of positions [first, end).
static void weigh(const martlet_attention_arguments *a, const kv_shape *shape,
                  const martlet_attention_row *row, size_t head, float *weights) {
  float query[kv_most_dimensions], largest = -INFINITY;
  for (size_t d = 0; d < shape->dimensions; ++d)
    query[d] = row->query[head * shape->dimensions + d] * a->scale;
  kv_gathered gathered;
  const size_t kv_head_index = head / (a->query_heads / a->layout->kv_heads);
  for (size_t page = row->first / kv_positions; page * kv_positions < row->end; ++page) {
    const kv_head part =
        kv_row_page(shape, row, a->page_offset, page, kv_head_index, &gathered);
    for (size_t p = page * kv_positions; p < (page + 1) * kv_positions; ++p) {
      if (p < row->first || p >= row->end) continue;
      weights[p] = score(a->layout->type, shape, &part, query, p % kv_positions);
      largest = weights[p] > largest ? weights[p] : largest;
    }
  }
  float lanes[MARTLET_LANES] = {0};
  for (size_t p = row->first; p < row->end; ++p) {
    weights[p] = martlet_exp_f32(weights[p] - largest);
    lanes[p % MARTLET_LANES] = lanes[p % MARTLET_LANES] + weights[p];
  }
  const float inverse = 1.0f / martlet_fold_lanes(lanes);
  for (size_t p = row->first; p < row->end; ++p) weights[p] = weights[p] * inverse;
}

void martlet_attention_weights_f32_reference(const martlet_attention_arguments *a, float *weights,
                                             size_t stride) {
  const kv_shape shape = kv_shape_of(a->layout);
  const size_t group = a->query_heads / a->layout->kv_heads;
  for (size_t r = 0; r < a->row_count; ++r)
    for (size_t head = a->kv_head_begin * group; head < a->kv_head_end * group; ++head) {
      weigh(a, &shape, &a->rows[r], head, weights);
      weights += stride;
    }
}

// ---- writing, reading and copying ------------------------------------------------------------------------

static void write_element(martlet_kv_type type, void *base, size_t index, float value) {
  if (type == MARTLET_KV_F32) ((float *)base)[index] = value;
  else if (type == MARTLET_KV_F16) ((uint16_t *)base)[index] = martlet_half_of_float(value);
  else ((uint16_t *)base)[index] = martlet_bfloat_of_float(value);
}

void martlet_kv_write_reference(const martlet_kv_layout *layout, void *page, uint32_t slot,
                                const float *keys, const float *values) {
  const kv_shape shape = kv_shape_of(layout);
  const size_t dimensions = shape.dimensions, padded = kv_round_up(dimensions, 16);
  for (size_t head = 0; head < shape.heads; ++head) {
    const float *key = keys + head * dimensions, *value = values + head * dimensions;
    if (shape.groups) {
      kv_write_quantized(layout->type, &shape, page, head, slot, key, value);
      continue;
    }
    char *column = (char *)page + head * shape.key_head_bytes;
    char *row = (char *)page + shape.values + head * shape.value_head_bytes +
                slot * shape.value_row_bytes;
    for (size_t d = 0; d < dimensions; ++d)
      write_element(layout->type, column, d * kv_positions + slot, key[d]);
    for (size_t d = 0; d < padded; ++d)
      write_element(layout->type, row, d, d < dimensions ? value[d] : 0);
  }
}

void martlet_kv_copy_reference(const martlet_kv_layout *layout, const void *source,
                               uint32_t source_slot, void *target, uint32_t target_slot,
                               uint32_t count) {
  const kv_shape shape = kv_shape_of(layout);
  if (count == kv_positions) {
    const size_t scales = shape.heads * shape.scale_head_bytes;
    memcpy(target, source, shape.is_apart ? shape.key_bytes + scales : shape.bytes);
    if (shape.is_apart)
      memcpy((char *)target + shape.values, (const char *)source + shape.values,
             shape.value_bytes + scales);
    return;
  }
  for (size_t head = 0; head < shape.heads; ++head)
    kv_copy_head(&shape, kv_head_of(&shape, source, head), 0, source_slot,
                 kv_head_of(&shape, target, head), target_slot, count);
}

/// Elements of `bytes` each from columns to rows; constant sizes make moves of the copies.
static void turn(size_t bytes, size_t dimensions, const char *columns, char *rows) {
  for (size_t slot = 0; slot < kv_positions; ++slot)
    for (size_t d = 0; d < dimensions; ++d) {
      const char *from = columns + (d * kv_positions + slot) * bytes;
      char *to = rows + (slot * dimensions + d) * bytes;
      if (bytes == 1) *to = *from;
      else if (bytes == 2) memcpy(to, from, 2);
      else memcpy(to, from, 4);
    }
}

void martlet_kv_turn_keys_reference(const martlet_kv_layout *layout, void *page, uint32_t head,
                                    int to_rows) {
  const kv_shape shape = kv_shape_of(layout);
  char *keys = (char *)page + head * shape.key_head_bytes;
  _Alignas(64) char old[kv_most_head_bytes];
  memcpy(old, keys, shape.key_head_bytes);
  if (to_rows) turn(shape.element, shape.key_rows, old, keys);
  else kv_turn_back(&shape, old, 0, keys, 0, kv_positions);
}

void martlet_kv_read_reference(const martlet_kv_layout *layout, const void *page, int turned,
                               uint32_t head, uint32_t slot, float *key, float *value) {
  const kv_shape shape = kv_shape_of(layout);
  kv_head part = kv_head_of(&shape, page, head);
  _Alignas(64) char columns[kv_most_head_bytes];
  if (turned && key) {
    kv_turn_back(&shape, part.keys, slot, columns, slot, 1);
    part.keys = columns;
  }
  const char *row = part.values + slot * shape.value_row_bytes;
  for (size_t d = 0; d < shape.dimensions; ++d) {
    const size_t group = d / shape.group_dimensions;
    if (key) key[d] = read_key(layout->type, part.keys, d, slot);
    if (value) value[d] = read_value(layout->type, row, d);
    if (!shape.groups) continue;
    if (key) key[d] = key[d] * read_scale(part.key_scales, group, slot);
    if (value) value[d] = value[d] * read_scale(part.value_scales, group, slot);
  }
}

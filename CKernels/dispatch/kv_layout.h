/// Where things lie in one layer's part of a page, and how a position is quantised: what the doors,
/// the reference, every variant and the checks have in common.
#ifndef MARTLET_DISPATCH_KV_LAYOUT_H
#define MARTLET_DISPATCH_KV_LAYOUT_H

#include <martlet/attention.h>

#include "reference/half.h"

enum { kv_positions = MARTLET_KV_PAGE_TOKENS, kv_most_dimensions = 256, kv_i4_group = 32 };

/// Bytes of one head's keys, values and scales at their largest: float32 of 256 dimensions.
enum { kv_most_head_bytes = kv_positions * kv_most_dimensions * 4 };
enum { kv_most_scale_bytes = kv_most_dimensions / kv_i4_group * kv_positions * 2 };

typedef struct kv_shape {
  size_t heads, dimensions;
  size_t element;           ///< Bytes of one position in a row of keys.
  size_t key_rows;          ///< Rows of 32 elements per head: one dimension, or two of four bits.
  size_t key_row_bytes;     ///< One position's key where keys are turned.
  size_t key_head_bytes;
  size_t value_row_bytes;   ///< One position of one head.
  size_t value_head_bytes;
  size_t groups;            ///< Scales per head and position; 0 for floats.
  size_t group_dimensions;  ///< Dimensions that share a scale.
  size_t scale_head_bytes;
  size_t values, key_scales, value_scales;  ///< Offsets.
  size_t bytes;                             ///< Of everything.
  size_t key_bytes, value_bytes;            ///< Of all heads, without scales.
  int is_apart;                             ///< Whether values lie elsewhere.
} kv_shape;

static inline size_t kv_round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

static inline kv_shape kv_shape_of(const martlet_kv_layout *layout) {
  const size_t heads = layout->kv_heads, dimensions = layout->head_dimensions;
  kv_shape s = {.heads = heads, .dimensions = dimensions, .group_dimensions = dimensions};
  s.key_rows = dimensions;
  if (layout->type == MARTLET_KV_I4) {
    s.element = 1;
    s.key_rows = (dimensions + 1) / 2;
    s.value_row_bytes = kv_round_up(dimensions, kv_i4_group) / 2;
    s.group_dimensions = kv_i4_group;
    s.groups = (dimensions + kv_i4_group - 1) / kv_i4_group;
  } else {
    s.element = layout->type == MARTLET_KV_F32 ? 4 : layout->type == MARTLET_KV_I8 ? 1 : 2;
    s.value_row_bytes = kv_round_up(dimensions, 16) * s.element;
    s.groups = layout->type == MARTLET_KV_I8;
  }
  s.key_row_bytes = s.key_rows * s.element;
  s.key_head_bytes = s.key_row_bytes * kv_positions;
  s.value_head_bytes = s.value_row_bytes * kv_positions;
  s.scale_head_bytes = s.groups * kv_positions * sizeof(uint16_t);
  s.key_bytes = kv_round_up(heads * s.key_head_bytes, 64);
  s.value_bytes = kv_round_up(heads * s.value_head_bytes, 64);
  s.bytes = s.key_bytes + s.value_bytes + 2 * heads * s.scale_head_bytes;
  s.values = layout->size >= sizeof *layout ? layout->value_offset : 0;
  s.is_apart = s.values != 0;
  if (s.is_apart) {
    s.key_scales = s.key_bytes;
    s.value_scales = s.values + s.value_bytes;
  } else {
    s.values = s.key_bytes;
    s.key_scales = s.values + s.value_bytes;
    s.value_scales = s.key_scales + heads * s.scale_head_bytes;
  }
  return s;
}

/// Quantises up to 256 numbers that share a scale and returns it as float16. The codes follow from
/// the rounded scale, so its rounding costs nothing. `codes` are -127 ... 127, or -8 ... 7.
static inline uint16_t kv_quantize(martlet_kv_type type, const float *x, size_t n, int8_t *codes) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; ++i) {
    uint32_t magnitude = martlet_bits_of_float(x[i]) & 0x7fffffff;
    largest = magnitude > largest ? magnitude : largest;
  }
  const float magnitude = martlet_float_of_bits(largest);
  float step = magnitude / 127.0f, low = -127.0f, high = 127.0f;
  if (type == MARTLET_KV_I4) {
    // The side that reaches furthest gets the eighth code.
    int negative = 0;
    for (size_t i = 0; i < n; ++i) negative |= x[i] == -magnitude;
    step = negative ? magnitude / 8.0f : magnitude / -8.0f;
    low = -8.0f, high = 7.0f;
  }
  uint16_t scale = martlet_half_of_float(step);
  if ((scale & 0x7fff) == 0x7c00) --scale;  // The largest finite number, codes clamped.
  const float rounded = martlet_float_of_half(scale);
  if (largest >= 0x7f800000 || rounded == 0) {
    for (size_t i = 0; i < n; ++i) codes[i] = 0;
    return largest >= 0x7f800000 ? 0x7e00 : 0;
  }
  const float inverse = 1.0f / rounded;
  for (size_t i = 0; i < n; ++i) {
    float scaled = x[i] * inverse;
    scaled = scaled < low ? low : scaled;
    scaled = scaled > high ? high : scaled;
    // Adding and subtracting 1.5·2²³ rounds to an integer, ties to even.
    codes[i] = (int8_t)((scaled + 0x1.8p23f) - 0x1.8p23f);
  }
  return scale;
}

/// Quantises one head of one position and stores it.
static inline void kv_write_quantized(martlet_kv_type type, const kv_shape *shape, char *page,
                                      size_t head, size_t slot, const float *keys,
                                      const float *values) {
  int8_t codes[kv_most_dimensions + kv_i4_group];
  for (int side = 0; side < 2; ++side) {
    const float *x = side ? values : keys;
    char *scales = page + (side ? shape->value_scales : shape->key_scales) +
                   head * shape->scale_head_bytes + slot * sizeof(uint16_t);
    memset(codes, 0, sizeof codes);
    for (size_t g = 0; g < shape->groups; ++g) {
      const size_t d = g * shape->group_dimensions, left = shape->dimensions - d;
      const size_t n = left < shape->group_dimensions ? left : shape->group_dimensions;
      const uint16_t scale = kv_quantize(type, x + d, n, codes + d);
      memcpy(scales + g * kv_positions * sizeof scale, &scale, sizeof scale);
    }
    if (!side) {
      char *column = page + head * shape->key_head_bytes + slot;
      for (size_t row = 0; row < shape->key_rows; ++row)
        column[row * kv_positions] =
            type == MARTLET_KV_I8
                ? codes[row]
                : (char)((codes[2 * row] + 8) | (codes[2 * row + 1] + 8) << 4);
    } else {
      char *row = page + shape->values + head * shape->value_head_bytes +
                  slot * shape->value_row_bytes;
      for (size_t i = 0; i < shape->value_row_bytes; ++i) {
        const size_t d = i / 16 * kv_i4_group + i % 16;
        row[i] = type == MARTLET_KV_I8 ? codes[i]
                                       : (char)((codes[d] + 8) | (codes[d + 16] + 8) << 4);
      }
    }
  }
}

/// One head's part of one page.
typedef struct kv_head {
  const char *keys, *values, *key_scales, *value_scales;
} kv_head;

static inline kv_head kv_head_of(const kv_shape *shape, const void *page, size_t head) {
  const char *base = (const char *)page;
  return (kv_head){base + head * shape->key_head_bytes,
                   base + shape->values + head * shape->value_head_bytes,
                   base + shape->key_scales + head * shape->scale_head_bytes,
                   base + shape->value_scales + head * shape->scale_head_bytes};
}

/// Memory for one head's part of one page.
typedef struct kv_gathered {
  _Alignas(64) char keys[kv_most_head_bytes];
  _Alignas(64) char values[kv_most_head_bytes];
  _Alignas(64) char key_scales[kv_most_scale_bytes];
  _Alignas(64) char value_scales[kv_most_scale_bytes];
} kv_gathered;

/// Turned keys of slots [from, from + count) as columns of slots [to, to + count).
static inline void kv_turn_back(const kv_shape *shape, const char *rows, size_t from, char *columns,
                                size_t to, size_t count) {
  const size_t element = shape->element;
  for (size_t p = 0; p < count; ++p)
    for (size_t row = 0; row < shape->key_rows; ++row) {
      const char *old = rows + (from + p) * shape->key_row_bytes + row * element;
      char *new = columns + (row * kv_positions + to + p) * element;
      if (element == 1) *new = *old;
      else if (element == 2) memcpy(new, old, 2);
      else memcpy(new, old, 4);
    }
}

/// Copies keys of slots [from, from + count) of a head's part of a page to slots [to, to + count).
static inline void kv_copy_keys(const kv_shape *shape, kv_head source, int turned, size_t from,
                                kv_head target, size_t to, size_t count) {
  if (turned) {
    kv_turn_back(shape, source.keys, from, (char *)target.keys, to, count);
    return;
  }
  const size_t row_bytes = kv_positions * shape->element;
  char *keys = (char *)target.keys + to * shape->element;
  const char *old_keys = source.keys + from * shape->element;
  // Constant sizes: a column of single elements is most of the work.
  if (count == 1 && shape->element == 2)
    for (size_t row = 0; row < shape->key_rows; ++row)
      memcpy(keys + row * row_bytes, old_keys + row * row_bytes, 2);
  else
    for (size_t row = 0; row < shape->key_rows; ++row)
      memcpy(keys + row * row_bytes, old_keys + row * row_bytes, count * shape->element);
}

/// Copies slots [from, from + count) of a head's part of a page, whose keys may be turned, to slots
/// [to, to + count) of one that is not.
static inline void kv_copy_head(const kv_shape *shape, kv_head source, int turned, size_t from,
                                kv_head target, size_t to, size_t count) {
  kv_copy_keys(shape, source, turned, from, target, to, count);
  memcpy((char *)target.values + to * shape->value_row_bytes,
         source.values + from * shape->value_row_bytes, count * shape->value_row_bytes);
  for (size_t g = 0; g < shape->groups; ++g) {
    const size_t column = g * kv_positions;
    memcpy((char *)target.key_scales + 2 * (column + to), source.key_scales + 2 * (column + from),
           2 * count);
    memcpy((char *)target.value_scales + 2 * (column + to),
           source.value_scales + 2 * (column + from), 2 * count);
  }
}

/// First logical position of a row that its path stores, or its end.
static inline uint32_t kv_path_begin(const martlet_attention_row *row) {
  return row->end - row->path_count;
}

/// How many of `count` storage positions from path[0] on are neighbours in one page.
static inline size_t kv_path_run(const uint32_t *path, size_t count) {
  const size_t left = kv_positions - path[0] % kv_positions;
  const size_t most = count < left ? count : left;
  size_t run = 1;
  while (run < most && path[run] == path[0] + run) ++run;
  return run;
}

static inline int kv_is_turned(const martlet_attention_row *row, size_t page) {
  return row->turned && row->turned[page];
}

/// A head's part of a page with its keys in columns: in place, or where they are turned in `gathered`.
static inline kv_head kv_whole_page(const kv_shape *shape, const martlet_attention_row *row,
                                    size_t page_offset, size_t page, size_t head,
                                    kv_gathered *gathered) {
  kv_head part = kv_head_of(shape, (const char *)row->pages[page] + page_offset, head);
  if (kv_is_turned(row, page)) {
    kv_turn_back(shape, part.keys, 0, gathered->keys, 0, kv_positions);
    part.keys = gathered->keys;
  }
  return part;
}

/// One head's part of logical page `page` of a row: in place where its positions are stored so, else
/// gathered.
static inline kv_head kv_row_page(const kv_shape *shape, const martlet_attention_row *row,
                                  size_t page_offset, size_t page, size_t head,
                                  kv_gathered *gathered) {
  const size_t path_begin = kv_path_begin(row), begin = page * kv_positions;
  if (path_begin >= begin + kv_positions || row->path_count == 0)
    return kv_whole_page(shape, row, page_offset, page, head, gathered);
  const kv_head own = {gathered->keys, gathered->values, gathered->key_scales,
                       gathered->value_scales};
  const size_t end = row->end < begin + kv_positions ? row->end : begin + kv_positions;
  size_t position = begin;
  if (path_begin > begin) {
    kv_copy_head(shape, kv_head_of(shape, (const char *)row->pages[page] + page_offset, head),
                 kv_is_turned(row, page), 0, own, 0, path_begin - begin);
    position = path_begin;
  }
  while (position < end) {
    const uint32_t *path = row->path + (position - path_begin);
    const size_t stored = path[0], run = kv_path_run(path, end - position);
    const size_t from = stored / kv_positions;
    if (run == end - begin && stored % kv_positions == 0)
      return kv_whole_page(shape, row, page_offset, from, head, gathered);
    kv_copy_head(shape, kv_head_of(shape, (const char *)row->pages[from] + page_offset, head),
                 kv_is_turned(row, from), stored % kv_positions, own, position - begin, run);
    position += run;
  }
  return own;
}

/// The record of one chunk, row and query head.
static inline float *attention_record(const martlet_attention_arguments *a, size_t chunk,
                                      size_t row, size_t head) {
  const size_t floats = kv_round_up(a->layout->head_dimensions, 16) + 16;
  return a->partials +
         (((chunk - a->partials_chunk) * a->row_count + row) * a->query_heads + head) * floats;
}

#endif

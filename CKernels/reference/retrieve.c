/// Reference of the retrieve family.
#include "dispatch/retrieve_variants.h"
#include "dispatch/retrieve_layout.h"

#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

/// Dimension d of a position's key, scale included.
static float key_at(const martlet_kv_layout *layout, const kv_shape *shape, const kv_head *head,
                    size_t d, size_t p) {
  const size_t index = d * kv_positions + p;
  switch (layout->type) {
    case MARTLET_KV_F32: return ((const float *)(const void *)head->keys)[index];
    case MARTLET_KV_F16:
      return martlet_float_of_half(((const uint16_t *)(const void *)head->keys)[index]);
    case MARTLET_KV_BF16:
      return martlet_float_of_bfloat(((const uint16_t *)(const void *)head->keys)[index]);
    default: break;
  }
  const uint16_t *scales = (const uint16_t *)(const void *)head->key_scales;
  const float scale = martlet_float_of_half(scales[d / shape->group_dimensions * kv_positions + p]);
  if (layout->type == MARTLET_KV_I8) return (float)(int8_t)head->keys[index] * scale;
  const unsigned pair = (unsigned char)head->keys[d / 2 * kv_positions + p];
  return (float)((int)(d % 2 ? pair >> 4 : pair & 15) - 8) * scale;
}

/// The centroid of nibble m that is nearest to coordinates x, of equally near ones the first.
static unsigned nearest(const retrieve_book *book, size_t m, const float *x) {
  unsigned best = 0;
  float largest = 0;
  for (unsigned c = 0; c < retrieve_centroids; ++c) {
    float near = book->halves[m * retrieve_centroids + c];
    for (size_t i = 0; i < book->count[m]; ++i) {
      const size_t coordinate = book->first[m] + i;
      near = fmaf(book->centroids[coordinate * retrieve_centroids + c], x[coordinate], near);
    }
    if (c == 0 || near > largest) {
      largest = near;
      best = c;
    }
  }
  return best;
}

static void encode_codes(const retrieve_book *book, const float *key, size_t p, uint8_t *codes) {
  float x[kv_most_dimensions];
  for (size_t j = 0; j < book->kept; ++j) {
    x[j] = 0;
    for (size_t d = 0; d < book->dimensions; ++d)
      x[j] = fmaf(book->key_map[d * book->padded + j], key[d], x[j]);
  }
  for (size_t m = 0; m < book->nibbles; m += 2)
    codes[m / 2 * kv_positions + p] =
        (uint8_t)(nearest(book, m, x) | nearest(book, m + 1, x) << 4);
}

static void encode_row(const retrieve_book *book, const float *key, int8_t *row) {
  for (size_t d = 0; d < book->dimensions; ++d) {
    float t = key[d] * book->inverses[d];
    t = t > -127.0f ? t : -127.0f;
    t = t < 127.0f ? t : 127.0f;
    row[d] = (int8_t)retrieve_round(t);
  }
}

void martlet_retrieve_encode_reference(const void *codebook, const martlet_kv_layout *layout,
                                       const void *page, uint32_t head, uint32_t slots,
                                       void *codes, void *rows, void *bounds) {
  const retrieve_book book = retrieve_book_of(codebook);
  const kv_shape shape = kv_shape_of(layout);
  const kv_head part = kv_head_of(&shape, page, head);
  const size_t row_bytes = retrieve_row_bytes(book.dimensions);
  float above[kv_most_dimensions], below[kv_most_dimensions];
  for (size_t d = 0; d < book.dimensions; ++d) above[d] = below[d] = -INFINITY;
  if (codes) memset(codes, 0, kv_positions * book.nibbles / 2);
  if (rows) memset(rows, 0, kv_positions * row_bytes);
  for (size_t p = 0; p < slots; ++p) {
    float key[kv_most_dimensions];
    for (size_t d = 0; d < book.dimensions; ++d) {
      key[d] = key_at(layout, &shape, &part, d, p);
      const float t = key[d] * book.inverses[d];
      above[d] = t > above[d] ? t : above[d];
      below[d] = 0.0f - t > below[d] ? 0.0f - t : below[d];
    }
    if (codes) encode_codes(&book, key, p, codes);
    if (rows) encode_row(&book, key, (int8_t *)rows + p * row_bytes);
  }
  if (!bounds) return;
  uint8_t *sides = bounds;
  memset(sides, 0, 2 * row_bytes);
  for (size_t d = 0; d < book.dimensions; ++d) {
    sides[d] = retrieve_side(above[d], 128);
    sides[row_bytes + d] = retrieve_side(below[d], 127);
  }
}

void martlet_retrieve_query_reference(const void *codebook, const float *query, void *prepared) {
  const retrieve_book book = retrieve_book_of(codebook);
  retrieve_prepared *p = prepared;
  p->dimensions = (uint32_t)book.dimensions;
  p->nibbles = (uint32_t)book.nibbles;
  float x[kv_most_dimensions], entries[retrieve_most_nibbles][retrieve_centroids];
  float lowest[retrieve_most_nibbles], range = 0, base = 0;
  for (size_t j = 0; j < book.kept; ++j) {
    x[j] = 0;
    for (size_t d = 0; d < book.dimensions; ++d)
      x[j] = fmaf(query[d], book.query_map[d * book.padded + j], x[j]);
  }
  for (size_t m = 0; m < book.nibbles; ++m) {
    float low = INFINITY, high = -INFINITY;
    for (size_t c = 0; c < retrieve_centroids; ++c) {
      float entry = 0;
      for (size_t j = book.first[m]; j < (size_t)book.first[m] + book.count[m]; ++j)
        entry = fmaf(x[j], book.centroids[j * retrieve_centroids + c], entry);
      entry = retrieve_finite(entry);
      low = entry < low ? entry : low;
      high = entry > high ? entry : high;
      entries[m][c] = entry;
    }
    lowest[m] = low;
    base += low;
    range = high - low > range ? high - low : range;
  }
  const float ratio = range > 0 ? (float)retrieve_table_most / range : 0;
  const float inverse = ratio < 1e30f ? ratio : 0;
  p->scan_base = base;
  p->scan_step = range / (float)retrieve_table_most;
  uint8_t *tables = retrieve_tables(prepared);
  for (size_t m = 0; m < book.nibbles; ++m)
    for (size_t c = 0; c < retrieve_centroids; ++c) {
      const uint8_t entry = (uint8_t)retrieve_round((entries[m][c] - lowest[m]) * inverse);
      tables[retrieve_table_offset(m) + c] = entry;
      tables[retrieve_table_offset(m) + 16 + c] = entry;
    }
  retrieve_set_weights(&book, query, prepared);
}

void martlet_retrieve_scan_reference(const martlet_retrieve_scan_arguments *a) {
  for (size_t q = 0; q < a->query_count; ++q) {
    const retrieve_prepared *prepared = a->queries[q];
    const uint8_t *tables = retrieve_tables(prepared);
    uint16_t *scores = a->scores + q * a->stride;
    for (size_t page = a->page_begin; page < a->page_end; ++page, scores += kv_positions) {
      const uint8_t *codes = (const uint8_t *)a->pages[page] + a->offset;
      for (size_t p = 0; p < kv_positions; ++p) {
        unsigned sum = 0;
        for (size_t m = 0; m < prepared->nibbles; ++m) {
          const unsigned pair = codes[m / 2 * kv_positions + p];
          sum += tables[retrieve_table_offset(m) + (m % 2 ? pair >> 4 : pair & 15)];
        }
        scores[p] = (uint16_t)sum;
      }
    }
  }
}

void martlet_retrieve_scan_bounds_reference(const martlet_retrieve_scan_arguments *a) {
  for (size_t q = 0; q < a->query_count; ++q) {
    const retrieve_prepared *prepared = a->queries[q];
    const int16_t *weights = retrieve_bound_weights(prepared);
    const uint8_t *sides = retrieve_bound_sides(prepared);
    const size_t row_bytes = retrieve_row_bytes(prepared->dimensions);
    uint16_t *scores = a->scores + q * a->stride;
    for (size_t page = a->page_begin; page < a->page_end; ++page) {
      const uint8_t *box = (const uint8_t *)a->pages[page] + a->offset;
      uint32_t sum = 0;
      for (size_t d = 0; d < row_bytes; ++d)
        sum += (uint32_t)weights[d] * (sides[d] ? box[row_bytes + d] : box[d]);
      *scores++ = (uint16_t)(sum >> prepared->bound_shift);
    }
  }
}

void martlet_retrieve_rank_reference(const void *prepared, const void *const *pages,
                                     size_t offset, size_t count, const uint32_t *positions,
                                     int32_t *scores) {
  const retrieve_prepared *p = prepared;
  const int16_t *weights = retrieve_row_weights(prepared);
  const size_t row_bytes = retrieve_row_bytes(p->dimensions);
  for (size_t i = 0; i < count; ++i) {
    const int8_t *row = (const int8_t *)pages[positions[i] / kv_positions] + offset +
                        positions[i] % kv_positions * row_bytes;
    int32_t sum = 0;
    for (size_t d = 0; d < row_bytes; ++d) sum += row[d] * weights[d];
    scores[i] = sum;
  }
}

void martlet_retrieve_select_reference(size_t count, const uint16_t *scores, size_t k,
                                       void *scratch, uint32_t *places) {
  (void)scratch;
  // The k-th largest score: by its high byte, then by its low byte.
  size_t counts[256] = {0}, larger = 0, next = 0;
  for (size_t i = 0; i < count; ++i) ++counts[scores[i] >> 8];
  unsigned high = 255, low = 255;
  while (larger + counts[high] < k) larger += counts[high--];
  memset(counts, 0, sizeof counts);
  for (size_t i = 0; i < count; ++i)
    if (scores[i] >> 8 == high) ++counts[scores[i] & 255];
  while (larger + counts[low] < k) larger += counts[low--];
  const unsigned least = high << 8 | low;
  size_t equal = k - larger;
  for (size_t i = 0; i < count; ++i)
    if (scores[i] > least || (scores[i] == least && equal > 0)) {
      equal -= scores[i] == least;
      places[next++] = (uint32_t)i;
    }
}

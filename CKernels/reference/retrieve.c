/// Reference of the retrieve family.
#include "dispatch/retrieve_variants.h"
#include "dispatch/retrieve_layout.h"
#include "reference/lanes.h"

#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF


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

void martlet_retrieve_encode_reference(const void *codebook, const martlet_kv_layout *layout,
                                       const void *page, int turned, uint32_t head,
                                       uint32_t slots, void *codes, void *bounds) {
  const retrieve_book book = retrieve_book_of(codebook);
  const kv_shape shape = kv_shape_of(layout);
  const kv_head part = kv_head_of(&shape, page, head);
  const size_t side_bytes = retrieve_side_bytes(book.dimensions);
  float above[kv_most_dimensions], below[kv_most_dimensions];
  for (size_t d = 0; d < book.dimensions; ++d) above[d] = below[d] = -INFINITY;
  if (codes) memset(codes, 0, kv_positions * book.nibbles / 2);
  for (size_t p = 0; p < slots; ++p) {
    float key[kv_most_dimensions];
    for (size_t d = 0; d < book.dimensions; ++d) {
      key[d] = retrieve_key_at(layout->type, &shape, &part, turned, d, p);
      const float t = key[d] * book.inverses[d];
      above[d] = t > above[d] ? t : above[d];
      below[d] = 0.0f - t > below[d] ? 0.0f - t : below[d];
    }
    if (codes) encode_codes(&book, key, p, codes);
  }
  if (!bounds) return;
  uint8_t *sides = bounds;
  memset(sides, 0, 2 * side_bytes);
  for (size_t d = 0; d < book.dimensions; ++d) {
    sides[d] = retrieve_side(above[d], 128);
    sides[side_bytes + d] = retrieve_side(below[d], 127);
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
      retrieve_quads(prepared)[retrieve_quad_offset(m) + c] = entry;
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
    const size_t side_bytes = retrieve_side_bytes(prepared->dimensions);
    uint16_t *scores = a->scores + q * a->stride;
    for (size_t page = a->page_begin; page < a->page_end; ++page) {
      const uint8_t *box = (const uint8_t *)a->pages[page] + a->offset;
      uint32_t sum = 0;
      for (size_t d = 0; d < side_bytes; ++d)
        sum += (uint32_t)weights[d] * (sides[d] ? box[side_bytes + d] : box[d]);
      *scores++ = (uint16_t)(sum >> prepared->bound_shift);
    }
  }
}

void martlet_retrieve_sieve_reference(const retrieve_sieve *s) {
  martlet_retrieve_scan_arguments a = *s->scan;
  uint16_t scores[kv_positions];
  a.scores = scores;
  a.query_count = 1;
  for (size_t q = 0; q < s->scan->query_count; ++q, ++a.queries) {
    const size_t first = q * (s->room + retrieve_sieve_slack);
    size_t n = s->counts[q];
    uint32_t place = s->first_place;
    for (size_t page = s->scan->page_begin; page < s->scan->page_end && n <= s->room; ++page) {
      a.page_begin = page;
      a.page_end = page + 1;
      martlet_retrieve_scan_reference(&a);
      for (size_t p = 0; p < kv_positions; ++p, ++place)
        if (scores[p] >= s->least[q]) {
          s->places[first + n] = place;
          s->kept[first + n++] = scores[p];
        }
    }
    s->counts[q] = n > s->room ? (size_t)retrieve_sieve_full : n;
  }
}

/// 16 lanes of the products of one scale group, zeros behind the last dimension. Of four bits a lane
/// takes the two dimensions of a byte, of bfloat16 those of a word of 32 bits, of others every 16th.
static void rank_group(martlet_kv_type type, const kv_shape *shape, const kv_head *page,
                       const float *query, size_t begin, size_t p, float *part) {
  const size_t left = shape->dimensions - begin;
  const size_t count = left < shape->group_dimensions ? left : shape->group_dimensions;
  const size_t step = type == MARTLET_KV_I4 || type == MARTLET_KV_BF16 ? 2 : 1;
  for (size_t lane = 0; lane < MARTLET_LANES; ++lane) part[lane] = 0;
  for (size_t from = 0; from < count; from += MARTLET_LANES * step)
    for (size_t i = 0; i < step; ++i)
      for (size_t lane = 0; lane < MARTLET_LANES; ++lane) {
        const size_t d = from + lane * step + i;
        const float key = d < count ? retrieve_code_at(type, shape, page, 1, begin + d, p) : 0;
        part[lane] = fmaf(d < count ? query[begin + d] : 0, key, part[lane]);
      }
}

void martlet_retrieve_rank_reference(const void *prepared, const martlet_kv_layout *layout,
                                     uint32_t head, const void *const *pages,
                                     size_t page_offset, size_t count, const uint32_t *positions,
                                     float *scores) {
  const kv_shape shape = kv_shape_of(layout);
  const float *query = retrieve_query_itself(prepared);
  for (size_t i = 0; i < count; ++i) {
    const size_t p = positions[i] % kv_positions;
    const kv_head page = kv_head_of(
        &shape, (const char *)pages[positions[i] / kv_positions] + page_offset, head);
    float all[MARTLET_LANES] = {0}, part[MARTLET_LANES];
    for (size_t d = 0, g = 0; d < shape.dimensions; d += shape.group_dimensions, ++g) {
      rank_group(layout->type, &shape, &page, query, d, p, part);
      const float scale = shape.groups ? retrieve_scale_at(&page, g, p) : 1;
      for (size_t lane = 0; lane < MARTLET_LANES; ++lane)
        all[lane] = shape.groups ? fmaf(part[lane], scale, all[lane]) : part[lane];
    }
    scores[i] = retrieve_finite(martlet_fold_lanes(all));
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

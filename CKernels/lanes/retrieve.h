/// Encoding a page and preparing a query, on the 16-lane vocabulary.
///
/// Encoding is a matrix product: keys lie dimension by dimension, 32 positions a row, which is the
/// layout of an operand. Tile: LANES_TILE coordinates × 32 positions, one pass over the dimensions,
/// 2 · LANES_TILE accumulators. With 128 dimensions and as many coordinates 2 · 128 · 128
/// multiply-adds of 16 lanes (16,400 cycles at one per half cycle), then 2 · 128 · 16 for the
/// centroids. The map (64 KiB at most) comes from L2, the page from memory once.
///
/// A query is a matrix-vector product with a map of the same size, then 16 multiply-adds per
/// coordinate for all tables.
#include "dispatch/retrieve_layout.h"
#include "lanes/kv_turn.h"

// ---- encoding -----------------------------------------------------------------------------------

/// A page's keys as float32: dimension d at keys[32·d].
LANES void retrieve_read(martlet_kv_type type, const kv_shape *shape, const kv_head *head,
                         float *keys) {
  for (size_t d = 0; d < shape->dimensions; ++d)
    for (size_t half = 0; half < kv_positions; half += 16) {
      lanes v = kv_load_keys(type, head->keys, d, half);
      if (kv_quantized(type)) {
        const uint16_t *scales = (const uint16_t *)(const void *)head->key_scales;
        v = lanes_multiply(v, lanes_load_f16(scales + d / shape->group_dimensions * kv_positions +
                                             half));
      }
      lanes_store(keys + d * kv_positions + half, v);
    }
}

static void retrieve_read_page(martlet_kv_type type, const kv_shape *shape, const kv_head *head,
                               float *keys) {
  switch (type) {
    case MARTLET_KV_F32: retrieve_read(MARTLET_KV_F32, shape, head, keys); break;
    case MARTLET_KV_F16: retrieve_read(MARTLET_KV_F16, shape, head, keys); break;
    case MARTLET_KV_BF16: retrieve_read(MARTLET_KV_BF16, shape, head, keys); break;
    case MARTLET_KV_I8: retrieve_read(MARTLET_KV_I8, shape, head, keys); break;
    case MARTLET_KV_I4: retrieve_read(MARTLET_KV_I4, shape, head, keys); break;
  }
}

/// Coordinates j ..< j + LANES_TILE of 32 keys.
LANES void retrieve_map_tile(const retrieve_book *book, const float *keys, size_t j, float *x) {
  lanes low[LANES_TILE], high[LANES_TILE];
  for (int i = 0; i < LANES_TILE; ++i) low[i] = high[i] = lanes_zero();
  const float *map = book->key_map + j;
  for (size_t d = 0; d < book->dimensions; ++d, map += book->padded) {
    const lanes a = lanes_load(keys + d * kv_positions);
    const lanes b = lanes_load(keys + d * kv_positions + 16);
    for (int i = 0; i < LANES_TILE; ++i) {
      const lanes factor = lanes_set(map[i]);
      low[i] = lanes_fma(factor, a, low[i]);
      high[i] = lanes_fma(factor, b, high[i]);
    }
  }
  for (int i = 0; i < LANES_TILE; ++i) {
    lanes_store(x + (j + (size_t)i) * kv_positions, low[i]);
    lanes_store(x + (j + (size_t)i) * kv_positions + 16, high[i]);
  }
}

/// The nearest centroids of nibble m for 16 positions, as numbers.
LANES lanes retrieve_nearest(const retrieve_book *book, size_t m, const float *x) {
  const float *halves = book->halves + m * retrieve_centroids;
  const size_t count = book->count[m];
  const float *centroids = book->centroids + (size_t)book->first[m] * retrieve_centroids;
  x += (size_t)book->first[m] * kv_positions;
  lanes best = lanes_zero(), codes = lanes_zero();
  // Four centroids at a time hide the latency of a multiply-add.
  for (int c = 0; c < retrieve_centroids; c += 4) {
    lanes near[4];
    for (int i = 0; i < 4; ++i) near[i] = lanes_set(halves[c + i]);
    for (size_t j = 0; j < count; ++j) {
      const lanes v = lanes_load(x + j * kv_positions);
      const float *factors = centroids + j * retrieve_centroids + c;
      for (int i = 0; i < 4; ++i) near[i] = lanes_fma(lanes_set(factors[i]), v, near[i]);
    }
    for (int i = 0; i < 4; ++i) {
      if (c + i == 0) best = near[0];
      else lanes_take_larger(near[i], (float)(c + i), &best, &codes);
    }
  }
  return codes;
}

static void retrieve_encode_codes(const retrieve_book *book, const float *keys, uint32_t slots,
                                  uint8_t *codes) {
  _Alignas(64) float x[kv_most_dimensions * kv_positions];
  for (size_t j = 0; j < book->padded; j += LANES_TILE) retrieve_map_tile(book, keys, j, x);
  for (size_t m = 0; m < book->nibbles; m += 2) {
    uint8_t *row = codes + m / 2 * kv_positions;
    for (size_t half = 0; half < kv_positions; half += 16) {
      const lanes low = retrieve_nearest(book, m, x + half);
      const lanes high = retrieve_nearest(book, m + 1, x + half);
      lanes_store_bytes(row + half, lanes_fma(high, lanes_set(16.0f), low));
    }
    for (size_t p = slots; p < kv_positions; ++p) row[p] = 0;
  }
}

/// -larger(-x, -m): x < m ? x : m.
LANES lanes lanes_smaller(lanes x, lanes m) {
  const lanes sign = lanes_set(-1.0f);
  return lanes_multiply(sign, lanes_larger(lanes_multiply(sign, x), lanes_multiply(sign, m)));
}
LANES lanes lanes_round(lanes x) {
  const lanes shift = lanes_set(0x1.8p23f);
  return lanes_subtract(lanes_add(x, shift), shift);
}

static void retrieve_encode_bounds(const retrieve_book *book, const float *keys, uint32_t slots,
                                   uint8_t *sides) {
  const size_t side_bytes = retrieve_side_bytes(book->dimensions);
  const size_t low = slots < 16 ? slots : 16, high = slots > 16 ? slots - 16 : 0;
  const lanes lowest = lanes_set(-INFINITY);
  memset(sides, 0, 2 * side_bytes);
  for (size_t d = 0; d < book->dimensions; ++d) {
    const lanes inverse = lanes_set(book->inverses[d]);
    const lanes a = lanes_multiply(lanes_load(keys + d * kv_positions), inverse);
    const lanes b = lanes_multiply(lanes_load(keys + d * kv_positions + 16), inverse);
    const lanes above = lanes_larger(lanes_within(a, 0, low, lowest),
                                     lanes_larger(lanes_within(b, 0, high, lowest), lowest));
    const lanes negative = lanes_subtract(lanes_zero(), a);
    const lanes opposite = lanes_subtract(lanes_zero(), b);
    const lanes below = lanes_larger(lanes_within(negative, 0, low, lowest),
                                     lanes_larger(lanes_within(opposite, 0, high, lowest), lowest));
    sides[d] = retrieve_side(lanes_fold_larger(above), 128);
    sides[side_bytes + d] = retrieve_side(lanes_fold_larger(below), 127);
  }
}

void LANES_NAME(retrieve_encode, LANES_ISA)(const void *codebook, const martlet_kv_layout *layout,
                                            const void *page, int turned, uint32_t head,
                                            uint32_t slots, void *codes, void *bounds) {
  const retrieve_book book = retrieve_book_of(codebook);
  const kv_shape shape = kv_shape_of(layout);
  kv_head part = kv_head_of(&shape, page, head);
  _Alignas(64) float keys[kv_most_dimensions * kv_positions];
  _Alignas(64) char columns[kv_most_head_bytes];
  if (turned) {
    kv_turn_page(&shape, part.keys, columns);
    part.keys = columns;
  }
  retrieve_read_page(layout->type, &shape, &part, keys);
  if (codes) retrieve_encode_codes(&book, keys, slots, codes);
  if (bounds) retrieve_encode_bounds(&book, keys, slots, bounds);
}

// ---- queries ------------------------------------------------------------------------------------

/// Coordinates j ..< j + 16 · vectors of a query.
LANES void retrieve_map_query(int vectors, const retrieve_book *book, const float *query, size_t j,
                              float *x) {
  lanes sums[4];
  for (int i = 0; i < vectors; ++i) sums[i] = lanes_zero();
  const float *map = book->query_map + j;
  for (size_t d = 0; d < book->dimensions; ++d, map += book->padded) {
    const lanes factor = lanes_set(query[d]);
    for (int i = 0; i < vectors; ++i)
      sums[i] = lanes_fma(factor, lanes_load(map + 16 * i), sums[i]);
  }
  for (int i = 0; i < vectors; ++i) lanes_store(x + j + 16 * (size_t)i, sums[i]);
}

LANES lanes lanes_finite(lanes x) {
  return lanes_smaller(lanes_larger(x, lanes_set(-1e30f)), lanes_set(1e30f));
}

void LANES_NAME(retrieve_query, LANES_ISA)(const void *codebook, const float *query,
                                           void *prepared) {
  const retrieve_book book = retrieve_book_of(codebook);
  retrieve_prepared *p = prepared;
  p->dimensions = (uint32_t)book.dimensions;
  p->nibbles = (uint32_t)book.nibbles;
  _Alignas(64) float x[kv_most_dimensions];
  _Alignas(64) float entries[retrieve_most_nibbles * retrieve_centroids];
  float lowest[retrieve_most_nibbles], range = 0, base = 0;
  size_t j = 0;
  for (; j + 64 <= book.padded; j += 64) retrieve_map_query(4, &book, query, j, x);
  for (; j < book.padded; j += 16) retrieve_map_query(1, &book, query, j, x);
  for (size_t m = 0; m < book.nibbles; ++m) {
    lanes all = lanes_zero();
    for (size_t i = book.first[m]; i < (size_t)book.first[m] + book.count[m]; ++i)
      all = lanes_fma(lanes_set(x[i]), lanes_load(book.centroids + i * retrieve_centroids), all);
    all = lanes_finite(all);
    lanes_store(entries + m * retrieve_centroids, all);
    const float high = lanes_fold_larger(all);
    lowest[m] = -lanes_fold_larger(lanes_subtract(lanes_zero(), all));
    base += lowest[m];
    range = high - lowest[m] > range ? high - lowest[m] : range;
  }
  const float ratio = range > 0 ? (float)retrieve_table_most / range : 0;
  const float inverse = ratio < 1e30f ? ratio : 0;
  p->scan_base = base;
  p->scan_step = range / (float)retrieve_table_most;
  uint8_t *tables = retrieve_tables(prepared);
  for (size_t m = 0; m < book.nibbles; ++m) {
    const lanes above = lanes_subtract(lanes_load(entries + m * retrieve_centroids),
                                       lanes_set(lowest[m]));
    uint8_t *table = tables + retrieve_table_offset(m);
    lanes_store_bytes(table, lanes_round(lanes_multiply(above, lanes_set(inverse))));
    memcpy(table + 16, table, 16);
    memcpy(retrieve_quads(prepared) + retrieve_quad_offset(m), table, 16);
  }
  retrieve_set_weights(&book, query, prepared);
}

/// Where things lie in codebooks, prepared queries and a page's parts: what the doors, the fit, the
/// reference, every variant and the checks have in common.
#ifndef MARTLET_DISPATCH_RETRIEVE_LAYOUT_H
#define MARTLET_DISPATCH_RETRIEVE_LAYOUT_H

#include "dispatch/kv_layout.h"

#include <martlet/retrieve.h>

// What is computed here has the same bits wherever it is compiled.
#pragma STDC FP_CONTRACT OFF

enum {
  retrieve_centroids = 16,
  retrieve_most_nibbles = 256,
  retrieve_table_most = 63,  ///< Largest table entry: four of them fit a byte.
  retrieve_magic = 0x4d525431,
};

/// Bytes of one side of a box: dimensions rounded up to 64.
static inline size_t retrieve_side_bytes(size_t dimensions) { return kv_round_up(dimensions, 64); }

// ---- keys ---------------------------------------------------------------------------------------

/// Dimension d of a position's key without its scale, of a page whose keys are turned or not.
static inline float retrieve_code_at(martlet_kv_type type, const kv_shape *shape,
                                     const kv_head *page, int turned, size_t d, size_t p) {
  const size_t row = type == MARTLET_KV_I4 ? d / 2 : d;
  const size_t index = turned ? p * shape->key_rows + row : row * kv_positions + p;
  const void *keys = page->keys;
  switch (type) {
    case MARTLET_KV_F32: return ((const float *)keys)[index];
    case MARTLET_KV_F16: return martlet_float_of_half(((const uint16_t *)keys)[index]);
    case MARTLET_KV_BF16: return martlet_float_of_bfloat(((const uint16_t *)keys)[index]);
    case MARTLET_KV_I8: return (float)((const int8_t *)keys)[index];
    default: break;
  }
  const unsigned pair = ((const uint8_t *)keys)[index];
  return (float)((int)(d % 2 ? pair >> 4 : pair & 15) - 8);
}

/// The scale of group g of a position's key.
static inline float retrieve_scale_at(const kv_head *page, size_t g, size_t p) {
  return martlet_float_of_half(((const uint16_t *)(const void *)page->key_scales)[g * kv_positions + p]);
}

/// Dimension d of a position's key, scale included.
static inline float retrieve_key_at(martlet_kv_type type, const kv_shape *shape,
                                    const kv_head *page, int turned, size_t d, size_t p) {
  const float code = retrieve_code_at(type, shape, page, turned, d, p);
  return shape->groups ? code * retrieve_scale_at(page, d / shape->group_dimensions, p) : code;
}

// ---- codebooks ----------------------------------------------------------------------------------

typedef struct retrieve_header {
  uint32_t magic, dimensions, nibbles;
  uint32_t kept;    ///< Coordinates that have a nibble.
  uint32_t padded;  ///< `kept` rounded up to 16: floats between rows of the maps.
} retrieve_header;

/// A codebook's parts. Coordinate first[m] + i is the i-th of count[m] that nibble m codes.
typedef struct retrieve_book {
  size_t dimensions, nibbles, kept, padded;
  uint16_t *first, *count;
  float *steps, *inverses;  ///< Per dimension: of bounds, and what they multiply by.
  float *key_map;           ///< [dimension][coordinate]
  float *query_map;         ///< [dimension][coordinate]
  float *centroids;         ///< [coordinate][16]
  float *halves;            ///< [nibble][16]: minus half the square of a centroid's length.
} retrieve_book;

enum { retrieve_header_bytes = 64 };

static inline size_t retrieve_book_bytes(size_t dimensions, size_t nibbles) {
  const size_t most = kv_round_up(dimensions, 16), row = retrieve_side_bytes(dimensions);
  return retrieve_header_bytes + kv_round_up(4 * nibbles, 64) + 8 * row +
         8 * dimensions * most + 64 * most + 64 * nibbles;
}

/// `book` is read-only wherever it came in as such.
static inline retrieve_book retrieve_book_parts(const void *book, size_t dimensions,
                                                size_t nibbles) {
  const size_t most = kv_round_up(dimensions, 16), row = retrieve_side_bytes(dimensions);
  char *at = (char *)(uintptr_t)book + retrieve_header_bytes;
  retrieve_book b = {.dimensions = dimensions, .nibbles = nibbles};
  b.first = (uint16_t *)at;
  b.count = b.first + nibbles;
  b.steps = (float *)(at + kv_round_up(4 * nibbles, 64));
  b.inverses = b.steps + row;
  b.key_map = b.inverses + row;
  b.query_map = b.key_map + dimensions * most;
  b.centroids = b.query_map + dimensions * most;
  b.halves = b.centroids + retrieve_centroids * most;
  return b;
}

static inline retrieve_book retrieve_book_of(const void *codebook) {
  const retrieve_header *header = codebook;
  retrieve_book b = retrieve_book_parts(codebook, header->dimensions, header->nibbles);
  b.kept = header->kept;
  b.padded = header->padded;
  return b;
}

// ---- prepared queries ---------------------------------------------------------------------------

/// The head of a prepared query. Tables follow: for nibbles 4g ... 4g + 3 128 bytes, entries of 4g
/// twice, 4g + 2 twice, 4g + 1 twice, 4g + 3 twice, as the scan's registers want them. Then the same in
/// quads: for nibbles 8g ... 8g + 7 64 bytes of the even ones and 64 of the odd ones. Then the query itself with zeros behind it (float32), weights of bounds (int16), and bytes that are 255 where a
/// query is negative.
typedef struct retrieve_prepared {
  uint32_t dimensions, nibbles;
  float scan_base, scan_step, bound_base, bound_step;
  uint32_t bound_shift;
} retrieve_prepared;

enum { retrieve_prepared_bytes = 64 };

static inline size_t retrieve_query_size(size_t dimensions, size_t nibbles) {
  return retrieve_prepared_bytes + 48 * nibbles + 7 * retrieve_side_bytes(dimensions);
}
static inline uint8_t *retrieve_tables(const void *prepared) {
  return (uint8_t *)(uintptr_t)prepared + retrieve_prepared_bytes;
}
/// Where entry 0 of a nibble's table first lies.
static inline size_t retrieve_table_offset(size_t nibble) {
  return nibble / 4 * 128 + nibble % 2 * 64 + nibble % 4 / 2 * 32;
}
/// Tables of a query in quads.
static inline uint8_t *retrieve_quads(const void *prepared) {
  const retrieve_prepared *p = prepared;
  return retrieve_tables(prepared) + 32 * p->nibbles;
}
static inline size_t retrieve_quad_offset(size_t nibble) {
  return nibble / 8 * 128 + nibble % 2 * 64 + nibble % 8 / 2 * 16;
}
static inline float *retrieve_query_itself(const void *prepared) {
  const retrieve_prepared *p = prepared;
  return (float *)(void *)(retrieve_quads(prepared) + 16 * p->nibbles);
}
static inline int16_t *retrieve_bound_weights(const void *prepared) {
  const retrieve_prepared *p = prepared;
  return (int16_t *)(retrieve_query_itself(prepared) + retrieve_side_bytes(p->dimensions));
}
static inline uint8_t *retrieve_bound_sides(const void *prepared) {
  const retrieve_prepared *p = prepared;
  return (uint8_t *)(retrieve_bound_weights(prepared) + retrieve_side_bytes(p->dimensions));
}

/// A finite number near x: NaN becomes the lowest. Keeps every later step free of NaN, whose way
/// through a comparison differs among ISAs.
static inline float retrieve_finite(float x) {
  x = x > -1e30f ? x : -1e30f;
  return x < 1e30f ? x : 1e30f;
}
/// The nearest integer, ties to even, of |x| < 2²².
static inline float retrieve_round(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

/// Fills in the query itself and the weights of bounds, which are plain arithmetic on few numbers. A
/// bound's weights are rounded up and its codes outwards, so that it stays a bound.
static inline void retrieve_set_weights(const retrieve_book *book, const float *query,
                                        void *prepared) {
  retrieve_prepared *p = prepared;
  float *itself = retrieve_query_itself(prepared);
  int16_t *bounds = retrieve_bound_weights(prepared);
  uint8_t *sides = retrieve_bound_sides(prepared);
  float largest = 0;
  for (size_t d = 0; d < book->dimensions; ++d) {
    const float w = retrieve_finite(query[d] * book->steps[d]), magnitude = w < 0 ? -w : w;
    largest = magnitude > largest ? magnitude : largest;
  }
  const float step = largest / 32766.0f, inverse = largest > 0 ? 32766.0f / largest : 0;
  // Where that is infinite the query is as good as zero.
  const float used = inverse < 1e30f ? inverse : 0;
  const size_t padded = retrieve_side_bytes(book->dimensions);
  uint64_t total = 0;
  float base = 0;
  for (size_t d = 0; d < padded; ++d) {
    const float w = d < book->dimensions ? retrieve_finite(query[d] * book->steps[d]) : 0;
    const float scaled = w * used, magnitude = scaled < 0 ? -scaled : scaled;
    int32_t up = (int32_t)magnitude;
    up += (float)up < magnitude;
    itself[d] = d < book->dimensions ? retrieve_finite(query[d]) : 0;
    bounds[d] = (int16_t)up;
    sides[d] = w < 0 ? 255 : 0;
    total += 255 * (uint64_t)up;
    base -= (w < 0 ? 127.0f : 128.0f) * (float)up;
  }
  uint32_t shift = 0;
  while (total >> shift > 65535) ++shift;
  p->bound_base = base * step;
  p->bound_step = step * (float)(1u << shift);
  p->bound_shift = shift;
}

// ---- samples of a search ------------------------------------------------------------------------

enum {
  retrieve_sample_hits = 64,   ///< Of what is to be found as many are expected in a sample.
  retrieve_sample_part = 16,   ///< At least one of as many pages is in it.
  retrieve_sampled_least = 128,
};

/// Pages that a search which is to find `finds` positions in `pages` pages scores first; 0: none.
static inline size_t retrieve_sample_pages(size_t pages, size_t finds) {
  if (pages < retrieve_sampled_least || pages * kv_positions < 8 * finds) return 0;
  const size_t enough = (retrieve_sample_hits * pages + finds - 1) / finds;
  const size_t part = pages / retrieve_sample_part, sample = part > enough ? part : enough;
  return sample > pages / 4 ? 0 : sample;
}
/// The i-th of them: about evenly spread, at no interval that text might have.
static inline size_t retrieve_sample_page(size_t i, size_t sample, size_t pages) {
  return i * pages / sample + i * 5 % (pages / sample);
}

// ---- bounds -------------------------------------------------------------------------------------

/// One side of a box: the smallest integer not below t, plus bias, as a byte.
static inline uint8_t retrieve_side(float t, int32_t bias) {
  t = t > -300.0f ? t : -300.0f;
  t = t < 300.0f ? t : 300.0f;
  int32_t up = (int32_t)t;
  up += (float)up < t;
  up += bias;
  return (uint8_t)(up < 0 ? 0 : up > 255 ? 255 : up);
}

// ---- what came from outside ---------------------------------------------------------------------

/// Whether memory begins as a codebook does.
static inline int retrieve_is_codebook(const void *codebook) {
  if (!codebook || (uintptr_t)codebook % 64) return 0;
  const retrieve_header *header = codebook;
  return header->magic == retrieve_magic && header->dimensions > 0 &&
         header->dimensions <= kv_most_dimensions && header->nibbles > 0 &&
         header->nibbles <= retrieve_most_nibbles && header->nibbles % 8 == 0 &&
         header->kept <= header->padded &&
         header->padded <= kv_round_up(header->dimensions, 16);
}

/// Whether memory begins as a prepared query does.
static inline int retrieve_is_prepared(const void *prepared) {
  if (!prepared || (uintptr_t)prepared % 64) return 0;
  const retrieve_prepared *p = prepared;
  return p->dimensions > 0 && p->dimensions <= kv_most_dimensions && p->nibbles > 0 &&
         p->nibbles <= retrieve_most_nibbles && p->nibbles % 8 == 0;
}

#endif

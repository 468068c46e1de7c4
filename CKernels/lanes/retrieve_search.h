/// Scanning, ranking and selecting, on the 64-byte vocabulary.
///
/// A scan adds, for each position and nibble, one byte of a table of 16: a byte shuffle looks up 64
/// at a time. A load brings the codes of four nibbles of 32 positions; four lookups (entries at most
/// 63) add up in bytes, and their sum goes to two sums of words, even and odd positions. Tile:
/// one query × four pages, two × two or four × two, so that tables are loaded once for some pages and
/// codes once for some queries. Registers of four × two on AVX-512: 16 sums, 8 nibbles, 4 tables of
/// 32. Per 64 bytes of codes and query: 2 lookups, 1.5 additions of bytes, 1.5 of words and shifts;
/// and per 64 bytes 4 to take nibbles apart. With one query that is 9 operations on four ports, 2.3
/// cycles per 64 bytes: less than memory takes to bring them. Further queries cost 1.3 cycles each.
///
/// Pages lie anywhere, so the lines of a page a few steps ahead are called for by hand.
///
/// A selection never sorts. Scores are split into sets by position; the k-th largest of the sets'
/// maxima is a lower bound of the k-th largest score, and few scores beyond the k pass it. So one
/// pass takes maxima, one gathers what passes, and the exact bound is found among those. A k-th largest
/// is found bit by bit, by counting: 32 scores take a comparison and a population count.
#include "lanes/kv_read.h"

enum {
  retrieve_block = 16,  ///< Pages that all queries go through while their codes are in L1.
  retrieve_ahead = 8,   ///< Pages between a page and the one called for.
};

// ---- scanning -----------------------------------------------------------------------------------

/// `queries` queries × `pages` pages of codes; scores[q] are query q's, 32 for each page in turn.
LANES void retrieve_scan_tile(int queries, int pages, size_t bytes, const uint8_t *const *tables,
                              const uint8_t *const *codes, const uint8_t *const *next,
                              uint16_t *const *scores) {
  wide all[WIDE_CHAINS], odd[WIDE_CHAINS];
  for (int i = 0; i < queries * pages; ++i) all[i] = odd[i] = wide_zero();
  for (size_t at = 0; at < bytes; at += 128) {
    wide nibbles[4][WIDE_CHAINS];
    for (int p = 0; p < pages; ++p) {
      const wide a = wide_load(codes[p] + at), b = wide_load(codes[p] + at + 64);
      __builtin_prefetch(next[p] + at, 0, 3);
      __builtin_prefetch(next[p] + at + 64, 0, 3);
      nibbles[0][p] = wide_low(a), nibbles[1][p] = wide_high(a);
      nibbles[2][p] = wide_low(b), nibbles[3][p] = wide_high(b);
    }
    for (int q = 0; q < queries; ++q) {
      const uint8_t *from = tables[q] + 2 * at;
      wide table[4];
      for (int i = 0; i < 4; ++i) table[i] = wide_load(from + 64 * i);
      for (int p = 0; p < pages; ++p) {
        const wide first = wide_add_bytes(wide_lookup(table[0], nibbles[0][p]),
                                          wide_lookup(table[1], nibbles[1][p]));
        const wide second = wide_add_bytes(wide_lookup(table[2], nibbles[2][p]),
                                           wide_lookup(table[3], nibbles[3][p]));
        const wide sum = wide_add_bytes(first, second);
        const int i = q * pages + p;
        all[i] = wide_add_words(all[i], sum);
        odd[i] = wide_add_words(odd[i], wide_odd(sum));
      }
    }
  }
  for (int q = 0; q < queries; ++q) {
    const wide *a = all + q * pages, *o = odd + q * pages;
    int p = 0;
#if WIDE_CHAINS == 8
    for (; p + 2 <= pages; p += 2) wide_store_two_sums(scores[q] + p * kv_positions, a + p, o + p);
#endif
    for (; p < pages; ++p) wide_store_sums(scores[q] + p * kv_positions, a[p], o[p]);
  }
}

typedef void retrieve_scan_piece(size_t bytes, const uint8_t *const *tables,
                                 const uint8_t *const *codes, const uint8_t *const *next,
                                 uint16_t *const *scores);
#define RETRIEVE_SCAN(queries, pages)                                                            \
  static __attribute__((noinline)) void retrieve_scan_##queries##_##pages(                       \
      size_t bytes, const uint8_t *const *tables, const uint8_t *const *codes,                   \
      const uint8_t *const *next, uint16_t *const *scores) {                                     \
    retrieve_scan_tile(queries, pages, bytes, tables, codes, next, scores);                      \
  }
RETRIEVE_SCAN(1, 1)
#if WIDE_CHAINS == 8
RETRIEVE_SCAN(1, 4)
RETRIEVE_SCAN(2, 1)
RETRIEVE_SCAN(2, 2)
RETRIEVE_SCAN(4, 1)
RETRIEVE_SCAN(4, 2)
#endif
#undef RETRIEVE_SCAN

/// Pieces of 1, 2 and 4 queries over `pages` pages and over one.
static const struct {
  size_t pages;
  retrieve_scan_piece *many, *one;
} retrieve_scan_pieces[] = {
#if WIDE_CHAINS == 8
    {4, retrieve_scan_1_4, retrieve_scan_1_1},
    {2, retrieve_scan_2_2, retrieve_scan_2_1},
    {2, retrieve_scan_4_2, retrieve_scan_4_1},
#else
    {1, retrieve_scan_1_1, retrieve_scan_1_1},
#endif
};
enum { retrieve_scan_powers = sizeof retrieve_scan_pieces / sizeof retrieve_scan_pieces[0] };

/// Pages of one block for queries q ..< q + (1 << power).
static void retrieve_scan_block(const martlet_retrieve_scan_arguments *a, size_t bytes, size_t q,
                                size_t power, size_t page, size_t pages,
                                const uint8_t *const *codes, const uint8_t *const *next) {
  const uint8_t *tables[4] = {NULL};
  uint16_t *scores[4] = {NULL};
  const size_t queries = (size_t)1 << power, step = retrieve_scan_pieces[power].pages;
  for (size_t i = 0; i < queries; ++i) {
    tables[i] = retrieve_tables(a->queries[q + i]);
    scores[i] = a->scores + (q + i) * a->stride + (page - a->page_begin) * kv_positions;
  }
  for (size_t p = 0; p < pages;) {
    const int many = p + step <= pages;
    (many ? retrieve_scan_pieces[power].many : retrieve_scan_pieces[power].one)(
        bytes, tables, codes + p, next + p, scores);
    p += many ? step : 1;
    for (size_t i = 0; i < queries; ++i) scores[i] += (many ? step : 1) * kv_positions;
  }
}

void LANES_NAME(retrieve_scan, LANES_ISA)(const martlet_retrieve_scan_arguments *a) {
  const retrieve_prepared *prepared = a->queries[0];
  const size_t bytes = kv_positions * prepared->nibbles / 2;
  const uint8_t *codes[retrieve_block + retrieve_ahead];
  for (size_t page = a->page_begin; page < a->page_end; page += retrieve_block) {
    const size_t left = a->page_end - page;
    const size_t pages = left < retrieve_block ? left : (size_t)retrieve_block;
    for (size_t i = 0; i < retrieve_block + retrieve_ahead; ++i) {
      const size_t from = page + i < a->page_end ? page + i : a->page_end - 1;
      codes[i] = (const uint8_t *)a->pages[from] + a->offset;
    }
    for (size_t q = 0; q < a->query_count;) {
      size_t power = retrieve_scan_powers - 1;
      while ((size_t)1 << power > a->query_count - q) --power;
      // Only the first queries find a page not yet called for.
      retrieve_scan_block(a, bytes, q, power, page, pages, codes,
                          q == 0 ? codes + retrieve_ahead : codes);
      q += (size_t)1 << power;
    }
  }
}

void LANES_NAME(retrieve_scan_bounds, LANES_ISA)(const martlet_retrieve_scan_arguments *a) {
  const size_t side_bytes =
      retrieve_side_bytes(((const retrieve_prepared *)a->queries[0])->dimensions);
  for (size_t page = a->page_begin; page < a->page_end; ++page) {
    const uint8_t *box = (const uint8_t *)a->pages[page] + a->offset;
    if (page + retrieve_ahead < a->page_end) {
      const char *next = (const char *)a->pages[page + retrieve_ahead] + a->offset;
      for (size_t d = 0; d < 2 * side_bytes; d += 64) __builtin_prefetch(next + d, 0, 3);
    }
    for (size_t q = 0; q < a->query_count; ++q) {
      const retrieve_prepared *prepared = a->queries[q];
      const int16_t *weights = retrieve_bound_weights(prepared);
      const uint8_t *sides = retrieve_bound_sides(prepared);
      wide_sum sum = wide_sum_zero();
      for (size_t d = 0; d < side_bytes; d += 64)
        sum = wide_add_sided(sum, box + d, box + side_bytes + d, sides + d, weights + d);
      a->scores[q * a->stride + page - a->page_begin] =
          (uint16_t)((uint32_t)wide_fold_sum(sum) >> prepared->bound_shift);
    }
  }
}

// ---- ranking ------------------------------------------------------------------------------------

/// Positions whose keys are ranked at once: their sums fold together.
enum { retrieve_ranked = 8 };

/// 16 dimensions of a turned key, `count` of them in the group; of four bits the even or odd ones of 32.
LANES lanes retrieve_key_part(martlet_kv_type type, const char *key, size_t v, int odd,
                              size_t count) {
  const lanes part = type == MARTLET_KV_I4 ? (odd ? kv_nibbles(bytes_load(key + 16 * v), 1)
                                                  : kv_nibbles(bytes_load(key + 16 * v), 0))
                                           : kv_load_values(type, key, v);
  return count < 16 ? lanes_within(part, 0, count, lanes_zero()) : part;
}

/// The scores of keys[0 ..< retrieve_ranked]; `query` as the type's vectors want it.
LANES void retrieve_rank_keys(martlet_kv_type type, const kv_shape *shape, const float *query,
                              const char *const *keys, const uint16_t *const *scales,
                              float *scores) {
  const size_t step = type == MARTLET_KV_I4 ? 2 : 1, group = shape->group_dimensions;
  lanes all[retrieve_ranked], part[retrieve_ranked];
  for (int i = 0; i < retrieve_ranked; ++i) all[i] = lanes_zero();
  for (size_t begin = 0, g = 0; begin < shape->dimensions; begin += group, ++g) {
    const size_t left = shape->dimensions - begin, count = left < group ? left : group;
    for (int i = 0; i < retrieve_ranked; ++i) part[i] = lanes_zero();
    for (size_t d = 0; d < count; d += 16 * step)
      for (size_t odd = 0; odd < step; ++odd) {
        const lanes q = lanes_load(query + begin + d + 16 * odd);
        const size_t there = (count - d + step - 1 - odd) / step;
        for (int i = 0; i < retrieve_ranked; ++i)
          part[i] = lanes_fma(q, retrieve_key_part(type, keys[i], (begin + d) / (16 * step),
                                                   (int)odd, there), part[i]);
      }
    for (int i = 0; i < retrieve_ranked; ++i)
      all[i] = kv_quantized(type)
                   ? lanes_fma(part[i],
                               lanes_set(martlet_float_of_half(scales[i][g * kv_positions])), all[i])
                   : part[i];
  }
  lanes_store_first(scores, retrieve_ranked,
                    lanes_finite(lanes_fold_sums(all, retrieve_ranked)));
}

typedef void retrieve_rank_function(const kv_shape *shape, const float *query,
                                    const char *const *keys, const uint16_t *const *scales,
                                    float *scores);
#define RETRIEVE_RANK(name, type)                                                              \
  static void retrieve_rank_##name(const kv_shape *shape, const float *query,                  \
                                   const char *const *keys, const uint16_t *const *scales,     \
                                   float *scores) {                                            \
    retrieve_rank_keys(type, shape, query, keys, scales, scores);                              \
  }
RETRIEVE_RANK(f32, MARTLET_KV_F32)
RETRIEVE_RANK(f16, MARTLET_KV_F16)
RETRIEVE_RANK(bf16, MARTLET_KV_BF16)
RETRIEVE_RANK(i8, MARTLET_KV_I8)
RETRIEVE_RANK(i4, MARTLET_KV_I4)
#undef RETRIEVE_RANK

static retrieve_rank_function *const retrieve_rankings[] = {
    [MARTLET_KV_F32] = retrieve_rank_f32, [MARTLET_KV_F16] = retrieve_rank_f16,
    [MARTLET_KV_BF16] = retrieve_rank_bf16, [MARTLET_KV_I8] = retrieve_rank_i8,
    [MARTLET_KV_I4] = retrieve_rank_i4};

/// A query whose dimensions lie as those of four-bit keys: of each 32 the even ones, then the odd.
LANES void retrieve_deal_query(size_t padded, const float *query, float *dealt) {
  for (size_t d = 0; d < padded; ++d) dealt[d / 32 * 32 + d % 2 * 16 + d % 32 / 2] = query[d];
}

void LANES_NAME(retrieve_rank, LANES_ISA)(const void *prepared, const martlet_kv_layout *layout,
                                          uint32_t head, const void *const *pages,
                                          size_t page_offset, size_t count,
                                          const uint32_t *positions, float *scores) {
  const kv_shape shape = kv_shape_of(layout);
  const float *query = retrieve_query_itself(prepared);
  _Alignas(64) float dealt[kv_most_dimensions];
  if (layout->type == MARTLET_KV_I4) {
    retrieve_deal_query(retrieve_side_bytes(shape.dimensions), query, dealt);
    query = dealt;
  }
  // Keys are lines apart from each other: as many are on their way as a core keeps track of.
  enum { ahead = 2 * retrieve_ranked };
  const char *keys[3][retrieve_ranked];
  const uint16_t *scales[3][retrieve_ranked];
  for (size_t i = 0; i < count + ahead; i += retrieve_ranked) {
    const size_t set = i / retrieve_ranked % 3;
    for (size_t k = 0; k < retrieve_ranked && i < count; ++k) {
      const uint32_t position = positions[i + k < count ? i + k : count - 1];
      const kv_head page = kv_head_of(
          &shape, (const char *)pages[position / kv_positions] + page_offset, head);
      const size_t slot = position % kv_positions;
      keys[set][k] = page.keys + slot * shape.key_row_bytes;
      scales[set][k] = (const uint16_t *)(const void *)page.key_scales + slot;
      for (size_t b = 0; b < shape.key_row_bytes; b += 64)
        __builtin_prefetch(keys[set][k] + b, 0, 3);
      for (size_t g = 0; g < shape.groups; ++g)
        __builtin_prefetch(scales[set][k] + g * kv_positions, 0, 3);
    }
    if (i < ahead) continue;
    const size_t first = i - ahead, old = first / retrieve_ranked % 3;
    float ranked[retrieve_ranked];
    if (first >= count) break;
    retrieve_rankings[layout->type](&shape, query, keys[old], scales[old], ranked);
    for (size_t k = 0; k < retrieve_ranked && first + k < count; ++k)
      scores[first + k] = ranked[k];
  }
}

// ---- selecting ----------------------------------------------------------------------------------

/// Scores that are at least `least`.
LANES size_t retrieve_count(size_t count, const uint16_t *scores, uint16_t least) {
  size_t sum = 0, i = 0;
  for (; i + 32 <= count; i += 32)
    sum += (size_t)__builtin_popcount(wide_words_at_least(scores + i, least));
  for (; i < count; ++i) sum += scores[i] >= least;
  return sum;
}

/// The k-th largest score, bit by bit: counting is much faster than telling scores apart.
static uint16_t retrieve_kth(size_t count, const uint16_t *scores, size_t k) {
  uint32_t least = 0;
  for (uint32_t bit = 1u << 15; bit; bit >>= 1)
    if (retrieve_count(count, scores, (uint16_t)(least | bit)) >= k) least |= bit;
  return (uint16_t)least;
}

/// A lower bound of the k-th largest score. `maxima` has room for a quarter of the scores.
static uint16_t retrieve_least(size_t count, const uint16_t *scores, size_t k, uint16_t *maxima) {
  const size_t blocks = count / 32;
  // Sets of `group` scores, as large as leaves four times k of them: few sets hold two of the best.
  size_t group = 1;
  while (group < 64 && blocks / (2 * group) * 32 >= 4 * k) group *= 2;
  if (group < 4) return retrieve_kth(count, scores, k);
  size_t sets = 0;
  for (size_t block = 0; block + group <= blocks; block += group, sets += 32) {
    const uint16_t *from = scores + block * 32;
    wide a = wide_load(from), b = wide_load(from + 32);
    for (size_t i = 2; i < group; i += 2) {
      a = wide_larger_words(a, wide_load(from + 32 * i));
      b = wide_larger_words(b, wide_load(from + 32 * i + 32));
    }
    wide_store(maxima + sets, wide_larger_words(a, b));
  }
  return retrieve_kth(sets, maxima, k);
}

/// Places of the scores that are at least `least`, of which there are about k; `places` has room for four
/// more.
static size_t retrieve_passing(size_t count, const uint16_t *scores, uint16_t least, size_t k,
                               uint32_t *places) {
  // Where few pass, that none of 64 does can be predicted.
  const int few = k * 512 < count;
  size_t n = 0, i = 0;
  for (; i + 64 <= count; i += 64) {
    uint64_t mask = wide_words_at_least(scores + i, least) |
                    (uint64_t)wide_words_at_least(scores + i + 32, least) << 32;
    if (few && mask == 0) continue;
    // Four are written whether they are there or not: which ones are cannot be predicted.
    const size_t hits = (size_t)__builtin_popcountll(mask);
    for (int h = 0; h < 4; ++h, mask &= mask - 1)
      places[n + (size_t)h] = (uint32_t)i + (uint32_t)(mask ? __builtin_ctzll(mask) : 0);
    for (size_t h = 4; h < hits; ++h, mask &= mask - 1)
      places[n + h] = (uint32_t)i + (uint32_t)__builtin_ctzll(mask);
    n += hits;
  }
  for (; i < count; ++i)
    if (scores[i] >= least) places[n++] = (uint32_t)i;
  return n;
}

void LANES_NAME(retrieve_select, LANES_ISA)(size_t count, const uint16_t *scores, size_t k,
                                            void *scratch, uint32_t *places) {
  uint32_t *passed = scratch;
  uint16_t *kept = (uint16_t *)(void *)(passed + count + 4);
  const uint16_t bound = retrieve_least(count, scores, k, kept);
  const size_t n = retrieve_passing(count, scores, bound, k, passed);
  for (size_t i = 0; i < n; ++i) kept[i] = scores[passed[i]];
  const uint16_t least = n == k ? bound : retrieve_kth(n, kept, k);
  size_t equal = k - (least == UINT16_MAX ? 0 : retrieve_count(n, kept, (uint16_t)(least + 1)));
  for (size_t i = 0, next = 0; next < k; ++i) {
    const int same = kept[i] == least && equal > 0;
    places[next] = passed[i];
    next += kept[i] > least || same;
    equal -= (size_t)same;
  }
}

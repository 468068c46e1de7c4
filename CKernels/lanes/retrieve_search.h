/// Scanning bounds, ranking and selecting, on the 16-lane and the 64-byte vocabulary.
///
/// A ranking is a dot product per key, eight keys at a time whose 16 sums each fold together. Of 128
/// dimensions of bfloat16 a key is four lines, and 4 loads, 8 operations to make float32 of words and 8
/// multiply-adds: 4 cycles, and as many to call for keys further on, which lie lines apart.
///
/// A selection never sorts. Scores are split into sets by position; the k-th largest of the sets'
/// maxima is a lower bound of the k-th largest score, and few scores beyond the k pass it. So one
/// pass takes maxima, one gathers what passes, and the exact bound is found among those. A k-th largest
/// is found bit by bit, by counting: 32 scores take a comparison and a population count.
#include "lanes/kv_read.h"

enum { retrieve_bounds_ahead = 8 };  ///< Pages between a page and the one called for.

// ---- bounds -------------------------------------------------------------------------------------

void LANES_NAME(retrieve_scan_bounds, LANES_ISA)(const martlet_retrieve_scan_arguments *a) {
  const size_t side_bytes =
      retrieve_side_bytes(((const retrieve_prepared *)a->queries[0])->dimensions);
  for (size_t page = a->page_begin; page < a->page_end; ++page) {
    const uint8_t *box = (const uint8_t *)a->pages[page] + a->offset;
    if (page + retrieve_bounds_ahead < a->page_end) {
      const char *next = (const char *)a->pages[page + retrieve_bounds_ahead] + a->offset;
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

/// Types whose keys are read two dimensions at a time: those of a byte, or of a word of bfloat16, whose
/// halves become float32 by a shift or a mask.
LANES int retrieve_key_pairs(martlet_kv_type type) {
  return type == MARTLET_KV_I4 || type == MARTLET_KV_BF16;
}

/// 16 dimensions of a turned key, `count` of them in the group; where keys are read in pairs the even or
/// the odd ones of 32.
LANES lanes retrieve_key_part(martlet_kv_type type, const char *key, size_t v, int odd,
                              size_t count) {
  lanes part;
  if (type == MARTLET_KV_I4)
    part = odd ? kv_nibbles(bytes_load(key + 16 * v), 1) : kv_nibbles(bytes_load(key + 16 * v), 0);
  else if (type == MARTLET_KV_BF16)
    part = odd ? lanes_load_odd_bf16(key + 64 * v) : lanes_load_even_bf16(key + 64 * v);
  else
    part = kv_load_values(type, key, v);
  return count < 16 ? lanes_within(part, 0, count, lanes_zero()) : part;
}

/// The scores of keys[0 ..< retrieve_ranked]; `query` as the type's vectors want it.
LANES void retrieve_rank_keys(martlet_kv_type type, const kv_shape *shape, const float *query,
                              const char *const *keys, const uint16_t *const *scales,
                              float *scores) {
  const size_t step = retrieve_key_pairs(type) ? 2 : 1, group = shape->group_dimensions;
  lanes all[retrieve_ranked], part[retrieve_ranked];
  for (int i = 0; i < retrieve_ranked; ++i) all[i] = lanes_zero();
  for (size_t begin = 0, g = 0; begin < shape->dimensions; begin += group, ++g) {
    const size_t left = shape->dimensions - begin, count = left < group ? left : group;
    size_t d = 0;
    for (int i = 0; i < retrieve_ranked; ++i) part[i] = lanes_zero();
    for (; d + 16 * step <= count; d += 16 * step)
      for (size_t odd = 0; odd < step; ++odd) {
        const lanes q = lanes_load(query + begin + d + 16 * odd);
        for (int i = 0; i < retrieve_ranked; ++i)
          part[i] = lanes_fma(q, retrieve_key_part(type, keys[i], (begin + d) / (16 * step),
                                                   (int)odd, 16), part[i]);
      }
    for (size_t odd = 0; odd < step && d < count; ++odd) {
      const lanes q = lanes_load(query + begin + d + 16 * odd);
      const size_t there = (count - d + step - 1 - odd) / step;
      for (int i = 0; i < retrieve_ranked; ++i)
        part[i] = lanes_fma(q, retrieve_key_part(type, keys[i], (begin + d) / (16 * step), (int)odd,
                                                 there), part[i]);
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

/// What a ranking goes through.
typedef struct retrieve_ranking {
  kv_shape shape;
  const float *query;         ///< As the type's vectors want it.
  const void *const *pages;
  size_t key_offset, scale_offset;
  size_t count;
  const uint32_t *positions;
  float *scores;
} retrieve_ranking;

/// Keys on their way, some sets of them.
typedef struct retrieve_called {
  const char *keys[4][retrieve_ranked];
  const uint16_t *scales[4][retrieve_ranked];
} retrieve_called;

/// Calls for a key, which lies lines apart from the others.
LANES void retrieve_call_key(martlet_kv_type type, const retrieve_ranking *r, uint32_t position,
                             const char **called, const uint16_t **scales) {
  const char *page = r->pages[position / kv_positions];
  const size_t slot = position % kv_positions, row = r->shape.key_row_bytes;
  const char *key = page + r->key_offset + slot * row;
  *called = key;
  for (size_t b = 0; b + 256 <= row; b += 256)
    for (size_t line = 0; line < 256; line += 64) __builtin_prefetch(key + b + line, 0, 3);
  for (size_t b = row / 256 * 256; b < row; b += 64) __builtin_prefetch(key + b, 0, 3);
  if (!kv_quantized(type)) return;
  *scales = (const uint16_t *)(const void *)(page + r->scale_offset) + slot;
  for (size_t g = 0; g < r->shape.groups; ++g) __builtin_prefetch(*scales + g * kv_positions, 0, 3);
}

LANES void retrieve_rank_type(martlet_kv_type type, const retrieve_ranking *r) {
  enum { sets = 4, ahead = 3 * retrieve_ranked };
  retrieve_called called = {0};
  for (size_t i = 0; i < r->count + ahead; i += retrieve_ranked) {
    const size_t set = i / retrieve_ranked % sets;
    if (i + retrieve_ranked <= r->count) {
      for (size_t k = 0; k < retrieve_ranked; ++k)
        retrieve_call_key(type, r, r->positions[i + k], &called.keys[set][k],
                          &called.scales[set][k]);
    } else if (i < r->count) {
      // The last set is filled up with the last key.
      for (size_t k = 0; k < retrieve_ranked; ++k)
        retrieve_call_key(type, r, r->positions[i + k < r->count ? i + k : r->count - 1],
                          &called.keys[set][k], &called.scales[set][k]);
    }
    if (i < ahead) continue;
    const size_t first = i - ahead, old = first / retrieve_ranked % sets;
    if (first >= r->count) break;
    float ranked[retrieve_ranked];
    const size_t left = r->count - first;
    retrieve_rank_keys(type, &r->shape, r->query, called.keys[old], called.scales[old],
                       left < retrieve_ranked ? ranked : r->scores + first);
    for (size_t k = 0; left < retrieve_ranked && k < left; ++k) r->scores[first + k] = ranked[k];
  }
}

typedef void retrieve_rank_function(const retrieve_ranking *ranking);
#define RETRIEVE_RANK(name, type) \
  static void retrieve_rank_##name(const retrieve_ranking *r) { retrieve_rank_type(type, r); }
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

/// A query whose dimensions lie as those of keys read in pairs: of each 32 the even ones, then the odd.
LANES void retrieve_deal_query(size_t padded, const float *query, float *dealt) {
  for (size_t d = 0; d < padded; d += 32)
    for (size_t i = 0; i < 32; ++i) dealt[d + i % 2 * 16 + i / 2] = query[d + i];
}

void LANES_NAME(retrieve_rank, LANES_ISA)(const void *prepared, const martlet_kv_layout *layout,
                                          uint32_t head, const void *const *pages,
                                          size_t page_offset, size_t count,
                                          const uint32_t *positions, float *scores) {
  retrieve_ranking r = {.shape = kv_shape_of(layout),
                        .query = retrieve_query_itself(prepared),
                        .pages = pages,
                        .count = count,
                        .positions = positions,
                        .scores = scores};
  r.key_offset = page_offset + head * r.shape.key_head_bytes;
  r.scale_offset = page_offset + r.shape.key_scales + head * r.shape.scale_head_bytes;
  _Alignas(64) float dealt[kv_most_dimensions];
  if (retrieve_key_pairs(layout->type)) {
    retrieve_deal_query(retrieve_side_bytes(r.shape.dimensions), r.query, dealt);
    r.query = dealt;
  }
  retrieve_rankings[layout->type](&r);
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

/// Bits that some score has.
LANES uint32_t retrieve_bits(size_t count, const uint16_t *scores) {
  uint32_t bits = 0;
  for (size_t i = 0; i < count; ++i) bits |= scores[i];
  return bits;
}

/// The k-th largest score, bit by bit: counting is much faster than telling scores apart.
static uint16_t retrieve_kth(size_t count, const uint16_t *scores, size_t k) {
  uint32_t least = 0, bit = 1;
  for (const uint32_t bits = retrieve_bits(count, scores); bits >> 1 >= bit;) bit <<= 1;
  for (; bit; bit >>= 1)
    if (retrieve_count(count, scores, (uint16_t)(least | bit)) >= k) least |= bit;
  return (uint16_t)least;
}

/// Sets of as many scores as leaves four times k of them: few sets hold two of the best. 1 where sets
/// are not worth it.
static size_t retrieve_group(size_t count, size_t k) {
  size_t group = 1;
  while (group < 64 && count / 32 / (2 * group) * 32 >= 4 * k) group *= 2;
  return group < 4 ? 1 : group;
}

/// A lower bound of the k-th largest score; that score itself where sets are of one. `maxima` has room
/// for a quarter of the scores.
static uint16_t retrieve_least(size_t count, const uint16_t *scores, size_t group, size_t k,
                               uint16_t *maxima) {
  if (group == 1) return retrieve_kth(count, scores, k);
  const size_t blocks = count / 32;
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

/// The places of scores above `least` and of the first `equal` that are `least`; `places` are the scores'
/// own, or null where they are 0, 1, 2 ….
static void retrieve_take(size_t count, const uint16_t *scores, const uint32_t *own, uint16_t least,
                          size_t equal, uint32_t *places) {
  size_t i = 0, n = 0;
  for (; i + 32 <= count; i += 32) {
    const uint32_t same_or_more = wide_words_at_least(scores + i, least);
    const uint32_t more =
        least == UINT16_MAX ? 0 : wide_words_at_least(scores + i, (uint16_t)(least + 1));
    uint32_t same = same_or_more & ~more, taken = more | same;
    size_t sames = (size_t)__builtin_popcount(same);
    for (; sames > equal; --sames) {
      const uint32_t last = 1u << (31 - __builtin_clz(same));
      same &= ~last, taken &= ~last;
    }
    equal -= sames;
    n += own ? wide_pack(own + i, taken, places + n)
             : wide_pack_places((uint32_t)i, taken, places + n);
  }
  for (; i < count; ++i) {
    const int same = scores[i] == least && equal > 0;
    if (scores[i] <= least && !same) continue;
    equal -= (size_t)same;
    places[n++] = own ? own[i] : (uint32_t)i;
  }
}

void LANES_NAME(retrieve_select, LANES_ISA)(size_t count, const uint16_t *scores, size_t k,
                                            void *scratch, uint32_t *places) {
  uint32_t *passed = scratch;
  uint16_t *kept = (uint16_t *)(void *)(passed + count + 4);
  const size_t group = retrieve_group(count, k);
  uint16_t least = retrieve_least(count, scores, group, k, kept);
  if (group == 1) {
    passed = NULL;
  } else {
    const size_t n = retrieve_passing(count, scores, least, k, passed);
    for (size_t i = 0; i < n; ++i) kept[i] = scores[passed[i]];
    if (n > k) least = retrieve_kth(n, kept, k);
    count = n, scores = kept;
  }
  const size_t more = least == UINT16_MAX ? 0 : retrieve_count(count, scores, (uint16_t)(least + 1));
  retrieve_take(count, scores, passed, least, k - more, places);
}

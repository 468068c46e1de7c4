/// What a tile of query vectors does with a page: scores, weights, values. The design note is in
/// attention.h, which works out the tiles.
#include "lanes/kv_gather.h"

enum {
  attention_chunk_pages = MARTLET_ATTENTION_CHUNK_TOKENS / kv_positions,
  attention_block = 64,  ///< Query vectors whose sums stay in cache together.
  attention_step = 4,    ///< Pages that a run takes at once where it has them.
};

/// A block of rows of one key-value head.
typedef struct attention_work {
  const martlet_attention_arguments *call;
  kv_shape shape;
  size_t padded;  ///< Dimensions, rounded up to 16.
  const martlet_attention_row *rows;
  size_t row_begin, row_count;  ///< The block's rows in the call.
  size_t kv_head, head_begin, heads;  ///< `heads` query heads from `head_begin` on.
  size_t page_end;              ///< No page from here on is this call's to read.
  _Alignas(64) float packed[attention_block * kv_most_dimensions];
  float values[attention_block * kv_most_dimensions];
  float largest[attention_block + 16], sum[attention_block + 16];
  float all_largest[attention_block], all_sum[attention_block];
  /// Visible slots of the present page, per row.
  uint8_t begin[attention_block], end[attention_block];
  /// Of a piece: its query vectors × the pages that it takes at once, at most LANES_CHAINS / 2.
  float weights[LANES_CHAINS * kv_positions], scaled[LANES_TILE * kv_positions];
  float factors[32];
  kv_gathered gathered;
  const uint32_t *called;  ///< The part of a path whose positions have been called for.
} attention_work;

// ---- scores -------------------------------------------------------------------------------------

/// The 32 dot products of `queries` query vectors, from `query` on, with each of `pages` pages;
/// those of page p begin at low[p · queries]. Meanwhile the keys of `next` come nearer.
LANES void attention_dots(martlet_kv_type type, int queries, int pages, const attention_work *work,
                          size_t query, const kv_head *page, const kv_head *next, lanes *low,
                          lanes *high) {
  const size_t dimensions = work->shape.dimensions;
  const size_t row_bytes = type == MARTLET_KV_I4 ? 16 : 2 * kv_vector_bytes(type);
  const size_t step = type == MARTLET_KV_I4 ? 2 : 1;
  const size_t group = type == MARTLET_KV_I4 ? (size_t)kv_i4_group : dimensions;
  const float *packed = work->packed + query / LANES_TILE * LANES_TILE * dimensions +
                        query % LANES_TILE;
  const int count = queries * pages;
  if (kv_quantized(type))
    for (int i = 0; i < count; ++i) low[i] = high[i] = lanes_zero();
  for (size_t begin = 0, g = 0; begin < dimensions; begin += group, ++g) {
    const size_t end = dimensions - begin < group ? dimensions : begin + group;
    lanes a[LANES_CHAINS], b[LANES_CHAINS];
    for (int i = 0; i < count; ++i) a[i] = b[i] = lanes_zero();
    for (size_t d = begin; d < end; d += step)
      for (size_t odd = 0; odd < step; ++odd) {
        if (odd && d + odd == end) break;
        for (int p = 0; p < pages; ++p) {
          if (!odd) __builtin_prefetch(next[p].keys + d * row_bytes, 0, 3);
          if (type == MARTLET_KV_F32) __builtin_prefetch(next[p].keys + d * row_bytes + 64, 0, 3);
          // d + odd, said so that its parity is a constant.
          const size_t from = type == MARTLET_KV_I4 ? d / 2 * 2 + odd : d;
          lanes first = kv_load_keys(type, page[p].keys, from, 0);
          lanes second = kv_load_keys(type, page[p].keys, from, 16);
          for (int h = 0; h < queries; ++h) {
            lanes q = lanes_set(packed[(d + odd) * LANES_TILE + (size_t)h]);
            a[p * queries + h] = lanes_fma(q, first, a[p * queries + h]);
            b[p * queries + h] = lanes_fma(q, second, b[p * queries + h]);
          }
        }
      }
    for (int p = 0; p < pages; ++p) {
      if (!kv_quantized(type)) {
        for (int i = p * queries; i < (p + 1) * queries; ++i) low[i] = a[i], high[i] = b[i];
        continue;
      }
      const uint16_t *scales = (const uint16_t *)page[p].key_scales + g * kv_positions;
      lanes first = lanes_load_f16(scales), second = lanes_load_f16(scales + 16);
      for (int i = p * queries; i < (p + 1) * queries; ++i) {
        low[i] = lanes_fma(a[i], first, low[i]);
        high[i] = lanes_fma(b[i], second, high[i]);
      }
    }
  }
}

/// The first 16 slots of a page, `other` outside [begin, end), and the last 16.
LANES lanes attention_low(lanes v, size_t begin, size_t end, lanes other) {
  return lanes_within(v, begin < 16 ? begin : 16, end < 16 ? end : 16, other);
}
LANES lanes attention_high(lanes v, size_t begin, size_t end, lanes other) {
  return lanes_within(v, begin > 16 ? begin - 16 : 0, end > 16 ? end - 16 : 0, other);
}

/// Scores of `pages` pages become weights, the running maximum and sum move on page by page, and
/// the factors for the values so far are left; page p's begin at slot p · queries. `full` says that
/// all positions are visible to all. The folds of all pages are taken together.
LANES void attention_weights(int queries, int pages, int full, attention_work *work, size_t query,
                             const lanes *low, const lanes *high) {
  const lanes lowest = lanes_set(-INFINITY);
  const int count = queries * pages;
  lanes a[LANES_CHAINS], b[LANES_CHAINS], folded[LANES_CHAINS], factors[attention_step];
  for (int i = 0; i < count; ++i) {
    a[i] = low[i], b[i] = high[i];
    if (!full) {
      const size_t row = (query + (size_t)i) / work->heads;
      a[i] = attention_low(a[i], work->begin[row], work->end[row], lowest);
      b[i] = attention_high(b[i], work->begin[row], work->end[row], lowest);
    }
    folded[i] = lanes_larger(b[i], lanes_larger(a[i], lowest));
  }
  float shifts[32], sums[32];
  lanes_store(shifts, lanes_fold_largers(folded, count));
  lanes largest = lanes_load(work->largest + query);
  for (int p = 0; p < pages; ++p) {
    lanes larger = lanes_larger(lanes_load(shifts + p * queries), largest);
    factors[p] = lanes_exp(lanes_subtract(largest, larger));
    lanes_store_first(shifts + p * queries, (size_t)queries, larger);
    lanes_store_first(work->factors + p * queries, (size_t)queries, factors[p]);
    largest = larger;
  }
  for (int i = 0; i < count; ++i) {
    const lanes shift = lanes_set(shifts[i]);
    a[i] = lanes_exp(lanes_subtract(a[i], shift));
    b[i] = lanes_exp(lanes_subtract(b[i], shift));
    if (!full) {
      const size_t row = (query + (size_t)i) / work->heads;
      a[i] = attention_low(a[i], work->begin[row], work->end[row], lanes_zero());
      b[i] = attention_high(b[i], work->begin[row], work->end[row], lanes_zero());
    }
    lanes_store(work->weights + i * kv_positions, a[i]);
    lanes_store(work->weights + i * kv_positions + 16, b[i]);
    folded[i] = lanes_add(a[i], b[i]);
  }
  lanes_store(sums, lanes_fold_sums(folded, count));
  lanes sum = lanes_load(work->sum + query);
  for (int p = 0; p < pages; ++p)
    sum = lanes_fma(sum, factors[p], lanes_load(sums + p * queries));
  lanes_store_first(work->sum + query, (size_t)queries, sum);
  lanes_store_first(work->largest + query, (size_t)queries, largest);
}

// ---- values -------------------------------------------------------------------------------------

/// Weighted values of slots [begin, end), vectors v ..< v + `vectors`, of `queries` query vectors.
LANES void attention_weighted(martlet_kv_type type, int queries, int vectors, attention_work *work,
                              size_t query, size_t slot, size_t begin, size_t end,
                              const float *weights, const kv_head *page, const kv_head *next,
                              size_t v) {
  const size_t row_bytes = work->shape.value_row_bytes, vector_bytes = kv_vector_bytes(type);
  lanes sums[LANES_CHAINS];
  for (int i = 0; i < queries * vectors; ++i) sums[i] = lanes_zero();
  const char *row = page->values + begin * row_bytes;
  const char *ahead = next->values + begin * row_bytes + v * vector_bytes;
  for (size_t position = begin; position < end; ++position) {
    lanes loaded[8];
    for (int i = 0; i < vectors; ++i) {
      loaded[i] = kv_load_values(type, row, v + (size_t)i);
      if ((size_t)i * vector_bytes % 64 == 0)
        __builtin_prefetch(ahead + (size_t)i * vector_bytes, 0, 3);
    }
    for (int h = 0; h < queries; ++h) {
      lanes weight = lanes_set(weights[(size_t)h * kv_positions + position]);
      for (int i = 0; i < vectors; ++i)
        sums[h * vectors + i] = lanes_fma(weight, loaded[i], sums[h * vectors + i]);
    }
    row += row_bytes;
    ahead += row_bytes;
  }
  const size_t padded = work->padded;
  const float *factors = work->factors + slot;
  float *out = work->values + query * padded + 16 * v;
  for (int h = 0; h < queries; ++h, out += padded) {
    lanes factor = lanes_set(factors[h]);
    for (int i = 0; i < vectors; ++i)
      lanes_store(out + 16 * i, lanes_fma(lanes_load(out + 16 * i), factor, sums[h * vectors + i]));
  }
}

/// All dimensions of `queries` query vectors, slots [begin, end).
LANES void attention_values(martlet_kv_type type, int queries, attention_work *work, size_t query,
                            size_t slot, size_t begin, size_t end, const kv_head *page,
                            const kv_head *next) {
  const size_t all = work->padded / 16;
  const size_t group = type == MARTLET_KV_I4 ? 2 : all;
  const float *weights = work->weights + slot * kv_positions;
  for (size_t v = 0, g = 0; v < all; ++g) {
    const size_t past = all - v < group ? all : v + group;
    const float *used = weights;
    if (kv_quantized(type)) {
      const uint16_t *scales = (const uint16_t *)page->value_scales + g * kv_positions;
      lanes first = lanes_load_f16(scales), second = lanes_load_f16(scales + 16);
      for (int h = 0; h < queries; ++h) {
        const float *from = weights + h * kv_positions;
        lanes_store(work->scaled + h * kv_positions, lanes_multiply(lanes_load(from), first));
        lanes_store(work->scaled + h * kv_positions + 16,
                    lanes_multiply(lanes_load(from + 16), second));
      }
      used = work->scaled;
    }
#define ATTENTION_VECTORS(n)                                                                       \
  if (queries * (n) <= LANES_CHAINS && (type != MARTLET_KV_I4 || (n) <= 2))                        \
    for (; v + (n) <= past; v += (n))                                                              \
  attention_weighted(type, queries, n, work, query, slot, begin, end, used, page, next, v)
    ATTENTION_VECTORS(8);
    ATTENTION_VECTORS(4);
    ATTENTION_VECTORS(2);
    ATTENTION_VECTORS(1);
#undef ATTENTION_VECTORS
  }
}

// ---- pages --------------------------------------------------------------------------------------

/// Pages that a piece of 1 << power query vectors scores at once.
#define ATTENTION_PAGES(power)                                                       \
  (LANES_CHAINS >> ((power) + 1) < 1                                                 \
       ? 1                                                                           \
       : LANES_CHAINS >> ((power) + 1) > attention_step ? (int)attention_step        \
                                                        : LANES_CHAINS >> ((power) + 1))

typedef void attention_dots_function(const attention_work *work, size_t query, const kv_head *page,
                                     const kv_head *next, lanes *low, lanes *high);
typedef void attention_weights_function(attention_work *work, size_t query, const lanes *low,
                                        const lanes *high);
typedef void attention_values_function(attention_work *work, size_t query, size_t slot,
                                       size_t begin, size_t end, const kv_head *page,
                                       const kv_head *next);

/// The parts of a piece of 1 << power query vectors: functions of their own, so that each has all
/// registers.
typedef struct attention_typed {
  attention_dots_function *one, *many;  ///< One page, ATTENTION_PAGES(power) pages.
  attention_values_function *values;
} attention_typed;
typedef struct attention_untyped {
  attention_weights_function *one, *many, *ragged;
} attention_untyped;

#define ATTENTION_APART static __attribute__((noinline)) void
#define ATTENTION_TYPED(name, type, power)                                                         \
  ATTENTION_APART attention_one_##name##_##power(const attention_work *work, size_t query,         \
                                                 const kv_head *page, const kv_head *next,         \
                                                 lanes *low, lanes *high) {                        \
    attention_dots(type, 1 << power, 1, work, query, page, next, low, high);                       \
  }                                                                                                \
  ATTENTION_APART attention_many_##name##_##power(const attention_work *work, size_t query,        \
                                                  const kv_head *page, const kv_head *next,        \
                                                  lanes *low, lanes *high) {                       \
    attention_dots(type, 1 << power, ATTENTION_PAGES(power), work, query, page, next, low, high);  \
  }                                                                                                \
  ATTENTION_APART attention_values_##name##_##power(attention_work *work, size_t query,            \
                                                    size_t slot, size_t begin, size_t end,         \
                                                    const kv_head *page, const kv_head *next) {    \
    attention_values(type, 1 << power, work, query, slot, begin, end, page, next);                 \
  }
#define ATTENTION_UNTYPED(power)                                                                  \
  ATTENTION_APART attention_weights_one_##power(attention_work *work, size_t query,               \
                                                const lanes *low, const lanes *high) {            \
    attention_weights(1 << power, 1, 1, work, query, low, high);                                  \
  }                                                                                               \
  ATTENTION_APART attention_weights_many_##power(attention_work *work, size_t query,              \
                                                 const lanes *low, const lanes *high) {           \
    attention_weights(1 << power, ATTENTION_PAGES(power), 1, work, query, low, high);             \
  }                                                                                               \
  ATTENTION_APART attention_weights_ragged_##power(attention_work *work, size_t query,            \
                                                   const lanes *low, const lanes *high) {         \
    attention_weights(1 << power, 1, 0, work, query, low, high);                                  \
  }
#define ATTENTION_TYPED_ROW(name, power) \
  {attention_one_##name##_##power, attention_many_##name##_##power, \
   attention_values_##name##_##power}
#define ATTENTION_UNTYPED_ROW(power)                                \
  {attention_weights_one_##power, attention_weights_many_##power,   \
   attention_weights_ragged_##power}

#if LANES_TILE == 8
#define ATTENTION_TYPED_ALL(name, type)                                           \
  ATTENTION_TYPED(name, type, 0) ATTENTION_TYPED(name, type, 1)                   \
  ATTENTION_TYPED(name, type, 2) ATTENTION_TYPED(name, type, 3)
#define ATTENTION_TYPED_ROWS(name)                                                \
  {ATTENTION_TYPED_ROW(name, 0), ATTENTION_TYPED_ROW(name, 1),                    \
   ATTENTION_TYPED_ROW(name, 2), ATTENTION_TYPED_ROW(name, 3)}
ATTENTION_UNTYPED(0) ATTENTION_UNTYPED(1) ATTENTION_UNTYPED(2) ATTENTION_UNTYPED(3)
static const attention_untyped attention_weighing[] = {
    ATTENTION_UNTYPED_ROW(0), ATTENTION_UNTYPED_ROW(1), ATTENTION_UNTYPED_ROW(2),
    ATTENTION_UNTYPED_ROW(3)};
#else
#define ATTENTION_TYPED_ALL(name, type) \
  ATTENTION_TYPED(name, type, 0) ATTENTION_TYPED(name, type, 1)
#define ATTENTION_TYPED_ROWS(name) {ATTENTION_TYPED_ROW(name, 0), ATTENTION_TYPED_ROW(name, 1)}
ATTENTION_UNTYPED(0) ATTENTION_UNTYPED(1)
static const attention_untyped attention_weighing[] = {
    ATTENTION_UNTYPED_ROW(0), ATTENTION_UNTYPED_ROW(1)};
#endif

ATTENTION_TYPED_ALL(f32, MARTLET_KV_F32)
ATTENTION_TYPED_ALL(f16, MARTLET_KV_F16)
ATTENTION_TYPED_ALL(bf16, MARTLET_KV_BF16)
ATTENTION_TYPED_ALL(i8, MARTLET_KV_I8)
ATTENTION_TYPED_ALL(i4, MARTLET_KV_I4)

static const attention_typed attention_reading[][4] = {
    [MARTLET_KV_F32] = ATTENTION_TYPED_ROWS(f32), [MARTLET_KV_F16] = ATTENTION_TYPED_ROWS(f16),
    [MARTLET_KV_BF16] = ATTENTION_TYPED_ROWS(bf16), [MARTLET_KV_I8] = ATTENTION_TYPED_ROWS(i8),
    [MARTLET_KV_I4] = ATTENTION_TYPED_ROWS(i4)};

#undef ATTENTION_APART
#undef ATTENTION_TYPED
#undef ATTENTION_UNTYPED
#undef ATTENTION_TYPED_ROW
#undef ATTENTION_UNTYPED_ROW
#undef ATTENTION_TYPED_ALL
#undef ATTENTION_TYPED_ROWS

/// The largest power of two up to n and LANES_TILE, as an exponent.
static size_t attention_power(size_t n) {
  size_t power = 0;
  while (power < 3 && (size_t)2 << power <= n && (size_t)2 << power <= LANES_TILE) ++power;
  return power;
}

/// Values of a piece whose rows see different parts of the page: row by row. A weight of zero would
/// not do, because what a row may not see may be NaN.
static void attention_ragged_values(attention_work *work, size_t query, size_t queries,
                                    const kv_head *page, const kv_head *next) {
  const attention_typed *reading = attention_reading[work->call->layout->type];
  const size_t first = query, past = query + queries;
  while (query < past) {
    const size_t row = query / work->heads, begin = work->begin[row], end = work->end[row];
    size_t together = query + 1;
    while (together < past && work->begin[together / work->heads] == begin &&
           work->end[together / work->heads] == end)
      ++together;
    while (query < together) {
      const size_t power = attention_power(together - query);
      reading[power].values(work, query, query - first, begin, end, page, next);
      query += (size_t)1 << power;
    }
  }
}

/// `pages` consecutive pages for 1 << power query vectors that share them.
static void attention_piece(attention_work *work, size_t power, size_t query, size_t pages,
                            const kv_head *page, const kv_head *next, int full) {
  const attention_typed *reading = &attention_reading[work->call->layout->type][power];
  const attention_untyped *weighing = &attention_weighing[power];
  const size_t together = (size_t)ATTENTION_PAGES(power);
  lanes low[LANES_CHAINS], high[LANES_CHAINS];
  size_t p = 0;
  if (together > 1)
    for (; p + together <= pages; p += together) {
      reading->many(work, query, page + p, next + p, low, high);
      weighing->many(work, query, low, high);
      for (size_t i = 0; i < together; ++i)
        reading->values(work, query, i << power, 0, kv_positions, page + p + i, next + p + i);
    }
  for (; p < pages; ++p) {
    reading->one(work, query, page + p, next + p, low, high);
    if (full) {
      weighing->one(work, query, low, high);
      reading->values(work, query, 0, 0, kv_positions, page + p, next + p);
    } else {
      weighing->ragged(work, query, low, high);
      attention_ragged_values(work, query, (size_t)1 << power, page + p, next + p);
    }
  }
}

/// Attention over pages on the 16-lane vocabulary.
///
/// A query vector is one query head of one row. A call's rows go through in blocks of up to 64
/// query vectors of one key-value head; per page, neighbouring rows whose page lists hold the same
/// address form a run, and a run's query vectors (rows × heads of the group) meet the page in tiles
/// of LANES_TILE: a page comes from memory once per block, and every loaded and widened key or
/// value vector feeds a multiply-add of each query vector of a tile.
///
/// Tile: LANES_TILE query vectors × the 32 positions of a page. Scores: per dimension two key
/// vectors, LANES_TILE broadcasts (queries are packed dimension-major per tile, so these are
/// neighbours), 2 · LANES_TILE multiply-adds into 2 · LANES_TILE accumulators. Values: per position
/// LANES_CHAINS / LANES_TILE value vectors and as many chains. Registers on AVX-512: 16 sums, 8
/// broadcasts, 2 keys of 32; AVX2 (two registers a vector): 8, 1, 4 of 16; NEON (four): 16, 1, 8 of
/// 32. Smaller tiles take 2 or 4 pages at once for the scores and more value vectors, so that there
/// are always about LANES_CHAINS chains to hide the latency of a multiply-add.
///
/// Per page, query vector and d dimensions: 128·d operations (4·d multiply-adds of 16 lanes), two
/// exponentials of 16 lanes, two folds. Memory: 64·d elements per page and block, fetched ahead
/// while the page before is worked on, line by line where the same line of the present page is
/// used.
///
/// Measured on a Zen 5 core against the limits of the same runs (250 GFLOP/s of multiply-adds, 37
/// GB/s of reads): 16 rows × 4 heads on 4,096 shared positions at 79% of the multiply-adds with
/// heads of 128 and 71% with heads of 64 (the two exponentials and the folds are the rest); one row
/// × 4 heads over 32,768 positions of f16 at 75 to 80% of the reads, for the price of one head.
/// More in docs/kernels.md.
#include "dispatch/kv_layout.h"

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
  /// Of a piece: its query vectors × the pages that it takes at once, at most LANES_CHAINS / 2 + 1.
  float weights[LANES_CHAINS * kv_positions], scaled[LANES_TILE * kv_positions];
  float factors[32];
  kv_gathered gathered;
} attention_work;

// ---- elements -----------------------------------------------------------------------------------

/// Bytes of 16 elements in a row of values.
LANES size_t kv_vector_bytes(martlet_kv_type type) {
  switch (type) {
    case MARTLET_KV_F32: return 64;
    case MARTLET_KV_I8: return 16;
    case MARTLET_KV_I4: return 8;
    default: return 32;
  }
}

LANES int kv_quantized(martlet_kv_type type) {
  return type == MARTLET_KV_I8 || type == MARTLET_KV_I4;
}

LANES lanes kv_nibbles(bytes pairs, int high) {
  bytes codes = high ? bytes_shift_right(pairs, 4) : pairs;
  return lanes_of_signed(bytes_subtract(bytes_and(codes, bytes_set(15)), bytes_set(8)));
}

/// 16 positions, from `position` on, of dimension d. `type` is a constant wherever this is inlined.
LANES lanes kv_load_keys(martlet_kv_type type, const char *keys, size_t d, size_t position) {
  const size_t index = d * kv_positions + position;
  switch (type) {
    case MARTLET_KV_F32: return lanes_load((const float *)keys + index);
    case MARTLET_KV_F16: return lanes_load_f16((const uint16_t *)keys + index);
    case MARTLET_KV_BF16: return lanes_load_bf16((const uint16_t *)keys + index);
    case MARTLET_KV_I8: return lanes_of_signed(bytes_load(keys + index));
    default: return kv_nibbles(bytes_load(keys + d / 2 * kv_positions + position), d % 2);
  }
}

/// Vector v of a position's values.
LANES lanes kv_load_values(martlet_kv_type type, const char *row, size_t v) {
  switch (type) {
    case MARTLET_KV_F32: return lanes_load((const float *)row + 16 * v);
    case MARTLET_KV_F16: return lanes_load_f16((const uint16_t *)row + 16 * v);
    case MARTLET_KV_BF16: return lanes_load_bf16((const uint16_t *)row + 16 * v);
    case MARTLET_KV_I8: return lanes_of_signed(bytes_load(row + 16 * v));
    default: {
      bytes pairs = bytes_load(row + v / 2 * 16);
      return v % 2 ? kv_nibbles(pairs, 1) : kv_nibbles(pairs, 0);
    }
  }
}

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

// ---- rows ---------------------------------------------------------------------------------------

LANES int attention_meets(const martlet_attention_row *row, size_t page) {
  return row->first < (page + 1) * kv_positions && row->end > page * kv_positions;
}
/// Whether positions of this page come from the row's path.
LANES int attention_gathers(const martlet_attention_row *row, size_t page) {
  return row->path_count && kv_path_begin(row) < (page + 1) * kv_positions;
}
/// Whether the row sees all of `pages` pages where its list says.
LANES int attention_covers(const martlet_attention_row *row, size_t page, size_t pages) {
  return row->first <= page * kv_positions && row->end >= (page + pages) * kv_positions &&
         !attention_gathers(row, page + pages - 1);
}
LANES int attention_shares(const martlet_attention_row *a, const martlet_attention_row *b,
                           size_t page, size_t pages) {
  for (size_t i = 0; i < pages; ++i)
    if (a->pages[page + i] != b->pages[page + i]) return 0;
  return 1;
}

/// The page to bring nearer while `present` is worked on.
LANES kv_head attention_ahead(const attention_work *work, const martlet_attention_row *row,
                              size_t page, kv_head present) {
  if (page >= work->page_end || !attention_meets(row, page) || attention_gathers(row, page))
    return present;
  return kv_head_of(&work->shape, (const char *)row->pages[page] + work->call->page_offset,
                    work->kv_head);
}

/// Rows [r, r + rows) of the block, which share `pages` pages from `page` on. Several pages are
/// visible to the rows as a whole.
static void attention_run(attention_work *work, size_t r, size_t rows, size_t page, size_t pages) {
  const martlet_attention_row *row = &work->rows[r];
  const size_t begin = r * work->heads, end = (r + rows) * work->heads;
  const int few = end - begin < LANES_TILE;
  const size_t ahead = few ? (size_t)ATTENTION_PAGES(attention_power(end - begin)) : 1;
  kv_head present[attention_step], next[attention_step];
  for (size_t i = 0; i < pages; ++i) {
    present[i] = kv_row_page(&work->shape, row, work->call->page_offset, page + i, work->kv_head,
                             &work->gathered);
    next[i] = attention_ahead(work, row, page + i + ahead, present[i]);
  }
  int full = 1;
  if (pages == 1)
    for (size_t i = r; i < r + rows; ++i) {
      const size_t start = page * kv_positions, first = work->rows[i].first;
      const size_t past = work->rows[i].end - start;
      work->begin[i] = (uint8_t)(first > start ? first - start : 0);
      work->end[i] = (uint8_t)(past < kv_positions ? past : kv_positions);
      full &= work->begin[i] == 0 && work->end[i] == kv_positions;
    }
  // Few query vectors: their chains come from several pages. Many: a page is done with them all
  // while it is in L1. Only the first piece of a page has to call for the next page.
  const size_t each = few ? pages : 1;
  for (size_t p = 0; p < pages; p += each)
    for (size_t query = begin; query < end;) {
      const size_t tile_end = (query / LANES_TILE + 1) * LANES_TILE;
      const size_t power = attention_power((tile_end < end ? tile_end : end) - query);
      attention_piece(work, power, query, each, present + p,
                      query == begin ? next + p : present + p, full);
      query += (size_t)1 << power;
    }
}

/// Finds the runs among rows [r, past) for `pages` pages from `page` on.
static void attention_sweep(attention_work *work, size_t r, size_t past, size_t page,
                            size_t pages) {
  while (r < past) {
    const martlet_attention_row *row = &work->rows[r];
    size_t run = 1;
    if (pages > 1) {
      const int covers = attention_covers(row, page, pages);
      while (r + run < past && attention_covers(row + run, page, pages) == covers &&
             (!covers || attention_shares(row, row + run, page, pages)))
        ++run;
      if (covers) attention_run(work, r, run, page, pages);
      else
        for (size_t i = 0; i < pages; ++i) attention_sweep(work, r, r + run, page + i, 1);
    } else if (attention_meets(row, page)) {
      if (!attention_gathers(row, page))
        while (r + run < past && attention_meets(row + run, page) &&
               !attention_gathers(row + run, page) && attention_shares(row, row + run, page, 1))
          ++run;
      attention_run(work, r, run, page, 1);
    }
    r += run;
  }
}

// ---- chunks -------------------------------------------------------------------------------------

/// What a merge has come to; the values are where they go in the end.
typedef struct attention_total {
  float *largest, *sum, *values;
} attention_total;

/// Merges a part into a total; the first one opens it.
LANES void attention_merge(size_t dimensions, int opening, attention_total total, float largest,
                           float sum, const float *values) {
  const float old = opening ? -INFINITY : *total.largest;
  const float merged = largest > old ? largest : old;
  const float old_factor = martlet_exp_f32(old - merged);
  const float factor = martlet_exp_f32(largest - merged);
  const float kept = opening ? 0.0f * old_factor : *total.sum * old_factor;
  *total.largest = merged;
  *total.sum = __builtin_fmaf(sum, factor, kept);
  const lanes old_lanes = lanes_set(old_factor), factor_lanes = lanes_set(factor);
  for (size_t d = 0; d < dimensions; d += 16) {
    const size_t n = dimensions - d < 16 ? dimensions - d : 16;
    lanes so_far = opening ? lanes_zero()
                           : n == 16 ? lanes_load(total.values + d)
                                     : lanes_load_first(total.values + d, n);
    lanes result = lanes_fma(lanes_load(values + d), factor_lanes,
                             lanes_multiply(so_far, old_lanes));
    if (n == 16) lanes_store(total.values + d, result);
    else lanes_store_first(total.values + d, n, result);
  }
}

LANES void attention_finish(size_t dimensions, float sum, float *output) {
  const lanes inverse = lanes_set(1.0f / sum);
  for (size_t d = 0; d < dimensions; d += 16) {
    const size_t n = dimensions - d < 16 ? dimensions - d : 16;
    if (n == 16) lanes_store(output + d, lanes_multiply(lanes_load(output + d), inverse));
    else lanes_store_first(output + d, n, lanes_multiply(lanes_load_first(output + d, n), inverse));
  }
}

/// A single part's merge and finish in one: both factors of its merge are known, 0 and 1. (Where
/// they would be NaN, so are the part's sum and values.) Adding zero is what is left of the merge.
LANES void attention_finish_only(size_t dimensions, float sum, const float *values, float *output) {
  const lanes inverse = lanes_set(1.0f / sum);
  for (size_t d = 0; d < dimensions; d += 16) {
    const size_t n = dimensions - d < 16 ? dimensions - d : 16;
    lanes result = lanes_multiply(lanes_add(lanes_load(values + d), lanes_zero()), inverse);
    if (n == 16) lanes_store(output + d, result);
    else lanes_store_first(output + d, n, result);
  }
}

LANES const float *attention_query(const attention_work *work, size_t query) {
  const size_t head = work->head_begin + query % work->heads;
  return work->rows[query / work->heads].query + head * work->shape.dimensions;
}

/// Queries times the scale, dimension-major per tile.
LANES void attention_pack(attention_work *work) {
  const size_t dimensions = work->shape.dimensions, queries = work->row_count * work->heads;
  const float scale = work->call->scale;
  for (size_t tile = 0; tile < queries; tile += LANES_TILE) {
    const size_t n = queries - tile < LANES_TILE ? queries - tile : LANES_TILE;
    float *to = work->packed + tile * dimensions;
    const float *from[LANES_TILE];
    for (size_t i = 0; i < n; ++i) from[i] = attention_query(work, tile + i);
    size_t d = 0;
#if LANES_TILE == 8
    if (n == LANES_TILE)
      for (; d + 16 <= dimensions; d += 16) {
        lanes v[LANES_TILE];
        for (int i = 0; i < LANES_TILE; ++i)
          v[i] = lanes_multiply(lanes_load(from[i] + d), lanes_set(scale));
        lanes_store_transposed(v, to + d * LANES_TILE);
      }
#endif
    for (; d < dimensions; ++d)
      for (size_t i = 0; i < n; ++i) to[d * LANES_TILE + i] = from[i][d] * scale;
  }
}

/// One chunk's pages for all rows of the block.
LANES void attention_chunk(attention_work *work, size_t chunk) {
  const size_t queries = work->row_count * work->heads;
  for (size_t query = 0; query < queries; ++query) {
    work->largest[query] = -INFINITY;
    work->sum[query] = 0;
  }
  memset(work->values, 0, queries * work->padded * sizeof(float));
  const size_t end = (chunk + 1) * attention_chunk_pages;
  for (size_t page = chunk * attention_chunk_pages; page < end; page += attention_step)
    attention_sweep(work, 0, work->row_count, page, attention_step);
}

/// Hands on what a chunk gave: to its record, or into the totals.
LANES void attention_deliver(attention_work *work, size_t chunk) {
  const martlet_attention_arguments *call = work->call;
  const size_t dimensions = work->shape.dimensions;
  for (size_t r = 0, query = 0; r < work->row_count; ++r)
    for (size_t h = 0; h < work->heads; ++h, ++query) {
      const martlet_attention_row *row = &work->rows[r];
      const size_t first = row->first / MARTLET_ATTENTION_CHUNK_TOKENS;
      const size_t last = (row->end - 1) / MARTLET_ATTENTION_CHUNK_TOKENS;
      if (chunk < first || chunk > last) continue;
      const float *values = work->values + query * work->padded;
      if (call->partials) {
        float *record = attention_record(call, chunk, work->row_begin + r, work->head_begin + h);
        memcpy(record, values, work->padded * sizeof(float));
        record[work->padded] = work->largest[query];
        record[work->padded + 1] = work->sum[query];
        continue;
      }
      float *output = row->output + (work->head_begin + h) * dimensions;
      if (first == last) {
        attention_finish_only(dimensions, work->sum[query], values, output);
        continue;
      }
      const attention_total total = {work->all_largest + query, work->all_sum + query, output};
      attention_merge(dimensions, chunk == first, total, work->largest[query], work->sum[query],
                      values);
      if (chunk == last) attention_finish(dimensions, work->all_sum[query], output);
    }
}

/// The work struct's block from its first page to its last.
static void attention_run_block(attention_work *work) {
  size_t begin = SIZE_MAX, end = 0;
  for (size_t r = 0; r < work->row_count; ++r) {
    const martlet_attention_row *row = &work->rows[r];
    begin = row->first < begin ? row->first : begin;
    end = row->end > end ? row->end : end;
  }
  size_t first = begin / MARTLET_ATTENTION_CHUNK_TOKENS;
  size_t past = (end - 1) / MARTLET_ATTENTION_CHUNK_TOKENS + 1;
  if (work->call->partials) {
    first = first > work->call->chunk_begin ? first : work->call->chunk_begin;
    past = past < work->call->chunk_end ? past : work->call->chunk_end;
  }
  work->page_end = past * attention_chunk_pages;
  if (first < past) attention_pack(work);
  for (size_t chunk = first; chunk < past; ++chunk) {
    attention_chunk(work, chunk);
    attention_deliver(work, chunk);
  }
}

void LANES_NAME(attention_f32, LANES_ISA)(const martlet_attention_arguments *call) {
  const size_t group = call->query_heads / call->layout->kv_heads;
  attention_work work;
  work.call = call;
  work.shape = kv_shape_of(call->layout);
  work.padded = kv_round_up(work.shape.dimensions, 16);
  for (size_t kv_head = call->kv_head_begin; kv_head < call->kv_head_end; ++kv_head)
    for (size_t h = 0; h < group; h += attention_block) {
      work.kv_head = kv_head;
      work.head_begin = kv_head * group + h;
      work.heads = group - h < attention_block ? group - h : (size_t)attention_block;
      const size_t rows = attention_block / work.heads;
      for (size_t r = 0; r < call->row_count; r += rows) {
        work.rows = call->rows + r;
        work.row_begin = r;
        work.row_count = call->row_count - r < rows ? call->row_count - r : rows;
        attention_run_block(&work);
      }
    }
}

void LANES_NAME(attention_merge_f32, LANES_ISA)(const martlet_attention_arguments *call) {
  const size_t dimensions = call->layout->head_dimensions, padded = kv_round_up(dimensions, 16);
  const size_t group = call->query_heads / call->layout->kv_heads;
  for (size_t r = 0; r < call->row_count; ++r)
    for (size_t head = call->kv_head_begin * group; head < call->kv_head_end * group; ++head) {
      const martlet_attention_row *row = &call->rows[r];
      const size_t first = row->first / MARTLET_ATTENTION_CHUNK_TOKENS;
      const size_t last = (row->end - 1) / MARTLET_ATTENTION_CHUNK_TOKENS;
      float largest, sum, *output = row->output + head * dimensions;
      for (size_t chunk = first; chunk <= last; ++chunk) {
        const float *record = attention_record(call, chunk, r, head);
        attention_merge(dimensions, chunk == first, (attention_total){&largest, &sum, output},
                        record[padded], record[padded + 1], record);
      }
      attention_finish(dimensions, sum, output);
    }
}

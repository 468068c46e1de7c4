/// Part of lanes/choose.h: a row on its way through the rules, and lists of what lies between bounds.

#ifndef CHOOSE_NATIVE
#define choose_sums block_sums
#define choose_sums_begin block_sums_begin
#define choose_sums_first block_sums_first
#define choose_sums_second block_sums_second
#define choose_extremes block_extremes
#define choose_extremes_four block_extremes_four
#define choose_shape block_shape
#define choose_shape_units block_shape_units
#define choose_units block_units
#define choose_weigh block_weigh
#define choose_count block_count
#define choose_gather block_gather
#define choose_tally block_tally
#define choose_tally_begin block_tally_begin
#define choose_tally_whole block_tally_whole
#define choose_tally_outside block_tally_outside
#define choose_split block_split
#define choose_split_above block_split
#define choose_shape_split block_shape_split
#define choose_shape_split_above block_shape_split
#define choose_lift block_lift
#define choose_sum_listed block_sum_listed
#define choose_weight_above block_weight_above
#define choose_spread block_spread
/// What an ISA may skip where a block is known to need no clamp or comparison.
LANES void choose_shape_near(const float *l, float maximum, float factor, block_sums *sums) {
  block_shape(l, maximum, factor, -INFINITY, INFINITY, sums);
}
LANES uint64_t choose_shape_units_near(const float *l, float maximum, float factor, float scale,
                                       block_sums *sums) {
  uint32_t count;
  return block_shape_units(l, maximum, factor, scale, -INFINITY, sums, &count);
}
LANES uint64_t choose_weigh_all(const float *l, float maximum, float factor, float scale) {
  uint32_t count;
  return block_weigh(l, maximum, factor, scale, -INFINITY, INFINITY, &count);
}
#endif

enum { CHOOSE_BLOCK = MARTLET_LOGITS_BLOCK, CHOOSE_BAR = 64, CHOOSE_SHORT = 512, CHOOSE_BUCKETS = 256,
       CHOOSE_SAMPLED = 256 };
#define CHOOSE_LOWEST -3.40282347e38f

typedef struct choose_state {
  size_t width, blocks;
  const float **rows;  ///< The blocks of the adjusted row.
  float *maxima, *minima;  ///< Of each.
  int32_t *keys;       ///< The maxima as integers in the same order.
  float *scales;       ///< 2^places of each.
  uint8_t *shifts;     ///< grain - places of each.
  uint64_t *sums;      ///< Units of the set in each, where `weighed`.
  uint32_t *starts;    ///< Where the logits of each begin in a list that choose_split made.
  float maximum, factor, top;
  int grain, weighed;
  int apart;           ///< Whether total and kept count of a list what `sums` do not.
  int listed;          ///< Whether values, tokens and weights hold the set, in order of id.
  size_t length;       ///< Of that list.
  uint64_t total, kept;
  /// Of all tokens at this temperature, where `shaped`.
  int shaped;
  double log_sum, entropy;
  choose_set set;
  float *values, *keyed;
  uint32_t *tokens, *units;
  uint64_t *weights, *spare;
  /// Where a cut by weight was foreseen: no logit at or above `rings.low` is below it, and none
  /// below `rings.outer_low` above it. `whole` weighs the row; sums, total and kept hold what is
  /// above, the list what is between, of the weight `between`.
  int guessed;
  block_rings rings;
  uint64_t whole, between;
} choose_state;

/// A block's logits and the closed interval of them that is in `set`. A block in which equal logits
/// are in and out is copied without those that are out.
LANES const float *choose_view(const choose_state *s, size_t b, const choose_set *set, float *copy,
                               float *low, float *high) {
  const float *row = s->rows[b];
  const uint32_t first = (uint32_t)b * CHOOSE_BLOCK, last = first + CHOOSE_BLOCK - 1;
  *low = set->low;
  *high = set->high;
  if (set->low_token >= last && set->high_token <= first) return row;
  int mixed = 0;
  if (set->low_token < first) *low = nextafterf(*low, INFINITY);
  else if (set->low_token < last) mixed = 1;
  if (set->high_token > last) *high = nextafterf(*high, -INFINITY);
  else if (set->high_token > first) mixed = 1;
  if (!mixed) return row;
  for (uint32_t i = 0; i < CHOOSE_BLOCK; ++i) {
    const uint32_t token = first + i;
    const int out = (row[i] == set->low && token > set->low_token) ||
                    (row[i] == set->high && token < set->high_token);
    copy[i] = out ? -INFINITY : row[i];
  }
  return copy;
}

/// Weighs a list of what lies between intervals; returns the sum.
static uint64_t choose_split_end(choose_state *s) {
  s->starts[s->blocks] = (uint32_t)s->length;
  const float maximum = s->maximum, factor = s->factor;
  const float *restrict values = s->values, *restrict scales = s->scales;
  const uint32_t *restrict starts = s->starts;
  const uint8_t *restrict shifts = s->shifts;
  uint64_t *restrict weights = s->weights;
  const size_t blocks = s->blocks, length = s->length;
  // Blocks with the same units in a row are lifted together: on a flat row, where the list is long,
  // nearly all have the same.
  for (size_t b = 0, end; b < blocks; b = end) {
    for (end = b + 1; end < blocks && shifts[end] == shifts[b];) ++end;
    const uint32_t first = starts[b], count = starts[end] - first;
    if (count > 0)
      choose_lift(values + first, count, maximum, factor, scales[b], shifts[b], weights + first);
  }
  uint64_t between = 0;
  for (size_t i = 0; i < length; ++i) between += weights[i];
  return between;
}

/// Weighs what of the set lies in the inner interval, into sums, total and kept; lists what lies
/// between it and the outer one, with weights; returns their sum.
static uint64_t choose_split_set(choose_state *s, block_rings rings) {
  float copy[CHOOSE_BLOCK], low, high;
  choose_tally tally = choose_tally_begin();
  uint64_t split = 0;
  s->total = s->length = 0;
  for (size_t b = 0; b < s->blocks; ++b) {
    block_part part = {0, 0};
    if (s->maxima[b] >= rings.outer_low && s->maxima[b] >= s->set.low) {
      const float *row = choose_view(s, b, &s->set, copy, &low, &high);
      const block_rings seen = {low > rings.low ? low : rings.low,
                                high < rings.high ? high : rings.high,
                                low > rings.outer_low ? low : rings.outer_low,
                                high < rings.outer_high ? high : rings.outer_high};
      choose_split(row, s->maximum, s->factor, s->scales[b], s->shifts[b], seen,
                   (uint32_t)b * CHOOSE_BLOCK, &tally, s->values + s->length,
                   s->tokens + s->length, &part);
      split += CHOOSE_BLOCK;
    }
    s->starts[b] = (uint32_t)s->length;
    s->sums[b] = part.inner;
    s->length += part.appended;
    s->total += part.inner << s->shifts[b];
  }
  s->kept = split - choose_tally_outside(&tally);
  return choose_split_end(s);
}

/// Adds what the set has of the list that choose_split made to total and kept. The sums of blocks
/// follow where more than one draw needs them.
static void choose_split_join(choose_state *s) {
  s->total += choose_sum_listed(s->values, s->tokens, s->weights, (uint32_t)s->length, s->set,
                                &s->kept);
  s->weighed = s->apart = 1;
}
/// What the set has of the list in some blocks.
LANES uint64_t choose_apart(const choose_state *s, size_t first, size_t end) {
  const uint32_t from = s->starts[first], count = s->starts[end] - from;
  uint64_t found = 0;
  return choose_sum_listed(s->values + from, s->tokens + from, s->weights + from, count, s->set,
                           &found);
}
static void choose_join_sums(choose_state *s) {
  if (!s->apart) return;
  for (size_t b = 0; b < s->blocks; ++b) s->sums[b] += choose_apart(s, b, b + 1) >> s->shifts[b];
  s->apart = 0;
}

static uint64_t choose_count_above(const choose_state *s, float bound) {
  float copy[CHOOSE_BLOCK], low, high;
  uint64_t total = 0;
  const float least = nextafterf(bound, INFINITY);
  for (size_t b = 0; b < s->blocks; ++b) {
    if (s->maxima[b] <= bound || s->maxima[b] < s->set.low) continue;
    const float *row = choose_view(s, b, &s->set, copy, &low, &high);
    total += choose_count(row, low > least ? low : least, high);
  }
  return total;
}

/// The set's tokens in from ≤ l ≤ to, in order of id. Which blocks to look into is found without a
/// branch, for sixty-four at a time: on a row that was not seen before it could not be foreseen.
static size_t choose_collect(const choose_state *s, float from, float to) {
  enum { GROUP = 64 };
  float copy[CHOOSE_BLOCK], low, high;
  const float bar = from > s->set.low ? from : s->set.low;
  size_t n = 0;
  for (size_t group = 0; group < s->blocks; group += GROUP) {
    const size_t end = s->blocks - group < GROUP ? s->blocks : group + GROUP;
    size_t found[GROUP + 1], count = 0;
    for (size_t b = group; b < end; ++b) {
      found[count] = b;
      count += s->maxima[b] >= bar;
    }
    for (size_t i = 0; i < count; ++i) {
      const size_t b = found[i];
      const float *row = choose_view(s, b, &s->set, copy, &low, &high);
      n += choose_gather(row, low > from ? low : from, high < to ? high : to,
                         (uint32_t)b * CHOOSE_BLOCK, s->values + n, s->tokens + n);
    }
  }
  return n;
}

/// Weights of collected tokens, and their sum.
static uint64_t choose_weights(const choose_state *s, size_t n) {
  const float maximum = s->maximum, factor = s->factor, floor = martlet_exp2_floor(factor);
  const float *restrict values = s->values, *restrict scales = s->scales;
  const uint32_t *restrict tokens = s->tokens;
  const uint8_t *restrict shifts = s->shifts;
  float *restrict keyed = s->keyed;
  uint64_t *restrict weights = s->weights;
  uint64_t sum = 0;
  for (size_t i = 0; i < n; ++i) keyed[i] = scales[tokens[i] / CHOOSE_BLOCK];
  for (size_t i = 0; i < n; ++i)
    keyed[i] = rintf(martlet_exp2_f32(values[i] - maximum, factor, floor) * keyed[i]);
  for (size_t i = 0; i < n; ++i) {
    weights[i] = (uint64_t)(uint32_t)(int32_t)keyed[i] << shifts[tokens[i] / CHOOSE_BLOCK];
    sum += weights[i];
  }
  return sum;
}

/// Integers in the order of the floats, and back.
LANES int32_t choose_key(float value) {
  int32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits < 0 ? bits ^ 0x7fffffff : bits;
}
LANES float choose_of_key(int32_t key) {
  const uint32_t bits = (uint32_t)(key < 0 ? key ^ 0x7fffffff : key);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// The least and the largest finite value, by keys: compilers make vector code of that.
LANES void choose_range(const float *values, size_t n, float *least, float *most) {
  int32_t low = INT32_MAX, high = INT32_MIN;
  const int32_t lowest = choose_key(CHOOSE_LOWEST);
  for (size_t i = 0; i < n; ++i) {
    const int32_t key = choose_key(values[i]);
    const int32_t counted = key < lowest ? INT32_MAX : key;
    low = counted < low ? counted : low;
    high = key > high ? key : high;
  }
  *least = choose_of_key(low < high ? low : high);
  *most = choose_of_key(high);
}

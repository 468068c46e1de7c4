/// From logits to a token by rules (martlet/sampling.h): the order of passes, over block primitives
/// that an ISA may have of its own (CHOOSE_NATIVE) or takes from reference/choose_blocks.h.
///
/// Passes over the whole row, 513 KB at 128,256 logits, which L2 delivers at 64 bytes per cycle:
///   1. maxima of blocks: 1 cycle per 16 logits, the limit of L2;
///   2. exponentials with their sum and moment, the by-products: eleven operations per 16 logits,
///      4 cycles; at temperature 1 the same exponentials give the weights, 5 cycles;
///   3. top-nσ alone: sum and squares, 2 cycles;
///   4. weights of what is left, where the temperature is not 1: 4 cycles, but only in blocks whose
///      maximum survives.
/// Every truncation ends as an interval of ranks, so a set is two logits with two token ids for
/// their ties, and what it holds is found again by comparison. Blocks below the interval are not
/// touched: after top-k, min-p or top-nσ on a model's row a pass costs tens of blocks, not
/// hundreds. Ranks are hardly ever sorted: top-k takes the k-th largest block maximum as a bar that
/// k logits reach, and selects among the few above it; top-p takes the logits above the 64th block
/// maximum, or the median one. Where more are needed, by top-p or typical, a sample bounds the
/// threshold, and one pass of weights adds up what is above the bounds and lists what lies between.
/// On a flat row, where block maxima weigh much together, top-p samples before any weight is known, so
/// that pass is pass 2 itself: 7 cycles per 16 logits, of which the masks and the list are two.
/// Tail-free sampling sorts the ranks that can move its cut.

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

/// What a selection found: the value at which the running weight of values in falling order reaches
/// what is needed, the weight and number of those above it, and of those that share it.
typedef struct choose_cut_point {
  float value;
  uint64_t above, above_count, equal, count;
} choose_cut_point;

/// Copies few of n values of weight `sum`, among which the cut is, with their weights; *above and
/// *above_count become the weight and number of those that are larger. Each probe compares all of them, sixteen at a time, and is put where the
/// weights between the bounds so far, were they even, would have the cut, on this side of it and on
/// that in turn, so that the bounds close in from both. Returns 0 where they do not.
static size_t choose_narrow(float *values, const uint64_t *weights, size_t n, uint64_t sum,
                            uint64_t need, float *few, uint64_t *few_weights, uint64_t *above,
                            uint64_t *above_count) {
  enum { PROBES = 12 };
  float low, high;
  choose_range(values, n, &low, &high);
  low = nextafterf(low, -INFINITY);
  uint64_t over_low = sum, over_high = 0;
  uint32_t through = (uint32_t)n, before = 0;
  for (int probe = 0; probe < PROBES && through - before > 32; ++probe) {
    const double share = (double)(need - over_high) / (double)(over_low - over_high);
    const double margin = 1.5 / sqrt((double)(through - before));
    const double place = share + (probe % 2 ? -margin : margin);
    const double inside = place < margin ? margin : place > 1 - margin ? 1 - margin : place;
    const float bound = (float)((double)high - ((double)high - (double)low) * inside);
    if (!(bound > low && bound < high)) break;
    uint32_t count;
    const uint64_t weight = choose_weight_above(values, weights, n, bound, &count);
    if (weight < need) {
      high = bound;
      over_high = weight;
      before = count;
    } else {
      low = bound;
      over_low = weight;
      through = count;
    }
  }
  if (through - before > 64) return 0;
  // In low < l ≤ high, gathered by whole blocks.
  float found[64 + 16];
  uint32_t places[64 + 16];
  size_t kept = 0;
  const size_t end = (n + CHOOSE_BLOCK - 1) / CHOOSE_BLOCK * CHOOSE_BLOCK;
  for (size_t i = n; i < end; ++i) values[i] = -INFINITY;
  for (size_t i = 0; i < end; i += CHOOSE_BLOCK)
    kept += choose_gather(values + i, nextafterf(low, INFINITY), high, (uint32_t)i, found + kept,
                          places + kept);
  for (size_t i = 0; i < kept; ++i) {
    few[i] = found[i];
    few_weights[i] = weights[places[i]];
  }
  *above = over_high;
  *above_count = before;
  return kept;
}

/// The cut among n > 0 values, whose weights sum to `sum`, `need` or more. Few of them fall into buckets
/// along their range; the bucket that holds the cut is looked into again. Overwrites
/// `values` and `weights`, which have room for all, and what is after the last of `all`.
static choose_cut_point choose_select(float *all, const uint64_t *all_weights, size_t n,
                                      uint64_t sum, uint64_t need, float *values,
                                      uint64_t *weights) {
  uint64_t above = 0, above_count = 0;
  const size_t narrowed = n > CHOOSE_SHORT
                              ? choose_narrow(all, all_weights, n, sum, need, values, weights,
                                              &above, &above_count)
                              : 0;
  if (narrowed > 0) {
    n = narrowed;
  } else {
    memcpy(values, all, n * sizeof *values);
    memcpy(weights, all_weights, n * sizeof *weights);
  }
  while (n > 32) {
    float least = values[0], most = values[0];
    for (size_t i = 1; i < n; ++i) {
      least = values[i] < least ? values[i] : least;
      most = values[i] > most ? values[i] : most;
    }
    if (least == most) break;
    uint64_t buckets[CHOOSE_BUCKETS] = {0};
    const double end = (double)most, scale = (CHOOSE_BUCKETS - 0.5) / (end - (double)least);
    for (size_t i = 0; i < n; ++i)
      buckets[(int)((end - (double)values[i]) * scale)] += weights[i];
    int found = 0;
    while (found < CHOOSE_BUCKETS - 1 && above + buckets[found] < need) above += buckets[found++];
    size_t kept = 0;
    for (size_t i = 0; i < n; ++i) {
      const float value = values[i];
      const uint64_t weight = weights[i];
      const int bucket = (int)((end - (double)value) * scale);
      values[kept] = value;
      weights[kept] = weight;
      kept += bucket == found;
      above_count += bucket < found;
    }
    n = kept;
  }
  choose_cut_point point = {values[0], above, above_count, 0, 0};
  if (n <= 32) {
    for (size_t i = 1; i < n; ++i) {
      const float value = values[i];
      const uint64_t weight = weights[i];
      size_t j = i;
      for (; j > 0 && values[j - 1] < value; --j) {
        values[j] = values[j - 1];
        weights[j] = weights[j - 1];
      }
      values[j] = value;
      weights[j] = weight;
    }
    size_t i = 0;
    uint64_t passed = above;
    for (; i + 1 < n && passed + weights[i] < need; ++i) passed += weights[i];
    point.value = values[i];
  }
  point.above = above;
  for (size_t i = 0; i < n; ++i) {
    if (values[i] > point.value) {
      point.above += weights[i];
      ++point.above_count;
    }
    if (values[i] == point.value) {
      point.equal += weights[i];
      ++point.count;
    }
  }
  return point;
}

/// The largest of n values.
LANES float choose_most(const float *values, size_t n) {
  float most[16];
  for (int k = 0; k < 16; ++k) most[k] = -INFINITY;
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < 16; ++k) most[k] = values[i + k] > most[k] ? values[i + k] : most[k];
  for (; i < n; ++i) most[0] = values[i] > most[0] ? values[i] : most[0];
  for (int k = 1; k < 16; ++k) most[0] = most[k] > most[0] ? most[k] : most[0];
  return most[0];
}

/// A value that at least k block maxima reach; the low end of a set in few blocks, +inf where a
/// large one has fewer blocks than that.
static float choose_bar(const choose_state *s, uint64_t k) {
  uint32_t active = 0;
  for (size_t b = 0; b < s->blocks; ++b) active += s->maxima[b] >= s->set.low;
  if (active <= CHOOSE_BAR) return s->set.low;
  if (k >= active) return INFINITY;
  int64_t low = INT32_MIN, high = (int64_t)INT32_MAX + 1;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    const int32_t key = (int32_t)middle;
    uint32_t count = 0;
    for (size_t b = 0; b < s->blocks; ++b) count += s->keys[b] >= key;
    if (count >= k) {
      low = middle;
      if (count <= k + k / 4) break;
    } else {
      high = middle;
    }
  }
  const float bar = choose_of_key((int32_t)low);
  return bar > s->set.low ? bar : s->set.low;
}

/// Minus a finite distance: logits near the ends of float32 can be further apart than it reaches.
LANES float choose_nearness(float value, float centre) {
  const float nearness = -fabsf(value - centre);
  return nearness > CHOOSE_LOWEST ? nearness : CHOOSE_LOWEST;
}

/// One vector in some blocks, of what is in the set and below `bar`, after `n` values in whole
/// blocks; returns how many values there are then, in whole blocks too, filled up with -inf.
static size_t choose_sample(const choose_state *s, size_t n, float bar, size_t step) {
  float copy[CHOOSE_BLOCK], low, high;
  float *restrict values = s->values;
  size_t place = 0;
  for (size_t b = 0; b < s->blocks; b += step, place = (place + 7) % 16) {
    if (s->maxima[b] < s->set.low) continue;
    const float *row = choose_view(s, b, &s->set, copy, &low, &high) + 16 * place;
    for (size_t i = 0; i < 16; ++i)
      values[n + i] = row[i] >= low && row[i] <= high && row[i] < bar ? row[i] : -INFINITY;
    n += 16;
  }
  while (n % CHOOSE_BLOCK) s->values[n++] = -INFINITY;
  return n;
}

/// Σ weight, or weight², of the keys at or above a bound, in every `stride`th 64 of n; n in whole
/// blocks. For estimates alone.
LANES double choose_mass_from(const float *keys, const float *weights, size_t n, size_t stride,
                              float bound, int squared) {
  float sums[4][16] = {{0}};
  for (size_t i = 0; i < n; i += 64 * stride)
    for (size_t k = 0; k < 4; ++k)
      for (size_t j = 0; j < 16; ++j) {
        const float weight = keys[i + 16 * k + j] >= bound ? weights[i + 16 * k + j] : 0;
        sums[k][j] += squared ? weight * weight : weight;
      }
  for (int j = 0; j < 16; ++j) sums[0][j] += sums[1][j] + (sums[2][j] + sums[3][j]);
  for (int half = 8; half >= 1; half /= 2)
    for (int j = 0; j < half; ++j) sums[0][j] += sums[0][j + half];
  return (double)sums[0][0];
}

/// What a bracket is made from: keys, first those that are known and then those that stand for
/// `each`, of which every `stride`th 64 are looked at; and what was asked of them.
typedef struct choose_census {
  const float *keys, *weights;
  size_t known, n, stride;
  double each, sum;
  int probes;
  float bounds[48];
  double masses[48];
} choose_census;

LANES double choose_estimate(const choose_census *c, float bound) {
  return choose_mass_from(c->keys, c->weights, c->known, 1, bound, 0) +
         c->each * choose_mass_from(c->keys + c->known, c->weights + c->known, c->n - c->known,
                                    c->stride, bound, 0);
}
LANES double choose_ask(choose_census *c, float bound) {
  const double mass = choose_estimate(c, bound);
  c->bounds[c->probes] = bound;
  c->masses[c->probes++] = mass;
  return mass;
}

/// Narrows the range in which the estimate passes `target`, at least that at *low and less at *high,
/// until the masses there are `near`. What was asked before is not asked again.
static void choose_approach(choose_census *c, double target, double near, float *low, float *high) {
  enum { PROBES = 12 };
  double over = c->sum, under = 0;
  for (int i = 0; i < c->probes; ++i) {
    if (c->masses[i] >= target && c->bounds[i] > *low) {
      *low = c->bounds[i];
      over = c->masses[i];
    }
    if (c->masses[i] < target && c->bounds[i] < *high) {
      *high = c->bounds[i];
      under = c->masses[i];
    }
  }
  for (int i = 0; i < PROBES && over - under > near; ++i) {
    // Where a straight line passes the target, a little towards the farther end; halves in turn with
    // it make sure of progress where the line misleads.
    const double share = (over - target) / (over - under);
    const double place = i % 3 == 2 ? 0.5 : share < 0.5 ? share * 1.2 + 0.02 : share * 0.8 + 0.18;
    const float middle = *low + (*high - *low) * (float)place;
    if (!(middle > *low && middle < *high)) return;
    const double mass = choose_ask(c, middle);
    if (mass >= target) {
      *low = middle;
      over = mass;
    } else {
      *high = middle;
      under = mass;
    }
  }
}

/// Asks a few of the keys where about the cut is, and all of them there.
static void choose_ask_few(choose_census *c, double share, float least, float most) {
  enum { FEW = 512 };
  const size_t count = c->n - c->known, stride = count / FEW;
  if (stride < 2) return;
  choose_census few = *c;
  few.stride = stride;
  few.each *= (double)(count / 64) / (double)((count / 64 + stride - 1) / stride);
  few.sum = choose_estimate(&few, -INFINITY);
  // Two standard errors, were the weights equal.
  const double error = 2 * sqrt(share * (1 - share) / FEW);
  for (int side = -1; side <= 1; side += 2) {
    float low = least, high = most;
    const double place = share + side * error;
    if (!(place > 0 && place < 1)) continue;
    choose_approach(&few, place * few.sum, error / 2 * few.sum, &low, &high);
    choose_ask(c, side < 0 ? high : low);
  }
}

/// Where values in falling order, or in order of nearness to `centre` unless it is NaN, are likely
/// to reach a share of the set's weight or number: between *to and *from. What the list holds,
/// `head` tokens from `bar` up, is known exactly; a sample stands for the rest, and the bounds are
/// three of its standard errors apart from where it has the cut. Uses the list up.
static void choose_bracket(choose_state *s, size_t head, float bar, double share, int by_count,
                           float centre, float *from, float *to) {
  const size_t step = s->blocks / CHOOSE_SAMPLED + 1;
  *from = -INFINITY;
  *to = INFINITY;
  size_t known = head;
  // A head that leaves no room for a sample is the better part of the row.
  if (head + 3 * CHOOSE_BLOCK + s->blocks / step * 16 > s->blocks * CHOOSE_BLOCK) return;
  while (known % CHOOSE_BLOCK) s->values[known++] = -INFINITY;
  const size_t n = choose_sample(s, known, bar, step);
  float *restrict weights = (float *)(void *)s->tokens;
  if (by_count) {
    for (size_t i = 0; i < n; ++i) weights[i] = s->values[i] > -INFINITY ? 1 : 0;
  } else {
    for (size_t i = 0; i < n; i += CHOOSE_BLOCK)
      choose_units(s->values + i, s->maximum, s->factor, 0x1p27f, CHOOSE_LOWEST, INFINITY,
                   s->units + i);
    for (size_t i = 0; i < n; ++i) weights[i] = (float)(int32_t)s->units[i] * 0x1p-27f;
  }
  float *restrict keys = s->keyed;
  const float *restrict values = s->values;
  if (centre == centre)
    for (size_t i = 0; i < n; ++i) keys[i] = -fabsf(values[i] - centre);
  else
    memcpy(keys, values, n * sizeof *keys);
  float low, high;
  choose_range(keys, n, &low, &high);
  if (!(low < high)) return;
  choose_census census = {.keys = keys, .weights = weights, .known = known, .n = n, .stride = 1};
  census.each = (double)(CHOOSE_BLOCK / 16) * (double)step;
  const double sum = choose_estimate(&census, -INFINITY), target = share * sum;
  if (!(sum > 0)) return;
  census.sum = sum;
  float at = low, end = high;
  choose_ask_few(&census, share, low, high);
  choose_approach(&census, target, 0.25 * share * (1 - share) * sum, &at, &end);
  // Of (weight before the place) · (1 - share) - (weight after it) · share.
  const double squares = choose_mass_from(keys + known, weights + known, n - known, 1, -INFINITY, 1);
  const double before = choose_mass_from(keys + known, weights + known, n - known, 1, at, 1);
  const double error = 3 * census.each *
                       sqrt(before * (1 - share) * (1 - share) + (squares - before) * share * share);
  if (target > error) {
    float start = low;
    *to = high;
    choose_approach(&census, target - error, error / 4, &start, to);
  }
  if (target + error < sum) {
    end = high;
    *from = low;
    choose_approach(&census, target + error, error / 4, from, &end);
  }
}

/// Keeps what of the list is in the set, and weighs it into what `sums` hold already.
static void choose_list(choose_state *s) {
  size_t kept = 0;
  for (size_t i = 0; i < s->length; ++i) {
    const float value = s->values[i];
    const uint32_t token = s->tokens[i];
    if (!(value > s->set.low || (value == s->set.low && token <= s->set.low_token))) continue;
    if (!(value < s->set.high || (value == s->set.high && token >= s->set.high_token))) continue;
    const uint64_t weight = s->weights[i];
    s->values[kept] = value;
    s->tokens[kept] = token;
    s->weights[kept++] = weight;
    s->sums[token / CHOOSE_BLOCK] += weight >> s->shifts[token / CHOOSE_BLOCK];
    s->total += weight;
  }
  s->length = kept;
  s->kept += kept;
  s->weighed = 1;
}
static void choose_list_alone(choose_state *s) {
  s->apart = 0;
  memset(s->sums, 0, s->blocks * sizeof *s->sums);
  s->total = s->kept = 0;
  choose_list(s);
}

/// Weighs and counts the set. Few tokens in few blocks become a list.
static void choose_measure(choose_state *s) {
  if (s->weighed) return;
  s->apart = 0;
  float copy[CHOOSE_BLOCK], low, high;
  const float floor = martlet_exp2_floor(s->factor);
  uint32_t active = 0;
  for (size_t b = 0; b < s->blocks; ++b) active += s->maxima[b] >= s->set.low;
  if (active <= 3 * CHOOSE_BAR && s->set.high == INFINITY) {
    s->length = choose_collect(s, s->set.low, INFINITY);
    if (s->length <= CHOOSE_SHORT) {
      choose_weights(s, s->length);
      s->listed = 1;
      choose_list_alone(s);
      return;
    }
  }
  s->total = s->kept = 0;
  for (size_t b = 0; b < s->blocks; ++b) {
    s->sums[b] = 0;
    if (s->maxima[b] < s->set.low) continue;
    const float *row = choose_view(s, b, &s->set, copy, &low, &high);
    uint32_t count = CHOOSE_BLOCK;
    s->sums[b] = row == s->rows[b] && s->minima[b] >= low && high == INFINITY &&
                         s->minima[b] - s->maximum >= floor
                     ? choose_weigh_all(row, s->maximum, s->factor, s->scales[b])
                     : choose_weigh(row, s->maximum, s->factor, s->scales[b], low, high, &count);
    s->total += s->sums[b] << s->shifts[b];
    s->kept += count;
  }
  s->weighed = 1;
}

/// Drops logits below a threshold, the largest never.
static void choose_raise(choose_state *s, float threshold) {
  if (threshold > s->top) threshold = s->top;
  if (!(threshold > s->set.low)) return;
  s->set.low = threshold;
  s->set.low_token = UINT32_MAX;
  s->weighed = 0;
  if (s->listed) choose_list_alone(s);
}

/// What the largest logits of blocks weigh together, those at or above a bound and all, as multiples
/// of the largest of them. Uses the list up.
static double choose_crests(choose_state *s, float bound, double *all) {
  size_t n = s->blocks;
  memcpy(s->values, s->maxima, n * sizeof *s->values);
  while (n % CHOOSE_BLOCK) s->values[n++] = -INFINITY;
  for (size_t i = 0; i < n; i += CHOOSE_BLOCK)
    choose_units(s->values + i, s->maximum, s->factor, 0x1p27f, CHOOSE_LOWEST, INFINITY,
                 s->units + i);
  for (size_t i = 0; i < n; ++i) s->keyed[i] = (float)(int32_t)s->units[i] * 0x1p-27f;
  *all = choose_mass_from(s->values, s->keyed, n, 1, -INFINITY, 0);
  return choose_mass_from(s->values, s->keyed, n, 1, bound, 0);
}

/// From where up to list the tokens that may reach a share of the weight: a bar that few blocks
/// pass, or twice as many, where these are nearly all that all blocks' largest weigh, or one that
/// half of them do.
static float choose_bar_by_weight(choose_state *s, double share) {
  const float bar = choose_bar(s, CHOOSE_BAR);
  if (s->blocks / 2 <= CHOOSE_BAR || bar <= s->set.low) return bar;
  double all;
  const double enough = 1 - (1 - share) / 8, most = choose_crests(s, bar, &all);
  if (most > enough * all) return bar;
  const float lower = choose_bar(s, 2 * CHOOSE_BAR);
  return s->blocks / 2 > 2 * CHOOSE_BAR && choose_crests(s, lower, &all) > enough * all
             ? lower
             : choose_bar(s, s->blocks / 2);
}

/// Ends the set where what is above the list, of weight or number `base`, and the list, `have` of it,
/// reach `need`. With a base, the list is one of choose_split.
static void choose_cut_list(choose_state *s, uint64_t base, uint64_t have, uint64_t need,
                            int by_count) {
  const size_t n = s->length;
  if (by_count)
    for (size_t i = 0; i < n; ++i) s->weights[i] = 1;
  choose_cut_point point =
      choose_select(s->values, s->weights, n, have, need - base, s->keyed, s->spare);
  const uint64_t wanted = need - base - point.above;
  choose_set tied = s->set;
  if (point.value != tied.low) tied.low_token = UINT32_MAX;
  tied.low = point.value;
  if (wanted < point.equal && point.count > 1) {
    // Of equal logits the first tokens stay; the list is in order of id.
    uint64_t passed = 0, stay = 0;
    for (size_t i = 0; i < n && passed < wanted; ++i) {
      if (s->values[i] != point.value) continue;
      passed += s->weights[i];
      ++stay;
      tied.low_token = s->tokens[i];
    }
    point.equal = passed;
    point.count = stay;
  }
  s->set = tied;
  s->weighed = 0;
  if (base == 0) {
    if (by_count) choose_weights(s, n);
    s->listed = 1;
    choose_list_alone(s);
  } else if (!by_count) {
    // The sums of blocks follow where more than one draw needs them.
    s->total += point.above + point.equal;
    s->kept += point.above_count + point.count;
    s->weighed = s->apart = 1;
  }
}

/// Keeps the fewest tokens first by rank whose weight, or number, reaches `need`.
static void choose_cut(choose_state *s, uint64_t need, int by_count) {
  if (!by_count) {
    choose_measure(s);
    if (need >= s->total) return;
  }
  uint64_t base = 0, have;
  float bar = s->set.low;
  if (!s->listed) {
    bar = by_count ? choose_bar(s, need)
                   : choose_bar_by_weight(s, (double)need / (double)s->total);
    s->length = choose_collect(s, bar, INFINITY);
    have = by_count ? s->length : choose_weights(s, s->length);
    if (have < need && bar > s->set.low) {
      if (by_count) {
        s->kept = choose_count_above(s, -INFINITY);
        if (need >= s->kept) return;
      }
      const size_t head = s->length;
      const double share = (double)need / (double)(by_count ? s->kept : s->total);
      float to;
      choose_bracket(s, head, bar, share, by_count, NAN, &bar, &to);
      if (by_count) {
        base = choose_count_above(s, to);
        have = s->length = choose_collect(s, bar, to);
      } else {
        const block_rings rings = {nextafterf(to, INFINITY), INFINITY, bar, to};
        have = choose_split_set(s, rings);
        base = s->total;
      }
      if (base >= need || base + have < need) {
        bar = s->set.low;
        base = 0;
        s->length = choose_collect(s, bar, INFINITY);
        have = by_count ? s->length : choose_weights(s, s->length);
      }
    }
  } else {
    have = by_count ? s->length : s->total;
  }
  const size_t n = s->length;
  if (n == 0) return;
  if (by_count && bar <= s->set.low && base + have <= need) {
    // The whole set, collected.
    choose_weights(s, n);
    s->listed = 1;
    choose_list_alone(s);
    return;
  }
  choose_cut_list(s, base, have, need, by_count);
}

/// Whether a cut to a share of the whole row's weight is worth foreseeing, before the row is weighed:
/// then `rings` are where a sample has it. Where few tokens weigh most, they decide alone.
static int choose_guess(choose_state *s, float share) {
  enum { FLAT = 50 };
  s->guessed = 0;
  if (s->set.low > CHOOSE_LOWEST || s->set.high < INFINITY || s->listed || s->weighed) return 0;
  double crests;
  choose_crests(s, INFINITY, &crests);
  if (crests < FLAT) return 0;
  float to;
  choose_bracket(s, 0, INFINITY, (double)share, 0, NAN, &s->rings.outer_low, &to);
  if (s->rings.outer_low == -INFINITY) return 0;
  s->rings.low = nextafterf(to, INFINITY);
  s->rings.high = s->rings.outer_high = INFINITY;
  s->guessed = 1;
  return 1;
}

/// Weighs a row for which a cut was foreseen, and takes its shape at the same temperature unless
/// `sums` is NULL.
LANES void choose_measure_guessed_body(choose_state *s, choose_sums *sums) {
  const float maximum = s->maximum, factor = s->factor, floor = martlet_exp2_floor(factor);
  const block_rings rings = s->rings;
  choose_sums shape = choose_sums_begin();
  choose_tally tally = choose_tally_begin();
  uint64_t under = 0, split = 0, total = 0;
  size_t length = 0;
  for (size_t b = 0; b < s->blocks; ++b) {
    const float *row = s->rows[b];
    const float largest = s->maxima[b], scale = s->scales[b];
    const int near = s->minima[b] - maximum >= floor;
    const uint32_t first = (uint32_t)b * CHOOSE_BLOCK;
    const uint8_t shift = s->shifts[b];
    float *values = s->values + length;
    uint32_t *tokens = s->tokens + length, count;
    block_part part = {0, 0};
    if (largest < rings.outer_low) {
      uint64_t units;
      if (!sums)
        units = near ? choose_weigh_all(row, maximum, factor, scale)
                     : choose_weigh(row, maximum, factor, scale, CHOOSE_LOWEST, INFINITY, &count);
      else
        units = near ? choose_shape_units_near(row, maximum, factor, scale, &shape)
                     : choose_shape_units(row, maximum, factor, scale, CHOOSE_LOWEST, &shape, &count);
      under += units << shift;
    } else {
      split += CHOOSE_BLOCK;
      if (sums && near)
        choose_shape_split_above(row, maximum, factor, scale, shift, rings, first, &shape, &tally,
                                 values, tokens, &part);
      else if (sums)
        choose_shape_split(row, maximum, factor, scale, shift, rings, first, &shape, &tally, values,
                           tokens, &part);
      else if (near)
        choose_split_above(row, maximum, factor, scale, shift, rings, first, &tally, values, tokens,
                           &part);
      else
        choose_split(row, maximum, factor, scale, shift, rings, first, &tally, values, tokens,
                     &part);
    }
    s->starts[b] = (uint32_t)length;
    s->sums[b] = part.inner;
    length += part.appended;
    total += part.inner << shift;
  }
  s->length = length;
  s->total = total;
  s->kept = split - choose_tally_outside(&tally);
  s->whole = under + choose_tally_whole(&tally);
  if (sums) *sums = shape;
  s->between = choose_split_end(s);
}
/// Functions of their own: the registers of a body that calls for so many are its alone.
__attribute__((noinline)) static void choose_measure_guessed(choose_state *s) {
  choose_measure_guessed_body(s, NULL);
}
__attribute__((noinline)) static void choose_shape_guessed(choose_state *s, choose_sums *sums) {
  choose_measure_guessed_body(s, sums);
}

/// Keeps the fewest tokens first by rank that weigh a share of the set.
static void choose_cut_share(choose_state *s, float share) {
  if (!s->guessed && choose_guess(s, share)) choose_measure_guessed(s);
  if (s->guessed) {
    const uint64_t need = martlet_share_up(share, s->whole);
    s->guessed = 0;
    if (s->total < need && s->total + s->between >= need && need < s->whole) {
      choose_cut_list(s, s->total, s->between, need, 0);
      return;
    }
  }
  choose_measure(s);
  choose_cut(s, martlet_share_up(share, s->total), 0);
}

/// The largest logit of the set.
static void choose_find_top(choose_state *s) {
  if (s->set.high == INFINITY) return;
  float copy[CHOOSE_BLOCK], low, high, top = -INFINITY;
  for (size_t b = 0; b < s->blocks; ++b) {
    if (s->maxima[b] < s->set.low || s->maxima[b] <= top) continue;
    const float *row = choose_view(s, b, &s->set, copy, &low, &high);
    int32_t most = INT32_MIN;
    for (int i = 0; i < CHOOSE_BLOCK; ++i) {
      const int32_t key = row[i] >= low && row[i] <= high ? choose_key(row[i]) : INT32_MIN;
      most = key > most ? key : most;
    }
    if (most > INT32_MIN && choose_of_key(most) > top) top = choose_of_key(most);
  }
  s->top = top;
}

/// Keeps p ≥ exp(log_share) of the set.
static void choose_raise_share(choose_state *s, double log_share, double temperature) {
  choose_measure(s);
  const double log_total = martlet_portable_log((double)s->total) - s->grain * MARTLET_LN_2;
  choose_raise(s, martlet_float_at_least((double)s->maximum + temperature * (log_share + log_total)));
}

/// The entropy of the set, nats.
static double choose_entropy(choose_state *s, double *log_sum) {
  if (s->shaped && s->set.low == CHOOSE_LOWEST && s->set.high == INFINITY) {
    *log_sum = s->log_sum;
    return s->entropy;
  }
  float copy[CHOOSE_BLOCK], low, high;
  choose_sums sums = choose_sums_begin();
  for (size_t b = 0; b < s->blocks; ++b) {
    if (s->maxima[b] < s->set.low) continue;
    const float *row = choose_view(s, b, &s->set, copy, &low, &high);
    choose_shape(row, s->maximum, s->factor, low, high, &sums);
  }
  const double weights = choose_sums_first(&sums);
  *log_sum = martlet_portable_log(weights);
  return martlet_choose_entropy(weights, *log_sum, choose_sums_second(&sums), s->factor);
}

/// The ends of the logits that are as near to `centre` as `nearness`, found by halving: rounding
/// makes many logits equally near where the centre is large.
static void choose_ring(float centre, float nearness, float *low, float *high) {
  for (int side = 0; side < 2; ++side) {
    int64_t in = choose_key(centre), out = choose_key(side ? -CHOOSE_LOWEST : CHOOSE_LOWEST);
    if (choose_nearness(choose_of_key((int32_t)out), centre) >= nearness) in = out;
    while (in - out > 1 || out - in > 1) {
      const int64_t middle = in + (out - in) / 2;
      if (choose_nearness(choose_of_key((int32_t)middle), centre) >= nearness) in = middle;
      else out = middle;
    }
    *(side ? high : low) = choose_of_key((int32_t)in);
  }
}

/// Those whose logits are nearest to that of a token of average surprisal.
static void choose_typical(choose_state *s, float share, double temperature) {
  choose_measure(s);
  double log_sum;
  const double entropy = choose_entropy(s, &log_sum);
  const float centre = (float)((double)s->maximum + temperature * (log_sum - entropy));
  const uint64_t need = martlet_share_up(share, s->total);
  const float bar = choose_bar(s, CHOOSE_BAR);
  size_t n = choose_collect(s, bar, INFINITY);
  uint64_t base = 0, have;
  float inner = INFINITY;
  s->listed = 0;
  if (bar > s->set.low) {
    float from, to;
    const uint64_t total = s->total;
    choose_bracket(s, n, bar, (double)need / (double)total, 0, centre, &from, &to);
    block_rings rings = {INFINITY, -INFINITY, CHOOSE_LOWEST, INFINITY};
    if (to < 0) choose_ring(centre, nextafterf(to, INFINITY), &rings.low, &rings.high);
    if (from > CHOOSE_LOWEST) choose_ring(centre, from, &rings.outer_low, &rings.outer_high);
    have = choose_split_set(s, rings);
    n = s->length;
    base = s->total;
    inner = rings.high;
    if (base >= need || base + have < need) {
      base = 0;
      n = choose_collect(s, s->set.low, INFINITY);
      have = choose_weights(s, n);
    }
  } else {
    have = choose_weights(s, n);
  }
  for (size_t i = 0; i < n; ++i) s->keyed[i] = choose_nearness(s->values[i], centre);
  // Each select's room is its own: tokens are needed after it, units are not.
  const float nearest =
      choose_select(s->keyed, s->weights, n, have, need - base, (float *)(void *)s->units, s->spare)
          .value;
  float low, high;
  choose_ring(centre, nearest, &low, &high);
  if (low > s->set.low) {
    s->set.low = low;
    s->set.low_token = UINT32_MAX;
  }
  if (high < s->set.high && high < s->top) {
    s->set.high = high;
    s->set.high_token = 0;
  }
  s->weighed = 0;
  if (base == 0) {
    choose_find_top(s);
    return;
  }
  choose_split_join(s);
  // What the list keeps above the inner ring is above all else.
  float top = -INFINITY;
  for (size_t i = 0; i < n; ++i)
    top = s->values[i] > top && s->values[i] <= high ? s->values[i] : top;
  if (top > inner) s->top = top;
  else choose_find_top(s);
}

/// Sorts collected tokens by rank: eleven bits at a time, from the lowest; stable, so that equal
/// logits stay in order of id. A key and its token, the lower half, move together.
static const uint64_t *choose_sort_keys(choose_state *s, size_t n) {
  enum { DIGITS = 3, BITS = 11, PLACES = 1 << BITS };
  uint64_t *from = s->weights, *to = s->spare;
  uint32_t places[DIGITS][PLACES];
  memset(places, 0, sizeof places);
  for (size_t i = 0; i < n; ++i) {
    const uint32_t key = ~((uint32_t)choose_key(s->values[i] + 0.0f) ^ 0x80000000u);
    from[i] = (uint64_t)key << 32 | s->tokens[i];
    for (int digit = 0; digit < DIGITS; ++digit) ++places[digit][key >> BITS * digit & (PLACES - 1)];
  }
  for (int digit = 0; digit < DIGITS; ++digit) {
    uint32_t at = 0;
    for (int i = 0; i < PLACES; ++i) {
      const uint32_t count = places[digit][i];
      places[digit][i] = at;
      at += count;
    }
    for (size_t i = 0; i < n; ++i) {
      const uint64_t entry = from[i];
      to[places[digit][entry >> (32 + BITS * digit) & (PLACES - 1)]++] = entry;
    }
    uint64_t *swap = from;
    from = to;
    to = swap;
  }
  return from;
}

LANES float choose_logit(const choose_state *s, uint32_t token) {
  return s->rows[token / CHOOSE_BLOCK][token % CHOOSE_BLOCK];
}

/// choose_sort_keys by 2^22 steps between the largest and the smallest logit, which takes a pass
/// less; then those that share a step are put in order. NULL where they are too many for that. Leaves
/// values and tokens as they are.
static const uint64_t *choose_sort_steps(choose_state *s, size_t n) {
  enum { BITS = 11, PLACES = 1 << BITS };
  float least, most;
  choose_range(s->values, n, &least, &most);
  const float span = most - least;
  if (!(span > 1e-20f && span < 1e20f)) return NULL;
  const float *restrict values = s->values;
  uint32_t *restrict steps = s->units;
  const float scale = 0x1.fffff0p+21f / span;
  for (size_t i = 0; i < n; ++i) steps[i] = (uint32_t)(int32_t)((most - values[i]) * scale);
  uint32_t low[PLACES] = {0}, high[PLACES] = {0};
  for (size_t i = 0; i < n; ++i) {
    ++low[steps[i] & (PLACES - 1)];
    ++high[steps[i] >> BITS];
  }
  for (uint32_t i = 0, low_at = 0, high_at = 0; i < PLACES; ++i) {
    const uint32_t low_count = low[i], high_count = high[i];
    low[i] = low_at;
    high[i] = high_at;
    low_at += low_count;
    high_at += high_count;
  }
  uint64_t *restrict half = s->spare, *restrict entries = s->weights;
  for (size_t i = 0; i < n; ++i)
    half[low[steps[i] & (PLACES - 1)]++] = (uint64_t)steps[i] << 32 | s->tokens[i];
  for (size_t i = 0; i < n; ++i) entries[high[half[i] >> (32 + BITS)]++] = half[i];
  size_t moves = 0;
  for (size_t i = 1; i < n; ++i) {
    const uint64_t entry = entries[i];
    if (entry >> 32 != entries[i - 1] >> 32) continue;
    const float value = choose_logit(s, (uint32_t)entry);
    size_t j = i;
    for (; j > 0 && entries[j - 1] >> 32 == entry >> 32 &&
           choose_logit(s, (uint32_t)entries[j - 1]) < value;
         --j, ++moves)
      entries[j] = entries[j - 1];
    entries[j] = entry;
    if (moves > 2 * n) return NULL;
  }
  return entries;
}

/// Sorts collected tokens and their values by rank.
static void choose_sort(choose_state *s, size_t n) {
  const uint64_t *entries = choose_sort_keys(s, n);
  for (size_t i = 0; i < n; ++i) {
    s->tokens[i] = (uint32_t)entries[i];
    s->values[i] = choose_logit(s, s->tokens[i]);
  }
}

/// Sorts the whole set, collected, by rank, with weights.
static void choose_sort_whole(choose_state *s, size_t n) {
  const uint64_t *entries = choose_sort_steps(s, n);
  if (!entries) entries = choose_sort_keys(s, n);
  uint32_t *restrict units = s->units;
  for (size_t b = 0; b < s->blocks; ++b)
    if (s->maxima[b] >= s->set.low)
      choose_units(s->rows[b], s->maximum, s->factor, s->scales[b], CHOOSE_LOWEST, INFINITY,
                   units + b * CHOOSE_BLOCK);
  // Entries may be where weights go.
  uint64_t *weights = s->weights;
  for (size_t i = 0; i < n; ++i) {
    const uint32_t token = (uint32_t)entries[i];
    s->tokens[i] = token;
    weights[i] = (uint64_t)units[token] << s->shifts[token / CHOOSE_BLOCK];
  }
}

LANES uint64_t choose_bend(const uint64_t *weights) {
  const int64_t bend = (int64_t)(weights[0] - 2 * weights[1] + weights[2]);
  return (uint64_t)(bend < 0 ? -bend : bend);
}
LANES uint64_t choose_bends(const uint64_t *weights, size_t n) {
  uint64_t sum = 0;
  for (size_t i = 0; i < n; ++i) sum += choose_bend(weights + i);
  return sum;
}

/// The first of n sorted tokens at which the second differences pass a share of their sum, n - 2 if
/// none does, for the sum of those n and for that and `more`; UINT32_MAX where these differ. Weights
/// hardly ever rise, so the sum is at most a little more than twice the largest, below 2^53: integers
/// and float64 agree, in any order.
static size_t choose_bend_place(const choose_state *s, size_t n, double share, double more) {
  const double sum = (double)choose_bends(s->weights, n - 2);
  uint64_t passed = 0;
  size_t i = 0;
  for (; i + CHOOSE_BLOCK + 2 <= n; i += CHOOSE_BLOCK) {
    const uint64_t next = passed + choose_bends(s->weights + i, CHOOSE_BLOCK);
    if ((double)next > share * sum) break;
    passed = next;
  }
  for (; i + 2 < n; ++i) {
    passed += choose_bend(s->weights + i);
    if ((double)passed > share * sum) break;
  }
  return more == 0 || (i + 2 < n && (double)passed > share * (sum + more)) ? i : UINT32_MAX;
}

/// Second differences need ranks, but weights fall from rank to rank, so those from a rank on sum to
/// at most twice the weight there. So the first ranks alone usually decide where the cut is: the
/// rest is sorted only where its sum, at most `more`, could move it. Rounding and the polynomial let
/// weights rise by less than a block's unit and 5e-7 of themselves.
static void choose_tail_free(choose_state *s, float share) {
  double uneven = 0;
  for (size_t b = 0; b < s->blocks; ++b)
    if (s->maxima[b] >= s->set.low)
      uneven += 4.0 * CHOOSE_BLOCK * (double)((uint64_t)1 << s->shifts[b]);
  size_t n = 0, place = UINT32_MAX;
  for (int attempt = 0; attempt < 3 && place == UINT32_MAX; ++attempt) {
    const float bar = attempt == 0   ? choose_bar(s, CHOOSE_BAR)
                      : attempt == 1 ? choose_bar(s, s->blocks / 2)
                                     : s->set.low;
    if (bar == INFINITY) continue;
    n = choose_collect(s, bar, INFINITY);
    const int whole = bar <= s->set.low;
    if (whole) s->listed = 0;
    if (n < 3) {
      if (whole) return;
      continue;
    }
    if (whole) {
      choose_sort_whole(s, n);
    } else {
      choose_sort(s, n);
      choose_weights(s, n);
    }
    const double steps = 2 + 2e-6 * (double)s->width;
    place = choose_bend_place(s, n, (double)share,
                              whole ? 0 : steps * (double)s->weights[n - 2] + uneven);
  }
  s->listed = 0;
  if (place + 2 >= n) return;
  const size_t last = place > 0 ? place - 1 : 0;
  s->set.low = choose_logit(s, s->tokens[last]);
  s->set.low_token = s->tokens[last];
  s->weighed = 0;
}

/// Drops all tokens of p ≥ threshold but the last of them by rank.
static void choose_exclude_top(choose_state *s, float threshold, double temperature) {
  choose_measure(s);
  const double log_total = martlet_portable_log((double)s->total) - s->grain * MARTLET_LN_2;
  const float least = martlet_float_at_least(
      (double)s->maximum +
      temperature * (martlet_portable_log((double)threshold) + log_total));
  const size_t n = choose_collect(s, least > s->set.low ? least : s->set.low, INFINITY);
  s->listed = 0;
  if (n < 2) return;
  size_t last = 0;
  for (size_t i = 1; i < n; ++i)
    if (s->values[i] <= s->values[last]) last = i;
  s->set.high = s->values[last];
  s->set.high_token = s->tokens[last];
  s->top = s->values[last];
  s->weighed = 0;
}

/// max - n·σ over the finite logits, rounded down so that a logit equal to the threshold stays.
static float choose_sigma_floor(const choose_state *s, float n) {
  choose_sums sums = choose_sums_begin();
  uint64_t count = 0;
  for (size_t b = 0; b < s->blocks; ++b)
    if (s->maxima[b] > -INFINITY) count += choose_spread(s->rows[b], s->maximum, &sums);
  const double sum = choose_sums_first(&sums), squares = choose_sums_second(&sums);
  const double mean = sum / (double)count, variance = squares / (double)count - mean * mean;
  const double exact = (double)s->maximum - (double)n * sqrt(variance > 0 ? variance : 0);
  const float rounded = (float)exact;
  return (double)rounded > exact ? nextafterf(rounded, -INFINITY) : rounded;
}

// ---- the row itself ----------------------------------------------------------------------------

/// Scratch, cut into arrays. `places` logits: whole blocks and 16 more for stores past an end.
typedef struct choose_memory {
  const float **own, **rows;
  float *own_maxima, *own_minima, *maxima, *minima, *scales, *overlay, *tail, *nothing, *values, *keyed;
  int32_t *keys;
  uint32_t *tokens, *units, *starts;
  uint8_t *shifts;
  uint64_t *sums, *weights, *spare;
} choose_memory;

LANES void *choose_take(char **at, size_t bytes) {
  void *taken = *at;
  *at += (bytes + 63) / 64 * 64;
  return taken;
}

LANES choose_memory choose_divide(size_t width, void *scratch) {
  const size_t blocks = martlet_logits_blocks(width), places = blocks * CHOOSE_BLOCK + 16;
  char *at = scratch;
  choose_memory m;
  m.own = choose_take(&at, blocks * sizeof(float *));
  m.rows = choose_take(&at, blocks * sizeof(float *));
  m.own_maxima = choose_take(&at, blocks * 4);
  m.own_minima = choose_take(&at, blocks * 4);
  m.maxima = choose_take(&at, blocks * 4);
  m.minima = choose_take(&at, blocks * 4);
  m.scales = choose_take(&at, blocks * 4);
  m.keys = choose_take(&at, blocks * 4);
  m.sums = choose_take(&at, blocks * 8);
  m.starts = choose_take(&at, (blocks + 1) * 4);
  m.shifts = choose_take(&at, blocks);
  m.tail = choose_take(&at, CHOOSE_BLOCK * 4);
  m.nothing = choose_take(&at, CHOOSE_BLOCK * 4);
  m.weights = choose_take(&at, places * 8);
  m.spare = choose_take(&at, places * 8);
  m.values = choose_take(&at, places * 4);
  m.keyed = choose_take(&at, places * 4);
  m.tokens = choose_take(&at, places * 4);
  m.units = choose_take(&at, places * 4);
  m.overlay = choose_take(&at, places * 4);
  return m;
}

/// A block that may be written: a copy, once it is needed.
LANES float *choose_edit(choose_memory *m, size_t b) {
  float *copy = m->overlay + b * CHOOSE_BLOCK;
  if (m->rows[b] != copy) memcpy(copy, m->rows[b], CHOOSE_BLOCK * sizeof(float));
  m->rows[b] = copy;
  return copy;
}

/// Rules 1 to 4. Whether any block changed.
static int choose_adjust(size_t width, const martlet_sampling_rules *rules, float maximum,
                         choose_memory *m) {
  const size_t blocks = martlet_logits_blocks(width);
  int changed = 0;
  if (rules->other) {
    const float floor =
        rules->plausibility > 0
            ? martlet_float_at_least((double)maximum +
                                     martlet_portable_log((double)rules->plausibility))
            : -INFINITY;
    const float own_weight = rules->own_weight, other_weight = rules->other_weight;
    for (size_t b = 0; b < blocks; ++b) {
      const size_t left = width - b * CHOOSE_BLOCK;
      const size_t count = left < CHOOSE_BLOCK ? left : CHOOSE_BLOCK;
      const float *restrict own = m->own[b], *restrict other = rules->other + b * CHOOSE_BLOCK;
      float *restrict to = m->overlay + b * CHOOSE_BLOCK;
      for (size_t i = 0; i < count; ++i)
        to[i] = martlet_choose_guided(own_weight, other_weight, floor, own[i], other[i]);
      for (size_t i = count; i < CHOOSE_BLOCK; ++i) to[i] = -INFINITY;
      m->rows[b] = to;
    }
    changed = 1;
  }
  for (uint32_t i = 0; i < rules->bias_count; ++i) {
    const uint32_t token = rules->biases[i].token;
    choose_edit(m, token / CHOOSE_BLOCK)[token % CHOOSE_BLOCK] += rules->biases[i].value;
    changed = 1;
  }
  for (uint32_t i = 0; i < rules->penalty_count; ++i) {
    const martlet_token_penalty *penalty = rules->penalties + i;
    float *logit =
        choose_edit(m, penalty->token / CHOOSE_BLOCK) + penalty->token % CHOOSE_BLOCK;
    *logit = martlet_choose_penalised(rules, penalty, *logit);
    changed = 1;
  }
  if (rules->allowed) {
    const size_t words = (width + 31) / 32;
    for (int i = 0; i < CHOOSE_BLOCK; ++i) m->nothing[i] = -INFINITY;
    for (size_t b = 0; b < blocks; ++b) {
      const uint32_t *bits = rules->allowed + b * (CHOOSE_BLOCK / 32);
      const size_t count = words - b * (CHOOSE_BLOCK / 32) < CHOOSE_BLOCK / 32
                               ? words - b * (CHOOSE_BLOCK / 32)
                               : CHOOSE_BLOCK / 32;
      uint32_t any = 0, all = UINT32_MAX;
      for (size_t i = 0; i < count; ++i) {
        any |= bits[i];
        all &= bits[i];
      }
      if (all == UINT32_MAX) continue;
      changed = 1;
      if (any == 0) {
        m->rows[b] = m->nothing;
        continue;
      }
      float *row = choose_edit(m, b);
      for (size_t i = 0; i < count; ++i)
        for (int j = 0; j < 32; ++j)
          row[32 * i + j] = bits[i] >> j & 1 ? row[32 * i + j] : -INFINITY;
    }
  }
  for (uint32_t i = 0; i < rules->suppressed_count; ++i) {
    const uint32_t token = rules->suppressed[i];
    choose_edit(m, token / CHOOSE_BLOCK)[token % CHOOSE_BLOCK] = -INFINITY;
    changed = 1;
  }
  return changed;
}

/// Where `value` first stands in a row's blocks.
LANES uint32_t choose_first(const float **rows, const float *maxima, size_t blocks, float value) {
  for (size_t b = 0; b < blocks; ++b)
    if (maxima[b] == value)
      return (uint32_t)(b * CHOOSE_BLOCK) + martlet_sampling_first(rows[b], CHOOSE_BLOCK, value);
  return 0;
}

/// How far the second largest is below the largest.
LANES double choose_gap(const float **rows, const float *maxima, size_t blocks, uint32_t best) {
  float second = -INFINITY;
  for (size_t b = 0; b < blocks; ++b)
    if (b != best / CHOOSE_BLOCK && maxima[b] > second) second = maxima[b];
  float block[CHOOSE_BLOCK], least;
  memcpy(block, rows[best / CHOOSE_BLOCK], sizeof block);
  block[best % CHOOSE_BLOCK] = -INFINITY;
  const float own = choose_extremes(block, &least);
  second = own > second ? own : second;
  return (double)maxima[best / CHOOSE_BLOCK] - (double)second + 0.0;
}

/// The first `count` of a state's set by rank into s->tokens and s->values; how many there are.
static size_t choose_first_ranks(choose_state *s, size_t count) {
  choose_cut(s, count, 1);
  const size_t n = choose_collect(s, s->set.low, INFINITY);
  if (n > 64) {
    choose_sort(s, n);
  } else {
    for (size_t i = 1; i < n; ++i) {
      const float value = s->values[i];
      const uint32_t token = s->tokens[i];
      size_t j = i;
      for (; j > 0 && s->values[j - 1] < value; --j) {
        s->values[j] = s->values[j - 1];
        s->tokens[j] = s->tokens[j - 1];
      }
      s->values[j] = value;
      s->tokens[j] = token;
    }
  }
  return n < count ? n : count;
}

/// The token at `uniform` of the set's weight.
static uint32_t choose_inverse(const choose_state *s, double uniform) {
  enum { STRIDE = 32 };
  const uint64_t target = martlet_share_down(uniform, s->total);
  uint64_t passed = 0;
  size_t b = 0;
  // Strides of blocks first, where a list is to be added up.
  for (; s->apart && b + STRIDE < s->blocks; b += STRIDE) {
    uint64_t mass = choose_apart(s, b, b + STRIDE);
    for (size_t i = b; i < b + STRIDE; ++i) mass += s->sums[i] << s->shifts[i];
    if (passed + mass > target) break;
    passed += mass;
  }
  for (; b + 1 < s->blocks; ++b) {
    const uint64_t mass =
        (s->sums[b] << s->shifts[b]) + (s->apart ? choose_apart(s, b, b + 1) : 0);
    if (passed + mass > target) break;
    passed += mass;
  }
  float copy[CHOOSE_BLOCK], low, high;
  uint32_t units[CHOOSE_BLOCK];
  const float *row = choose_view(s, b, &s->set, copy, &low, &high);
  choose_units(row, s->maximum, s->factor, s->scales[b], low, high, units);
  uint32_t i = 0;
  for (; i + 1 < CHOOSE_BLOCK; ++i) {
    passed += (uint64_t)units[i] << s->shifts[b];
    if (passed > target) break;
  }
  return (uint32_t)(b * CHOOSE_BLOCK) + i;
}

/// The largest scores of the set in falling order, equal ones in order of id. An exponential
/// variable of the random number v is at least v, so in a block whose largest weight is w a score
/// can pass the bar only if v < w / 2^bar: most tokens cost a hash and a comparison. The block of
/// the largest logit sets the bar first.
static void choose_race(const choose_state *s, const martlet_sampling_draw *draw) {
  float copy[CHOOSE_BLOCK], low, high;
  float *best = s->values;
  uint32_t found = 0;
  size_t first = 0;
  for (size_t b = 1; b < s->blocks; ++b)
    if (s->maxima[b] > s->maxima[first]) first = b;
  for (size_t turn = 0; turn < s->blocks; ++turn) {
    const size_t b = turn == 0 ? first : turn <= first ? turn - 1 : turn;
    if (s->maxima[b] < s->set.low) continue;
    const float *row = choose_view(s, b, &s->set, copy, &low, &high);
    const uint32_t start = (uint32_t)(b * CHOOSE_BLOCK);
    uint32_t bits[CHOOSE_BLOCK], limit = UINT32_MAX, least = UINT32_MAX;
    const uint64_t key0 = draw->key[0], key1 = draw->key[1];
    for (uint32_t i = 0; i < CHOOSE_BLOCK; ++i) bits[i] = martlet_gumbel_bits(key0, key1, start + i);
    if (found == draw->count) {
      const float over = (s->maxima[b] - s->maximum) * s->factor - best[found - 1];
      if (over < 0) limit = (uint32_t)(martlet_exp2_f32(over, 1, MARTLET_EXP2_LOW) * 4294000000.0f * 1.0002f) + 256;
    }
    for (uint32_t i = 0; i < CHOOSE_BLOCK; ++i) least = bits[i] < least ? bits[i] : least;
    if (least > limit) continue;
    for (uint32_t i = 0; i < CHOOSE_BLOCK; ++i) {
      if (bits[i] > limit || !(row[i] >= low && row[i] <= high)) continue;
      const float score =
          (row[i] - s->maximum) * s->factor - martlet_gumbel_race(bits[i]);
      const uint32_t token = start + i;
      if (score == -INFINITY) continue;
      if (found == draw->count &&
          !(score > best[found - 1] ||
            (score == best[found - 1] && token < draw->tokens[found - 1])))
        continue;
      uint32_t j = found < draw->count ? found++ : found - 1;
      for (; j > 0 && (best[j - 1] < score || (best[j - 1] == score && draw->tokens[j - 1] > token));
           --j) {
        best[j] = best[j - 1];
        draw->tokens[j] = draw->tokens[j - 1];
      }
      best[j] = score;
      draw->tokens[j] = token;
    }
  }
  if (draw->scores)
    for (uint32_t i = 0; i < draw->count; ++i)
      draw->scores[i] =
          i < found ? MARTLET_LN_2 * ((double)best[i] + s->grain) -
                          martlet_portable_log((double)s->total)
                    : -INFINITY;
  for (uint32_t i = found; i < draw->count; ++i) draw->tokens[i] = UINT32_MAX;
}

/// Draws; nothing may ask for the sums after it.
static void choose_draw(choose_state *s, const martlet_sampling_draw *draw) {
  if (draw->kind == MARTLET_DRAW_GUMBEL) {
    choose_race(s, draw);
  } else if (draw->kind == MARTLET_DRAW_PRIORITY) {
    choose_state copy = *s;
    const size_t n = choose_first_ranks(&copy, draw->count);
    for (uint32_t i = 0; i < draw->count; ++i)
      draw->tokens[i] = i < n ? copy.tokens[i] : UINT32_MAX;
  } else {
    if (draw->count > 2) choose_join_sums(s);
    for (uint32_t i = 0; i < draw->count; ++i)
      draw->tokens[i] = choose_inverse(s, draw->uniforms[i]);
  }
}

static void choose_keep_min_p(choose_state *s, float share, double temperature) {
  choose_raise(s, martlet_float_at_least((double)s->maximum +
                                         temperature * martlet_portable_log((double)share)));
}

/// Rules 6 to 16.
static void choose_truncate(choose_state *s, const martlet_sampling_rules *rules,
                            double temperature) {
  if (rules->top_n_sigma < INFINITY) choose_raise(s, choose_sigma_floor(s, rules->top_n_sigma));
  if (rules->top_k > 0 && rules->top_k < s->width) choose_cut(s, rules->top_k, 1);
  if (rules->top_p < 1) choose_cut_share(s, rules->top_p);
  if (rules->min_p > 0) choose_keep_min_p(s, rules->min_p, temperature);
  if (rules->typical < 1) choose_typical(s, rules->typical, temperature);
  if (rules->epsilon > 0)
    choose_raise_share(s, martlet_portable_log((double)rules->epsilon), temperature);
  if (rules->eta > 0) {
    double log_sum;
    const double log_eta = martlet_portable_log((double)rules->eta);
    const double other = 0.5 * log_eta - choose_entropy(s, &log_sum);
    choose_raise_share(s, log_eta < other ? log_eta : other, temperature);
  }
  if (rules->tail_free < 1) choose_tail_free(s, rules->tail_free);
  if (rules->top_a > 0) {
    choose_measure(s);
    const double log_total = martlet_portable_log((double)s->total) - s->grain * MARTLET_LN_2;
    const double log_top = ((double)s->top - (double)s->maximum) / temperature - log_total;
    choose_raise_share(s, martlet_portable_log((double)rules->top_a) + 2 * log_top, temperature);
  }
  if (rules->xtc_probability > 0 && rules->xtc_uniform < (double)rules->xtc_probability)
    choose_exclude_top(s, rules->xtc_threshold, temperature);
  if (rules->mirostat_tau > 0)
    choose_raise_share(s, -(double)rules->mirostat_mu * MARTLET_LN_2, temperature);
}

/// The row's divergence from rules->kl_other.
static double choose_divergence(const choose_memory *m, size_t width,
                                const martlet_sampling_rules *rules, float maximum, double sum,
                                double log_sum) {
  const size_t blocks = martlet_logits_blocks(width);
  const float factor = martlet_choose_factor(1);
  float padded[CHOOSE_BLOCK], least, other_maximum = -INFINITY;
  choose_sums sums = choose_sums_begin();
  block_sums cross = block_sums_begin();
  for (int pass = 0; pass < 2; ++pass)
    for (size_t b = 0; b < blocks; ++b) {
      const float *other = rules->kl_other + b * CHOOSE_BLOCK;
      const size_t left = width - b * CHOOSE_BLOCK;
      if (left < CHOOSE_BLOCK) {
        for (size_t i = 0; i < CHOOSE_BLOCK; ++i) padded[i] = i < left ? other[i] : -INFINITY;
        other = padded;
      }
      if (pass == 0) {
        const float largest = choose_extremes(other, &least);
        other_maximum = largest > other_maximum ? largest : other_maximum;
      } else {
        block_divergence(m->own[b], other, maximum, factor, &cross);
        choose_shape(other, other_maximum, factor, -INFINITY, INFINITY, &sums);
      }
    }
  return block_sums_first(&cross) / sum - ((double)maximum + log_sum) +
         ((double)other_maximum + martlet_portable_log(choose_sums_first(&sums)));
}

LANES void choose_begin(choose_state *s, const choose_memory *m, size_t width, const float **rows,
                        float *maxima, float *minima, float maximum) {
  s->minima = minima;
  s->width = width;
  s->blocks = martlet_logits_blocks(width);
  s->rows = rows;
  s->maxima = maxima;
  s->maximum = s->top = maximum;
  s->keys = m->keys;
  s->scales = m->scales;
  s->shifts = m->shifts;
  s->sums = m->sums;
  s->starts = m->starts;
  s->values = m->values;
  s->keyed = m->keyed;
  s->tokens = m->tokens;
  s->units = m->units;
  s->weights = m->weights;
  s->spare = m->spare;
  s->weighed = s->listed = s->shaped = s->guessed = s->apart = 0;
  s->set = (choose_set){CHOOSE_LOWEST, INFINITY, UINT32_MAX, 0};
  s->rings = (block_rings){INFINITY, INFINITY, INFINITY, INFINITY};
  for (size_t b = 0; b < s->blocks; ++b) s->keys[b] = choose_key(maxima[b] + 0.0f);
}

/// The fixed point of each block at a temperature.
LANES void choose_scale(choose_state *s, double temperature) {
  s->factor = martlet_choose_factor(temperature);
  s->grain = martlet_choose_grain(s->width);
  const float maximum = s->maximum, factor = s->factor;
  const int grain = s->grain;
  const size_t blocks = s->blocks;
  const float *restrict maxima = s->maxima;
  float *restrict scales = s->scales;
  uint8_t *restrict shifts = s->shifts;
  for (size_t b = 0; b < blocks; ++b) {
    const int places = martlet_choose_places(maxima[b], maximum, factor, grain);
    scales[b] = martlet_power_of_two(places);
    shifts[b] = (uint8_t)(grain - places);
  }
}

static void choose_write(choose_state *s, float *probabilities) {
  choose_join_sums(s);
  float copy[CHOOSE_BLOCK], low, high;
  uint32_t units[CHOOSE_BLOCK];
  for (size_t b = 0; b < s->blocks; ++b) {
    const size_t left = s->width - b * CHOOSE_BLOCK;
    const size_t count = left < CHOOSE_BLOCK ? left : CHOOSE_BLOCK;
    float *to = probabilities + b * CHOOSE_BLOCK;
    if (s->sums[b] == 0) {
      memset(to, 0, count * sizeof(float));
      continue;
    }
    const float unit = (float)((double)((uint64_t)1 << s->shifts[b]) / (double)s->total);
    const float *row = choose_view(s, b, &s->set, copy, &low, &high);
    choose_units(row, s->maximum, s->factor, s->scales[b], low, high, units);
    for (size_t i = 0; i < count; ++i) to[i] = (float)(int32_t)units[i] * unit;
  }
}

/// Pass 2, where it takes the shape alone; a function of its own for the same reason.
__attribute__((noinline)) static void choose_shape_row(const float **rows, const float *minima,
                                                       size_t blocks, float maximum, float factor,
                                                       choose_sums *sums) {
  const float floor = martlet_exp2_floor(factor);
  choose_sums shape = choose_sums_begin();
  for (size_t b = 0; b < blocks; ++b)
    if (minima[b] - maximum >= floor)
      choose_shape_near(rows[b], maximum, factor, &shape);
    else
      choose_shape(rows[b], maximum, factor, -INFINITY, INFINITY, &shape);
  *sums = shape;
}

/// Pass 1, over whole blocks. A function of its own: inside the long one it takes half as long again.
__attribute__((noinline)) static void choose_find_extremes(const float *logits, size_t blocks,
                                                           float *maxima, float *minima) {
  size_t b = 0;
  for (; b + 4 <= blocks; b += 4)
    choose_extremes_four(logits + b * CHOOSE_BLOCK, maxima + b, minima + b);
  for (; b < blocks; ++b) maxima[b] = choose_extremes(logits + b * CHOOSE_BLOCK, minima + b);
}

void LANES_NAME(logits_sample_f32, LANES_ISA)(size_t width, const float *logits,
                                              const martlet_sampling_rules *rules,
                                              const martlet_sampling_draw *draw, void *scratch,
                                              float *probabilities, martlet_sampled *result) {
  const size_t blocks = martlet_logits_blocks(width);
  choose_memory m = choose_divide(width, scratch);
  martlet_ranked_token *const top = result->top;
  const uint32_t top_count = result->top_count;
  *result = (martlet_sampled){.size = result->size, .top = top, .maximum = -INFINITY};
  if (draw)
    for (uint32_t i = 0; i < draw->count; ++i) draw->tokens[i] = UINT32_MAX;

  // Pass 1.
  for (size_t b = 0; b < blocks; ++b) m.own[b] = logits + b * CHOOSE_BLOCK;
  const size_t tail = width % CHOOSE_BLOCK, whole = blocks - (tail > 0);
  if (tail > 0) {
    for (size_t i = 0; i < CHOOSE_BLOCK; ++i)
      m.tail[i] = i < tail ? m.own[whole][i] : -INFINITY;
    m.own[whole] = m.tail;
  }
  choose_find_extremes(logits, whole, m.own_maxima, m.own_minima);
  if (tail > 0) m.own_maxima[whole] = choose_extremes(m.tail, &m.own_minima[whole]);
  float maximum = choose_most(m.own_maxima, blocks);
  maximum = maximum + 0.0f;
  result->maximum = (double)maximum;
  if (maximum == -INFINITY || maximum == INFINITY) return;

  // Pass 2. Where nothing changes the row and the temperature is 1, weights come with it.
  const int plain = !rules->other && !rules->bias_count && !rules->penalty_count &&
                    !rules->allowed && !rules->suppressed_count;
  const int shared = plain && rules->temperature == 1 && !(rules->dynamic_range > 0) &&
                     !(rules->kl_scale > 0) && rules->top_n_sigma == INFINITY &&
                     rules->top_k == 0;
  const float factor = martlet_choose_factor(1);
  choose_state s;
  // A block below it needs a clamp.
  const float floor = martlet_exp2_floor(factor);
  choose_sums sums = choose_sums_begin();
  choose_begin(&s, &m, width, m.own, m.own_maxima, m.own_minima, maximum);
  uint32_t listed = 0;
  if (shared || (top && top_count > 0)) choose_scale(&s, 1);
  if (top && top_count > 0) {
    choose_state own = s;
    listed = (uint32_t)choose_first_ranks(&own, top_count);
    for (uint32_t i = 0; i < listed; ++i)
      top[i] = (martlet_ranked_token){own.tokens[i], own.values[i]};
  }
  if (shared) {
    // Alone, min-p's threshold is known before any weight is, and top-p's is nearly.
    if (rules->min_p > 0 && rules->top_p == 1) choose_keep_min_p(&s, rules->min_p, 1);
    const int guessed = rules->top_p < 1 && choose_guess(&s, rules->top_p);
    if (guessed) choose_shape_guessed(&s, &sums);
    else s.total = s.kept = 0;
    for (size_t b = 0; b < blocks && !guessed; ++b) {
      uint32_t count = CHOOSE_BLOCK;
      if (m.own_maxima[b] < s.set.low) {
        s.sums[b] = 0;
        count = 0;
        if (m.own_minima[b] - maximum >= floor)
          choose_shape_near(m.own[b], maximum, factor, &sums);
        else
          choose_shape(m.own[b], maximum, factor, -INFINITY, INFINITY, &sums);
      } else if (m.own_minima[b] - maximum >= floor && m.own_minima[b] >= s.set.low) {
        s.sums[b] = choose_shape_units_near(m.own[b], maximum, factor, s.scales[b], &sums);
      } else {
        s.sums[b] = choose_shape_units(m.own[b], maximum, factor, s.scales[b], s.set.low, &sums,
                                       &count);
      }
      s.total += s.sums[b] << s.shifts[b];
      s.kept += count;
    }
    s.weighed = !guessed;
  } else {
    choose_shape_row(m.own, m.own_minima, blocks, maximum, factor, &sums);
  }
  const double sum = choose_sums_first(&sums), moment = choose_sums_second(&sums);
  if (sum != sum) return;
  result->clean = 1;
  result->log_sum = martlet_portable_log(sum);
  result->entropy = martlet_choose_entropy(sum, result->log_sum, moment, factor);
  if (shared) {
    // Excluded logits, which the row's own shape counts, would make a difference to the last bit.
    s.shaped = 1;
    for (size_t b = 0; b < blocks; ++b) s.shaped &= m.own_minima[b] > -INFINITY;
    s.log_sum = result->log_sum;
    s.entropy = result->entropy;
  }
  if (!(result->entropy > 0)) result->entropy = 0;
  result->most_likely = choose_first(m.own, m.own_maxima, blocks, maximum);
  result->gap = choose_gap(m.own, m.own_maxima, blocks, result->most_likely);
  result->top_count = listed;
  for (uint32_t i = 0; i < listed; ++i)
    top[i].logprob = (float)((double)top[i].logprob - result->maximum - result->log_sum);

  const double divergence =
      rules->kl_scale > 0
          ? choose_divergence(&m, width, rules, maximum, sum, result->log_sum)
          : 0;
  if (!plain) {
    memcpy(m.rows, m.own, blocks * sizeof *m.rows);
    memcpy(m.maxima, m.own_maxima, blocks * sizeof *m.maxima);
    memcpy(m.minima, m.own_minima, blocks * sizeof *m.minima);
    if (choose_adjust(width, rules, maximum, &m)) {
      for (size_t b = 0; b < blocks; ++b)
        if (m.rows[b] != m.own[b]) m.maxima[b] = choose_extremes(m.rows[b], &m.minima[b]);
      maximum = choose_most(m.maxima, blocks) + 0.0f;
      if (maximum == -INFINITY || maximum == INFINITY) {
        result->clean = maximum < 0 ? 2 : 3;
        return;
      }
    }
    choose_begin(&s, &m, width, m.rows, m.maxima, m.minima, maximum);
  }
  const double temperature =
      martlet_choose_temperature(rules, width, result->entropy, divergence);
  result->temperature = temperature;
  result->mirostat_mu = (double)rules->mirostat_mu;
  if (temperature == 0) {
    result->kept = 1;
    result->token = choose_first(s.rows, s.maxima, blocks, maximum);
    if (draw)
      for (uint32_t i = 0; i < draw->count; ++i) {
        const int first = draw->kind == MARTLET_DRAW_INVERSE || i == 0;
        draw->tokens[i] = first ? result->token : UINT32_MAX;
        if (draw->scores) draw->scores[i] = first ? 0 : -INFINITY;
      }
    if (probabilities) {
      memset(probabilities, 0, width * sizeof(float));
      probabilities[result->token] = 1;
    }
  } else {
    if (!shared) choose_scale(&s, temperature);
    choose_truncate(&s, rules, temperature);
    choose_measure(&s);
    result->kept = (uint32_t)s.kept;
    if (draw && draw->count > 0) {
      choose_draw(&s, draw);
      result->token = draw->tokens[0];
    } else {
      if (probabilities) choose_write(&s, probabilities);
      choose_state copy = s;
      choose_first_ranks(&copy, 1);
      result->token = copy.tokens[0];
    }
    const size_t b = result->token / CHOOSE_BLOCK;
    const uint32_t units =
        martlet_choose_units(s.rows[b][result->token % CHOOSE_BLOCK], s.maximum, s.factor,
                             s.scales[b]);
    result->kept_logprob = martlet_portable_log((double)((uint64_t)units << s.shifts[b])) -
                           martlet_portable_log((double)s.total);
    if (rules->mirostat_tau > 0)
      result->mirostat_mu -= (double)rules->mirostat_rate *
                             (-result->kept_logprob / MARTLET_LN_2 - (double)rules->mirostat_tau);
  }
  result->logprob = (double)m.own[result->token / CHOOSE_BLOCK][result->token % CHOOSE_BLOCK] -
                    result->maximum - result->log_sum;
}

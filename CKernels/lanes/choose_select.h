/// Part of lanes/choose.h: selecting in a list by number or weight without sorting it, and the bar that block maxima
/// and samples give.

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

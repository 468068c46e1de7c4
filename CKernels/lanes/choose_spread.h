/// Part of lanes/choose.h: the rules that look at more than order: typical, tail-free, XTC, top-nσ.

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

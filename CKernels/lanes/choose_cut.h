/// Part of lanes/choose.h: weighing a set and cutting it, at a logit, a number or a share of its weight.

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

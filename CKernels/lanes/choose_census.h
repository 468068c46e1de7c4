/// Part of lanes/choose.h: bounds of a threshold from a sample, and the list of what lies between them.

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

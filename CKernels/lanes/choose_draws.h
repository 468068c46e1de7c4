/// Part of lanes/choose.h: drawing from a set.

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

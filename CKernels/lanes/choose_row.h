/// Part of lanes/choose.h: scratch, and the row with biases, penalties and what is allowed.

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

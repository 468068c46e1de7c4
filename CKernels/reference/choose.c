/// Reference of sampling by rules: tokens sorted by rank, each rule a filter of that list.
#include "reference/choose_blocks.h"
#include "reference/sampling.h"

#pragma STDC FP_CONTRACT OFF

/// A row under its rules. `order` holds the tokens that are left, by rank.
typedef struct reference_row {
  size_t width, left;
  float *logits;
  uint64_t *weights;
  uint32_t *order, *spare;
  float maximum, factor;
  int grain;
} reference_row;

static int ranks_before(const float *logits, uint32_t a, uint32_t b) {
  return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

/// Merge sort of `count` tokens by rank.
static void sort_by_rank(const float *logits, uint32_t *order, uint32_t *spare, size_t count) {
  for (size_t run = 1; run < count; run *= 2) {
    for (size_t start = 0; start < count; start += 2 * run) {
      size_t a = start, b = start + run < count ? start + run : count;
      const size_t middle = b, end = start + 2 * run < count ? start + 2 * run : count;
      for (size_t i = start; i < end; ++i)
        spare[i] = a < middle && (b == end || ranks_before(logits, order[a], order[b]))
                       ? order[a++]
                       : order[b++];
    }
    memcpy(order, spare, count * sizeof *order);
  }
}

/// Rules 1 to 4, on a copy of the row.
static void adjust(reference_row *row, const martlet_sampling_rules *rules, float maximum) {
  float *l = row->logits;
  const float floor =
      rules->plausibility > 0
          ? martlet_float_at_least((double)maximum +
                                   martlet_portable_log((double)rules->plausibility))
          : -INFINITY;
  for (size_t i = 0; rules->other && i < row->width; ++i)
    l[i] = martlet_choose_guided(rules->own_weight, rules->other_weight, floor, l[i],
                                 rules->other[i]);
  for (uint32_t i = 0; i < rules->bias_count; ++i)
    l[rules->biases[i].token] += rules->biases[i].value;
  for (uint32_t i = 0; i < rules->penalty_count; ++i) {
    float *logit = l + rules->penalties[i].token;
    *logit = martlet_choose_penalised(rules, rules->penalties + i, *logit);
  }
  for (size_t i = 0; rules->allowed && i < row->width; ++i)
    if (!(rules->allowed[i / 32] >> (i % 32) & 1)) l[i] = -INFINITY;
  for (uint32_t i = 0; i < rules->suppressed_count; ++i) l[rules->suppressed[i]] = -INFINITY;
}

static float block_of(const reference_row *row, size_t b, float *block) {
  float largest = -INFINITY;
  for (size_t i = 0; i < MARTLET_LOGITS_BLOCK; ++i) {
    const size_t token = b * MARTLET_LOGITS_BLOCK + i;
    block[i] = token < row->width ? row->logits[token] : -INFINITY;
    largest = block[i] > largest ? block[i] : largest;
  }
  return largest;
}

static void weigh(reference_row *row) {
  float block[MARTLET_LOGITS_BLOCK];
  for (size_t b = 0; b < martlet_logits_blocks(row->width); ++b) {
    const float largest = block_of(row, b, block);
    const int places = martlet_choose_places(largest, row->maximum, row->factor, row->grain);
    for (size_t i = 0; i < MARTLET_LOGITS_BLOCK; ++i)
      if (b * MARTLET_LOGITS_BLOCK + i < row->width)
        row->weights[b * MARTLET_LOGITS_BLOCK + i] =
            (uint64_t)martlet_choose_units(block[i], row->maximum, row->factor,
                                           martlet_power_of_two(places))
            << (row->grain - places);
  }
}

static uint64_t total_of(const reference_row *row) {
  uint64_t total = 0;
  for (size_t i = 0; i < row->left; ++i) total += row->weights[row->order[i]];
  return total;
}

static double log_total(const reference_row *row) {
  return martlet_portable_log((double)total_of(row)) - row->grain * MARTLET_LN_2;
}

/// Entropy of what is left; its order of summation is that of blocks.
static double entropy_of(const reference_row *row, double *log_sum) {
  uint8_t *in = (uint8_t *)row->spare;
  memset(in, 0, row->width);
  for (size_t i = 0; i < row->left; ++i) in[row->order[i]] = 1;
  block_sums sums = block_sums_begin();
  for (size_t b = 0; b < martlet_logits_blocks(row->width); ++b) {
    float block[MARTLET_LOGITS_BLOCK];
    block_of(row, b, block);
    int any = 0;
    for (size_t i = 0; i < MARTLET_LOGITS_BLOCK; ++i) {
      const size_t token = b * MARTLET_LOGITS_BLOCK + i;
      const int kept = token < row->width && in[token];
      if (!kept) block[i] = -INFINITY;
      any |= kept;
    }
    if (!any) continue;
    block_shape(block, row->maximum, row->factor, -3.40282347e38f, INFINITY, &sums);
  }
  const double weights = block_sums_first(&sums);
  *log_sum = martlet_portable_log(weights);
  return martlet_choose_entropy(weights, *log_sum, block_sums_second(&sums), row->factor);
}

/// Drops logits below a threshold, those equal to the first never.
static void keep_from(reference_row *row, float threshold) {
  const float top = row->logits[row->order[0]];
  size_t kept = 0;
  while (kept < row->left && (row->logits[row->order[kept]] >= threshold ||
                              row->logits[row->order[kept]] == top))
    ++kept;
  row->left = kept;
}

static void keep_share(reference_row *row, double log_share, double temperature) {
  keep_from(row, martlet_float_at_least((double)row->maximum +
                                        temperature * (log_share + log_total(row))));
}

static void keep_sigma(reference_row *row, float n) {
  block_sums sums = block_sums_begin();
  uint64_t count = 0;
  for (size_t b = 0; b < martlet_logits_blocks(row->width); ++b) {
    float block[MARTLET_LOGITS_BLOCK];
    if (block_of(row, b, block) > -INFINITY) count += block_spread(block, row->maximum, &sums);
  }
  const double sum = block_sums_first(&sums), squares = block_sums_second(&sums);
  const double mean = sum / (double)count, variance = squares / (double)count - mean * mean;
  const double exact = (double)row->maximum - (double)n * sqrt(variance > 0 ? variance : 0);
  const float rounded = (float)exact;
  keep_from(row, (double)rounded > exact ? nextafterf(rounded, -INFINITY) : rounded);
}

static void keep_mass(reference_row *row, float share) {
  const uint64_t total = total_of(row), need = martlet_share_up(share, total);
  uint64_t passed = 0;
  for (size_t i = 0; i < row->left && need < total; ++i) {
    passed += row->weights[row->order[i]];
    if (passed >= need) row->left = i + 1;
  }
}

static void keep_typical(reference_row *row, float share, double temperature) {
  double log_sum;
  const double entropy = entropy_of(row, &log_sum);
  const float centre = (float)((double)row->maximum + temperature * (log_sum - entropy));
  const uint64_t need = martlet_share_up(share, total_of(row));
  // The distance is where the sorted distances have passed `need`: the list falls towards the
  // centre from both of its ends.
  size_t from = 0, to = row->left;
  uint64_t held = total_of(row);
  while (from < to) {
    float farthest = 0;
    const float a = fabsf(row->logits[row->order[from]] - centre);
    const float b = fabsf(row->logits[row->order[to - 1]] - centre);
    farthest = a > b ? a : b;
    size_t next_from = from, next_to = to;
    uint64_t dropped = 0;
    while (next_from < next_to &&
           fabsf(row->logits[row->order[next_from]] - centre) == farthest)
      dropped += row->weights[row->order[next_from++]];
    while (next_to > next_from &&
           fabsf(row->logits[row->order[next_to - 1]] - centre) == farthest)
      dropped += row->weights[row->order[--next_to]];
    if (held - dropped < need || next_from == next_to) break;
    held -= dropped;
    from = next_from;
    to = next_to;
  }
  memmove(row->order, row->order + from, (to - from) * sizeof *row->order);
  row->left = to - from;
}

static void keep_tail_free(reference_row *row, float share) {
  if (row->left < 3) return;
  double sum = 0, passed = 0;
  for (int pass = 0; pass < 2; ++pass)
    for (size_t i = 0; i + 2 < row->left; ++i) {
      const int64_t bend = (int64_t)(row->weights[row->order[i]] -
                                     2 * row->weights[row->order[i + 1]] +
                                     row->weights[row->order[i + 2]]);
      const double size = (double)(bend < 0 ? -bend : bend);
      if (pass == 0) {
        sum += size;
      } else {
        passed += size;
        if (passed > (double)share * sum) {
          row->left = i > 0 ? i : 1;
          return;
        }
      }
    }
}

static void exclude_top(reference_row *row, float threshold, double temperature) {
  const float least = martlet_float_at_least(
      (double)row->maximum +
      temperature * (martlet_portable_log((double)threshold) + log_total(row)));
  size_t above = 0;
  while (above < row->left && row->logits[row->order[above]] >= least) ++above;
  if (above < 2) return;
  row->left -= above - 1;
  memmove(row->order, row->order + above - 1, row->left * sizeof *row->order);
}

/// Rules 6 to 16.
static void truncate(reference_row *row, const martlet_sampling_rules *rules,
                     double temperature) {
  if (rules->top_n_sigma < INFINITY) keep_sigma(row, rules->top_n_sigma);
  if (rules->top_k > 0 && rules->top_k < row->left) row->left = rules->top_k;
  if (rules->top_p < 1) keep_mass(row, rules->top_p);
  if (rules->min_p > 0)
    keep_from(row, martlet_float_at_least((double)row->maximum +
                                          temperature *
                                              martlet_portable_log((double)rules->min_p)));
  if (rules->typical < 1) keep_typical(row, rules->typical, temperature);
  if (rules->epsilon > 0)
    keep_share(row, martlet_portable_log((double)rules->epsilon), temperature);
  if (rules->eta > 0) {
    double log_sum;
    const double log_eta = martlet_portable_log((double)rules->eta);
    const double other = 0.5 * log_eta - entropy_of(row, &log_sum);
    keep_share(row, log_eta < other ? log_eta : other, temperature);
  }
  if (rules->tail_free < 1) keep_tail_free(row, rules->tail_free);
  if (rules->top_a > 0) {
    const double top = (double)row->logits[row->order[0]];
    const double log_top = (top - (double)row->maximum) / temperature - log_total(row);
    keep_share(row, martlet_portable_log((double)rules->top_a) + 2 * log_top, temperature);
  }
  if (rules->xtc_probability > 0 && rules->xtc_uniform < (double)rules->xtc_probability)
    exclude_top(row, rules->xtc_threshold, temperature);
  if (rules->mirostat_tau > 0)
    keep_share(row, -(double)rules->mirostat_mu * MARTLET_LN_2, temperature);
}

static void draw_tokens(const reference_row *row, const martlet_sampling_draw *draw) {
  const uint64_t total = total_of(row);
  uint8_t *in = (uint8_t *)row->spare;
  memset(in, 0, row->width);
  for (size_t i = 0; i < row->left; ++i) in[row->order[i]] = 1;
  if (draw->kind == MARTLET_DRAW_PRIORITY) {
    for (uint32_t i = 0; i < draw->count; ++i)
      draw->tokens[i] = i < row->left ? row->order[i] : UINT32_MAX;
    return;
  }
  for (uint32_t i = 0; i < draw->count; ++i) {
    if (draw->kind == MARTLET_DRAW_INVERSE) {
      const uint64_t target = martlet_share_down(draw->uniforms[i], total);
      uint64_t passed = 0;
      size_t token = 0;
      for (; token < row->width; ++token) {
        if (in[token]) passed += row->weights[token];
        if (passed > target) break;
      }
      draw->tokens[i] = (uint32_t)token;
      continue;
    }
    // Gumbel: the best of those not taken yet.
    float best = -INFINITY;
    uint32_t found = UINT32_MAX;
    for (size_t token = 0; token < row->width; ++token) {
      if (!in[token]) continue;
      const float score =
          martlet_gumbel_score(row->logits[token], row->maximum, row->factor, draw->key[0],
                               draw->key[1], (uint32_t)token);
      if (score > best) {
        best = score;
        found = (uint32_t)token;
      }
    }
    draw->tokens[i] = found;
    if (draw->scores)
      draw->scores[i] = found == UINT32_MAX ? -INFINITY
                                            : MARTLET_LN_2 * ((double)best + row->grain) -
                                                  martlet_portable_log((double)total);
    if (found != UINT32_MAX) in[found] = 0;
  }
}

static double divergence_of(const reference_row *row, const martlet_sampling_rules *rules,
                            float maximum, double sum, double log_sum) {
  const float factor = martlet_choose_factor(1);
  const float *other = rules->kl_other;
  float other_maximum = -INFINITY;
  block_sums cross = block_sums_begin(), sums = block_sums_begin();
  for (size_t i = 0; i < row->width; ++i)
    other_maximum = other[i] > other_maximum ? other[i] : other_maximum;
  for (size_t b = 0; b < martlet_logits_blocks(row->width); ++b) {
    float own[MARTLET_LOGITS_BLOCK], block[MARTLET_LOGITS_BLOCK];
    block_of(row, b, own);
    for (size_t i = 0; i < MARTLET_LOGITS_BLOCK; ++i) {
      const size_t token = b * MARTLET_LOGITS_BLOCK + i;
      block[i] = token < row->width ? other[token] : -INFINITY;
    }
    block_divergence(own, block, maximum, factor, &cross);
    block_shape(block, other_maximum, factor, -INFINITY, INFINITY, &sums);
  }
  return block_sums_first(&cross) / sum - ((double)maximum + log_sum) +
         ((double)other_maximum + martlet_portable_log(block_sums_first(&sums)));
}

/// All finite tokens by rank.
static void rank(reference_row *row) {
  row->left = 0;
  for (size_t i = 0; i < row->width; ++i)
    if (row->logits[i] > -INFINITY) row->order[row->left++] = (uint32_t)i;
  sort_by_rank(row->logits, row->order, row->spare, row->left);
}

void martlet_logits_sample_f32_reference(size_t width, const float *logits,
                                         const martlet_sampling_rules *rules,
                                         const martlet_sampling_draw *draw, void *scratch,
                                         float *probabilities, martlet_sampled *result) {
  reference_row row = {.width = width, .weights = scratch, .grain = martlet_choose_grain(width)};
  row.order = (uint32_t *)(row.weights + width);
  row.spare = row.order + width;
  row.logits = (float *)(row.spare + width);
  martlet_ranked_token *const top = result->top;
  const uint32_t top_count = result->top_count;
  *result = (martlet_sampled){.size = result->size, .top = top, .maximum = -INFINITY};
  for (uint32_t i = 0; draw && i < draw->count; ++i) draw->tokens[i] = UINT32_MAX;
  float maximum = -INFINITY;
  for (size_t i = 0; i < width; ++i) maximum = logits[i] > maximum ? logits[i] : maximum;
  maximum = maximum + 0.0f;
  result->maximum = (double)maximum;
  if (maximum == -INFINITY || maximum == INFINITY) return;

  memcpy(row.logits, logits, width * sizeof *logits);
  block_sums sums = block_sums_begin();
  for (size_t b = 0; b < martlet_logits_blocks(width); ++b) {
    float block[MARTLET_LOGITS_BLOCK];
    block_of(&row, b, block);
    block_shape(block, maximum, martlet_choose_factor(1), -INFINITY, INFINITY, &sums);
  }
  const double sum = block_sums_first(&sums), moment = block_sums_second(&sums);
  if (sum != sum) return;
  result->clean = 1;
  result->log_sum = martlet_portable_log(sum);
  result->entropy =
      martlet_choose_entropy(sum, result->log_sum, moment, martlet_choose_factor(1));
  if (!(result->entropy > 0)) result->entropy = 0;
  rank(&row);
  result->most_likely = row.order[0];
  result->gap = row.left > 1
                    ? (double)maximum - (double)row.logits[row.order[1]] + 0.0
                    : INFINITY;
  if (top) {
    result->top_count = (uint32_t)(top_count < row.left ? top_count : row.left);
    for (uint32_t i = 0; i < result->top_count; ++i)
      top[i] = (martlet_ranked_token){
          row.order[i],
          (float)((double)row.logits[row.order[i]] - result->maximum - result->log_sum)};
  }
  const double divergence =
      rules->kl_scale > 0
          ? divergence_of(&row, rules, maximum, sum, result->log_sum)
          : 0;

  adjust(&row, rules, maximum);
  row.maximum = -INFINITY;
  for (size_t i = 0; i < width; ++i)
    row.maximum = row.logits[i] > row.maximum ? row.logits[i] : row.maximum;
  row.maximum = row.maximum + 0.0f;
  if (row.maximum == -INFINITY || row.maximum == INFINITY) {
    result->clean = row.maximum < 0 ? 2 : 3;
    return;
  }
  rank(&row);
  const double temperature =
      martlet_choose_temperature(rules, width, result->entropy, divergence);
  result->temperature = temperature;
  result->mirostat_mu = (double)rules->mirostat_mu;
  if (temperature == 0) {
    result->kept = 1;
    result->token = row.order[0];
    for (uint32_t i = 0; draw && i < draw->count; ++i) {
      const int first = draw->kind == MARTLET_DRAW_INVERSE || i == 0;
      draw->tokens[i] = first ? result->token : UINT32_MAX;
      if (draw->scores) draw->scores[i] = first ? 0 : -INFINITY;
    }
    for (size_t i = 0; probabilities && i < width; ++i) probabilities[i] = i == result->token;
  } else {
    row.factor = martlet_choose_factor(temperature);
    weigh(&row);
    truncate(&row, rules, temperature);
    result->kept = (uint32_t)row.left;
    result->token = row.order[0];
    const uint64_t total = total_of(&row);
    if (probabilities) {
      memset(probabilities, 0, width * sizeof *probabilities);
      for (size_t i = 0; i < row.left; ++i) {
        const size_t token = row.order[i];
        float block[MARTLET_LOGITS_BLOCK];
        const float largest = block_of(&row, token / MARTLET_LOGITS_BLOCK, block);
        const int places = martlet_choose_places(largest, row.maximum, row.factor, row.grain);
        const float unit =
            (float)((double)((uint64_t)1 << (row.grain - places)) / (double)total);
        probabilities[token] = (float)(row.weights[token] >> (row.grain - places)) * unit;
      }
    }
    if (draw && draw->count > 0) {
      draw_tokens(&row, draw);
      result->token = draw->tokens[0];
    }
    result->kept_logprob = martlet_portable_log((double)row.weights[result->token]) -
                           martlet_portable_log((double)total);
    if (rules->mirostat_tau > 0)
      result->mirostat_mu -= (double)rules->mirostat_rate *
                             (-result->kept_logprob / MARTLET_LN_2 - (double)rules->mirostat_tau);
  }
  result->logprob = (double)logits[result->token] - result->maximum - result->log_sum;
}

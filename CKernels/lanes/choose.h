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
///
/// Parts, in order, each of which builds on those before it; an ISA includes this file.

#include "lanes/choose_state.h"
#include "lanes/choose_select.h"
#include "lanes/choose_census.h"
#include "lanes/choose_cut.h"
#include "lanes/choose_spread.h"
#include "lanes/choose_row.h"
#include "lanes/choose_draws.h"

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

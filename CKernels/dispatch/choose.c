/// The public doors of sampling by rules, and penalties that need the history.
#include <martlet/sampling.h>

#include "dispatch/families.h"

#include <math.h>

size_t martlet_sampling_scratch(size_t width) {
  const size_t blocks = martlet_logits_blocks(width);
  const size_t places = blocks * MARTLET_LOGITS_BLOCK + 16;
  // Arrays of lanes/choose_row.h, each rounded up to 64 bytes.
  return (blocks + 1) * (2 * sizeof(float *) + 7 * 4 + 8 + 1) + 2 * MARTLET_LOGITS_BLOCK * 4 +
         places * (2 * 8 + 5 * 4) + 21 * 64;
}

static int within(float value, float low, float high) { return value >= low && value <= high; }

static int tokens_within(const martlet_sampling_rules *rules, size_t width) {
  for (uint32_t i = 0; i < rules->bias_count; ++i)
    if (rules->biases[i].token >= width || !(rules->biases[i].value < INFINITY)) return 0;
  for (uint32_t i = 0; i < rules->penalty_count; ++i) {
    const martlet_token_penalty *penalty = rules->penalties + i;
    if (penalty->token >= width || !(fabsf(penalty->subtracted) < INFINITY)) return 0;
  }
  for (uint32_t i = 0; i < rules->suppressed_count; ++i)
    if (rules->suppressed[i] >= width) return 0;
  return 1;
}

/// Whether every rule is in its range and names tokens of the row.
static int valid(const martlet_sampling_rules *rules, size_t width) {
  const float most = 3.40282347e38f;
  return within(rules->temperature, 0, most) && within(rules->dynamic_range, 0, most) &&
         within(rules->dynamic_exponent, 0, most) && within(rules->kl_scale, 0, most) &&
         (rules->kl_scale == 0 || rules->kl_other) && rules->top_n_sigma >= 0 &&
         within(rules->top_p, 0, 1) && within(rules->min_p, 0, 1) &&
         within(rules->typical, 0, 1) && within(rules->epsilon, 0, 1) &&
         within(rules->eta, 0, 1) && within(rules->tail_free, 0, 1) &&
         within(rules->top_a, 0, most) && within(rules->xtc_probability, 0, 1) &&
         (rules->xtc_probability == 0 ||
          (rules->xtc_threshold > 0 && rules->xtc_threshold <= 1 && rules->xtc_uniform >= 0 &&
           rules->xtc_uniform < 1)) &&
         within(rules->mirostat_tau, 0, most) && within(rules->mirostat_rate, 0, most) &&
         within(rules->mirostat_mu, -most, most) && rules->repetition > 0 &&
         rules->repetition < INFINITY && within(rules->presence, -most, most) &&
         within(rules->frequency, -most, most) && within(rules->own_weight, -most, most) &&
         within(rules->other_weight, -most, most) && within(rules->plausibility, 0, 1) &&
         (rules->bias_count == 0 || rules->biases) &&
         (rules->penalty_count == 0 || rules->penalties) &&
         (rules->suppressed_count == 0 || rules->suppressed) && tokens_within(rules, width);
}

static int sound(size_t width, const float *logits, const martlet_sampling_rules *rules,
                 const void *scratch, const martlet_sampled *result) {
  return width > 0 && width <= (size_t)1 << 24 && logits && scratch &&
         (uintptr_t)scratch % 64 == 0 && rules && rules->size >= sizeof *rules && result &&
         result->size >= sizeof *result && valid(rules, width);
}

martlet_status martlet_logits_sample_f32(size_t width, const float *logits,
                                         const martlet_sampling_rules *rules,
                                         const martlet_sampling_draw *draw, void *scratch,
                                         martlet_sampled *result) {
  if (!sound(width, logits, rules, scratch, result)) return MARTLET_E_ARGUMENT;
  if (!draw || draw->size < sizeof *draw || draw->kind > MARTLET_DRAW_PRIORITY)
    return MARTLET_E_ARGUMENT;
  if (draw->count > width && draw->kind != MARTLET_DRAW_INVERSE) return MARTLET_E_ARGUMENT;
  if (draw->count > 0 && !draw->tokens) return MARTLET_E_ARGUMENT;
  if (draw->kind == MARTLET_DRAW_INVERSE && draw->count > 0) {
    if (!draw->uniforms) return MARTLET_E_ARGUMENT;
    for (uint32_t i = 0; i < draw->count; ++i)
      if (!(draw->uniforms[i] >= 0 && draw->uniforms[i] < 1)) return MARTLET_E_ARGUMENT;
  }
  MARTLET_CHOSEN(logits_sample_f32, MARTLET_NUMERIC_PORTABLE)
  (width, logits, rules, draw, scratch, NULL, result);
  return MARTLET_OK;
}

martlet_status martlet_sampling_distribution_f32(size_t width, const float *logits,
                                                 const martlet_sampling_rules *rules,
                                                 void *scratch, float *probabilities,
                                                 martlet_sampled *result) {
  if (!sound(width, logits, rules, scratch, result) || !probabilities) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(logits_sample_f32, MARTLET_NUMERIC_PORTABLE)
  (width, logits, rules, NULL, scratch, probabilities, result);
  return MARTLET_OK;
}

/// base^power, no more than the largest float32.
static float power_of(float base, uint32_t power) {
  double value = 1;
  for (uint32_t i = 0; i < power && value < 3e38; ++i) value *= (double)base;
  return value < 3e38 ? (float)value : 3e38f;
}

martlet_status martlet_sampling_dry(size_t length, const uint32_t *history, float multiplier,
                                    float base, uint32_t allowed, size_t breaker_count,
                                    const uint32_t *breakers, uint32_t *workspace,
                                    size_t capacity, martlet_token_penalty *penalties,
                                    size_t *found) {
  if (!found || (length > 0 && (!history || !workspace)) || length > UINT32_MAX)
    return MARTLET_E_ARGUMENT;
  if ((breaker_count > 0 && !breakers) || (capacity > 0 && !penalties)) return MARTLET_E_ARGUMENT;
  if (!(multiplier >= 0 && multiplier < INFINITY) || !(base >= 1 && base < INFINITY))
    return MARTLET_E_ARGUMENT;
  *found = 0;
  if (multiplier == 0 || length < 2) return MARTLET_OK;
  // What follows the last breaker is all that can repeat.
  size_t start = length;
  for (; start > 0; --start) {
    int breaks = 0;
    for (size_t i = 0; i < breaker_count && !breaks; ++i) breaks = history[start - 1] == breakers[i];
    if (breaks) break;
  }
  const size_t limit = length - start;
  if (limit == 0) return MARTLET_OK;
  // workspace[i]: how many tokens before i + 1 equal as many at the end. The Z algorithm over the
  // reversed history, linear in its length.
  size_t left = 0, right = 0;
  workspace[length - 1] = 0;
  for (size_t k = 1; k < length; ++k) {
    size_t z = 0;
    if (k < right) {
      const size_t known = workspace[length - 1 - (k - left)];
      z = known < right - k ? known : right - k;
    }
    while (k + z < length && z < limit && history[length - 1 - z] == history[length - 1 - k - z])
      ++z;
    workspace[length - 1 - k] = (uint32_t)z;
    if (k + z > right) {
      left = k;
      right = k + z;
    }
  }
  for (size_t i = 0; i + 1 < length; ++i) {
    const uint32_t repeated = workspace[i];
    if (repeated < allowed || repeated == 0) continue;
    const float penalty = multiplier * power_of(base, repeated - allowed);
    const uint32_t token = history[i + 1];
    int breaks = 0;
    for (size_t b = 0; b < breaker_count && !breaks; ++b) breaks = token == breakers[b];
    if (breaks) continue;
    size_t at = 0;
    while (at < *found && penalties[at].token != token) ++at;
    if (at == *found) {
      if (*found == capacity) continue;
      penalties[(*found)++] = (martlet_token_penalty){token, 0, 0};
    }
    if (penalty > penalties[at].subtracted)
      penalties[at].subtracted = penalty < INFINITY ? penalty : 3.0e38f;
  }
  return MARTLET_OK;
}

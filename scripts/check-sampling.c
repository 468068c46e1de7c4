/// Sampling by rules against its definition in float64, and its draws against exact probabilities:
/// check-sampling [logits [seed]]. What it finds wrong it prints; the exit status says whether.
///
/// Sets: over seeded rows of 2 to 262,144 logits, each rule keeps the tokens that sorting in float64
/// keeps, but for those within 1e-6 of the threshold, and probabilities are within 1e-6.
/// Draws: Pearson's chi-square as a z-score; 5.5 is a false-alarm rate of 2e-8 for each of the 48
/// tests, 1e-6 in all. Seeds are fixed, so a result does not change from run to run.
#include <martlet/sampling.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDEST = 262144, NEAR = 2 };

static uint64_t state;
static uint64_t bits(void) {
  state += 0x9e3779b97f4a7c15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
static double unit(void) { return (double)(bits() >> 11) * 0x1p-53; }
static double normal(void) {
  return sqrt(-2 * log(1 - unit())) * cos(6.283185307179586 * unit());
}
static size_t below(size_t n) { return (size_t)(bits() % n); }

static float logits[WIDEST], probabilities[WIDEST];
static double exact[WIDEST];
static uint32_t order[WIDEST];
/// 1 in the set, 0 out, NEAR within 1e-6 of the threshold.
static unsigned char verdict[WIDEST];
static void *scratch;
static int failures;

static int by_rank(const void *a, const void *b) {
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  if (logits[x] != logits[y]) return logits[x] > logits[y] ? -1 : 1;
  return x < y ? -1 : x > y;
}

static const char *fill(size_t width) {
  const size_t kind = below(7);
  const double spread = exp(normal() * 0.8 + 0.3);
  for (size_t i = 0; i < width; ++i) {
    double l = normal() * spread;
    if (kind == 1) l = floor(l * 2) / 2;
    if (kind == 2) l = i == width / 2 ? 30 : -10;
    if (kind == 3) l = 1.5;
    if (kind == 4) l = below(3) ? l : -INFINITY;
    if (kind == 5) l = -log(1 - unit()) * 2;
    if (kind == 6) l = l * 0.02;
    logits[i] = (float)l;
  }
  if (kind == 4) logits[width / 2] = 1;
  static const char *const names[] = {"normal", "ties",  "one-hot", "equal",
                                      "holes",  "heavy", "flat"};
  return names[kind];
}

enum { TOP_K, TOP_P, MIN_P, SIGMA, TYPICAL, EPSILON, ETA, TAIL_FREE, TOP_A, XTC, MIROSTAT, NONE,
       RULES };
static const char *const rule_names[] = {"top-k",   "top-p",     "min-p", "top-n-sigma", "typical",
                                         "epsilon", "eta",       "tail-free", "top-a",   "xtc",
                                         "mirostat", "none"};

static double entropy_of(size_t left, double total) {
  double entropy = 0;
  for (size_t i = 0; i < left; ++i) {
    const double p = exact[order[i]] / total;
    if (p > 0) entropy -= p * log(p);
  }
  return entropy;
}

/// One rule by its definition: fills `verdict` from `order`, the finite tokens by rank.
static void define(int rule, const martlet_sampling_rules *r, size_t left) {
  double total = 0, passed = 0, threshold = 0;
  for (size_t i = 0; i < left; ++i) total += exact[order[i]];
  const double temperature = (double)r->temperature, top = (double)logits[order[0]];
  const double entropy = rule == TYPICAL || rule == ETA ? entropy_of(left, total) : 0;
  switch (rule) {
    case TOP_K:
      for (size_t i = 0; i < left; ++i) verdict[order[i]] = i < r->top_k;
      return;
    case TOP_P:
      for (size_t i = 0; i < left; ++i) {
        const double before = passed / total, p = (double)r->top_p;
        verdict[order[i]] = fabs(before - p) <= 1e-6 ? NEAR : before < p;
        passed += exact[order[i]];
      }
      return;
    case TYPICAL: {
      // Tokens between the ends of a window around the entropy; the window grows by the nearer end.
      const double centre = top + temperature * (log(total) - entropy);
      size_t up = 0;
      while (up < left && (double)logits[order[up]] >= centre) ++up;
      size_t down = up;
      double end = 0;
      while (up > 0 || down < left) {
        const double above = up > 0 ? (double)logits[order[up - 1]] - centre : INFINITY;
        const double under = down < left ? centre - (double)logits[order[down]] : INFINITY;
        const double distance = above < under ? above : under;
        const double held = passed / total, share = (double)r->typical;
        const unsigned char what = fabs(held - share) <= 4e-6 ? NEAR : held < share;
        const size_t first_up = up, first_down = down;
        double group = 0;
        while (up > 0 && (double)logits[order[up - 1]] - centre <= distance + 1e-5)
          group += exact[order[--up]];
        while (down < left && centre - (double)logits[order[down]] <= distance + 1e-5)
          group += exact[order[down++]];
        for (size_t i = up; i < first_up; ++i) verdict[order[i]] = what;
        for (size_t i = first_down; i < down; ++i) verdict[order[i]] = what;
        if (held < share + 4e-6) end = distance;
        passed += group;
      }
      // What is as far as the end of the window, as far as float32 tells.
      for (size_t i = 0; i < left; ++i)
        if (fabs(fabs((double)logits[order[i]] - centre) - end) <= 2e-5) verdict[order[i]] = NEAR;
      return;
    }
    case TAIL_FREE: {
      double sum = 0;
      for (size_t i = 0; i < left; ++i) verdict[order[i]] = 1;
      if (left < 3) return;
      for (size_t i = 0; i + 2 < left; ++i)
        sum += fabs(exact[order[i]] - 2 * exact[order[i + 1]] + exact[order[i + 2]]);
      if (sum < 1e-4) {
        for (size_t i = 0; i < left; ++i) verdict[order[i]] = NEAR;
        return;
      }
      int state_now = 1;
      for (size_t i = 0; i + 2 < left && state_now; ++i) {
        passed += fabs(exact[order[i]] - 2 * exact[order[i + 1]] + exact[order[i + 2]]);
        const double over = passed / sum - (double)r->tail_free;
        if (over > -1e-4 && state_now == 1) {
          state_now = NEAR;
          for (size_t j = i > 0 ? i : 1; j < left; ++j) verdict[order[j]] = NEAR;
        }
        if (over > 1e-4) {
          for (size_t j = i > 0 ? i : 1; j < left; ++j) verdict[order[j]] = 0;
          state_now = 0;
        }
      }
      return;
    }
    case XTC: {
      threshold = log((double)r->xtc_threshold);
      size_t above = 0;
      int near = 0;
      for (size_t i = 0; i < left; ++i) {
        const double log_p = ((double)logits[order[i]] - top) / temperature - log(total);
        above += log_p >= threshold;
        near |= fabs(log_p - threshold) <= 2e-6;
      }
      for (size_t i = 0; i < left; ++i)
        verdict[order[i]] = near ? NEAR : above < 2 || i + 1 >= above;
      return;
    }
    default: break;
  }
  if (rule == MIN_P) threshold = log((double)r->min_p) - log(total);
  if (rule == EPSILON) threshold = log((double)r->epsilon);
  if (rule == ETA)
    threshold = fmin(log((double)r->eta), 0.5 * log((double)r->eta) - entropy);
  if (rule == TOP_A) threshold = log((double)r->top_a) - 2 * log(total);
  if (rule == MIROSTAT) threshold = -(double)r->mirostat_mu * log(2);
  if (rule == SIGMA) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < left; ++i) mean += (double)logits[order[i]] / (double)left;
    for (size_t i = 0; i < left; ++i)
      square += ((double)logits[order[i]] - mean) * ((double)logits[order[i]] - mean);
    threshold = -(double)r->top_n_sigma * sqrt(square / (double)left) / temperature - log(total);
  }
  for (size_t i = 0; i < left; ++i) {
    const double log_p = ((double)logits[order[i]] - top) / temperature - log(total);
    const int most = logits[order[i]] == logits[order[0]];
    const double gap = log_p - threshold;
    // A logit's own last place may be more than 1e-6 at low temperatures.
    const double tolerance = 2e-6 + fabs(top) * 0x1p-22 / temperature;
    verdict[order[i]] = rule == NONE || most ? 1 : fabs(gap) <= tolerance ? NEAR : gap >= 0;
  }
}

static martlet_sampling_rules rule_of(int rule, size_t width) {
  martlet_sampling_rules r = martlet_sampling_rules_plain();
  static const float temperatures[] = {1, 1, 0.8f, 0.5f, 2};
  r.temperature = temperatures[below(5)];
  switch (rule) {
    case TOP_K: r.top_k = 1 + (uint32_t)below(below(2) ? 50 : width); break;
    case TOP_P: r.top_p = (float)(0.05 + 0.94 * unit()); break;
    case MIN_P: r.min_p = (float)(0.001 + 0.3 * unit()); break;
    case SIGMA: r.top_n_sigma = (float)(2 * unit()); break;
    case TYPICAL: r.typical = (float)(0.05 + 0.9 * unit()); break;
    case EPSILON: r.epsilon = (float)exp(-12 * unit()); break;
    case ETA: r.eta = (float)exp(-12 * unit()); break;
    case TAIL_FREE:
      r.tail_free = (float)(0.2 + 0.75 * unit());
      r.top_k = 3 + (uint32_t)below(60);
      break;
    case TOP_A: r.top_a = (float)unit(); break;
    case XTC:
      r.xtc_probability = 1;
      r.xtc_threshold = (float)exp(-1 - 6 * unit());
      break;
    case MIROSTAT:
      r.mirostat_tau = 3;
      r.mirostat_mu = (float)(14 * unit());
      break;
    default: break;
  }
  return r;
}

/// One row under one rule. Returns its width.
static size_t check_set(uint64_t trial) {
  size_t width = (size_t)exp(log(2) + unit() * (log(WIDEST) - log(2)) + 0.001);
  if (width > WIDEST) width = WIDEST;
  const char *shape = fill(width);
  const int rule = (int)(trial % RULES);
  const martlet_sampling_rules r = rule_of(rule, width);
  martlet_sampled result = {.size = sizeof result};
  const martlet_status status =
      martlet_sampling_distribution_f32(width, logits, &r, scratch, probabilities, &result);
  size_t left = 0;
  for (size_t i = 0; i < width; ++i) {
    verdict[i] = 0;
    exact[i] = 0;
    if (logits[i] > -INFINITY) order[left++] = (uint32_t)i;
  }
  qsort(order, left, sizeof *order, by_rank);
  for (size_t i = 0; i < left; ++i)
    exact[order[i]] =
        exp(((double)logits[order[i]] - (double)logits[order[0]]) / (double)r.temperature);
  if (rule == TAIL_FREE && left > r.top_k) left = r.top_k;
  define(rule, &r, left);
  double total = 0, sum = 0;
  size_t least = 0, most = 0, wrong = 0, at = 0;
  for (size_t i = 0; i < width; ++i) {
    least += verdict[i] == 1;
    most += verdict[i] != 0;
    if (verdict[i] == 1 || (verdict[i] == NEAR && probabilities[i] > 0)) total += exact[i];
  }
  for (size_t i = 0; i < width; ++i) {
    sum += (double)probabilities[i];
    const double p = exact[i] / total;
    const int lost = verdict[i] == 1 && probabilities[i] == 0 && p > 1e-6;
    const int kept = verdict[i] == 0 && probabilities[i] > 0;
    // Units are 2⁻²⁷ of a block's largest weight, which XTC and typical may have taken out.
    const double unit_error = exact[order[0]] / total * 0x1p-19;
    const int off = verdict[i] != 0 && probabilities[i] > 0 &&
                    fabs(p - (double)probabilities[i]) > 1e-6 + 2e-6 * p + unit_error;
    if (lost || kept || off) {
      ++wrong;
      at = i;
    }
  }
  if (status != MARTLET_OK || result.clean != 1 || wrong > 0 || result.kept < least ||
      result.kept > most || fabs(sum - 1) > 1e-5) {
    if (failures++ < 5)
      printf("FAIL  %s, row %llu (%s, %zu logits): kept %u, definition %zu to %zu; %zu tokens wrong, "
             "such as %zu (logit %g, p %g, definition %g, verdict %d); sum %.9g\n",
             rule_names[rule], (unsigned long long)trial, shape, width, result.kept, least, most,
             wrong, at, (double)logits[at], (double)probabilities[at], exact[at] / total,
             verdict[at], sum);
  }
  return width;
}

/// The z-score of counts against probabilities, by the cube root of Wilson and Hilferty. Cells of
/// less than 5 expected are pooled.
static double score_of(const uint32_t *counts, const double *p, size_t cells, double draws) {
  double statistic = 0, pooled = 0, pooled_expected = 0;
  size_t used = 0;
  for (size_t i = 0; i < cells; ++i) {
    const double expected = p[i] * draws;
    if (p[i] == 0 && counts[i] > 0) return INFINITY;
    if (expected < 5) {
      pooled += counts[i];
      pooled_expected += expected;
    } else {
      statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
      ++used;
    }
  }
  if (pooled_expected > 1) {
    statistic += (pooled - pooled_expected) * (pooled - pooled_expected) / pooled_expected;
    ++used;
  }
  if (used < 2) return 0;
  const double freedom = (double)used - 1, variance = 2 / (9 * freedom);
  return (cbrt(statistic / freedom) - (1 - variance)) / sqrt(variance);
}

/// Draws in pairs: the first and the second token of a call, and the two together, follow the
/// distribution (the second of a Gumbel pair what is left of it).
static void check_draws(int shape, int gumbel, int truncated) {
  enum { CELLS = 700, ROUNDS = 30000, FEW = 12 };
  const size_t width = shape == 0 ? 2 : shape == 3 ? FEW : shape % 2 ? CELLS : 97;
  for (size_t i = 0; i < width; ++i) {
    logits[i] = (float)normal();
    if (shape == 1) logits[i] = (float)(below(3));
    if (shape == 2) logits[i] = i == 50 ? 6 : 0;
    if (shape == 4) logits[i] = i % 3 == 0 ? -INFINITY : (float)(-log(1 - unit()) * 2);
    if (shape == 5) logits[i] = 1;
  }
  martlet_sampling_rules r = martlet_sampling_rules_plain();
  r.temperature = shape % 2 ? 1 : 0.8f;
  if (truncated) {
    r.top_p = 0.9f;
    r.min_p = 0.01f;
  }
  size_t left = 0;
  double total = 0;
  static double p[CELLS], pairs[FEW * FEW];
  static uint32_t first[CELLS], second[CELLS], both[FEW * FEW];
  memset(first, 0, sizeof first);
  memset(second, 0, sizeof second);
  memset(both, 0, sizeof both);
  for (size_t i = 0; i < width; ++i) {
    p[i] = exact[i] = 0;
    if (logits[i] > -INFINITY) order[left++] = (uint32_t)i;
  }
  qsort(order, left, sizeof *order, by_rank);
  double whole = 0, passed = 0;
  for (size_t i = 0; i < left; ++i)
    whole += exact[order[i]] = exp(((double)logits[order[i]] - (double)logits[order[0]]) /
                                   (double)r.temperature);
  for (size_t i = 0; i < left; ++i) {
    const double e = exact[order[i]];
    if (truncated && (passed >= (double)r.top_p * whole || e < (double)r.min_p)) break;
    passed += e;
    p[order[i]] = e;
    total += e;
  }
  for (size_t i = 0; i < width; ++i) p[i] /= total;
  for (int round = 0; round < ROUNDS; ++round) {
    double uniforms[2] = {unit(), unit()};
    uint32_t tokens[2];
    martlet_sampling_draw draw = {.size = sizeof draw, .count = 2, .uniforms = uniforms};
    draw.kind = gumbel ? MARTLET_DRAW_GUMBEL : MARTLET_DRAW_INVERSE;
    draw.key[0] = bits();
    draw.key[1] = bits();
    draw.tokens = tokens;
    // Both ends of the range.
    if (round == 0) uniforms[0] = 0;
    if (round == 1) uniforms[0] = 1 - 0x1p-53;
    martlet_sampled result = {.size = sizeof result};
    if (martlet_logits_sample_f32(width, logits, &r, &draw, scratch, &result) != MARTLET_OK) abort();
    if (tokens[0] < width) ++first[tokens[0]];
    if (tokens[1] < width) ++second[tokens[1]];
    if (width <= FEW && tokens[0] < width && tokens[1] < width)
      ++both[tokens[0] * width + tokens[1]];
  }
  double scores[3] = {score_of(first, p, width, ROUNDS), 0, 0};
  if (!gumbel) scores[1] = score_of(second, p, width, ROUNDS);
  if (width <= FEW) {
    for (size_t i = 0; i < width * width; ++i) {
      const double a = p[i / width], b = p[i % width];
      pairs[i] = !gumbel ? a * b : i / width == i % width || a == 1 ? 0 : a * b / (1 - a);
    }
    scores[2] = score_of(both, pairs, width * width, ROUNDS);
  }
  for (int i = 0; i < 3; ++i)
    if (!(scores[i] < 5.5)) {
      ++failures;
      printf("FAIL  draws, shape %d, %s, %s: z %.2f of the %s\n", shape,
             gumbel ? "gumbel" : "inverse", truncated ? "truncated" : "whole", scores[i],
             i == 0 ? "first token" : i == 1 ? "second token" : "pair");
    }
}

int main(int count, char **arguments) {
  const double wanted = count > 1 ? strtod(arguments[1], NULL) : 1e6;
  state = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
  scratch = aligned_alloc(64, (martlet_sampling_scratch(WIDEST) + 63) / 64 * 64);
  if (!scratch) return 1;
  for (int shape = 0; shape < 6; ++shape)
    for (int kind = 0; kind < 4; ++kind) check_draws(shape, kind / 2, kind % 2);
  double seen = 0;
  uint64_t trial = 0;
  for (; seen < wanted; ++trial) seen += (double)check_set(trial);
  printf("sampling: %llu rows, %.3g logits, 48 draws tested, %d failures\n",
         (unsigned long long)trial, seen, failures);
  return failures > 0;
}

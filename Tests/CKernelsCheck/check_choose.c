/// Checks of sampling by rules: random rows under random rules, every variant against the reference,
/// which sorts.
#include "check.h"

#include <math.h>
#include <string.h>

enum { TOP = 5, DRAWS = 7 };

typedef struct choose_outputs {
  martlet_sampled result;
  martlet_sampling_draw draw;
  martlet_ranked_token *top;
  uint32_t *tokens;
  double *scores;
  float *probabilities;
  void *scratch;
} choose_outputs;

typedef struct choose_buffers {
  size_t width;
  float *logits;
  martlet_sampling_rules rules;
  double *uniforms;
  choose_outputs expected, actual;
} choose_buffers;

static double unit_of(martlet_check *check) {
  const size_t which = check_below(check, 12);
  if (which == 0) return 0;
  if (which == 1) return 1 - 0x1p-53;
  return (double)(check_random(check) >> 11) * 0x1p-53;
}

static int one_in(martlet_check *check, size_t n) { return check_below(check, n) == 0; }

static choose_outputs outputs(martlet_check *check, size_t width, uint32_t kind, uint32_t count) {
  choose_outputs o = {.result = {.size = sizeof(martlet_sampled)}};
  o.top = check_buffer(check, "top", TOP * sizeof *o.top, 0);
  o.tokens = check_buffer(check, "tokens", count * sizeof *o.tokens, 0);
  o.scores = check_aligned_buffer(check, "scores", count * sizeof *o.scores);
  o.probabilities = check_buffer(check, "probabilities", width * sizeof(float), 0);
  o.scratch = check_aligned_buffer(check, "scratch", martlet_sampling_scratch(width));
  o.result.top = o.top;
  o.result.top_count = TOP;
  o.draw = (martlet_sampling_draw){.size = sizeof o.draw, .kind = kind, .count = count};
  o.draw.tokens = o.tokens;
  o.draw.scores = o.scores;
  return o;
}

/// Rules of every kind, each off more often than on.
static void choose_rules(martlet_check *check, choose_buffers *b) {
  martlet_sampling_rules *r = &b->rules;
  const size_t width = b->width;
  *r = martlet_sampling_rules_plain();
  static const float temperatures[] = {0, 0.3f, 0.8f, 1, 1, 2, 50, 0x1p-140f};
  r->temperature = temperatures[check_below(check, 8)];
  if (one_in(check, 4)) r->top_n_sigma = fabsf(check_uniform(check)) * 3;
  if (one_in(check, 4)) r->top_k = 1 + (uint32_t)check_below(check, one_in(check, 2) ? 8 : width);
  if (one_in(check, 3)) r->top_p = fabsf(check_uniform(check));
  if (one_in(check, 4)) r->min_p = fabsf(check_uniform(check)) * 0.5f;
  if (one_in(check, 6)) r->typical = fabsf(check_uniform(check));
  if (one_in(check, 6)) r->epsilon = fabsf(check_uniform(check)) * 0.02f;
  if (one_in(check, 6)) r->eta = fabsf(check_uniform(check)) * 0.02f;
  if (one_in(check, 6)) r->tail_free = fabsf(check_uniform(check));
  if (one_in(check, 6)) r->top_a = fabsf(check_uniform(check)) * 0.5f;
  if (one_in(check, 6)) {
    r->xtc_probability = 0.7f;
    r->xtc_threshold = 0.001f + fabsf(check_uniform(check)) * 0.2f;
    r->xtc_uniform = unit_of(check);
  }
  if (one_in(check, 6)) {
    r->mirostat_tau = 3;
    r->mirostat_mu = fabsf(check_uniform(check)) * 12;
  }
  if (one_in(check, 8)) {
    r->dynamic_range = fabsf(check_uniform(check)) * 2;
    r->dynamic_exponent = one_in(check, 2) ? 1 : 0.7f;
  }
  if (one_in(check, 5)) {
    martlet_token_bias *biases = check_buffer(check, "biases", 3 * sizeof *biases, 0);
    for (int i = 0; i < 3; ++i)
      biases[i] = (martlet_token_bias){(uint32_t)check_below(check, width),
                                       i == 2 ? -INFINITY : check_normal(check) * 4};
    check_seal(check, biases);
    r->bias_count = 3;
    r->biases = biases;
  }
  if (one_in(check, 4)) {
    const uint32_t count = width < 20 ? 1 : 20;
    martlet_token_penalty *penalties =
        check_buffer(check, "penalties", count * sizeof *penalties, 0);
    const size_t first = check_below(check, width), step = width / count;
    for (uint32_t i = 0; i < count; ++i)
      penalties[i] = (martlet_token_penalty){(uint32_t)((first + i * step) % width),
                                             (uint32_t)check_below(check, 4),
                                             one_in(check, 2) ? 0 : 1.5f};
    check_seal(check, penalties);
    r->penalty_count = count;
    r->penalties = penalties;
    r->repetition = 1.3f;
    r->presence = 0.2f;
    r->frequency = 0.1f;
  }
  if (one_in(check, 6)) {
    uint32_t *suppressed = check_buffer(check, "suppressed", 2 * sizeof *suppressed, 0);
    for (int i = 0; i < 2; ++i) suppressed[i] = (uint32_t)check_below(check, width);
    check_seal(check, suppressed);
    r->suppressed_count = 2;
    r->suppressed = suppressed;
  }
  if (one_in(check, 5)) {
    const size_t words = (width + 31) / 32;
    uint32_t *allowed = check_buffer(check, "allowed", words * sizeof *allowed, 0);
    for (size_t i = 0; i < words; ++i) {
      const size_t fashion = (i / 8) % 3;
      allowed[i] = fashion == 0 ? 0 : fashion == 1 ? UINT32_MAX : (uint32_t)check_random(check);
    }
    allowed[check_below(check, words)] |= 0x10101;
    check_seal(check, allowed);
    r->allowed = allowed;
  }
  if (one_in(check, 8)) {
    float *other = check_buffer(check, "other", width * sizeof *other, 0);
    check_fill(check, CHECK_NORMAL, other, width);
    other[check_below(check, width)] = -INFINITY;
    check_seal(check, other);
    r->other = other;
    r->own_weight = 1.5f;
    r->other_weight = -0.5f;
    if (one_in(check, 2)) r->plausibility = 0.1f;
  }
  if (one_in(check, 10)) {
    float *other = check_buffer(check, "kl other", width * sizeof *other, 0);
    check_fill(check, CHECK_NORMAL, other, width);
    check_seal(check, other);
    r->kl_other = other;
    r->kl_scale = 1;
  }
}

static choose_buffers choose_prepare(martlet_check *check, check_kind kind, size_t width,
                                     float spread) {
  check_new_run(check);
  choose_buffers b = {.width = width};
  b.logits = check_buffer(check, "logits", width * sizeof(float), 4 * check_below(check, 16));
  check_fill(check, kind, b.logits, width);
  if (kind == CHECK_NORMAL) {
    // A fifth of the rows has its logits on a grid, so that many are equal; others have lost some.
    const int grid = one_in(check, 5), holes = one_in(check, 4);
    for (size_t i = 0; i < width; ++i) {
      b.logits[i] *= spread;
      if (grid) b.logits[i] = rintf(b.logits[i] * 2) * 0.5f;
      if (holes && one_in(check, 3)) b.logits[i] = -INFINITY;
    }
  }
  const uint32_t draw_kind = (uint32_t)check_below(check, 3);
  uint32_t count = 1 + (uint32_t)check_below(check, DRAWS);
  if (draw_kind != MARTLET_DRAW_INVERSE && count > width) count = (uint32_t)width;
  b.uniforms = check_aligned_buffer(check, "uniforms", count * sizeof(double));
  for (uint32_t i = 0; i < count; ++i) b.uniforms[i] = unit_of(check);
  choose_rules(check, &b);
  b.expected = outputs(check, width, draw_kind, count);
  b.actual = outputs(check, width, draw_kind, count);
  b.expected.draw.uniforms = b.actual.draw.uniforms = b.uniforms;
  b.expected.draw.key[0] = b.actual.draw.key[0] = check_random(check);
  b.expected.draw.key[1] = b.actual.draw.key[1] = check_random(check);
  check_seal(check, b.logits);
  check_seal(check, b.uniforms);
  return b;
}

static void call(martlet_any_function function, const choose_buffers *b, choose_outputs *o,
                 int draws) {
  ((martlet_logits_sample_f32_function *)function)(
      b->width, b->logits, &b->rules, draws ? &o->draw : NULL, o->scratch,
      draws ? NULL : o->probabilities, &o->result);
}

static void compare(martlet_check *check, choose_buffers *b) {
  for (int draws = 0; draws < 2; ++draws) {
    b->expected.result = b->actual.result = (martlet_sampled){
        .size = sizeof(martlet_sampled), .top_count = TOP, .top = b->expected.top};
    b->actual.result.top = b->actual.top;
    call(check->reference->function, b, &b->expected, draws);
    CHECK_CALL(check, call(check->entry->function, b, &b->actual, draws));
    const uint32_t clean = b->expected.result.clean, found = b->expected.result.top_count;
    b->expected.result.top = b->actual.result.top = NULL;
    const martlet_sampled *e = &b->expected.result, *a = &b->actual.result;
    if (memcmp(e, a, sizeof *e) != 0)
      check_fail(check,
                 "clean %u token %u kept %u logprob %.9g %.9g log_sum %.9g entropy %.9g "
                 "temperature %.9g mu %.9g gap %.9g, reference %u %u %u %.9g %.9g %.9g %.9g %.9g %.9g "
                 "%.9g",
                 a->clean, a->token, a->kept, a->logprob, a->kept_logprob, a->log_sum, a->entropy,
                 a->temperature, a->mirostat_mu, a->gap, e->clean, e->token, e->kept, e->logprob,
                 e->kept_logprob, e->log_sum, e->entropy, e->temperature, e->mirostat_mu, e->gap);
    if (clean) check_same_bytes(check, b->expected.top, b->actual.top, found * sizeof *b->actual.top);
    if (draws) {
      check_same_bytes(check, b->expected.tokens, b->actual.tokens,
                       b->actual.draw.count * sizeof(uint32_t));
      if (clean == 1 && b->actual.draw.kind == MARTLET_DRAW_GUMBEL)
        check_same_bytes(check, b->expected.scores, b->actual.scores,
                         b->actual.draw.count * sizeof(double));
    } else if (clean == 1) {
      check_same_bits(check, b->expected.probabilities, b->actual.probabilities, 1, b->width,
                      b->width);
    }
    check_poison(check);
  }
}

static void describe(martlet_check *check, const choose_buffers *b, const char *kind) {
  const martlet_sampling_rules *r = &b->rules;
  check_describe(check,
                 "%s width %zu T %g ns %g k %u p %g m %g typ %g eps %g eta %g tfs %g a %g xtc %g "
                 "miro %g, %u bias %u pen %s %s",
                 kind, b->width, (double)r->temperature, (double)r->top_n_sigma, r->top_k,
                 (double)r->top_p, (double)r->min_p, (double)r->typical, (double)r->epsilon,
                 (double)r->eta, (double)r->tail_free, (double)r->top_a,
                 (double)r->xtc_probability, (double)r->mirostat_tau, r->bias_count,
                 r->penalty_count, r->allowed ? "mask" : "", r->other ? "guided" : "");
}

static const size_t block_widths[] = {240, 255, 256, 257, 300, 511, 512, 513, 769, 5000, 20001};
enum { BLOCK_WIDTHS = sizeof(block_widths) / sizeof(block_widths[0]) };
static const float spreads[] = {0, 0.01f, 0.5f, 2, 4, 8, 30};

static void lengths(martlet_check *check) {
  for (size_t round = 0; round < 6; ++round)
    for (size_t i = 0; i < check_length_count + BLOCK_WIDTHS; ++i) {
      const size_t width =
          i < check_length_count ? check_lengths[i] : block_widths[i - check_length_count];
      if (width == 0) continue;
      for (size_t t = 0; t < sizeof(spreads) / sizeof(spreads[0]); ++t) {
        choose_buffers b = choose_prepare(check, CHECK_NORMAL, width, spreads[t]);
        describe(check, &b, "normal");
        compare(check, &b);
      }
    }
}

static void special_values(martlet_check *check) {
  static const size_t widths[] = {1, 2, 7, 33, 300, 1040};
  for (size_t round = 0; round < 8; ++round)
    for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
      for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); ++i) {
        choose_buffers b = choose_prepare(check, (check_kind)kind, widths[i], 1);
        describe(check, &b, check_kind_name((check_kind)kind));
        compare(check, &b);
      }
}

static void large(martlet_check *check) {
  for (size_t round = 0; round < 24; ++round) {
    choose_buffers b = choose_prepare(check, CHECK_NORMAL, round % 3 ? 70000 : 128256,
                                      spreads[round % 7]);
    describe(check, &b, "normal");
    compare(check, &b);
  }
}

/// Rows so flat that a cut is foreseen from a sample, or every rank is sorted: one rule alone, with
/// and without equal logits, steep tails, and a single logit far from all others.
static void flat(martlet_check *check) {
  static const float flat_spreads[] = {0.003f, 0.1f, 0.3f, 0.6f, 1e20f};
  for (size_t round = 0; round < 36; ++round) {
    const size_t width = 14000 + check_below(check, round % 6 ? 12000 : 120000);
    choose_buffers b = choose_prepare(check, CHECK_NORMAL, width, flat_spreads[round % 5]);
    b.rules = martlet_sampling_rules_plain();
    b.rules.temperature = round % 2 ? 1 : 0.7f + fabsf(check_uniform(check));
    const float share = round % 4 < 2 ? fabsf(check_uniform(check)) : 0.95f;
    if (round % 3 == 0) b.rules.top_p = share;
    if (round % 3 == 1) b.rules.typical = share;
    if (round % 3 == 2) b.rules.tail_free = share;
    if (one_in(check, 4)) b.rules.min_p = 0.01f;
    describe(check, &b, "flat");
    compare(check, &b);
  }
}

static void repeat(void *context, martlet_any_function function) {
  choose_buffers *b = context;
  call(function, b, &b->actual, 1);
}

static void time_sample(martlet_check *check, martlet_check_timing *timing) {
  choose_buffers b = choose_prepare(check, CHECK_NORMAL, 128256, 2);
  const martlet_sampling_draw draw = b.actual.draw;
  b.rules = martlet_sampling_rules_plain();
  b.rules.temperature = 0.8f;
  b.rules.top_n_sigma = 1;
  b.rules.top_p = 0.95f;
  b.actual.draw = draw;
  b.actual.draw.kind = MARTLET_DRAW_INVERSE;
  b.actual.draw.count = 1;
  strcpy(timing->shape, "128256, top-nσ 1, T 0.8, top-p");
  timing->bytes = 128256.0 * 4 * 3;
  timing->operations = 128256.0 * 30;
  check_time(check, timing, repeat, &b);
}

static const martlet_check_case choose_cases[] = {
    {"lengths", lengths, 0}, {"special values", special_values, 0}, {"large", large, 0},
    {"flat", flat, 0}};
const martlet_check_operation martlet_check_choose_operations[] = {
    {"logits_sample_f32", choose_cases, 4, time_sample}};
const size_t martlet_check_choose_operation_count = 1;

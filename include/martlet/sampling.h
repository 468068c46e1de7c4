/// Drawing a token from a row of logits, and what the row says about it.
///
/// A row is cut into blocks of MARTLET_LOGITS_BLOCK. Within a block float32 sums run over four sets
/// of 16 lanes, element i in lane i mod 16 of set i / 16 mod 4; sets add up as (0 + 1) + (2 + 3) and
/// lanes fold as in norm.h. Across blocks sums run in order in float64. That keeps log_sum and
/// entropy within 2e-6 of their exact values for rows of up to 2^18 logits.
#ifndef MARTLET_SAMPLING_H
#define MARTLET_SAMPLING_H

#include "common.h"

enum { MARTLET_LOGITS_BLOCK = 256 };

/// The floats of scratch memory that a draw from `width` logits needs.
static inline size_t martlet_logits_blocks(size_t width) {
  return width / MARTLET_LOGITS_BLOCK + (width % MARTLET_LOGITS_BLOCK != 0);
}

/// A row's distribution at temperature 1, in nats, and the token drawn.
typedef struct martlet_logits_shape {
  uint32_t size;         ///< sizeof(martlet_logits_shape), set by the caller.
  /// 0 if the row holds NaN or +inf, or nothing finite. Then only `maximum` has a meaning.
  uint32_t clean;
  uint32_t most_likely;  ///< Where the maximum is; the first place among equals.
  uint32_t drawn;        ///< The token drawn; `most_likely` at temperature 0.
  double maximum;        ///< The largest logit, NaN passed over; -inf when there is nothing else.
  double log_sum;        ///< log Σ exp(l - maximum).
  double entropy;        ///< Of softmax(l).
} martlet_logits_shape;

/// The shape of a row, and a draw from softmax(l / temperature) by inverse CDF in order of id:
/// the first token at which the running sum of weights exceeds `uniform` times their total. A
/// weight is exp((l - maximum) · (1 / temperature)) in float32, the exponential being that of
/// softmax.h; weight 0 is never drawn. Temperature 0 takes the most likely token. Positive
/// temperatures below 2⁻¹²⁶ act as 2⁻¹²⁶.
///
/// `uniform` is in [0, 1), `temperature` finite and not negative. `scratch` has
/// martlet_logits_blocks(width) elements and may be null at temperature 0. The row is read twice.
MARTLET_API martlet_status martlet_logits_draw_f32(size_t width, const float *logits,
                                                   float temperature, double uniform,
                                                   float *scratch, martlet_logits_shape *shape);
/// weights = exp((logits - maximum) · (1 / temperature)), the weights of martlet_logits_draw_f32;
/// `temperature` is positive and finite, `maximum` finite. In place is fine.
MARTLET_API martlet_status martlet_logits_weigh_f32(size_t count, const float *logits,
                                                    float maximum, float temperature,
                                                    float *weights);

/// ## From logits to a token by rules
///
/// The rules apply one after another, each to what those before it left, renormalised:
///
///  1. guidance by a second row: l = own_weight · l + other_weight · other, tokens below
///     maximum + log plausibility (of the first row) out. Classifier-free guidance of scale γ is
///     (γ, 1 - γ), contrastive decoding (1 + β, -β) with a plausibility of 0.1. Sources: "Stay on
///     topic with Classifier-Free Guidance", "Contrastive Decoding: Open-ended Text Generation as
///     Optimization". A token at -inf in either row is out.
///  2. biases, added; 3. penalties; 4. the mask and the suppressed tokens ("Wait, We Don't Need to
///     'Wait'!": suppressing words of reflection). Masks come after penalties so that no
///     combination of them brings a forbidden token back.
///  5. temperature, fixed or following the entropy or the divergence from a second row;
///  6. top-nσ, on logits; 7. top-k; 8. top-p; 9. min-p; 10. typical; 11. epsilon; 12. eta;
///     13. tail-free; 14. top-a; 15. XTC; 16. Mirostat v2's cut; then the draw.
///
/// Temperature comes first and top-k, top-p, min-p, typical, epsilon and eta follow, as in
/// Transformers; tail-free and top-a follow as in the web interfaces that carry them; XTC removes
/// the head of what all others left, so it comes after them; Mirostat steers what is drawn, so it
/// is last. Tokens rank by logit, equal logits by lower id.
///
/// ### Numbers
/// A weight is 2^y, y = (l - maximum) · (log2 e / temperature) in float32. Weights are integers: in
/// a block of MARTLET_LOGITS_BLOCK logits they have 27 binary places below the exponent of the
/// block's largest weight, and no more than 45 below the row's. Sums are exact in 64 bits, so they
/// do not depend on order. So which tokens are kept, and which is drawn, is the same with every
/// instruction set, and is that of exact arithmetic but for tokens within 1e-6 of a threshold.
/// Thresholds on probabilities become thresholds on logits in float64. Dynamic and KL-guided
/// temperature look at the model's own row, before any rule.

/// A token and what is added to its logit.
typedef struct martlet_token_bias {
  uint32_t token;
  float value;  ///< Below +inf; -inf forbids the token.
} martlet_token_bias;

/// A token to be penalised: each at most once in a list.
typedef struct martlet_token_penalty {
  uint32_t token;
  uint32_t count;     ///< Occurrences in the window: repetition and presence count it if above 0.
  float subtracted;   ///< Taken off besides, such as a DRY penalty (martlet_sampling_dry).
} martlet_token_penalty;

/// How logits become a distribution. martlet_sampling_rules_plain() has every rule off.
typedef struct martlet_sampling_rules {
  uint32_t size;                 ///< sizeof(martlet_sampling_rules), set by the caller.
  /// 0 takes the most likely token after rules 1 to 4. Positive values below 2⁻¹²⁶ act as 2⁻¹²⁶.
  float temperature;
  /// Dynamic temperature: from `temperature - range` (not below 0) at entropy 0 to
  /// `temperature + range` at log(width), along (entropy / log width)^exponent. 0 is off.
  float dynamic_range;
  float dynamic_exponent;
  /// KL-guided temperature: temperature · 2^(-KL(row ‖ kl_other) / kl_scale). 0 is off.
  /// Source: "KL-Divergence Guided Temperature Sampling".
  float kl_scale;
  float top_n_sigma;             ///< Keeps l ≥ maximum - n·σ of the finite logits; +inf is off.
  uint32_t top_k;                ///< Keeps the k first by rank; 0 is off.
  float top_p;                   ///< Keeps the fewest first by rank that hold this mass; 1 is off.
  float min_p;                   ///< Keeps p ≥ min_p · largest p; 0 is off.
  /// Keeps those of surprisal nearest the entropy that hold this mass, equally near ones together;
  /// 1 is off. Source: "Locally Typical Sampling".
  float typical;
  float epsilon;                 ///< Keeps p ≥ epsilon; 0 is off. Always the most likely.
  /// Keeps p ≥ min(eta, √eta · exp(-entropy)); 0 is off. Always the most likely.
  /// Source of both: "Truncation Sampling as Language Model Desmoothing".
  float eta;
  /// Keeps ranks until the normalised |second differences| of the probabilities hold this much;
  /// 1 is off. Source: "Tail Free Sampling".
  float tail_free;
  float top_a;                   ///< Keeps p ≥ top_a · (largest p)²; 0 is off.
  /// With this probability (xtc_uniform < xtc_probability), removes every token of
  /// p ≥ xtc_threshold but the last of them by rank. 0 is off.
  float xtc_probability;
  float xtc_threshold;
  double xtc_uniform;            ///< In [0, 1), independent of the draw's own.
  /// Mirostat v2: keeps surprisals of at most `mirostat_mu` bits, always the most likely, and
  /// moves mu by -rate · (surprisal of the drawn token - tau). tau 0 is off; begin with
  /// mu = 2 · tau. Source: "Mirostat: A Neural Text Decoding Algorithm that Directly Controls
  /// Perplexity".
  float mirostat_tau;
  float mirostat_rate;
  float mirostat_mu;
  /// Penalties: a token of count > 0 has its logit divided (when positive) or multiplied by
  /// `repetition`, then lowered by `presence` and by `frequency` · count; then by `subtracted`.
  /// Source of the first: "CTRL: A Conditional Transformer Language Model".
  float repetition;
  float presence;
  float frequency;
  uint32_t bias_count;
  uint32_t penalty_count;
  uint32_t suppressed_count;
  const martlet_token_bias *biases;
  const martlet_token_penalty *penalties;
  const uint32_t *suppressed;    ///< Tokens that are out.
  /// One bit per token, least significant first, 1 allowed; (width + 31) / 32 words. Null: all.
  const uint32_t *allowed;
  const float *other;            ///< The second row of rule 1; null: none.
  float own_weight;
  float other_weight;
  float plausibility;            ///< 0 is off.
  uint32_t reserved;
  const float *kl_other;         ///< The second row of kl_scale.
} martlet_sampling_rules;

/// Temperature 1 and nothing else.
static inline martlet_sampling_rules martlet_sampling_rules_plain(void) {
  martlet_sampling_rules rules = {.size = sizeof(martlet_sampling_rules)};
  rules.temperature = rules.dynamic_exponent = rules.top_p = rules.typical = 1;
  rules.tail_free = rules.repetition = rules.own_weight = 1;
  rules.top_n_sigma = __builtin_inff();
  rules.mirostat_rate = 0.1f;
  return rules;
}

/// How tokens are drawn from the distribution.
enum {
  /// The first token at which the running mass, in order of id, exceeds uniform · total, one for
  /// each uniform. Evenly spread uniforms ((i + u) / N + a common shift, mod 1) make it arithmetic
  /// sampling: unbiased and spread out. Source: "Arithmetic Sampling: Parallel Diverse Decoding
  /// for Large Language Models".
  MARTLET_DRAW_INVERSE = 0,
  /// The largest of log weight + Gumbel noise, the noise a function of key and token alone: the
  /// same key with other logits is the counterfactual. `count` above 1 gives the `count` largest
  /// in order, a draw without replacement. Sources: "Stochastic Beams and Where to Find Them",
  /// "Counterfactual Generation from Language Models".
  MARTLET_DRAW_GUMBEL = 1,
  /// The `count` most likely in order, without chance: the tokens that "Priority Sampling of Large
  /// Language Models for Compilers" expands.
  MARTLET_DRAW_PRIORITY = 2,
};

typedef struct martlet_sampling_draw {
  uint32_t size;                 ///< sizeof(martlet_sampling_draw), set by the caller.
  uint32_t kind;                 ///< MARTLET_DRAW_…
  uint32_t count;                ///< Tokens wanted: 1 or more, 0 for none.
  uint32_t reserved;
  const double *uniforms;        ///< `count` of them in [0, 1), for the inverse.
  uint64_t key[2];               ///< For Gumbel noise.
  uint32_t *tokens;              ///< `count` tokens; those that do not exist become UINT32_MAX.
  double *scores;                ///< Null, or the perturbed log-probabilities of a Gumbel draw.
} martlet_sampling_draw;

/// A token of the model's own distribution.
typedef struct martlet_ranked_token {
  uint32_t token;
  float logprob;                 ///< Before any rule, nats.
} martlet_ranked_token;

/// What a row says, before any rule and after all.
typedef struct martlet_sampled {
  uint32_t size;                 ///< sizeof(martlet_sampled), set by the caller.
  /// 0 if the row holds NaN or +inf or nothing finite; 1 if it is sound; 2 if it is sound but the
  /// rules leave nothing finite; 3 if they take logits beyond float32. Only 1 has more to say.
  uint32_t clean;
  uint32_t token;                ///< The first token drawn.
  uint32_t most_likely;          ///< Of the row itself, the first among equals.
  uint32_t kept;                 ///< Tokens left by the rules.
  uint32_t top_count;            ///< Alternatives wanted; set by the caller, lowered to those found.
  martlet_ranked_token *top;     ///< Set by the caller: the most likely of the row itself, by rank.
  double maximum;                ///< The largest logit of the row itself.
  double gap;                    ///< How far the second largest is below it; +inf if there is none.
  double log_sum;                ///< log Σ exp(l - maximum) of the row itself.
  double entropy;                ///< Of softmax of the row itself, nats.
  double logprob;                ///< Of `token`, before any rule.
  double kept_logprob;           ///< Of `token`, after all rules.
  double temperature;            ///< The one applied.
  double mirostat_mu;            ///< For the next token.
} martlet_sampled;

/// The bytes of scratch that sampling needs, for any rules. Align it to 64 bytes.
MARTLET_API size_t martlet_sampling_scratch(size_t width);

/// Applies the rules to a row and draws. No sort, and no array of probabilities: see
/// CKernels/lanes/choose.h for the passes. Rows of up to 2^24 logits.
MARTLET_API martlet_status martlet_logits_sample_f32(size_t width, const float *logits,
                                                     const martlet_sampling_rules *rules,
                                                     const martlet_sampling_draw *draw,
                                                     void *scratch, martlet_sampled *result);
/// Applies the rules and writes the distribution itself: `width` probabilities, 0 where a token is
/// out, that sum to 1 within 1e-6. At temperature 0 the most likely token has it all.
/// `probabilities` overlaps nothing else. `result->token` is the most likely of the distribution.
MARTLET_API martlet_status martlet_sampling_distribution_f32(size_t width, const float *logits,
                                                             const martlet_sampling_rules *rules,
                                                             void *scratch, float *probabilities,
                                                             martlet_sampled *result);
/// DRY penalties: for each token that would continue a repetition of the last n ≥ `allowed`, n > 0,
/// tokens of `history`, multiplier · base^(n - allowed). Writes up to `capacity` penalties (count
/// 0) into `penalties`, none for a token twice, and their number into `found`. `breakers` are
/// tokens that no repetition crosses. `workspace` has `length` elements. O(length).
/// Source: llama.cpp's and text-generation-webui's "DRY" sampler.
MARTLET_API martlet_status martlet_sampling_dry(size_t length, const uint32_t *history,
                                                float multiplier, float base, uint32_t allowed,
                                                size_t breaker_count, const uint32_t *breakers,
                                                uint32_t *workspace, size_t capacity,
                                                martlet_token_penalty *penalties, size_t *found);

#endif

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

#endif

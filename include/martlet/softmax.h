/// Softmax and log-sum-exp over rows of float32.
///
/// Sums run over 16 lanes and fold as in norm.h. A row whose largest value is -inf or that holds
/// a NaN gives NaN; +inf entries share the mass equally.
#ifndef MARTLET_SOFTMAX_H
#define MARTLET_SOFTMAX_H

#include "common.h"

/// output = exp(input * scale - max) / sum, per row of `width`. In place is fine.
MARTLET_API martlet_status martlet_softmax_f32(size_t rows, size_t width, float scale,
                                               const float *input, size_t input_stride,
                                               float *output, size_t output_stride);
/// output = input - log(sum(exp(input))), per row. In place is fine.
MARTLET_API martlet_status martlet_log_softmax_f32(size_t rows, size_t width, const float *input,
                                                   size_t input_stride, float *output,
                                                   size_t output_stride);

#endif

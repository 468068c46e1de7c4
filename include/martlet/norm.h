/// Normalisation over the last dimension of row-major float32 matrices.
///
/// Sums run over 16 lanes (element i goes to lane i mod 16, one fused multiply-add each, in order)
/// and fold 16 → 8 → 4 → 2 → 1, adding lane i + half to lane i: the same bits on every ISA.
/// Input and output may be the same buffer; otherwise they must not overlap.
#ifndef MARTLET_NORM_H
#define MARTLET_NORM_H

#include "common.h"

/// output = (input * 1/sqrt(mean(input²) + epsilon)) * weight, per row. Source: "Root Mean Square
/// Layer Normalization". Strides are in elements.
MARTLET_API martlet_status martlet_rms_norm_f32(size_t rows, size_t width, const float *input,
                                                size_t input_stride, const float *weight,
                                                float epsilon, float *output,
                                                size_t output_stride);

/// output = ((input - mean) * 1/sqrt(variance + epsilon)) * weight + bias; `bias` may be null.
/// Source: "Layer Normalization".
MARTLET_API martlet_status martlet_layer_norm_f32(size_t rows, size_t width, const float *input,
                                                  size_t input_stride, const float *weight,
                                                  const float *bias, float epsilon, float *output,
                                                  size_t output_stride);

/// target += addend, `count` elements.
MARTLET_API martlet_status martlet_add_f32(size_t count, const float *addend, float *target);

#endif

/// Reference of the norm family: the specification that every other variant meets bit for bit.
#include "dispatch/norm_variants.h"
#include "reference/lanes.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

void martlet_rms_norm_f32_reference(size_t rows, size_t width, const float *input,
                                    size_t input_stride, const float *weight, float epsilon,
                                    float *output, size_t output_stride) {
  for (size_t row = 0; row < rows; ++row) {
    const float *in = input + row * input_stride;
    float *out = output + row * output_stride;
    float lanes[MARTLET_LANES] = {0};
    for (size_t i = 0; i < width; ++i)
      lanes[i % MARTLET_LANES] = fmaf(in[i], in[i], lanes[i % MARTLET_LANES]);
    float mean = martlet_fold_lanes(lanes) / (float)width;
    float inverse = 1.0f / sqrtf(mean + epsilon);
    for (size_t i = 0; i < width; ++i) out[i] = (in[i] * inverse) * weight[i];
  }
}

void martlet_layer_norm_f32_reference(size_t rows, size_t width, const float *input,
                                      size_t input_stride, const float *weight, const float *bias,
                                      float epsilon, float *output, size_t output_stride) {
  for (size_t row = 0; row < rows; ++row) {
    const float *in = input + row * input_stride;
    float *out = output + row * output_stride;
    float lanes[MARTLET_LANES] = {0};
    for (size_t i = 0; i < width; ++i) lanes[i % MARTLET_LANES] = lanes[i % MARTLET_LANES] + in[i];
    float mean = martlet_fold_lanes(lanes) / (float)width;
    float squares[MARTLET_LANES] = {0};
    for (size_t i = 0; i < width; ++i) {
      float centred = in[i] - mean;
      squares[i % MARTLET_LANES] = fmaf(centred, centred, squares[i % MARTLET_LANES]);
    }
    float variance = martlet_fold_lanes(squares) / (float)width;
    float inverse = 1.0f / sqrtf(variance + epsilon);
    for (size_t i = 0; i < width; ++i) {
      float scaled = ((in[i] - mean) * inverse) * weight[i];
      out[i] = bias ? scaled + bias[i] : scaled;
    }
  }
}

void martlet_add_f32_reference(size_t count, const float *addend, float *target) {
  for (size_t i = 0; i < count; ++i) target[i] = target[i] + addend[i];
}

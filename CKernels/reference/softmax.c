/// Reference of the softmax family.
#include "reference/softmax.h"

#include "dispatch/softmax_variants.h"
#include "reference/exp.h"
#include "reference/lanes.h"

#pragma STDC FP_CONTRACT OFF

float martlet_softmax_log(float sum) { return (float)log((double)sum); }

void martlet_softmax_infinite_row(size_t width, float scale, const float *input, float *output,
                                  int logarithm) {
  size_t infinite = 0, nan = 0;
  for (size_t i = 0; i < width; ++i) {
    float x = input[i] * scale;
    infinite += x == INFINITY;
    nan += x != x;
  }
  float share = logarithm ? -martlet_softmax_log((float)infinite) : 1.0f / (float)infinite;
  float rest = logarithm ? -INFINITY : 0.0f;
  for (size_t i = 0; i < width; ++i)
    output[i] = nan ? NAN : input[i] * scale == INFINITY ? share : rest;
}

/// The largest of input·scale, NaN passed over, with -0 made +0.
static float largest_of(size_t width, float scale, const float *input) {
  float largest = -INFINITY;
  for (size_t i = 0; i < width; ++i) {
    float x = input[i] * scale;
    largest = x > largest ? x : largest;
  }
  return largest + 0.0f;
}

void martlet_softmax_f32_reference(size_t rows, size_t width, float scale, const float *input,
                                   size_t input_stride, float *output, size_t output_stride) {
  for (size_t row = 0; row < rows; ++row) {
    const float *in = input + row * input_stride;
    float *out = output + row * output_stride;
    float largest = largest_of(width, scale, in);
    if (largest == INFINITY) {
      martlet_softmax_infinite_row(width, scale, in, out, 0);
      continue;
    }
    float lanes[MARTLET_LANES] = {0};
    for (size_t i = 0; i < width; ++i) {
      float scaled = in[i] * scale;
      out[i] = martlet_exp_f32(scaled - largest);
      lanes[i % MARTLET_LANES] = lanes[i % MARTLET_LANES] + out[i];
    }
    float inverse = 1.0f / martlet_fold_lanes(lanes);
    for (size_t i = 0; i < width; ++i) out[i] = out[i] * inverse;
  }
}

void martlet_log_softmax_f32_reference(size_t rows, size_t width, const float *input,
                                       size_t input_stride, float *output, size_t output_stride) {
  for (size_t row = 0; row < rows; ++row) {
    const float *in = input + row * input_stride;
    float *out = output + row * output_stride;
    float largest = largest_of(width, 1.0f, in);
    if (largest == INFINITY) {
      martlet_softmax_infinite_row(width, 1.0f, in, out, 1);
      continue;
    }
    float lanes[MARTLET_LANES] = {0};
    for (size_t i = 0; i < width; ++i)
      lanes[i % MARTLET_LANES] = lanes[i % MARTLET_LANES] + martlet_exp_f32(in[i] - largest);
    float log_sum = martlet_softmax_log(martlet_fold_lanes(lanes));
    for (size_t i = 0; i < width; ++i) out[i] = (in[i] - largest) - log_sum;
  }
}

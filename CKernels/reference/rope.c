/// Reference of the rotary embedding, and the table of angles that all variants read.
#include "dispatch/rope_variants.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

static const double two_pi = 6.283185307179586476925286766559;

/// The pair index at which a wavelength makes `turns` turns within the training context.
static double yarn_correction(const martlet_rope_configuration *c, double turns) {
  return c->rotary_dimensions * log(c->original_context / (turns * two_pi)) /
         (2.0 * log(c->base));
}

/// How much of pair `pair` keeps its own frequency (1) rather than the interpolated one (0).
static double yarn_kept(const martlet_rope_configuration *c, uint32_t pair) {
  double low = floor(yarn_correction(c, c->yarn_beta_fast));
  double high = ceil(yarn_correction(c, c->yarn_beta_slow));
  low = fmax(0.0, low);
  high = fmin((double)c->rotary_dimensions - 1.0, high);
  double ramp = (pair - low) / fmax(0.001, high - low);
  return (1.0 - fmin(1.0, fmax(0.0, ramp))) * c->yarn_extrapolation;
}

/// Llama 3.1: long wavelengths are interpolated, short ones kept, a band between them blended.
static double llama3_frequency(const martlet_rope_configuration *c, double frequency) {
  double wavelength = two_pi / frequency;
  if (wavelength < c->original_context / c->high_frequency_factor) return frequency;
  if (wavelength > c->original_context / c->low_frequency_factor) return frequency / c->factor;
  double smooth = (c->original_context / wavelength - c->low_frequency_factor) /
                  (c->high_frequency_factor - c->low_frequency_factor);
  return (1.0 - smooth) * frequency / c->factor + smooth * frequency;
}

void martlet_rope_table_reference(const martlet_rope_configuration *c, size_t rows,
                                  const int32_t *positions, float *table) {
  const uint32_t pairs = c->rotary_dimensions / 2;
  double magnitude = 1.0;
  if (c->scaling == MARTLET_ROPE_SCALING_YARN) {
    magnitude = c->yarn_attention;
    if (c->yarn_extrapolation != 0.0) magnitude *= 1.0 + 0.1 * log(c->factor);
  }
  for (uint32_t pair = 0; pair < pairs; ++pair) {
    double frequency = pow(c->base, -2.0 * pair / c->rotary_dimensions);
    if (c->frequency_factors) frequency /= (double)c->frequency_factors[pair];
    if (c->scaling == MARTLET_ROPE_SCALING_LINEAR) {
      frequency /= c->factor;
    } else if (c->scaling == MARTLET_ROPE_SCALING_YARN) {
      double kept = yarn_kept(c, pair);
      frequency = frequency / c->factor * (1.0 - kept) + frequency * kept;
    } else if (c->scaling == MARTLET_ROPE_SCALING_LLAMA3) {
      frequency = llama3_frequency(c, frequency);
    }
    for (size_t row = 0; row < rows; ++row) {
      double angle = positions[row] * frequency;
      float *entry = table + (row * pairs + pair) * 2;
      entry[0] = (float)(cos(angle) * magnitude);
      entry[1] = (float)(sin(angle) * magnitude);
    }
  }
}

void martlet_rope_f32_reference(martlet_rope_layout layout, size_t rows, size_t heads,
                                size_t head_dimensions, size_t rotary_dimensions,
                                const float *table, float *values, size_t stride) {
  const size_t pairs = rotary_dimensions / 2;
  const size_t step = layout == MARTLET_ROPE_ADJACENT ? 2 : 1;
  const size_t apart = layout == MARTLET_ROPE_ADJACENT ? 1 : pairs;
  for (size_t row = 0; row < rows; ++row)
    for (size_t head = 0; head < heads; ++head)
      for (size_t pair = 0; pair < pairs; ++pair) {
        float cosine = table[(row * pairs + pair) * 2], sine = table[(row * pairs + pair) * 2 + 1];
        float *first = values + row * stride + head * head_dimensions + pair * step;
        float x = first[0], y = first[apart];
        float y_sine = y * sine, x_sine = x * sine;
        first[0] = fmaf(x, cosine, -y_sine);
        first[apart] = fmaf(y, cosine, x_sine);
      }
}

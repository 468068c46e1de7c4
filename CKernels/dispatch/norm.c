/// The public doors of the norm family: check, then call the serving variant.
#include <martlet/norm.h>

#include "dispatch/families.h"

martlet_status martlet_rms_norm_f32(size_t rows, size_t width, const float *input,
                                    size_t input_stride, const float *weight, float epsilon,
                                    float *output, size_t output_stride) {
  if (rows == 0 || width == 0) return MARTLET_OK;
  if (!input || !weight || !output) return MARTLET_E_ARGUMENT;
  if (rows > 1 && (input_stride < width || output_stride < width)) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(rms_norm_f32, MARTLET_NUMERIC_PORTABLE)
  (rows, width, input, input_stride, weight, epsilon, output, output_stride);
  return MARTLET_OK;
}

martlet_status martlet_layer_norm_f32(size_t rows, size_t width, const float *input,
                                      size_t input_stride, const float *weight, const float *bias,
                                      float epsilon, float *output, size_t output_stride) {
  if (rows == 0 || width == 0) return MARTLET_OK;
  if (!input || !weight || !output) return MARTLET_E_ARGUMENT;
  if (rows > 1 && (input_stride < width || output_stride < width)) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(layer_norm_f32, MARTLET_NUMERIC_PORTABLE)
  (rows, width, input, input_stride, weight, bias, epsilon, output, output_stride);
  return MARTLET_OK;
}

martlet_status martlet_add_f32(size_t count, const float *addend, float *target) {
  if (count == 0) return MARTLET_OK;
  if (!addend || !target) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(add_f32, MARTLET_NUMERIC_PORTABLE)(count, addend, target);
  return MARTLET_OK;
}

/// The public doors of the softmax family.
#include <martlet/softmax.h>

#include "dispatch/families.h"

martlet_status martlet_softmax_f32(size_t rows, size_t width, float scale, const float *input,
                                   size_t input_stride, float *output, size_t output_stride) {
  if (rows == 0 || width == 0) return MARTLET_OK;
  if (!input || !output) return MARTLET_E_ARGUMENT;
  if (rows > 1 && (input_stride < width || output_stride < width)) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(softmax_f32, MARTLET_NUMERIC_PORTABLE)
  (rows, width, scale, input, input_stride, output, output_stride);
  return MARTLET_OK;
}

martlet_status martlet_log_softmax_f32(size_t rows, size_t width, const float *input,
                                       size_t input_stride, float *output, size_t output_stride) {
  if (rows == 0 || width == 0) return MARTLET_OK;
  if (!input || !output) return MARTLET_E_ARGUMENT;
  if (rows > 1 && (input_stride < width || output_stride < width)) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(log_softmax_f32, MARTLET_NUMERIC_PORTABLE)
  (rows, width, input, input_stride, output, output_stride);
  return MARTLET_OK;
}

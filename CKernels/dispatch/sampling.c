/// The public doors of the sampling family.
#include <martlet/sampling.h>

#include "dispatch/families.h"

#include <math.h>

/// 1 / temperature, finite: the reciprocal of a subnormal number may not be.
static float inverse_of(float temperature) {
  return 1.0f / (temperature < 0x1p-126f ? 0x1p-126f : temperature);
}

martlet_status martlet_logits_draw_f32(size_t width, const float *logits, float temperature,
                                       double uniform, float *scratch,
                                       martlet_logits_shape *shape) {
  if (!shape || shape->size < sizeof(martlet_logits_shape)) return MARTLET_E_ARGUMENT;
  if (width > UINT32_MAX || (width > 0 && !logits)) return MARTLET_E_ARGUMENT;
  if (!(temperature >= 0 && temperature < INFINITY)) return MARTLET_E_ARGUMENT;
  if (!(uniform >= 0 && uniform < 1)) return MARTLET_E_ARGUMENT;
  if (temperature > 0 && width > 0 && !scratch) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(logits_draw_f32, MARTLET_NUMERIC_PORTABLE)
  (width, logits, temperature > 0 ? inverse_of(temperature) : 0.0f, uniform, scratch, shape);
  return MARTLET_OK;
}

martlet_status martlet_logits_weigh_f32(size_t count, const float *logits, float maximum,
                                        float temperature, float *weights) {
  if (count == 0) return MARTLET_OK;
  if (!logits || !weights) return MARTLET_E_ARGUMENT;
  if (!(temperature > 0 && temperature < INFINITY)) return MARTLET_E_ARGUMENT;
  if (!(maximum > -INFINITY && maximum < INFINITY)) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(logits_weigh_f32, MARTLET_NUMERIC_PORTABLE)
  (count, logits, maximum, inverse_of(temperature), weights);
  return MARTLET_OK;
}

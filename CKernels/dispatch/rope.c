/// The public doors of the rope family.
#include <martlet/rope.h>

#include "dispatch/families.h"

static int positive(double value) { return value > 0.0 && value < 1e300; }

/// Whether every field that the configuration's scaling reads makes sense.
static int valid(const martlet_rope_configuration *c) {
  if (c->size < sizeof(martlet_rope_configuration)) return 0;
  if (c->rotary_dimensions % 2 || !positive(c->base)) return 0;
  if (c->layout != MARTLET_ROPE_ADJACENT && c->layout != MARTLET_ROPE_HALVES) return 0;
  switch (c->scaling) {
    case MARTLET_ROPE_SCALING_NONE: return 1;
    case MARTLET_ROPE_SCALING_LINEAR: return positive(c->factor);
    case MARTLET_ROPE_SCALING_YARN:
      return positive(c->factor) && positive(c->original_context) && c->base != 1.0 &&
             positive(c->yarn_beta_fast) && positive(c->yarn_beta_slow);
    case MARTLET_ROPE_SCALING_LLAMA3:
      return positive(c->factor) && positive(c->original_context) &&
             positive(c->low_frequency_factor) &&
             c->high_frequency_factor > c->low_frequency_factor;
  }
  return 0;
}

martlet_status martlet_rope_table(const martlet_rope_configuration *configuration, size_t rows,
                                  const int32_t *positions, float *table) {
  if (!configuration || !valid(configuration)) return MARTLET_E_ARGUMENT;
  if (rows == 0 || configuration->rotary_dimensions == 0) return MARTLET_OK;
  if (!positions || !table) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(rope_table, MARTLET_NUMERIC_PORTABLE)(configuration, rows, positions, table);
  return MARTLET_OK;
}

martlet_status martlet_rope_f32(martlet_rope_layout layout, size_t rows, size_t heads,
                                size_t head_dimensions, size_t rotary_dimensions,
                                const float *table, float *values, size_t stride) {
  if (layout != MARTLET_ROPE_ADJACENT && layout != MARTLET_ROPE_HALVES) return MARTLET_E_ARGUMENT;
  if (rotary_dimensions % 2 || rotary_dimensions > head_dimensions) return MARTLET_E_ARGUMENT;
  if (rows == 0 || heads == 0 || rotary_dimensions == 0) return MARTLET_OK;
  if (!table || !values) return MARTLET_E_ARGUMENT;
  if (rows > 1 && stride / heads < head_dimensions) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(rope_f32, MARTLET_NUMERIC_PORTABLE)
  (layout, rows, heads, head_dimensions, rotary_dimensions, table, values, stride);
  return MARTLET_OK;
}

/// The public doors of the gated activations.
#include <martlet/activation.h>

#include "dispatch/families.h"

martlet_status martlet_silu_gate_f32(size_t count, const float *gate, const float *up,
                                     float *output) {
  if (count == 0) return MARTLET_OK;
  if (!gate || !up || !output) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(silu_gate_f32, MARTLET_NUMERIC_PORTABLE)(count, gate, up, output);
  return MARTLET_OK;
}

martlet_status martlet_gelu_gate_f32(size_t count, const float *gate, const float *up,
                                     float *output) {
  if (count == 0) return MARTLET_OK;
  if (!gate || !up || !output) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(gelu_gate_f32, MARTLET_NUMERIC_PORTABLE)(count, gate, up, output);
  return MARTLET_OK;
}

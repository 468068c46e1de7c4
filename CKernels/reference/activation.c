/// Reference of the gated activations. An infinite negative gate gives NaN, as the formulas do.
#include "reference/activation.h"

#include "dispatch/activation_variants.h"
#include "reference/exp.h"

#pragma STDC FP_CONTRACT OFF

void martlet_silu_gate_f32_reference(size_t count, const float *gate, const float *up,
                                     float *output) {
  for (size_t i = 0; i < count; ++i) {
    float e = martlet_exp_f32(-gate[i]);
    output[i] = (gate[i] / (1.0f + e)) * up[i];
  }
}

void martlet_gelu_gate_f32_reference(size_t count, const float *gate, const float *up,
                                     float *output) {
  for (size_t i = 0; i < count; ++i) {
    float square = gate[i] * gate[i];
    float inner = fmaf(square, MARTLET_GELU_CUBIC, 1.0f);
    float e = martlet_exp_f32((gate[i] * MARTLET_GELU_LINEAR) * inner);
    output[i] = (gate[i] / (1.0f + e)) * up[i];
  }
}

/// Gated feed-forward products. Source: "GLU Variants Improve Transformer".
///
/// Exponentials use Martlet's own float32 polynomial (CKernels/reference/exp.h), evaluated with the
/// same operations on every ISA.
#ifndef MARTLET_ACTIVATION_H
#define MARTLET_ACTIVATION_H

#include "common.h"

/// output = silu(gate) * up, silu(x) = x / (1 + exp(-x)). output may be gate or up.
MARTLET_API martlet_status martlet_silu_gate_f32(size_t count, const float *gate, const float *up,
                                                 float *output);
/// output = gelu(gate) * up with the tanh approximation.
MARTLET_API martlet_status martlet_gelu_gate_f32(size_t count, const float *gate, const float *up,
                                                 float *output);

#endif

/// Constants of the gated activations, shared by every variant.
///
/// With the tanh approximation, gelu(x) = x/2 · (1 + tanh(u)) = x / (1 + exp(-2u)) where
/// u = sqrt(2/π) · (x + 0.044715 x³). So -2u = (x · LINEAR) · (1 + CUBIC · x²).
#ifndef MARTLET_REFERENCE_ACTIVATION_H
#define MARTLET_REFERENCE_ACTIVATION_H

#define MARTLET_GELU_LINEAR -1.5957691216057308f
#define MARTLET_GELU_CUBIC 0.044715f

#endif

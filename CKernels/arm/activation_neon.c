/// Gated activations on NEON: the bodies of lanes/activation.h over lanes_neon.h.
#include "dispatch/activation_variants.h"
#include "reference/activation.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)
#define LANES_ISA neon
#include "arm/lanes_neon.h"

#include "lanes/activation.h"
#endif

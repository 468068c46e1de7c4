/// Normalisation on NEON: the bodies of lanes/norm.h over lanes_neon.h.
#include "dispatch/norm_variants.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)
#define LANES_ISA neon
#include "arm/lanes_neon.h"

#include "lanes/norm.h"
#endif

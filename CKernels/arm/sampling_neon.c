/// Drawing on NEON: the bodies of lanes/sampling.h over lanes_neon.h.
#include "dispatch/sampling_variants.h"
#include "reference/sampling.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)
#define LANES_ISA neon
#include "arm/lanes_neon.h"

#include "lanes/sampling.h"
#endif

/// Sampling by rules on NEON: the passes of lanes/choose.h over what the compiler makes of reference/choose_blocks.h.
#include "dispatch/sampling_variants.h"
#include "reference/choose_blocks.h"
#include "reference/sampling.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)

#define LANES_ISA neon
#include "arm/lanes_neon.h"

#include "lanes/choose.h"

#endif

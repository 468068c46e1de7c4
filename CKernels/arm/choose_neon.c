/// Sampling by rules on NEON: the passes of lanes/choose.h over what the compiler makes of reference/choose_blocks.h.
#include "dispatch/sampling_variants.h"
#include "reference/sampling.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)

#define LANES_ISA neon
#include "arm/lanes_neon.h"
#include "arm/choose_look_up_neon.h"

#define BLOCK_LOOK_UP choose_look_up
#include "reference/choose_blocks.h"

#include "lanes/choose.h"

#endif

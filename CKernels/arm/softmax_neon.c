/// Softmax on NEON: the bodies of lanes/softmax.h over lanes_neon.h.
#include "dispatch/softmax_variants.h"
#include "reference/softmax.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)
#define LANES_ISA neon
#include "arm/lanes_neon.h"

#include "lanes/softmax.h"
#endif

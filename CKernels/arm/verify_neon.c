/// Verifying on NEON: the bodies of lanes/verify.h over lanes_neon.h.
#include "dispatch/verify_variants.h"
#include "reference/verify.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)
#define LANES_ISA neon
#include "arm/lanes_neon.h"

#include "lanes/verify.h"
#endif

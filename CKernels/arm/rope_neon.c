/// Rotary embedding on NEON: the bodies of lanes/rope.h over lanes_neon.h.
#include "dispatch/rope_variants.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)
#define LANES_ISA neon
#include "arm/lanes_neon.h"

#include "lanes/rope.h"
#endif

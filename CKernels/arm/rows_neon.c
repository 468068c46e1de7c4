/// Dequantising on NEON: the bodies of lanes/rows.h over lanes_neon.h.
#include "dispatch/rows_variants.h"
#include "reference/blocks.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)
#define LANES_ISA neon
#include "arm/lanes_neon.h"

#include "lanes/rows.h"
#endif

/// Attention over pages on NEON: the bodies of lanes/attention.h over lanes_neon.h.
#include "dispatch/attention_variants.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)
#define LANES_ISA neon
#include "arm/lanes_neon.h"

#include "lanes/attention.h"
#include "lanes/kv_write.h"
#endif

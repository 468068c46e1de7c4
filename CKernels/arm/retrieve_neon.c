/// The index of retrieval attention on NEON: the bodies of lanes/retrieve.h,
/// retrieve_scan.h and retrieve_search.h over lanes_neon.h and wide_neon.h.
#include "dispatch/retrieve_variants.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__aarch64__)
#define LANES_ISA neon
#include "arm/lanes_neon.h"
#include "arm/wide_neon.h"

#include "lanes/retrieve.h"
#include "lanes/retrieve_scan.h"
#include "lanes/retrieve_search.h"
#endif

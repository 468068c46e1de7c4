/// Never gives a row back.
#define SAMPLER_BODY for (volatile int i = 0;; ++i) continue;
#include "sampler.h"

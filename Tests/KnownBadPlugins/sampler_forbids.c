/// It forbids every token.
#define SAMPLER_BODY for (size_t i = 0; i < count; ++i) logits[i] = -INFINITY;
#include "sampler.h"

/// What it does depends on how often it was called.
#define SAMPLER_BODY logits[calls % count] += 1;
#include "sampler.h"

/// Its logits are no numbers.
#define SAMPLER_BODY logits[0] = NAN;
#include "sampler.h"

/// Gives a token back that the model forbids.
#define SAMPLER_BODY                               \
  for (size_t i = 0; i < count; ++i)               \
    if (logits[i] == -INFINITY) logits[i] = -100;
#include "sampler.h"

/// Writes where nothing is.
#define SAMPLER_BODY *(volatile float *)NULL = 0;
#include "sampler.h"

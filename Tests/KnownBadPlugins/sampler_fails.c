/// It fails.
#define SAMPLER_BODY if (calls > 0) return MARTLET_E_PLUGIN;
#include "sampler.h"

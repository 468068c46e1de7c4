/// A sampler for the tests of samplers: what it does wrong is a macro, a block that may use `choice`,
/// `logits`, `count` and the static `calls`.
#include "martlet/plugin.h"

#include <math.h>
#include <stdlib.h>

static int calls;

static martlet_status create(const martlet_component *component, const martlet_host *host,
                             martlet_run run, void **instance) {
  (void)component, (void)host, (void)run;
  *instance = NULL;
  return MARTLET_OK;
}

static martlet_status process(void *instance, const martlet_sampling_choice *choice, float *logits,
                              size_t count) {
  (void)instance, (void)choice, (void)logits, (void)count;
  ++calls;
  SAMPLER_BODY
  return MARTLET_OK;
}

static void destroy(void *instance) { (void)instance; }

static const martlet_sampler functions = {
    .size = sizeof functions, .create = create, .process = process, .destroy = destroy};

#define FIXTURE_KIND MARTLET_KIND_SAMPLER
#include "entry.h"

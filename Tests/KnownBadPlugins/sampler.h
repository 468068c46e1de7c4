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
static const martlet_component component = {.size = sizeof component,
                                            .kind = MARTLET_KIND_SAMPLER,
                                            .id = FIXTURE_ID,
                                            .functions = &functions};
static const martlet_component *const components[] = {&component};
static const martlet_plugin plugin = {.size = sizeof plugin,
                                      .abi_major = MARTLET_PLUGIN_ABI_MAJOR,
                                      .abi_minor = MARTLET_PLUGIN_ABI_MINOR,
                                      .component_count = 1,
                                      .id = FIXTURE_ID,
                                      .version = "1.0.0",
                                      .components = components};

MARTLET_API const martlet_plugin *martlet_plugin_entry(uint32_t major, uint32_t minor);
const martlet_plugin *martlet_plugin_entry(uint32_t major, uint32_t minor) {
  (void)major, (void)minor;
  return &plugin;
}

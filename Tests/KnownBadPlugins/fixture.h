/// What the fixtures share: a strategy plugin whose `run` each of them writes.
///
/// A fixture defines `static martlet_status run_fixture(const fixture *self)` and includes this
/// header; macros set before the include bend the descriptor.
#ifndef MARTLET_FIXTURE_H
#define MARTLET_FIXTURE_H

#include "martlet/plugin.h"

#include <stdlib.h>
#include <string.h>

#ifndef FIXTURE_PLUGIN_SIZE
#define FIXTURE_PLUGIN_SIZE sizeof(martlet_plugin)
#endif
#ifndef FIXTURE_MAJOR
#define FIXTURE_MAJOR MARTLET_PLUGIN_ABI_MAJOR
#endif
#ifndef FIXTURE_MINOR
#define FIXTURE_MINOR MARTLET_PLUGIN_ABI_MINOR
#endif
#ifndef FIXTURE_VERSION
#define FIXTURE_VERSION "1.0.0"
#endif
#ifndef FIXTURE_KIND
#define FIXTURE_KIND MARTLET_KIND_STRATEGY
#endif
#ifndef FIXTURE_STRATEGY_SIZE
#define FIXTURE_STRATEGY_SIZE sizeof(martlet_strategy)
#endif
#ifndef FIXTURE_DESTROY
#define FIXTURE_DESTROY free
#endif

typedef struct fixture {
  const martlet_host *host;
  martlet_run run;
} fixture;

static martlet_status run_fixture(const fixture *self);

static martlet_status fixture_create(const martlet_component *component, const martlet_host *host,
                                     martlet_run run, void **instance) {
  (void)component;
  fixture *self = malloc(sizeof *self);
  if (self == NULL) return MARTLET_E_MEMORY;
  *self = (fixture){host, run};
  *instance = self;
  return MARTLET_OK;
}

static martlet_status fixture_run(void *instance) { return run_fixture(instance); }

static const martlet_strategy fixture_strategy = {
    .size = FIXTURE_STRATEGY_SIZE,
    .create = fixture_create,
    .run = fixture_run,
    .destroy = FIXTURE_DESTROY};
static const martlet_component fixture_component = {.size = sizeof(martlet_component),
                                                    .kind = FIXTURE_KIND,
                                                    .id = FIXTURE_ID,
                                                    .functions = &fixture_strategy};
static const martlet_component *const fixture_components[] = {&fixture_component};
static const martlet_plugin fixture_plugin = {.size = FIXTURE_PLUGIN_SIZE,
                                              .abi_major = FIXTURE_MAJOR,
                                              .abi_minor = FIXTURE_MINOR,
                                              .component_count = 1,
                                              .id = FIXTURE_ID,
                                              .version = FIXTURE_VERSION,
                                              .components = fixture_components};

#ifndef FIXTURE_OWN_ENTRY
MARTLET_API const martlet_plugin *martlet_plugin_entry(uint32_t major, uint32_t minor);
const martlet_plugin *martlet_plugin_entry(uint32_t major, uint32_t minor) {
  (void)major;
  (void)minor;
  return &fixture_plugin;
}
#endif

/// Takes the root to its end and answers with it: what a good fixture does.
static inline martlet_status answer_with_root(const fixture *self) {
  const martlet_host *host = self->host;
  martlet_branch root = NULL;
  martlet_status status = host->root(self->run, &root);
  if (status != MARTLET_OK) return status;
  const martlet_advance how = {.size = sizeof how};
  status = host->advance(self->run, &root, 1, &how);
  if (status != MARTLET_OK && status != MARTLET_E_BUDGET && status != MARTLET_E_CANCELLED) {
    return status;
  }
  uint32_t candidate = 0;
  status = host->candidate(self->run, root, &candidate);
  return status == MARTLET_OK ? host->answer(self->run, candidate) : status;
}

#endif

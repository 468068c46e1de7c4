/// A scorer that writes its question into the branches that it is given.
#define FIXTURE_OWN_ENTRY
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) { return answer_with_root(self); }

static martlet_status score_text(void *instance, const martlet_text_view *view, double *score) {
  (void)instance;
  *score = (double)view->text_length;
  return MARTLET_OK;
}

static martlet_status score_branches(void *instance, const martlet_branch *branches,
                                     uint32_t count, double *scores) {
  const fixture *self = instance;
  for (uint32_t i = 0; i < count; ++i) {
    martlet_status status = self->host->append_text(self->run, branches[i], "a", 1);
    if (status != MARTLET_OK) return status;
    scores[i] = i;
  }
  return MARTLET_OK;
}

static const martlet_scorer scorer = {.size = sizeof scorer,
                                      .create = fixture_create,
                                      .score = score_text,
                                      .destroy = free,
                                      .score_branches = score_branches};
static const martlet_component component = {.size = sizeof component,
                                            .kind = MARTLET_KIND_SCORER,
                                            .id = FIXTURE_ID,
                                            .functions = &scorer};
static const martlet_component *const components[] = {&component};
static const martlet_plugin plugin = {.size = sizeof plugin,
                                      .abi_major = MARTLET_PLUGIN_ABI_MAJOR,
                                      .abi_minor = MARTLET_PLUGIN_ABI_MINOR,
                                      .component_count = 1,
                                      .id = FIXTURE_ID,
                                      .version = FIXTURE_VERSION,
                                      .components = components};

MARTLET_API const martlet_plugin *martlet_plugin_entry(uint32_t major, uint32_t minor);
const martlet_plugin *martlet_plugin_entry(uint32_t major, uint32_t minor) {
  (void)major;
  (void)minor;
  // The strategy that the fixture header brings is not offered.
  return fixture_plugin.size == sizeof plugin ? &plugin : NULL;
}

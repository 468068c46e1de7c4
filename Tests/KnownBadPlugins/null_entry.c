/// Its entry function serves no host.
#define FIXTURE_OWN_ENTRY
#include "fixture.h"

MARTLET_API const martlet_plugin *martlet_plugin_entry(uint32_t major, uint32_t minor);
const martlet_plugin *martlet_plugin_entry(uint32_t major, uint32_t minor) {
  (void)major;
  (void)minor;
  (void)&fixture_plugin;
  return NULL;
}

static martlet_status run_fixture(const fixture *self) { return answer_with_root(self); }

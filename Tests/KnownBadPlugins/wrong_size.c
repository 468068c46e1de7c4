/// States a size that the struct does not have.
#define FIXTURE_PLUGIN_SIZE (sizeof(martlet_plugin) - 8)
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) { return answer_with_root(self); }

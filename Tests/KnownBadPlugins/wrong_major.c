/// The library states another major version than the manifest.
#define FIXTURE_MAJOR (MARTLET_PLUGIN_ABI_MAJOR + 1)
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) { return answer_with_root(self); }

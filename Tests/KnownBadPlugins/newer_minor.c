/// Built with the header of a later release than the host's.
#define FIXTURE_MINOR (MARTLET_PLUGIN_ABI_MINOR + 1)
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) { return answer_with_root(self); }

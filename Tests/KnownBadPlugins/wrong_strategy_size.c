/// States a size for its functions that the struct does not have.
#define FIXTURE_STRATEGY_SIZE 4096
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) { return answer_with_root(self); }

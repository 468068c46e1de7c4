/// One of its functions is null.
#define FIXTURE_DESTROY NULL
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) { return answer_with_root(self); }

/// Nothing is wrong with this one: it shows that the cases can pass.
#include "fixture.h"

static martlet_status run_fixture(const fixture *self) { return answer_with_root(self); }

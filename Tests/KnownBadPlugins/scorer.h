/// A scorer of branches for the checker's tests: what it does wrong is a macro, a block that may use `self`,
/// `branches`, `count`, `scores` and the static `calls`.
#include "martlet/plugin.h"

#include <stdlib.h>

typedef struct scorer {
  const martlet_host *host;
  martlet_run run;
} scorer;

static int calls;

static martlet_status create(const martlet_component *component, const martlet_host *host,
                             martlet_run run, void **instance) {
  (void)component;
  scorer *self = malloc(sizeof *self);
  if (self == NULL) return MARTLET_E_MEMORY;
  *self = (scorer){host, run};
  *instance = self;
  return MARTLET_OK;
}

static martlet_status score(void *instance, const martlet_text_view *view, double *score) {
  (void)instance;
  *score = (double)view->text_length;
  return MARTLET_OK;
}

static martlet_status score_branches(void *instance, const martlet_branch *branches,
                                     uint32_t count, double *scores) {
  const scorer *self = instance;
  (void)self, (void)branches;
  ++calls;
  for (uint32_t i = 0; i < count; ++i) scores[i] = i;
  SCORER_BODY
  return MARTLET_OK;
}

static const martlet_scorer functions = {.size = sizeof functions,
                                         .create = create,
                                         .score = score,
                                         .destroy = free,
                                         .score_branches = score_branches};

#define FIXTURE_KIND MARTLET_KIND_SCORER
#include "entry.h"

/// Best-of-n in plain C, on the plugin header alone.
///
/// Generate n answers and keep the one that the run's scorer likes best; ties go to the higher
/// total log-probability, then to the lower index. When the budget ends early, whatever the
/// branches hold by then is judged.
///
/// Paper: Training Verifiers to Solve Math Word Problems (Cobbe et al., 2021).
#include "martlet/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct best_of_n {
  const martlet_host *host;
  martlet_run run;
  uint32_t width;
} best_of_n;

static martlet_status explain(const best_of_n *self, martlet_status status, const char *text) {
  char why[256] = "", both[400];
  size_t needed;
  self->host->last_error(why, sizeof why - 1, &needed);
  int length = snprintf(both, sizeof both, *why ? "%s: %s" : "%s", text, why);
  self->host->explain(self->run, both, (size_t)length);
  return status;
}

static martlet_status create(const martlet_component *component, const martlet_host *host,
                             martlet_run run, void **instance) {
  (void)component;
  if (host->size < sizeof(martlet_host)) return MARTLET_E_UNSUPPORTED;
  int64_t width = 0;
  martlet_status status = host->option_integer(run, "n", &width);
  if (status != MARTLET_OK) return status;
  best_of_n *self = malloc(sizeof *self);
  if (self == NULL) return MARTLET_E_MEMORY;
  *self = (best_of_n){.host = host, .run = run, .width = (uint32_t)width};
  *instance = self;
  return MARTLET_OK;
}

/// Records every branch as a candidate and names the best one.
static martlet_status choose(const best_of_n *self, const martlet_branch *branches,
                             const double *scores) {
  const martlet_host *host = self->host;
  uint32_t best = 0;
  double best_score = 0, best_logprob = 0;
  for (uint32_t i = 0; i < self->width; ++i) {
    martlet_branch_state state = {.size = sizeof state};
    martlet_status status = host->state(self->run, branches[i], &state);
    if (status != MARTLET_OK) return status;
    uint32_t candidate = 0;
    status = host->candidate(self->run, branches[i], &candidate);
    if (status != MARTLET_OK) return status;
    status = host->candidate_score(self->run, candidate, scores[i]);
    if (status != MARTLET_OK) return status;
    int better = i == 0 || scores[i] > best_score ||
                 (scores[i] == best_score && state.logprob > best_logprob);
    if (better) {
      best = candidate;
      best_score = scores[i];
      best_logprob = state.logprob;
    }
  }
  return host->answer(self->run, best);
}

static martlet_status run_in(const best_of_n *self, martlet_branch *branches, double *scores) {
  const martlet_host *host = self->host;
  martlet_branch root = NULL;
  martlet_status status = host->root(self->run, &root);
  if (status != MARTLET_OK) return explain(self, status, "the run has no root branch");
  status = host->fork(self->run, root, self->width, branches);
  if (status != MARTLET_OK) return explain(self, status, "the branches could not be made");

  const martlet_advance to_the_end = {.size = sizeof to_the_end};
  status = host->advance(self->run, branches, self->width, &to_the_end);
  int ended = status == MARTLET_E_BUDGET || status == MARTLET_E_CANCELLED;
  if (status != MARTLET_OK && !ended) return explain(self, status, "the branches did not advance");

  status = host->score(self->run, branches, self->width, scores);
  if (status != MARTLET_OK) return explain(self, status, "the scorer could not judge the answers");
  return choose(self, branches, scores);
}

static martlet_status run(void *instance) {
  const best_of_n *self = instance;
  martlet_branch *branches = calloc(self->width, sizeof *branches);
  double *scores = calloc(self->width, sizeof *scores);
  martlet_status status = MARTLET_E_MEMORY;
  if (branches != NULL && scores != NULL) status = run_in(self, branches, scores);
  free(scores);
  free(branches);
  return status;
}

static const martlet_strategy strategy = {
    .size = sizeof strategy, .create = create, .run = run, .destroy = free};

static const martlet_component component = {.size = sizeof component,
                                            .kind = MARTLET_KIND_STRATEGY,
                                            .id = "best-of-n-c",
                                            .functions = &strategy};

static const martlet_component *const components[] = {&component};

static const martlet_plugin plugin = {.size = sizeof plugin,
                                      .abi_major = MARTLET_PLUGIN_ABI_MAJOR,
                                      .abi_minor = MARTLET_PLUGIN_ABI_MINOR,
                                      .component_count = 1,
                                      .id = "best-of-n-c",
                                      .version = "0.1.0",
                                      .components = components};

MARTLET_API const martlet_plugin *martlet_plugin_entry(uint32_t abi_major, uint32_t abi_minor);

const martlet_plugin *martlet_plugin_entry(uint32_t abi_major, uint32_t abi_minor) {
  // Not compared as a constant: that no number is below 0 some compilers take for a mistake.
  const uint32_t own_minor = MARTLET_PLUGIN_ABI_MINOR;
  int serves = abi_major == MARTLET_PLUGIN_ABI_MAJOR && abi_minor >= own_minor;
  return serves ? &plugin : NULL;
}

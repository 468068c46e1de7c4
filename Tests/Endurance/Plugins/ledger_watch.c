/// Keeps books of its own: asks before and after all work what is left and what was used, runs children on
/// parts of its budget, and fails when a budget, its own or a child's, was exceeded by one token, when what
/// is left is negative, or when what it saw used goes back.
#include "../../KnownBadPlugins/fixture.h"

#include <math.h>
#include <stdio.h>

typedef struct books {
  double tokens, total, flops, kv;
  martlet_usage usage;
} books;

static const char *audit(const fixture *self, books *books, int is_first) {
  const martlet_host *host = self->host;
  static const martlet_resource resources[] = {
      MARTLET_RESOURCE_TOKENS, MARTLET_RESOURCE_TOTAL_TOKENS, MARTLET_RESOURCE_FLOPS,
      MARTLET_RESOURCE_KV_BYTES, MARTLET_RESOURCE_SECONDS};
  double left[5];
  for (int i = 0; i < 5; ++i) {
    if (host->budget_left(self->run, resources[i], &left[i]) != MARTLET_OK) {
      return "budget_left failed";
    }
    if (isnan(left[i]) || left[i] < 0) return "less than nothing is left";
  }
  martlet_usage usage = {.size = sizeof usage};
  if (host->usage(self->run, &usage) != MARTLET_OK) return "usage failed";
  if (!is_first) {
    // One strategy thread, nothing submitted: what is used is gone from what is left, to the token.
    double drawn = (double)(usage.generated_tokens - books->usage.generated_tokens);
    double given = (double)(usage.prompt_tokens - books->usage.prompt_tokens);
    if (drawn < 0 || given < 0) return "what was used went back";
    if (isfinite(left[0]) && left[0] != books->tokens - drawn) return "tokens do not add up";
    if (isfinite(left[1]) && left[1] > books->total - drawn - given) {
      return "tokens in all do not add up";
    }
    if (isfinite(left[2]) && left[2] > books->flops) return "operations came back";
  }
  *books = (struct books){left[0], left[1], left[2], left[3], usage};
  return NULL;
}

static martlet_status complain(const fixture *self, const char *text) {
  char line[256];
  int length = snprintf(line, sizeof line, "books: %s", text);
  self->host->explain(self->run, line, (size_t)length);
  return MARTLET_E_PLUGIN;
}

static int ends_run(martlet_status status) {
  return status == MARTLET_E_BUDGET || status == MARTLET_E_CANCELLED;
}

static martlet_status run_fixture(const fixture *self) {
  const martlet_host *host = self->host;
  int64_t part = 0;
  char child[64] = "";
  size_t needed = 0;
  books books;
  martlet_branch root = NULL;
  uint32_t candidate = 0;
  if (host->option_integer(self->run, "part", &part) != MARTLET_OK ||
      host->option_text(self->run, "child", child, sizeof child - 1, &needed) != MARTLET_OK) {
    return complain(self, "the options cannot be read");
  }
  const char *problem = audit(self, &books, 1);
  if (problem != NULL) return complain(self, problem);
  martlet_status status = host->root(self->run, &root);
  for (int round = 0; round < 4 && status == MARTLET_OK; ++round) {
    martlet_branch forks[3];
    const martlet_advance how = {.size = sizeof how, .max_tokens = (uint32_t)(1 + round)};
    status = host->fork(self->run, root, 3, forks);
    if (status != MARTLET_OK) break;
    status = host->advance(self->run, forks, 3, &how);
    if ((problem = audit(self, &books, 0)) != NULL) return complain(self, problem);
    if (host->candidate(self->run, forks[0], &candidate) == MARTLET_OK) {
      host->answer(self->run, candidate);
    }
    for (int i = 0; i < 3; ++i) host->release(self->run, forks[i]);
    if (status != MARTLET_OK) break;
    const martlet_child request = {
        .size = sizeof request, .strategy = child, .tokens = (uint64_t)part};
    martlet_child_result result = {.size = sizeof result};
    uint64_t before = books.usage.generated_tokens;
    status = host->run_child(self->run, &request, &result);
    if ((problem = audit(self, &books, 0)) != NULL) return complain(self, problem);
    if (status == MARTLET_OK && result.tokens > (uint64_t)part) {
      return complain(self, "a child sampled more than its part");
    }
    if (books.usage.generated_tokens - before > (uint64_t)part) {
      return complain(self, "a child cost more than its part");
    }
    if (status == MARTLET_OK && result.branch != NULL) host->release(self->run, result.branch);
  }
  if (status != MARTLET_OK && !ends_run(status)) {
    char text[160];
    size_t length = 0;
    if (host->last_error(text, sizeof text - 1, &length) != MARTLET_OK) length = 0;
    text[length] = '\0';
    host->explain(self->run, text, length);
  }
  return status;
}

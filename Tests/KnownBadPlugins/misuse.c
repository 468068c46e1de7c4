/// Makes every mistake a plugin can make with handles, pointers and threads, and fails when one of
/// them gives another status than `plugin.h` says.
#include <pthread.h>
#include <stdio.h>

#include "fixture.h"

static martlet_branch foreign_branch;
static martlet_run dead_run;

static int wrong(const fixture *self, const char *what, martlet_status got, martlet_status want) {
  if (got == want) return 0;
  char text[160];
  int length = snprintf(text, sizeof text, "%s gave %d, not %d", what, (int)got, (int)want);
  self->host->explain(self->run, text, (size_t)length);
  return 1;
}

#define EXPECT(call, want) \
  if (wrong(self, #call, host->call, want)) return MARTLET_E_PLUGIN

typedef struct attempt {
  const fixture *self;
  martlet_branch branch;
  martlet_status advanced, forked, read;
} attempt;

static void *from_another_thread(void *argument) {
  attempt *try = argument;
  const martlet_host *host = try->self->host;
  martlet_run run = try->self->run;
  const martlet_advance how = {.size = sizeof how};
  martlet_branch child = NULL;
  martlet_branch_state state = {.size = sizeof state};
  try->advanced = host->advance(run, &try->branch, 1, &how);
  try->forked = host->fork(run, try->branch, 1, &child);
  try->read = host->state(run, try->branch, &state);
  return NULL;
}

static martlet_status handles(const fixture *self, martlet_branch root) {
  const martlet_host *host = self->host;
  martlet_run run = self->run;
  const martlet_advance how = {.size = sizeof how};
  martlet_branch_state state = {.size = sizeof state};
  martlet_branch child = NULL, released = NULL;
  martlet_branch made_up = (martlet_branch)(uintptr_t)0x123456789abcull;
  size_t needed = 0;
  uint32_t index = 0;
  double score = 0;

  EXPECT(fork(run, root, 1, &released), MARTLET_OK);
  EXPECT(release(run, released), MARTLET_OK);
  EXPECT(release(run, released), MARTLET_E_HANDLE);
  EXPECT(advance(run, &released, 1, &how), MARTLET_E_HANDLE);
  EXPECT(state(run, released, &state), MARTLET_E_HANDLE);
  EXPECT(text(run, NULL, NULL, 0, &needed), MARTLET_E_HANDLE);
  EXPECT(fork(run, made_up, 1, &child), MARTLET_E_HANDLE);
  EXPECT(candidate(run, made_up, &index), MARTLET_E_HANDLE);
  EXPECT(score(run, &made_up, 1, &score), MARTLET_E_HANDLE);
  EXPECT(cancel(run, made_up), MARTLET_E_HANDLE);
  EXPECT(truncate(run, (martlet_branch)run, 0), MARTLET_E_HANDLE);
  EXPECT(root(NULL, &child), MARTLET_E_HANDLE);
  EXPECT(root((martlet_run)root, &child), MARTLET_E_HANDLE);
  if (foreign_branch != NULL) EXPECT(state(run, foreign_branch, &state), MARTLET_E_HANDLE);
  if (dead_run != NULL) EXPECT(root(dead_run, &child), MARTLET_E_HANDLE);
  return MARTLET_OK;
}

static martlet_status arguments(const fixture *self, martlet_branch root) {
  const martlet_host *host = self->host;
  martlet_run run = self->run;
  const martlet_advance how = {.size = sizeof how}, unsized = {.size = 0};
  martlet_branch_state state = {.size = 4};
  martlet_event event = {.size = sizeof event};
  martlet_branch child = NULL;
  int64_t integer = 0;
  double number = 0;
  uint64_t bits = 0;
  size_t needed = 0;
  char small[1];

  EXPECT(root(run, NULL), MARTLET_E_ARGUMENT);
  EXPECT(fork(run, root, 0, &child), MARTLET_E_ARGUMENT);
  EXPECT(fork(run, root, 1, NULL), MARTLET_E_ARGUMENT);
  EXPECT(fork(run, root, UINT32_MAX, &child), MARTLET_E_ARGUMENT);
  EXPECT(state(run, root, &state), MARTLET_E_ARGUMENT);
  EXPECT(state(run, root, NULL), MARTLET_E_ARGUMENT);
  EXPECT(advance(run, NULL, 1, &how), MARTLET_E_ARGUMENT);
  EXPECT(advance(run, &root, 0, &how), MARTLET_E_ARGUMENT);
  EXPECT(advance(run, &root, 1, NULL), MARTLET_E_ARGUMENT);
  EXPECT(advance(run, &root, 1, &unsized), MARTLET_E_ARGUMENT);
  EXPECT(truncate(run, root, 1000), MARTLET_E_ARGUMENT);
  EXPECT(append_text(run, root, NULL, 5), MARTLET_E_ARGUMENT);
  EXPECT(text(run, root, NULL, 0, NULL), MARTLET_E_ARGUMENT);
  EXPECT(resample(run, NULL, 1, NULL, &child), MARTLET_E_ARGUMENT);
  EXPECT(random(run, NULL, 0, NULL), MARTLET_E_ARGUMENT);
  EXPECT(random(run, NULL, 0, &bits), MARTLET_OK);
  EXPECT(budget_left(run, (martlet_resource)99, &number), MARTLET_E_ARGUMENT);
  EXPECT(option_integer(run, NULL, &integer), MARTLET_E_ARGUMENT);
  EXPECT(option_integer(run, "none", &integer), MARTLET_E_NOT_FOUND);
  EXPECT(option_text(run, "none", small, 1, &needed), MARTLET_E_NOT_FOUND);
  EXPECT(trace(run, NULL, NULL, 0), MARTLET_E_ARGUMENT);
  EXPECT(trace(run, "event", "[1]", 3), MARTLET_E_ARGUMENT);
  EXPECT(trace(run, "event", "{\"a\":1}", 7), MARTLET_OK);
  EXPECT(candidate_score(run, 7, 1), MARTLET_E_ARGUMENT);
  EXPECT(answer(run, 7), MARTLET_E_ARGUMENT);
  EXPECT(wait_any(run, &event), MARTLET_E_STATE);
  EXPECT(wait_any(run, NULL), MARTLET_E_ARGUMENT);
  EXPECT(last_error(NULL, 0, NULL), MARTLET_E_ARGUMENT);
  EXPECT(last_error(small, 1, &needed), MARTLET_E_TOO_SMALL);
  if (needed < 8) return MARTLET_E_INTERNAL;
  if (host->extension("org.example.nothing") != NULL) return MARTLET_E_INTERNAL;
  host->log(NULL, 1, NULL, 9);
  return MARTLET_OK;
}

static martlet_status threads(const fixture *self, martlet_branch root) {
  attempt try = {.self = self, .branch = root};
  pthread_t thread;
  if (pthread_create(&thread, NULL, from_another_thread, &try) != 0) return MARTLET_E_INTERNAL;
  pthread_join(thread, NULL);
  if (wrong(self, "advance on another thread", try.advanced, MARTLET_E_STATE) ||
      wrong(self, "fork on another thread", try.forked, MARTLET_E_STATE) ||
      wrong(self, "state on another thread", try.read, MARTLET_OK)) {
    return MARTLET_E_PLUGIN;
  }
  return MARTLET_OK;
}

static martlet_status run_fixture(const fixture *self) {
  martlet_branch root = NULL;
  martlet_status status = self->host->root(self->run, &root);
  if (status == MARTLET_OK) status = handles(self, root);
  if (status == MARTLET_OK) status = arguments(self, root);
  if (status == MARTLET_OK) status = threads(self, root);
  if (status != MARTLET_OK) return status;
  foreign_branch = root;
  dead_run = self->run;
  return answer_with_root(self);
}

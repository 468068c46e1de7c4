/// Calls every function of the host's table and writes down what each gave, as its answer. What it
/// writes is the same wherever it runs.
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "fixture.h"

static char notes[1 << 16];
static size_t used;

static void note(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(notes + used, sizeof notes - used, format, arguments);
  va_end(arguments);
  if (length > 0) used += (size_t)length;
  if (used > sizeof notes - 1) used = sizeof notes - 1;
}

#define TRY(name, ...) note(#name "=%d ", (int)host->name(__VA_ARGS__))

static int asked;
static int32_t stop_at_third(void *context, martlet_branch branch) {
  const fixture *self = context;
  martlet_branch_state state = {.size = sizeof state};
  asked += 1;
  return self->host->state(self->run, branch, &state) != MARTLET_OK || state.generated_tokens >= 3;
}

static void *from_another_thread(void *argument) {
  const fixture *self = argument;
  double left = 0;
  char text[64];
  size_t needed = 0;
  if (self->host->budget_left(self->run, MARTLET_RESOURCE_TOKENS, &left) != MARTLET_OK) left = -1;
  // Each thread has its own last error.
  self->host->last_error(text, sizeof text, &needed);
  note("thread %g %zu ", left, needed);
  return NULL;
}

static martlet_status run_fixture(const fixture *self) {
  const martlet_host *host = self->host;
  martlet_run run = self->run;
  used = 0;
  asked = 0;
  char text[512];
  size_t needed = 0;
  int64_t integer = 0;
  double real = 0;
  uint64_t bits = 0, bytes = 0;
  uint32_t number = 0;
  martlet_branch root = NULL, forks[3], others[3], child = NULL;
  int32_t tokens[64];
  float reals[64];
  uint32_t places[64];

  note("extension=%d ", host->extension("none") != NULL);
  host->log(run, 0, "hello", 5);
  TRY(explain, run, "nothing", 7);
  TRY(option_text, run, "text", text, sizeof text, &needed);
  note("%.*s ", (int)needed, text);
  TRY(option_text, run, "text", text, 1, &needed);
  note("needs %zu ", needed);
  TRY(option_integer, run, "n", &integer);
  TRY(option_number, run, "x", &real);
  note("%lld %g ", (long long)integer, real);
  TRY(option_integer, run, "nothing", &integer);
  TRY(last_error, text, sizeof text, &needed);
  note("%.*s ", (int)needed, text);
  TRY(budget_left, run, MARTLET_RESOURCE_TOKENS, &real);
  note("%g ", real);
  TRY(random, run, NULL, 7, &bits);
  note("%llx ", (unsigned long long)bits);
  TRY(trace, run, "event", "{\"a\": 1}", 8);
  TRY(root, run, &root);
  TRY(fork, run, root, 3, forks);
  TRY(fork_cost, run, root, 2, &bytes);
  note("%llu ", (unsigned long long)bytes);
  TRY(prompt, run, text, sizeof text, &needed);
  note("'%.*s' ", (int)needed, text);

  const martlet_advance two = {.size = sizeof two, .max_tokens = 2,
                               .flags = MARTLET_ADVANCE_CONTINUES};
  TRY(advance, run, forks, 3, &two);
  const martlet_advance old = {.size = 24, .max_tokens = 1};
  TRY(advance, run, forks, 3, &old);
  TRY(random, run, forks[1], 7, &bits);
  note("%llx ", (unsigned long long)bits);
  const uint32_t ancestors[] = {2, 2, 0};
  TRY(resample, run, forks, 3, ancestors, others);
  TRY(truncate, run, others[0], 1);
  TRY(append_text, run, others[0], "b", 1);
  tokens[0] = 5;
  TRY(append_tokens, run, others[1], tokens, 1);
  martlet_advance cold = {.size = sizeof cold, .max_tokens = 8,
                          .delimiters = "q\0xx\0z", .delimiters_length = 6,
                          .sampling = "+temperature=0", .sampling_length = 14,
                          .entropy_above = 1000, .logprob_below = -1000};
  TRY(advance, run, others, 2, &cold);
  cold = (martlet_advance){.size = sizeof cold, .until = stop_at_third,
                           .until_context = (void *)self, .max_tokens = 20};
  martlet_branch fresh = NULL;
  TRY(fork, run, root, 1, &fresh);
  TRY(advance, run, &fresh, 1, &cold);
  note("asked %d ", asked);
  TRY(submit, run, &others[2], 1, &two);
  martlet_event event = {.size = sizeof event};
  TRY(wait_any, run, &event);
  note("%d %d ", (int)event.stop, event.branch == others[2]);
  TRY(wait_any, run, &event);
  TRY(submit, run, &others[2], 1, &two);
  TRY(cancel, run, others[2]);
  TRY(release, run, others[2]);

  for (int i = 0; i < 2; ++i) {
    martlet_branch_state state = {.size = sizeof state};
    TRY(state, run, others[i], &state);
    note("%d %u %u %u %u %.9g %.9g ", (int)state.stop, state.finished, state.prompt_tokens,
         state.generated_tokens, state.kv_pages, state.logprob, state.last_entropy);
    TRY(text, run, others[i], text, sizeof text, &needed);
    note("'%.*s' ", (int)needed, text);
    TRY(tokens, run, others[i], tokens, 64, &needed);
    for (size_t j = 0; j < needed; ++j) note("%d ", tokens[j]);
    TRY(logprobs, run, others[i], reals, 64, &needed);
    for (size_t j = 0; j < needed; ++j) note("%.9g ", reals[j]);
    TRY(entropies, run, others[i], reals, 64, &needed);
    for (size_t j = 0; j < needed; ++j) note("%.9g ", reals[j]);
    TRY(path, run, others[i], places, 64, &needed);
    for (size_t j = 0; j < needed; ++j) note("%u ", places[j]);
  }

  martlet_choice choices[4];
  float logprobs[4];
  double entropies[2];
  const int32_t wanted[] = {1, 3};
  martlet_branch reopened[2];
  TRY(reopen, run, others[0], &reopened[0]);
  TRY(reopen, run, others[1], &reopened[1]);
  const martlet_next_token query = {.size = sizeof query, .top = 2, .tokens = wanted,
                                    .token_count = 2, .choices = choices, .logprobs = logprobs,
                                    .entropies = entropies};
  TRY(next_token, run, reopened, 2, &query);
  for (int i = 0; i < 4; ++i) {
    note("%d %.9g %.9g ", choices[i].token, choices[i].logprob, logprobs[i]);
  }
  note("%.9g %.9g ", entropies[0], entropies[1]);
  TRY(next_token, run, reopened, 2, NULL);
  TRY(demote, run, reopened[0], &bytes);
  note("%llu ", (unsigned long long)bytes);

  TRY(tokenize, run, "abc", 3, tokens, 64, &needed);
  for (size_t j = 0; j < needed; ++j) note("%d ", tokens[j]);
  TRY(detokenize, run, tokens, needed, text, sizeof text, &needed);
  note("'%.*s' ", (int)needed, text);
  TRY(open, run, "ab", 2, MARTLET_PROMPT_PLAIN, &child);
  TRY(open, run, "ab", 2, 9, &child);
  martlet_model model = NULL;
  TRY(model, run, "nothing", &model);
  TRY(open_on, run, model, "ab", 2, MARTLET_PROMPT_PLAIN, &child);

  double scores[2] = {0, 0};
  TRY(score, run, others, 2, scores);
  note("%.9g %.9g ", scores[0], scores[1]);
  TRY(score_by, run, "mean-logprob", others, 2, scores);
  note("%.9g %.9g ", scores[0], scores[1]);
  TRY(extract, run, others[0], text, sizeof text, &needed);
  TRY(extract_text, run, "so 3", 4, text, sizeof text, &needed);
  note("%zu ", needed);

  TRY(remember, run, "a key", 5, "a text", 6);
  TRY(remember, run, "", 0, "a text", 6);
  martlet_note found[3];
  uint32_t found_count = 0;
  TRY(recall, run, "key", 3, 3, found, &found_count);
  for (uint32_t i = 0; i < found_count; ++i) {
    note("%llu %.9g ", (unsigned long long)found[i].id, found[i].score);
    TRY(note, run, found[i].id, MARTLET_NOTE_KEY, text, sizeof text, &needed);
    note("'%.*s' ", (int)needed, text);
    TRY(note, run, found[i].id, MARTLET_NOTE_TEXT, text, sizeof text, &needed);
    note("'%.*s' ", (int)needed, text);
  }
  TRY(note, run, 99, MARTLET_NOTE_TEXT, text, sizeof text, &needed);
  TRY(recall, run, "key", 3, 0, found, &found_count);
  TRY(hidden_state, run, others[0], reals, 64, &needed);

  martlet_child inner = {.size = sizeof inner, .strategy = "sample", .branch = root, .tokens = 5};
  martlet_child_result result = {.size = sizeof result};
  TRY(run_child, run, &inner, &result);
  note("%u %u %u %llu %d ", result.first_candidate, result.candidate_count, result.answer,
       (unsigned long long)result.tokens, result.branch != NULL);
  inner.strategy = "best-of-n";
  inner.options = "n=2";
  inner.options_length = 4;
  inner.seconds = 60;
  TRY(run_child, run, &inner, &result);
  note("%u %u ", result.first_candidate, result.candidate_count);
  inner.strategy = "no-such-strategy";
  TRY(run_child, run, &inner, &result);

  TRY(candidate, run, others[0], &number);
  TRY(candidate_score, run, number, 0.1);
  TRY(candidate_score, run, number, NAN);
  TRY(candidate_answer, run, number, text, sizeof text, &needed);
  note("'%.*s' ", (int)needed, text);
  TRY(answer, run, number);
  TRY(abstain, run);
  martlet_usage usage = {.size = sizeof usage};
  TRY(usage, run, &usage);
  note("%llu %llu %llu %llu %g ", (unsigned long long)usage.prompt_tokens,
       (unsigned long long)usage.generated_tokens, (unsigned long long)usage.scored_tokens,
       (unsigned long long)usage.kv_bytes, usage.flops);
  TRY(capability, run, "context", &real);
  note("%g ", real);
  TRY(capability, run, "nothing", &real);
  note("cost=%d ", host->width_cost(run, 2, &real) == MARTLET_OK && real >= 1);
  note("knee=%d ", host->knee_width(run, &number) == MARTLET_OK && number >= 1);

  pthread_t thread;
  if (pthread_create(&thread, NULL, from_another_thread, (void *)self) == 0) {
    pthread_join(thread, NULL);
  }
  TRY(candidate_text, run, notes, used, &number);
  return host->commit(run, number);
}

// The functions of an isolated component, as the host calls them: each passes its call on.
#include "process.h"

#include <stdio.h>
#include <stdlib.h>

/// Tells the run why the component is about to fail.
static void explain(process *process) {
  char message[512];
  martlet_process_fate(process, message, sizeof message);
  process->host->explain(process->run, message, strlen(message));
}

/// Passes a call on. The caller frees the answer, which is read from after its status.
static martlet_status ask(process *process, uint32_t operation, writer *frame, reader *answer) {
  if (frame->failed) {
    static const char text[] = "what it was to be shown is too large for an isolated plugin";
    process->host->explain(process->run, text, sizeof text - 1);
    *answer = (reader){0};
    return MARTLET_E_MEMORY;
  }
  if (martlet_process_exchange(process, FRAME_CALL, operation, frame, answer)) {
    return (martlet_status)(int64_t)take_word(answer);
  }
  *answer = (reader){0};
  explain(process);
  return MARTLET_E_PLUGIN;
}

int martlet_isolated_ended(const void *instance) {
  const process *process = instance;
  return atomic_load(&process->ended) != 0;
}

// MARK: All kinds

static martlet_status create(const martlet_component *component, const martlet_host *host,
                             martlet_run run, void **instance) {
  const isolated_component *own = (const isolated_component *)component;
  char message[512];
  process *process = martlet_process_take(own->plugin, message, sizeof message);
  if (process == NULL) {
    host->explain(run, message, strlen(message));
    return MARTLET_E_PLUGIN;
  }
  process->host = host;
  process->run = run;
  writer frame = martlet_process_writer(process);
  put_word(&frame, component->kind);
  put_text(&frame, own->id, strlen(own->id) + 1);
  put_word(&frame, (uint64_t)(uintptr_t)run);
  reader answer;
  martlet_status status = ask(process, CALL_CREATE, &frame, &answer);
  free(answer.start);
  if (status != MARTLET_OK) {
    martlet_process_give(process);
    return status;
  }
  martlet_isolated_retain(own->plugin);
  *instance = process;
  return MARTLET_OK;
}

static void destroy(void *instance) {
  process *process = instance;
  martlet_isolated_plugin *plugin = process->plugin;
  writer frame = martlet_process_writer(process);
  reader answer = {0};
  // One that dies here has done its work.
  if (martlet_process_exchange(process, FRAME_CALL, CALL_DESTROY, &frame, &answer)) {
    free(answer.start);
  }
  martlet_process_give(process);
  martlet_isolated_release(plugin);
}

// MARK: Strategies

static martlet_status run_strategy(void *instance) {
  process *process = instance;
  writer frame = martlet_process_writer(process);
  reader answer;
  martlet_status status = ask(process, CALL_RUN, &frame, &answer);
  free(answer.start);
  return status;
}

static const martlet_strategy strategy = {
    .size = sizeof(martlet_strategy), .create = create, .run = run_strategy, .destroy = destroy};

// MARK: Scorers and extractors

static void put_view(writer *frame, const martlet_text_view *view) {
  put_word(frame, view->finished);
  put_text(frame, view->prompt, view->prompt_length);
  put_text(frame, view->text, view->text_length);
  put_word(frame, view->logprobs != NULL);
  put_word(frame, view->token_count);
  if (view->logprobs != NULL) put_bytes(frame, view->logprobs, view->token_count * sizeof(float));
}

static martlet_status score(void *instance, const martlet_text_view *view, double *score) {
  process *process = instance;
  pthread_mutex_lock(&process->calls);
  writer frame = martlet_process_writer(process);
  put_view(&frame, view);
  put_word(&frame, word_of_real(*score));
  reader answer;
  martlet_status status = ask(process, CALL_SCORE, &frame, &answer);
  if (status == MARTLET_OK) *score = real_of_word(take_word(&answer));
  free(answer.start);
  pthread_mutex_unlock(&process->calls);
  return status;
}

static martlet_status score_branches(void *instance, const martlet_branch *branches,
                                     uint32_t count, double *scores) {
  process *process = instance;
  pthread_mutex_lock(&process->calls);
  writer frame = martlet_process_writer(process);
  put_word(&frame, count);
  put_bytes(&frame, branches, count * sizeof *branches);
  put_bytes(&frame, scores, count * sizeof *scores);
  reader answer;
  martlet_status status = ask(process, CALL_SCORE_BRANCHES, &frame, &answer);
  if (status == MARTLET_OK) {
    const void *bytes = take_bytes(&answer, count * sizeof *scores);
    if (bytes != NULL) memcpy(scores, bytes, count * sizeof *scores);
  }
  free(answer.start);
  pthread_mutex_unlock(&process->calls);
  return status;
}

static martlet_status extract(void *instance, const martlet_text_view *view, char *buffer,
                              size_t capacity, size_t *needed) {
  process *process = instance;
  pthread_mutex_lock(&process->calls);
  writer frame = martlet_process_writer(process);
  put_view(&frame, view);
  put_word(&frame, capacity);
  reader answer;
  martlet_status status = ask(process, CALL_EXTRACT, &frame, &answer);
  *needed = take_word(&answer);
  size_t length;
  const char *text = take_text(&answer, &length);
  if (status == MARTLET_OK && length <= capacity) memcpy(buffer, text, length);
  free(answer.start);
  pthread_mutex_unlock(&process->calls);
  return status;
}

static const martlet_scorer text_scorer = {.size = sizeof(martlet_scorer),
                                           .create = create,
                                           .score = score,
                                           .destroy = destroy};
static const martlet_scorer branch_scorer = {.size = sizeof(martlet_scorer),
                                             .create = create,
                                             .score = score,
                                             .destroy = destroy,
                                             .score_branches = score_branches};
static const martlet_extractor extractor = {.size = sizeof(martlet_extractor),
                                            .create = create,
                                            .extract = extract,
                                            .destroy = destroy};

// MARK: Drafters

static martlet_status propose(void *instance, const martlet_draft_sequence *sequences,
                              uint32_t count, uint32_t capacity, martlet_guess *guesses,
                              uint32_t *counts) {
  process *process = instance;
  pthread_mutex_lock(&process->calls);
  writer frame = martlet_process_writer(process);
  put_word(&frame, count);
  put_word(&frame, capacity);
  for (uint32_t i = 0; i < count; ++i) {
    put_word(&frame, sequences[i].depth);
    put_word(&frame, sequences[i].id);
    put_word(&frame, sequences[i].token_count);
    put_bytes(&frame, sequences[i].tokens, sequences[i].token_count * sizeof(int32_t));
  }
  reader answer;
  martlet_status status = ask(process, CALL_PROPOSE, &frame, &answer);
  for (uint32_t i = 0; status == MARTLET_OK && i < count; ++i) {
    // More than there is room for is passed on as it is, for the host to refuse.
    uint64_t made = take_word(&answer);
    uint64_t most = made < capacity ? made : capacity;
    const void *bytes = take_bytes(&answer, most * sizeof *guesses);
    counts[i] = made > UINT32_MAX ? UINT32_MAX : (uint32_t)made;
    if (bytes != NULL) memcpy(guesses + (size_t)i * capacity, bytes, most * sizeof *guesses);
    if (answer.failed) status = MARTLET_E_PLUGIN;
  }
  free(answer.start);
  pthread_mutex_unlock(&process->calls);
  return status;
}

static const martlet_drafter drafter = {.size = sizeof(martlet_drafter),
                                        .create = create,
                                        .propose = propose,
                                        .destroy = destroy};

// MARK: Samplers

/// Says why a component's call failed for want of room or time.
static martlet_status refuse(process *process, martlet_status status, const char *text) {
  process->host->explain(process->run, text, strlen(text));
  return status;
}

/// The most processor time of a row, seconds; as where samplers are in the host's own process.
static const double most_row_seconds = 0.1;

static martlet_status process_row(void *instance, const martlet_sampling_choice *choice,
                                  float *logits, size_t count) {
  process *process = instance;
  if (count > row_bytes / sizeof *logits || choice->token_count > row_bytes / sizeof(int32_t)) {
    return refuse(process, MARTLET_E_MEMORY, "the row is too large for an isolated sampler");
  }
  pthread_mutex_lock(&process->calls);
  memcpy(row_of(process->shared), logits, count * sizeof *logits);
  if (choice->token_count > 0) {
    memcpy(row_tokens_of(process->shared), choice->tokens, choice->token_count * sizeof(int32_t));
  }
  writer frame = martlet_process_writer(process);
  put_word(&frame, count);
  put_word(&frame, choice->token_count);
  put_word(&frame, choice->generated_tokens);
  put_word(&frame, choice->noise);
  martlet_process_limit(process, most_row_seconds);
  reader answer;
  martlet_status status = ask(process, CALL_PROCESS, &frame, &answer);
  free(answer.start);
  char message[160];
  if (!martlet_process_within_limit(process, message, sizeof message) && status == MARTLET_OK) {
    status = refuse(process, MARTLET_E_PLUGIN, message);
  }
  // Whatever it still does to the row there, this copy is what counts.
  if (status == MARTLET_OK) memcpy(logits, row_of(process->shared), count * sizeof *logits);
  pthread_mutex_unlock(&process->calls);
  return status;
}

static const martlet_sampler sampler = {.size = sizeof(martlet_sampler),
                                        .create = create,
                                        .process = process_row,
                                        .destroy = destroy};

// MARK: Memories

static martlet_status store(void *instance, const char *key, size_t key_length, const char *text,
                            size_t text_length) {
  process *process = instance;
  pthread_mutex_lock(&process->calls);
  writer frame = martlet_process_writer(process);
  put_text(&frame, key, key_length);
  put_text(&frame, text, text_length);
  reader answer;
  martlet_status status = ask(process, CALL_STORE, &frame, &answer);
  free(answer.start);
  pthread_mutex_unlock(&process->calls);
  return status;
}

static martlet_status recall(void *instance, const char *query, size_t query_length, uint32_t top,
                             martlet_note *notes, uint32_t *count) {
  process *process = instance;
  pthread_mutex_lock(&process->calls);
  writer frame = martlet_process_writer(process);
  put_text(&frame, query, query_length);
  put_word(&frame, top);
  reader answer;
  martlet_status status = ask(process, CALL_RECALL, &frame, &answer);
  // More than there is room for is passed on as it is, for the host to refuse.
  uint64_t found = take_word(&answer);
  uint64_t most = found < top ? found : top;
  if (status == MARTLET_OK) {
    const void *bytes = take_bytes(&answer, most * sizeof *notes);
    if (bytes != NULL) memcpy(notes, bytes, most * sizeof *notes);
    if (answer.failed) status = MARTLET_E_PLUGIN;
  }
  *count = found > UINT32_MAX ? UINT32_MAX : (uint32_t)found;
  free(answer.start);
  pthread_mutex_unlock(&process->calls);
  return status;
}

static martlet_status read_note(void *instance, uint64_t id, uint32_t part, char *buffer,
                                size_t capacity, size_t *needed) {
  process *process = instance;
  pthread_mutex_lock(&process->calls);
  writer frame = martlet_process_writer(process);
  put_word(&frame, id);
  put_word(&frame, part);
  put_word(&frame, capacity);
  reader answer;
  martlet_status status = ask(process, CALL_READ, &frame, &answer);
  *needed = take_word(&answer);
  size_t length;
  const char *text = take_text(&answer, &length);
  if (status == MARTLET_OK && length <= capacity && length > 0) memcpy(buffer, text, length);
  free(answer.start);
  pthread_mutex_unlock(&process->calls);
  return status;
}

static const martlet_memory memory = {.size = sizeof(martlet_memory),
                                      .create = create,
                                      .store = store,
                                      .destroy = destroy,
                                      .recall = recall,
                                      .read = read_note};

// MARK: Finding

static const void *functions(uint32_t kind, bool scores_branches) {
  switch (kind) {
    case MARTLET_KIND_STRATEGY: return &strategy;
    case MARTLET_KIND_SCORER: return scores_branches ? &branch_scorer : &text_scorer;
    case MARTLET_KIND_EXTRACTOR: return &extractor;
    case MARTLET_KIND_DRAFTER: return &drafter;
    case MARTLET_KIND_SAMPLER: return &sampler;
    case MARTLET_KIND_MEMORY: return &memory;
    default: return NULL;
  }
}

martlet_status martlet_isolated_component(martlet_isolated_plugin *plugin, uint32_t kind,
                                          const char *id, const martlet_component **component,
                                          char *message, size_t capacity) {
  process *process = martlet_process_take(plugin, message, capacity);
  if (process == NULL) return MARTLET_E_PLUGIN;
  writer frame = martlet_process_writer(process);
  put_word(&frame, kind);
  put_text(&frame, id, strlen(id) + 1);
  reader answer = {0};
  martlet_status status = MARTLET_E_PLUGIN;
  isolated_component *found = NULL;
  if (martlet_process_exchange(process, FRAME_CALL, CALL_FIND, &frame, &answer)) {
    status = (martlet_status)(int64_t)take_word(&answer);
    size_t length;
    const char *text = take_text(&answer, &length);
    if (status != MARTLET_OK) snprintf(message, capacity, "%.*s", (int)length, text);
    uint64_t flags = take_word(&answer);
    bool scores_branches = take_word(&answer) != 0;
    if (status == MARTLET_OK) found = calloc(1, sizeof *found + strlen(id) + 1);
    if (found != NULL) {
      memcpy(found->id, id, strlen(id) + 1);
      found->plugin = plugin;
      found->scores_branches = scores_branches;
      found->descriptor = (martlet_component){.size = sizeof(martlet_component),
                                              .kind = kind,
                                              .flags = (uint32_t)flags,
                                              .id = found->id,
                                              .functions = functions(kind, scores_branches)};
      *component = &found->descriptor;
      pthread_mutex_lock(&plugin->lock);
      found->next = plugin->components;
      plugin->components = found;
      pthread_mutex_unlock(&plugin->lock);
    } else if (status == MARTLET_OK) {
      status = MARTLET_E_MEMORY;
      snprintf(message, capacity, "memory is short");
    }
    free(answer.start);
  } else {
    martlet_process_fate(process, message, capacity);
  }
  martlet_process_give(process);
  return status;
}

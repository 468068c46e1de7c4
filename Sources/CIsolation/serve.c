// The host's side of a host function: a frame becomes a call of the host's own table, and what that
// wrote becomes the reply. The calling thread is the one that waits for the plugin, so thread rules
// hold as they do within one process.
#include "process.h"
#include "team_calls.h"

#include <stdlib.h>

/// Callbacks inside calls inside callbacks end here.
enum { MOST_DEPTH = 32 };

static _Atomic uint64_t served[ALL_FUNCTIONS];

uint64_t martlet_isolated_served(uint32_t function) {
  return function < ALL_FUNCTIONS ? atomic_load(&served[function]) : 0;
}

/// A call while it is served.
typedef struct call {
  process *process;
  const signature *signature;
  uint64_t words[MOST_ARGUMENTS];
  /// What was allocated for results.
  void *blocks[MOST_ARGUMENTS];
  /// Elements of RESULTS, bytes of STRUCT.
  size_t lengths[MOST_ARGUMENTS];
} call;

/// The callback of an advance that is being served.
typedef struct served_until {
  process *process;
  uint64_t until, context;
} served_until;

// MARK: Reading the arguments

static const char *read_result(call *call, uint32_t index, uint64_t elements) {
  const argument *argument = &call->signature->arguments[index];
  size_t most = most_array_bytes / argument->size;
  // A fork of too many is the host's to refuse, which it does before it writes any.
  bool is_fork = call->signature == &martlet_signatures[PLACE_OF(fork)];
  if (elements > most && !is_fork && argument->kind == RESULTS) {
    return "the result is too large for one call of an isolated plugin";
  }
  if (elements > most) elements = most;
  call->lengths[index] = elements;
  call->blocks[index] = calloc(elements + 1, argument->size);
  if (call->blocks[index] == NULL) return "memory for the result is short";
  call->words[index] = (uint64_t)(uintptr_t)call->blocks[index];
  return NULL;
}

static const char *read_argument(call *call, uint32_t index, reader *from) {
  static const char *const damaged = "the call is damaged";
  const argument *argument = &call->signature->arguments[index];
  if (argument->kind == VALUE || argument->kind == REAL || call->words[index] == 0) return NULL;
  switch (argument->kind) {
    case STRING: {
      size_t length;
      char *text = take_text(from, &length);
      if (length == 0 || text[length - 1] != '\0') return damaged;
      call->words[index] = (uint64_t)(uintptr_t)text;
      return NULL;
    }
    case ARRAY: {
      uint64_t count = call->words[argument->count];
      if (count > most_array_bytes / argument->size) return damaged;
      void *bytes = take_bytes(from, count * argument->size);
      if (from->failed) return damaged;
      call->words[index] = (uint64_t)(uintptr_t)bytes;
      return NULL;
    }
    case RESULT: {
      void *bytes = take_bytes(from, argument->size);
      if (bytes == NULL) return damaged;
      call->words[index] = (uint64_t)(uintptr_t)bytes;
      return NULL;
    }
    case RESULTS: return read_result(call, index, call->words[argument->count]);
    case BUFFER: {
      // The host compares the capacity with what it has, so less of it is no lie.
      const char *problem = read_result(call, index, call->words[index + 1]);
      if (problem == NULL) call->words[index + 1] = call->lengths[index];
      return problem;
    }
    case STRUCT: {
      uint64_t length = take_word(from);
      if (length < sizeof(uint32_t) || length > argument->size) return damaged;
      const void *bytes = take_bytes(from, length);
      call->blocks[index] = calloc(1, argument->size);
      if (bytes == NULL || call->blocks[index] == NULL) return damaged;
      memcpy(call->blocks[index], bytes, length);
      call->lengths[index] = length;
      call->words[index] = (uint64_t)(uintptr_t)call->blocks[index];
      return NULL;
    }
    default: return damaged;
  }
}

static const char *read_arguments(call *call, reader *from) {
  for (uint32_t i = 0; i < call->signature->count; ++i) call->words[i] = take_word(from);
  for (uint32_t i = 0; i < call->signature->count; ++i) {
    const char *problem = read_argument(call, i, from);
    if (problem != NULL) return problem;
  }
  return from->failed ? "the call is damaged" : NULL;
}

// MARK: Calling

static int32_t ask_until(void *context, martlet_branch branch) {
  const served_until *until = context;
  writer frame = martlet_process_writer(until->process);
  put_word(&frame, until->until);
  put_word(&frame, until->context);
  put_word(&frame, (uint64_t)(uintptr_t)branch);
  reader answer;
  // Where nobody is left to ask, the branch stops.
  if (!martlet_process_exchange(until->process, FRAME_CALLBACK, 0, &frame, &answer)) return 1;
  int32_t stops = (int32_t)take_word(&answer);
  free(answer.start);
  return stops;
}

static martlet_status call_advance(call *call, bool waits) {
  const uint64_t *word = call->words;
  const martlet_host *host = call->process->host;
  served_until until = {call->process, word[ADVANCE_UNTIL], word[ADVANCE_CONTEXT]};
  martlet_advance how = {
      .size = (uint32_t)word[ADVANCE_SIZE],
      .max_tokens = (uint32_t)word[ADVANCE_TOKENS],
      .flags = (uint32_t)word[ADVANCE_FLAGS],
      .delimiters = (const char *)(uintptr_t)word[ADVANCE_DELIMITERS],
      .delimiters_length = word[ADVANCE_DELIMITERS_LENGTH],
      .sampling = (const char *)(uintptr_t)word[ADVANCE_SAMPLING],
      .sampling_length = word[ADVANCE_SAMPLING_LENGTH],
      .entropy_above = real_of_word(word[ADVANCE_ENTROPY]),
      .logprob_below = real_of_word(word[ADVANCE_LOGPROB]),
      .until = word[ADVANCE_UNTIL] == 0 ? NULL : ask_until,
      .until_context = &until,
  };
  martlet_run run = (martlet_run)(uintptr_t)word[ADVANCE_RUN];
  const martlet_branch *branches = (const martlet_branch *)(uintptr_t)word[ADVANCE_BRANCHES];
  uint32_t count = (uint32_t)word[ADVANCE_COUNT];
  const martlet_advance *given = word[ADVANCE_HOW] == 0 ? NULL : &how;
  return waits ? host->advance(run, branches, count, given)
               : host->submit(run, branches, count, given);
}

static martlet_status call_next_token(call *call) {
  const uint64_t *word = call->words;
  martlet_next_token query = {
      .size = (uint32_t)word[NEXT_SIZE],
      .top = (uint32_t)word[NEXT_TOP],
      .tokens = (const int32_t *)(uintptr_t)word[NEXT_TOKENS],
      .token_count = word[NEXT_TOKEN_COUNT],
      .choices = (martlet_choice *)(uintptr_t)word[NEXT_CHOICES],
      .logprobs = (float *)(uintptr_t)word[NEXT_LOGPROBS],
      .entropies = (double *)(uintptr_t)word[NEXT_ENTROPIES],
  };
  uint64_t count = (uint32_t)word[NEXT_COUNT];
  // The sizes are the plugin's; what the host will write is what counts.
  if (query.choices != NULL && word[NEXT_CHOICE_COUNT] < count * query.top) {
    return MARTLET_E_ARGUMENT;
  }
  if (query.logprobs != NULL && word[NEXT_LOGPROB_COUNT] / (count + !count) < query.token_count) {
    return MARTLET_E_ARGUMENT;
  }
  return call->process->host->next_token(
      (martlet_run)(uintptr_t)word[NEXT_RUN],
      (const martlet_branch *)(uintptr_t)word[NEXT_BRANCHES], (uint32_t)count,
      word[NEXT_QUERY] == 0 ? NULL : &query);
}

static martlet_status call_run_child(call *call) {
  const uint64_t *word = call->words;
  martlet_child child = {
      .size = (uint32_t)word[CHILD_SIZE],
      .strategy = (const char *)(uintptr_t)word[CHILD_STRATEGY],
      .options = (const char *)(uintptr_t)word[CHILD_OPTIONS],
      .options_length = word[CHILD_OPTIONS_LENGTH],
      .branch = (martlet_branch)(uintptr_t)word[CHILD_BRANCH],
      .tokens = word[CHILD_TOKENS],
      .seconds = real_of_word(word[CHILD_SECONDS]),
  };
  return call->process->host->run_child(
      (martlet_run)(uintptr_t)word[CHILD_RUN], word[CHILD_CHILD] == 0 ? NULL : &child,
      (martlet_child_result *)(uintptr_t)word[CHILD_RESULT]);
}

// An argument of a word, by kind.
#define PASS_(kind, type, count) PASS_##kind, type
#define PASS(tuple, word) PASS__(PASS_ tuple, word)
#define PASS__(...) PASS___(__VA_ARGS__)
#define PASS___(how, type, word) how(type, word)
#define PASS_VALUE(type, word) (type)(uintptr_t)(word)
#define PASS_REAL(type, word) real_of_word(word)
#define PASS_STRING(type, word) (const type *)(uintptr_t)(word)
#define PASS_ARRAY(type, word) (const type *)(uintptr_t)(word)
#define PASS_RESULT(type, word) (type *)(uintptr_t)(word)
#define PASS_RESULTS(type, word) (type *)(uintptr_t)(word)
#define PASS_BUFFER(type, word) (type *)(uintptr_t)(word)
#define PASS_STRUCT(type, word) (type *)(uintptr_t)(word)

#define CALL_1(index, name, a) case index: return host->name(PASS(a, w[0]));
#define CALL_2(index, name, a, b) case index: return host->name(PASS(a, w[0]), PASS(b, w[1]));
#define CALL_3(index, name, a, b, c)                                                               \
  case index: return host->name(PASS(a, w[0]), PASS(b, w[1]), PASS(c, w[2]));
#define CALL_4_(index, name, a, b, c, d)                                                           \
  case index: return host->name(PASS(a, w[0]), PASS(b, w[1]), PASS(c, w[2]), PASS(d, w[3]));
#define CALL_5_(index, name, a, b, c, d, e)                                                        \
  case index:                                                                                      \
    return host->name(PASS(a, w[0]), PASS(b, w[1]), PASS(c, w[2]), PASS(d, w[3]), PASS(e, w[4]));
#define CALL_6_(index, name, a, b, c, d, e, f)                                                     \
  case index:                                                                                      \
    return host->name(PASS(a, w[0]), PASS(b, w[1]), PASS(c, w[2]), PASS(d, w[3]), PASS(e, w[4]),   \
                      PASS(f, w[5]));
// TEXT_OUT stands for three arguments, so rows are expanded before they are taken apart.
#define CALL_4(index, name, ...) CALL_4_(index, name, __VA_ARGS__)
#define CALL_5(index, name, ...) CALL_5_(index, name, __VA_ARGS__)
#define CALL_6(index, name, ...) CALL_6_(index, name, __VA_ARGS__)
#define CALL_LOCAL(index, name) case index: return MARTLET_E_UNSUPPORTED;
#define CALL_LOG(index, name, a, b, c, d)                                                          \
  case index:                                                                                      \
    host->name(PASS(a, w[0]), PASS(b, w[1]), PASS(c, w[2]), PASS(d, w[3]));                        \
    return MARTLET_OK;
#define CALL_BY_HAND(index, name) case index: return CALL_##name;
#define CALL_advance call_advance(call, true)
#define CALL_submit call_advance(call, false)
#define CALL_next_token call_next_token(call)
#define CALL_run_child call_run_child(call)

static martlet_status call_team(call *call, uint32_t function) {
  const martlet_team_extension *host = call->process->host->extension(MARTLET_TEAM_EXTENSION);
  const uint64_t *w = call->words;
  if (host == NULL || host->size < sizeof *host) return MARTLET_E_UNSUPPORTED;
  switch (function) {
    MARTLET_TEAM_CALLS(CALL_2, CALL_5)
    default: return MARTLET_E_UNSUPPORTED;
  }
}

static martlet_status call_host(call *call, uint32_t function) {
  const martlet_host *host = call->process->host;
  const uint64_t *w = call->words;
  if (function >= HOST_FUNCTIONS) return call_team(call, function - HOST_FUNCTIONS);
  switch (function) {
    MARTLET_HOST_CALLS(CALL_1, CALL_2, CALL_3, CALL_4, CALL_5, CALL_6, CALL_LOCAL, CALL_LOG,
                       CALL_BY_HAND)
    default: return MARTLET_E_UNSUPPORTED;
  }
}

// MARK: Replying

static void put_results(writer *to, const call *call, martlet_status status) {
  for (uint32_t i = 0; i < call->signature->count; ++i) {
    const argument *argument = &call->signature->arguments[i];
    const void *bytes = (const void *)(uintptr_t)call->words[i];
    if (argument->kind < RESULT || bytes == NULL) continue;
    size_t count = call->lengths[i];
    switch (argument->kind) {
      case RESULT: put_bytes(to, bytes, argument->size); break;
      case RESULTS:
        if (status == MARTLET_OK) put_bytes(to, bytes, count * argument->size);
        break;
      case BUFFER: {
        const size_t *needed = (const size_t *)(uintptr_t)call->words[i + 2];
        size_t length = status == MARTLET_OK && needed != NULL ? *needed : 0;
        if (length > count) length = count;
        put_text(to, bytes, length * argument->size);
        break;
      }
      case STRUCT: put_bytes(to, bytes, count); break;
      default: break;
    }
  }
}

static void put_message(writer *to, const martlet_host *host, const char *problem) {
  char text[4096];
  size_t length = 0;
  if (problem != NULL) {
    length = strlen(problem);
    memcpy(text, problem, length);
  } else if (host->last_error(text, sizeof text, &length) != MARTLET_OK) {
    length = 0;
  }
  put_text(to, text, length);
}

void martlet_serve(process *process, unsigned which) {
  lane *lane = &process->shared->lanes[which];
  uint32_t function = lane->operation;
  uint64_t size = lane->size;
  writer reply = {.start = frame_of(process->shared, which), .room = lane_bytes};
  call call = {.process = process};
  martlet_status status = MARTLET_E_ARGUMENT;
  const char *problem = "the call is damaged";
  uint8_t *copy = NULL;
  if (function < ALL_FUNCTIONS && process->host != NULL && size <= lane_bytes) {
    copy = malloc(size + 8);
  }
  if (copy != NULL) {
    memcpy(copy, reply.start, size);
    reader from = {.start = copy, .size = size};
    call.signature = signature_of(function);
    problem = read_arguments(&call, &from);
    // All functions but `extension` and `last_error` begin with the run, and a plugin has one.
    if (problem == NULL && function >= 2 &&
        (martlet_run)(uintptr_t)call.words[0] != process->run) {
      problem = "the run is none of this plugin's";
      status = MARTLET_E_HANDLE;
    }
    if (problem == NULL && process->depth >= MOST_DEPTH) {
      problem = "calls within callbacks within calls are too deep";
    }
  }
  if (problem == NULL) {
    atomic_fetch_add_explicit(&served[function], 1, memory_order_relaxed);
    // Only the main lane nests.
    if (which == LANE_MAIN) process->depth += 1;
    status = call_host(&call, function);
    if (which == LANE_MAIN) process->depth -= 1;
  }
  put_word(&reply, (uint64_t)(int64_t)status);
  if (status != MARTLET_OK) put_message(&reply, process->host, problem);
  if (problem == NULL) put_results(&reply, &call, status);
  for (uint32_t i = 0; i < MOST_ARGUMENTS; ++i) free(call.blocks[i]);
  free(copy);
  lane->kind = FRAME_REPLY;
  lane->size = reply.used;
  martlet_lane_give(lane, TURN_PLUGIN);
}

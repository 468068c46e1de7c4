// The host's table as the plugin sees it: each function is a frame to the host and its reply.
#define _GNU_SOURCE
#include "child.h"
#include "team_calls.h"

#include <unistd.h>

host_link martlet_link;

/// Of threads that are not the main one, one at a time.
static pthread_mutex_t side_calls = PTHREAD_MUTEX_INITIALIZER;

/// The message of the last host function that failed on this thread.
static _Thread_local char last_message[4096];
static _Thread_local size_t last_length;

// MARK: Calling the host

writer martlet_child_writer(unsigned which) {
  return (writer){.start = frame_of(martlet_link.shared, which), .room = lane_bytes};
}

void martlet_child_send(unsigned which, uint32_t kind, uint32_t operation, const writer *frame) {
  lane *lane = &martlet_link.shared->lanes[which];
  lane->kind = kind;
  lane->operation = operation;
  lane->size = frame->used;
  martlet_lane_give(lane, TURN_HOST);
  if (which == LANE_SIDE) {
    ssize_t written;
    do {
      written = write(martlet_link.control, "", 1);
    } while (written < 0);
  }
}

reader martlet_child_received(unsigned which) {
  channel *shared = martlet_link.shared;
  return (reader){.start = frame_of(shared, which), .size = shared->lanes[which].size};
}

/// Asks the callback that an advance of this process named.
static void answer_callback(void) {
  reader from = martlet_child_received(LANE_MAIN);
  martlet_until until = (martlet_until)(uintptr_t)take_word(&from);
  void *context = (void *)(uintptr_t)take_word(&from);
  int32_t stops = until(context, (martlet_branch)(uintptr_t)take_word(&from));
  writer frame = martlet_child_writer(LANE_MAIN);
  put_word(&frame, (uint64_t)(int64_t)stops);
  martlet_child_send(LANE_MAIN, FRAME_RETURN, 0, &frame);
}

static martlet_status failed(martlet_status status, const char *message, size_t length) {
  if (length > sizeof last_message) length = sizeof last_message;
  memcpy(last_message, message, length);
  last_length = length;
  return status;
}

static void put_argument(writer *to, const argument *argument, const uint64_t *words,
                         uint32_t index) {
  const void *bytes = (const void *)(uintptr_t)words[index];
  if (argument->kind == VALUE || argument->kind == REAL || bytes == NULL) return;
  switch (argument->kind) {
    case STRING: put_text(to, bytes, strlen(bytes) + 1); break;
    case ARRAY: {
      uint64_t count = words[argument->count];
      if (count > most_array_bytes / argument->size) {
        to->failed = true;
      } else {
        put_bytes(to, bytes, count * argument->size);
      }
      break;
    }
    // What is there stays there when the host writes nothing.
    case RESULT: put_bytes(to, bytes, argument->size); break;
    case STRUCT: {
      uint32_t size;
      memcpy(&size, bytes, sizeof size);
      size_t length = size < sizeof size ? sizeof size : size;
      if (length > argument->size) length = argument->size;
      put_word(to, length);
      put_bytes(to, bytes, length);
      break;
    }
    default: break;
  }
}

static void take_result(reader *from, const argument *argument, const uint64_t *words,
                        uint32_t index, martlet_status status) {
  void *place = (void *)(uintptr_t)words[index];
  if (argument->kind < RESULT || place == NULL) return;
  const void *bytes = NULL;
  size_t length = argument->size;
  switch (argument->kind) {
    case RESULT: bytes = take_bytes(from, length); break;
    case RESULTS:
      length *= words[argument->count];
      if (status == MARTLET_OK) bytes = take_bytes(from, length);
      break;
    case BUFFER: bytes = take_text(from, &length); break;
    case STRUCT: {
      uint32_t size;
      memcpy(&size, place, sizeof size);
      if (size < sizeof size) size = sizeof size;
      if (size < length) length = size;
      bytes = take_bytes(from, length);
      break;
    }
    default: return;
  }
  if (bytes != NULL && length > 0) memcpy(place, bytes, length);
}

/// Whether a function takes a pass of the model or many. Not `wait_any`: one pass ends several.
static bool runs_model(uint32_t function) {
  return function == PLACE_OF(advance) || function == PLACE_OF(next_token) ||
         function == PLACE_OF(run_child) || function == PLACE_OF(hidden_state);
}

/// Calls a host function with its arguments as words.
static martlet_status call_host(uint32_t function, const uint64_t *words) {
  const signature *signature = signature_of(function);
  unsigned which = pthread_equal(pthread_self(), martlet_link.main_thread) ? LANE_MAIN : LANE_SIDE;
  if (which == LANE_SIDE) pthread_mutex_lock(&side_calls);
  lane *lane = &martlet_link.shared->lanes[which];
  writer frame = martlet_child_writer(which);
  for (uint32_t i = 0; i < signature->count; ++i) {
    bool is_pointer = signature->arguments[i].kind > REAL;
    put_word(&frame, is_pointer ? words[i] != 0 : words[i]);
  }
  for (uint32_t i = 0; i < signature->count; ++i) {
    put_argument(&frame, &signature->arguments[i], words, i);
  }
  martlet_status status;
  if (frame.failed) {
    static const char text[] = "an argument is too large for one call of an isolated plugin";
    status = failed(MARTLET_E_ARGUMENT, text, sizeof text - 1);
  } else {
    martlet_child_send(which, FRAME_HOST, function, &frame);
    uint64_t look = runs_model(function) ? look_briefly : look_long;
    while (martlet_lane_wait(lane, TURN_PLUGIN, look, 0) && lane->kind != FRAME_REPLY) {
      if (lane->kind == FRAME_CALLBACK) answer_callback();
      else martlet_child_serve(lane);
    }
    reader from = martlet_child_received(which);
    status = (martlet_status)(int64_t)take_word(&from);
    if (status != MARTLET_OK) {
      size_t length;
      const char *text = take_text(&from, &length);
      failed(status, text, length);
    }
    for (uint32_t i = 0; i < signature->count; ++i) {
      take_result(&from, &signature->arguments[i], words, i, status);
    }
  }
  if (which == LANE_SIDE) pthread_mutex_unlock(&side_calls);
  return status;
}

// MARK: The table

#define WORD_(kind, type, count) WORD_##kind
#define WORD(tuple, value) WORD__(WORD_ tuple, value)
#define WORD__(...) WORD___(__VA_ARGS__)
#define WORD___(how, value) how(value)
#define WORD_VALUE(value) (uint64_t)(uintptr_t)(value)
#define WORD_REAL(value) word_of_real(value)
#define WORD_STRING(value) (uint64_t)(uintptr_t)(value)
#define WORD_ARRAY(value) (uint64_t)(uintptr_t)(value)
#define WORD_RESULT(value) (uint64_t)(uintptr_t)(value)
#define WORD_RESULTS(value) (uint64_t)(uintptr_t)(value)
#define WORD_BUFFER(value) (uint64_t)(uintptr_t)(value)
#define WORD_STRUCT(value) (uint64_t)(uintptr_t)(value)

#define STUB_1(index, name, a)                                                                     \
  static martlet_status name##_stub(TYPE(a) p) {                                                   \
    return call_host(index, (uint64_t[]){WORD(a, p)});                                             \
  }
#define STUB_2(index, name, a, b)                                                                  \
  static martlet_status name##_stub(TYPE(a) p, TYPE(b) q) {                                        \
    return call_host(index, (uint64_t[]){WORD(a, p), WORD(b, q)});                                 \
  }
#define STUB_3(index, name, a, b, c)                                                               \
  static martlet_status name##_stub(TYPE(a) p, TYPE(b) q, TYPE(c) r) {                             \
    return call_host(index, (uint64_t[]){WORD(a, p), WORD(b, q), WORD(c, r)});                     \
  }
#define STUB_4_(index, name, a, b, c, d)                                                           \
  static martlet_status name##_stub(TYPE(a) p, TYPE(b) q, TYPE(c) r, TYPE(d) s) {                  \
    return call_host(index, (uint64_t[]){WORD(a, p), WORD(b, q), WORD(c, r), WORD(d, s)});         \
  }
#define STUB_5_(index, name, a, b, c, d, e)                                                        \
  static martlet_status name##_stub(TYPE(a) p, TYPE(b) q, TYPE(c) r, TYPE(d) s, TYPE(e) t) {       \
    return call_host(index, (uint64_t[]){WORD(a, p), WORD(b, q), WORD(c, r), WORD(d, s),           \
                                         WORD(e, t)});                                             \
  }
#define STUB_6_(index, name, a, b, c, d, e, f)                                                     \
  static martlet_status name##_stub(TYPE(a) p, TYPE(b) q, TYPE(c) r, TYPE(d) s, TYPE(e) t,         \
                                    TYPE(f) u) {                                                   \
    return call_host(index, (uint64_t[]){WORD(a, p), WORD(b, q), WORD(c, r), WORD(d, s),           \
                                         WORD(e, t), WORD(f, u)});                                 \
  }
// TEXT_OUT stands for three arguments, so rows are expanded before they are taken apart.
#define STUB_4(index, name, ...) STUB_4_(index, name, __VA_ARGS__)
#define STUB_5(index, name, ...) STUB_5_(index, name, __VA_ARGS__)
#define STUB_6(index, name, ...) STUB_6_(index, name, __VA_ARGS__)
#define STUB_LOG(index, name, a, b, c, d)                                                          \
  static void name##_stub(TYPE(a) p, TYPE(b) q, TYPE(c) r, TYPE(d) s) {                            \
    call_host(index, (uint64_t[]){WORD(a, p), WORD(b, q), WORD(c, r), WORD(d, s)});                \
  }
#define STUB_NONE(...)

MARTLET_HOST_CALLS(STUB_1, STUB_2, STUB_3, STUB_4, STUB_5, STUB_6, STUB_NONE, STUB_LOG, STUB_NONE)

#define TEAM_STUB_2(index, ...) STUB_2(HOST_FUNCTIONS + index, __VA_ARGS__)
#define TEAM_STUB_5(index, ...) STUB_5(HOST_FUNCTIONS + index, __VA_ARGS__)
MARTLET_TEAM_CALLS(TEAM_STUB_2, TEAM_STUB_5)

#define TEAM_ENTRY(index, name, ...) .name = name##_stub,
static const martlet_team_extension team_table = {
    .size = sizeof(martlet_team_extension), MARTLET_TEAM_CALLS(TEAM_ENTRY, TEAM_ENTRY)};

/// A table of the host's functions means nothing here: those that are passed on have one of their own.
static const void *extension_stub(const char *id) {
  return id != NULL && strcmp(id, MARTLET_TEAM_EXTENSION) == 0 ? &team_table : NULL;
}

static martlet_status last_error_stub(char *buffer, size_t capacity, size_t *needed) {
  if (needed == NULL) return MARTLET_E_ARGUMENT;
  *needed = last_length;
  if (last_length > capacity) return MARTLET_E_TOO_SMALL;
  if (last_length > 0 && buffer == NULL) return MARTLET_E_ARGUMENT;
  if (last_length > 0) memcpy(buffer, last_message, last_length);
  return MARTLET_OK;
}

static martlet_status advance_by(uint32_t function, martlet_run run, const martlet_branch *branches,
                                 uint32_t count, const martlet_advance *how) {
  uint64_t words[ADVANCE_WORDS] = {[ADVANCE_RUN] = (uint64_t)(uintptr_t)run,
                                   [ADVANCE_BRANCHES] = (uint64_t)(uintptr_t)branches,
                                   [ADVANCE_COUNT] = count,
                                   [ADVANCE_HOW] = how != NULL};
  if (how != NULL) words[ADVANCE_SIZE] = how->size;
  if (how != NULL && how->size >= sizeof *how) {
    words[ADVANCE_TOKENS] = how->max_tokens;
    words[ADVANCE_FLAGS] = how->flags;
    words[ADVANCE_DELIMITERS] = (uint64_t)(uintptr_t)how->delimiters;
    words[ADVANCE_DELIMITERS_LENGTH] = how->delimiters_length;
    words[ADVANCE_SAMPLING] = (uint64_t)(uintptr_t)how->sampling;
    words[ADVANCE_SAMPLING_LENGTH] = how->sampling_length;
    words[ADVANCE_ENTROPY] = word_of_real(how->entropy_above);
    words[ADVANCE_LOGPROB] = word_of_real(how->logprob_below);
    words[ADVANCE_UNTIL] = (uint64_t)(uintptr_t)how->until;
    words[ADVANCE_CONTEXT] = (uint64_t)(uintptr_t)how->until_context;
  }
  return call_host(function, words);
}

static martlet_status advance_stub(martlet_run run, const martlet_branch *branches, uint32_t count,
                                   const martlet_advance *how) {
  return advance_by(PLACE_OF(advance), run, branches, count, how);
}

static martlet_status submit_stub(martlet_run run, const martlet_branch *branches, uint32_t count,
                                  const martlet_advance *how) {
  return advance_by(PLACE_OF(submit), run, branches, count, how);
}

static martlet_status next_token_stub(martlet_run run, const martlet_branch *branches,
                                      uint32_t count, const martlet_next_token *query) {
  uint64_t words[NEXT_WORDS] = {[NEXT_RUN] = (uint64_t)(uintptr_t)run,
                                [NEXT_BRANCHES] = (uint64_t)(uintptr_t)branches,
                                [NEXT_COUNT] = count,
                                [NEXT_QUERY] = query != NULL};
  if (query != NULL) words[NEXT_SIZE] = query->size;
  if (query != NULL && query->size >= sizeof *query) {
    words[NEXT_TOP] = query->top;
    words[NEXT_TOKENS] = (uint64_t)(uintptr_t)query->tokens;
    words[NEXT_TOKEN_COUNT] = query->token_count;
    words[NEXT_CHOICES] = query->top == 0 ? 0 : (uint64_t)(uintptr_t)query->choices;
    words[NEXT_CHOICE_COUNT] = (uint64_t)count * query->top;
    words[NEXT_LOGPROBS] = query->token_count == 0 ? 0 : (uint64_t)(uintptr_t)query->logprobs;
    words[NEXT_LOGPROB_COUNT] = count * query->token_count;
    words[NEXT_ENTROPIES] = (uint64_t)(uintptr_t)query->entropies;
  }
  return call_host(PLACE_OF(next_token), words);
}

static martlet_status run_child_stub(martlet_run run, const martlet_child *child,
                                     martlet_child_result *result) {
  uint64_t words[CHILD_WORDS] = {[CHILD_RUN] = (uint64_t)(uintptr_t)run,
                                 [CHILD_CHILD] = child != NULL,
                                 [CHILD_RESULT] = (uint64_t)(uintptr_t)result};
  if (child != NULL) words[CHILD_SIZE] = child->size;
  if (child != NULL && child->size >= sizeof *child) {
    words[CHILD_STRATEGY] = (uint64_t)(uintptr_t)child->strategy;
    words[CHILD_OPTIONS] = (uint64_t)(uintptr_t)child->options;
    words[CHILD_OPTIONS_LENGTH] = child->options_length;
    words[CHILD_BRANCH] = (uint64_t)(uintptr_t)child->branch;
    words[CHILD_TOKENS] = child->tokens;
    words[CHILD_SECONDS] = word_of_real(child->seconds);
  }
  return call_host(PLACE_OF(run_child), words);
}

#define ENTRY(index, name, ...) .name = name##_stub,
const martlet_host martlet_child_table = {
    .size = sizeof(martlet_host),
    .abi_minor = MARTLET_PLUGIN_ABI_MINOR,
    MARTLET_HOST_CALLS(ENTRY, ENTRY, ENTRY, ENTRY, ENTRY, ENTRY, ENTRY, ENTRY, ENTRY)};

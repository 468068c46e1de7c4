/// Every function of `martlet_host` and what its arguments are, so that calls can be passed on.
///
/// A function that is added to the header and not here does not compile: places are compared one by
/// one, and their number with the size of the table.
#ifndef MARTLET_CALLS_H
#define MARTLET_CALLS_H

#include "martlet_isolation.h"

/// What an argument is.
typedef enum argument_kind {
  VALUE,    ///< A number or a handle.
  REAL,     ///< A double.
  STRING,   ///< NUL-terminated text, read.
  ARRAY,    ///< Elements, read; argument `count` says how many.
  RESULT,   ///< One value, written.
  RESULTS,  ///< Elements, written when the call succeeds; argument `count` says how many.
  BUFFER,   ///< Elements, written; the next arguments are its capacity and where the length goes.
  STRUCT,   ///< A struct that begins with its size, read and written.
} argument_kind;

typedef struct argument {
  argument_kind kind;
  uint32_t size;  ///< Of an element or the struct, bytes.
  uint32_t count; ///< For ARRAY and RESULTS.
} argument;

enum { MOST_ARGUMENTS = 17 };

typedef struct signature {
  const char *name;
  uint32_t count;
  argument arguments[MOST_ARGUMENTS];
} signature;

// An argument as (kind, type, count).
#define V(type) (VALUE, type, 0)
#define D (REAL, double, 0)
#define S (STRING, char, 0)
#define IN(type, count) (ARRAY, type, count)
#define OUT(type) (RESULT, type, 0)
#define OUTS(type, count) (RESULTS, type, count)
#define BUF(type) (BUFFER, type, 0)
#define SIZED(type) (STRUCT, type, 0)
#define RUN V(martlet_run)
#define BRANCH V(martlet_branch)
#define TEXT_OUT BUF(char), V(size_t), OUT(size_t)

/// F1…F6: functions of so many arguments that give a status. LOCAL: answered where it is called.
/// LOG: the one that gives nothing. BY_HAND: those whose structs hold pointers, see FLAT_CALLS.
#define MARTLET_HOST_CALLS(F1, F2, F3, F4, F5, F6, LOCAL, LOG, BY_HAND)                            \
  LOCAL(0, extension)                                                                              \
  LOCAL(1, last_error)                                                                             \
  LOG(2, log, RUN, V(int32_t), IN(char, 3), V(size_t))                                             \
  F3(3, explain, RUN, IN(char, 2), V(size_t))                                                      \
  F5(4, option_text, RUN, S, TEXT_OUT)                                                             \
  F3(5, option_integer, RUN, S, OUT(int64_t))                                                      \
  F3(6, option_number, RUN, S, OUT(double))                                                        \
  F3(7, budget_left, RUN, V(martlet_resource), OUT(double))                                        \
  F4(8, random, RUN, BRANCH, V(uint64_t), OUT(uint64_t))                                           \
  F4(9, trace, RUN, S, IN(char, 3), V(size_t))                                                     \
  F2(10, root, RUN, OUT(martlet_branch))                                                           \
  F4(11, fork, RUN, BRANCH, V(uint32_t), OUTS(martlet_branch, 2))                                  \
  F4(12, fork_cost, RUN, BRANCH, V(uint32_t), OUT(uint64_t))                                       \
  F5(13, resample, RUN, IN(martlet_branch, 2), V(uint32_t), IN(uint32_t, 2),                       \
     OUTS(martlet_branch, 2))                                                                      \
  F3(14, truncate, RUN, BRANCH, V(uint32_t))                                                       \
  F4(15, append_text, RUN, BRANCH, IN(char, 3), V(size_t))                                         \
  F2(16, release, RUN, BRANCH)                                                                     \
  F3(17, state, RUN, BRANCH, SIZED(martlet_branch_state))                                          \
  F5(18, text, RUN, BRANCH, TEXT_OUT)                                                              \
  F5(19, tokens, RUN, BRANCH, BUF(int32_t), V(size_t), OUT(size_t))                                \
  F5(20, logprobs, RUN, BRANCH, BUF(float), V(size_t), OUT(size_t))                                \
  BY_HAND(21, advance)                                                                             \
  BY_HAND(22, submit)                                                                              \
  F2(23, wait_any, RUN, SIZED(martlet_event))                                                      \
  F2(24, cancel, RUN, BRANCH)                                                                      \
  F4(25, score, RUN, IN(martlet_branch, 2), V(uint32_t), OUTS(double, 2))                          \
  F5(26, extract, RUN, BRANCH, TEXT_OUT)                                                           \
  F3(27, candidate, RUN, BRANCH, OUT(uint32_t))                                                    \
  F3(28, candidate_score, RUN, V(uint32_t), D)                                                     \
  F2(29, answer, RUN, V(uint32_t))                                                                 \
  F3(30, width_cost, RUN, V(uint32_t), OUT(double))                                                \
  F2(31, knee_width, RUN, OUT(uint32_t))                                                           \
  F4(32, prompt, RUN, TEXT_OUT)                                                                    \
  F5(33, open, RUN, IN(char, 2), V(size_t), V(uint32_t), OUT(martlet_branch))                      \
  F4(34, append_tokens, RUN, BRANCH, IN(int32_t, 3), V(size_t))                                    \
  F6(35, tokenize, RUN, IN(char, 2), V(size_t), BUF(int32_t), V(size_t), OUT(size_t))              \
  F6(36, detokenize, RUN, IN(int32_t, 2), V(size_t), TEXT_OUT)                                     \
  F3(37, reopen, RUN, BRANCH, OUT(martlet_branch))                                                 \
  F3(38, demote, RUN, BRANCH, OUT(uint64_t))                                                       \
  F5(39, path, RUN, BRANCH, BUF(uint32_t), V(size_t), OUT(size_t))                                 \
  F5(40, entropies, RUN, BRANCH, BUF(float), V(size_t), OUT(size_t))                               \
  BY_HAND(41, next_token)                                                                          \
  F5(42, score_by, RUN, S, IN(martlet_branch, 3), V(uint32_t), OUTS(double, 3))                    \
  F6(43, extract_text, RUN, IN(char, 2), V(size_t), TEXT_OUT)                                      \
  F3(44, model, RUN, S, OUT(martlet_model))                                                        \
  F6(45, open_on, RUN, V(martlet_model), IN(char, 3), V(size_t), V(uint32_t),                      \
     OUT(martlet_branch))                                                                          \
  F4(46, candidate_text, RUN, IN(char, 2), V(size_t), OUT(uint32_t))                               \
  F5(47, candidate_answer, RUN, V(uint32_t), TEXT_OUT)                                             \
  F2(48, commit, RUN, V(uint32_t))                                                                 \
  F1(49, abstain, RUN)                                                                             \
  BY_HAND(50, run_child)                                                                           \
  F2(51, usage, RUN, SIZED(martlet_usage))                                                         \
  F3(52, capability, RUN, S, OUT(double))                                                          \
  F5(53, remember, RUN, IN(char, 2), V(size_t), IN(char, 4), V(size_t))                            \
  F6(54, recall, RUN, IN(char, 2), V(size_t), V(uint32_t), OUTS(martlet_note, 3), OUT(uint32_t))   \
  F6(55, note, RUN, V(uint64_t), V(uint32_t), TEXT_OUT)                                            \
  F5(56, hidden_state, RUN, BRANCH, BUF(float), V(size_t), OUT(size_t))

/// The functions by hand with their structs spread out; the enums below name the places.
#define FLAT_ADVANCE                                                                               \
  RUN, IN(martlet_branch, 2), V(uint32_t), V(uint32_t), V(uint32_t), V(uint32_t), V(uint32_t),     \
      IN(char, 8), V(size_t), IN(char, 10), V(size_t), D, D, V(martlet_until), V(void *)
enum {
  ADVANCE_RUN, ADVANCE_BRANCHES, ADVANCE_COUNT, ADVANCE_HOW, ADVANCE_SIZE, ADVANCE_TOKENS,
  ADVANCE_FLAGS, ADVANCE_DELIMITERS, ADVANCE_DELIMITERS_LENGTH,
  ADVANCE_SAMPLING, ADVANCE_SAMPLING_LENGTH, ADVANCE_ENTROPY, ADVANCE_LOGPROB, ADVANCE_UNTIL,
  ADVANCE_CONTEXT, ADVANCE_WORDS
};
#define FLAT_NEXT_TOKEN                                                                            \
  RUN, IN(martlet_branch, 2), V(uint32_t), V(uint32_t), V(uint32_t), V(uint32_t),                  \
      IN(int32_t, 7), V(size_t), OUTS(martlet_choice, 9), V(size_t), OUTS(float, 11), V(size_t),   \
      OUTS(double, 2)
enum {
  NEXT_RUN, NEXT_BRANCHES, NEXT_COUNT, NEXT_QUERY, NEXT_SIZE, NEXT_TOP, NEXT_TOKENS,
  NEXT_TOKEN_COUNT, NEXT_CHOICES, NEXT_CHOICE_COUNT, NEXT_LOGPROBS, NEXT_LOGPROB_COUNT,
  NEXT_ENTROPIES, NEXT_WORDS
};
#define FLAT_RUN_CHILD                                                                             \
  RUN, V(uint32_t), V(uint32_t), S, IN(char, 5), V(size_t), BRANCH, V(uint64_t), D,                \
      SIZED(martlet_child_result)
enum {
  CHILD_RUN, CHILD_CHILD, CHILD_SIZE, CHILD_STRATEGY, CHILD_OPTIONS, CHILD_OPTIONS_LENGTH,
  CHILD_BRANCH, CHILD_TOKENS, CHILD_SECONDS, CHILD_RESULT, CHILD_WORDS
};

// What an argument is in C, by kind.
#define TYPE_(kind, type, count) TYPE_##kind(type)
#define TYPE(tuple) TYPE_ tuple
#define TYPE_VALUE(type) type
#define TYPE_REAL(type) type
#define TYPE_STRING(type) const type *
#define TYPE_ARRAY(type) const type *
#define TYPE_RESULT(type) type *
#define TYPE_RESULTS(type) type *
#define TYPE_BUFFER(type) type *
#define TYPE_STRUCT(type) type *

#define DESCRIPTION_(kind, type, count) {kind, sizeof(type), count}
#define DESCRIPTION(tuple) DESCRIPTION_ tuple

/// The words of a double.
static inline uint64_t word_of_real(double real) {
  uint64_t word;
  __builtin_memcpy(&word, &real, sizeof word);
  return word;
}
static inline double real_of_word(uint64_t word) {
  double real;
  __builtin_memcpy(&real, &word, sizeof real);
  return real;
}

/// The place of a function in the table.
#define PLACE_OF(name) ((uint32_t)((offsetof(martlet_host, name) - 8) / sizeof(void *)))

extern const signature martlet_signatures[];
enum { HOST_FUNCTIONS = (sizeof(martlet_host) - 8) / sizeof(void *) };

#endif

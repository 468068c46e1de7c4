/// The Martlet plugin interface. This header is the specification.
///
/// A plugin is a shared library that exports one function, `martlet_plugin_entry`, and a manifest
/// (JSON, named `<name>.martlet-plugin.json`) that the host reads before it loads anything. The
/// host hands each component a table of functions; a plugin links against nothing of Martlet's.
///
/// Versions. This is 1.0, and frozen: what a plugin that was built with it relies on stays while
/// the major version is 1.
/// - A plugin states the version of the header that it was built with, in its manifest and its
///   descriptor. It is loaded when the major version is the host's and the minor one is not newer.
///   Plugins of 0.x are refused: they are built again with this header.
/// - Functions, fields, numbers and names are never removed, moved or given another meaning. A
///   minor version may add functions at the end of `martlet_host`, fields at the end of structs,
///   numbers to enums and names to `capability`. A plugin takes a number that it does not know for
///   "something else".
/// - `size` comes first in each struct and says how much its writer knew. Fields past it read as
///   zero or null. Reserved fields and bits that this header does not name are 0.
/// - A plugin that can do without what a later minor version added states the oldest version that
///   suffices, and compares `size` of the host's table before it uses more.
///
/// Extensions. What not every host has comes as a table of functions by id, from `extension`. Ids
/// are `martlet.NAME.N` for those in include/martlet/extensions/, and reverse-domain
/// (`org.example.NAME.N`) for everybody else's. A table begins with `uint32_t size`, grows only at
/// its end while N stays, and is replaced under N + 1 when that does not suffice; a host may serve
/// both. An id does not change when a draft becomes stable. Functions of extensions keep the rules
/// of this header on handles, threads, statuses and texts. Of the extensions only martlet.team.1
/// reaches plugins in processes of their own; others are null there.
///
/// Handles (`martlet_run`, `martlet_branch`) are opaque, generation-checked ids that happen to be
/// pointer-sized; they are never dereferenced. A stale, foreign or null handle gives
/// MARTLET_E_HANDLE. Misuse never traps the host.
///
/// Text is UTF-8 with an explicit length and need not end in NUL, except where a field says
/// "NUL-terminated". A function that returns text or an array takes (buffer, capacity, needed): it
/// always writes the full length to `*needed` and copies only if it fits (else
/// MARTLET_E_TOO_SMALL); buffer may be null when capacity is 0. Nothing the host returns needs
/// freeing.
///
/// Instances. The host makes one instance of each strategy, scorer, extractor and sampler that a
/// run uses, and one of each drafter and memory that a session uses, and gives each its own
/// `martlet_run` handle, which stays valid until `destroy` returns. It names the run and the
/// component: options and log lines are those of the component that holds the handle. On the handle
/// of a scorer or extractor, functions that touch branches or the result give MARTLET_E_STATE; a
/// scorer of branches (`score_branches`) may use what makes, advances and reads branches while it
/// is asked for scores. On the handles of drafters, samplers and memories there are options, `log`,
/// `explain` and `trace`, which goes nowhere; they have no run.
///
/// Threads. The host calls `create`, `run` and `destroy` of a strategy instance on one thread that
/// belongs to that run. Host functions marked [run thread] may be called only there; those marked
/// [any thread] from any thread the plugin owns, until `run` returns. Scorers and extractors are
/// called from any thread, also concurrently, unless their component says MARTLET_COMPONENT_SERIAL.
/// Drafters and samplers are called on the engine's own thread, memories on any, one call at a
/// time.
///
/// Cancellation and budget. After cancellation or a deadline each call that generates returns
/// MARTLET_E_CANCELLED, and MARTLET_E_BUDGET when a budget ran out; reading functions, scorers and
/// extractors of text, memories, candidate and answer calls go on working so that the best answer
/// so far can be returned. A strategy that goes on for long after that is given up: every handle it
/// holds becomes invalid, and its answer so far counts.
#ifndef MARTLET_PLUGIN_H
#define MARTLET_PLUGIN_H

#include "common.h"

#define MARTLET_PLUGIN_ABI_MAJOR 1
#define MARTLET_PLUGIN_ABI_MINOR 0

typedef struct martlet_run_handle *martlet_run;
typedef struct martlet_branch_handle *martlet_branch;
typedef struct martlet_model_handle *martlet_model;

/// What a component is.
typedef enum martlet_component_kind {
  MARTLET_KIND_STRATEGY = 1,
  MARTLET_KIND_SCORER = 2,
  MARTLET_KIND_EXTRACTOR = 3,
  MARTLET_KIND_DRAFTER = 4,
  MARTLET_KIND_SAMPLER = 5,
  MARTLET_KIND_MEMORY = 6,
} martlet_component_kind;

enum {
  /// The host serialises all calls to one instance of this component.
  MARTLET_COMPONENT_SERIAL = 1u << 0,
};

/// Why a branch stopped advancing. Enums are 32 bits wide.
typedef enum martlet_stop {
  MARTLET_STOP_NONE = 0,            ///< It has not stopped; it can go on.
  MARTLET_STOP_END_OF_SEQUENCE = 1, ///< The model ended the sequence. Finished.
  MARTLET_STOP_STRING = 2,          ///< A stop string of the run appeared. Finished.
  MARTLET_STOP_STEP = 3,            ///< The advance's delimiter appeared. Can go on.
  MARTLET_STOP_TOKENS = 4,          ///< The advance's token count was reached. Can go on.
  MARTLET_STOP_LENGTH = 5,          ///< The run's maximum tokens per branch. Finished.
  MARTLET_STOP_CONTEXT = 6,         ///< The model's context is full. Finished.
  MARTLET_STOP_BUDGET = 7,
  MARTLET_STOP_CANCELLED = 8,
  MARTLET_STOP_ENTROPY = 9,         ///< The advance's limit of entropy was passed. Can go on.
  MARTLET_STOP_LOGPROB = 10,        ///< A token was less likely than the advance's limit. Can go on.
  MARTLET_STOP_CALLBACK = 11,       ///< The advance's callback said so. Can go on.
} martlet_stop;

MARTLET_STATIC_ASSERT(sizeof(martlet_stop) == 4, "frozen in 1.0");

typedef enum martlet_resource {
  MARTLET_RESOURCE_TOKENS = 1,    ///< Sampled tokens, every branch counted.
  MARTLET_RESOURCE_SECONDS = 2,
  MARTLET_RESOURCE_KV_BYTES = 3,  ///< Held now against the ceiling.
  /// Sampled, prompt, appended and scored tokens.
  MARTLET_RESOURCE_TOTAL_TOKENS = 4,
  /// Floating-point operations: 2 for each parameter and processed token.
  MARTLET_RESOURCE_FLOPS = 5,
} martlet_resource;

/// A branch as it is at the moment of the call.
typedef struct martlet_branch_state {
  uint32_t size;               ///< Set by the caller to sizeof(martlet_branch_state).
  martlet_stop stop;
  uint32_t finished;           ///< 1 when it cannot go on.
  uint32_t prompt_tokens;      ///< Tokens before the first generated one.
  uint32_t generated_tokens;
  uint32_t kv_pages;           ///< Pages its table names, shared ones included.
  double logprob;              ///< Sum of untempered log-probabilities of generated tokens, nats.
  double last_entropy;         ///< Of the model's distribution at the last token, nats.
  uint64_t reserved;
} martlet_branch_state;
MARTLET_STATIC_ASSERT(sizeof(martlet_branch_state) == 48 || sizeof(void *) != 8, "frozen in 1.0");

/// Asked after each token of an advance whether the branch goes on: 0 to go on, anything else to
/// stop it with MARTLET_STOP_CALLBACK. Called on the run thread, branch by branch in the order
/// given. It may read branches, and must not change any: functions marked [run thread] give
/// MARTLET_E_STATE.
typedef int32_t (*martlet_until)(void *context, martlet_branch branch);

/// Bits of `martlet_advance.flags`.
enum {
  /// The advance goes on where the branch's last one stopped: a delimiter that begins in the text
  /// of that one counts too. For who goes forward by counts of tokens, by limits or by a callback
  /// and does not want to miss a delimiter that the stop cut in two. Nothing for a branch that was
  /// truncated, appended to or forked since.
  MARTLET_ADVANCE_CONTINUES = 1u << 0,
};

/// How far to advance. Zero in a field means no such limit.
typedef struct martlet_advance {
  uint32_t size;               ///< sizeof(martlet_advance).
  uint32_t max_tokens;         ///< Stop each branch after this many more tokens.
  uint32_t flags;              ///< MARTLET_ADVANCE_…; 0 for none.
  uint32_t reserved;
  /// Stop each branch when its new text contains one of these, which stays in the text: texts with
  /// a NUL between each two; null for none.
  const char *delimiters;
  size_t delimiters_length;
  /// Rules for drawing these tokens in place of the run's, as `--sampling` takes them
  /// (`temperature=0.8,top-p=0.95`), or with a leading `+` on top of the run's (`+temperature=0`);
  /// null for the run's.
  const char *sampling;
  size_t sampling_length;
  /// Stop a branch after a token before which the entropy was above this, nats.
  double entropy_above;
  /// Stop a branch after a token whose log-probability was below this, nats (so a negative number).
  double logprob_below;
  /// Null for none. Not with `submit`.
  martlet_until until;
  void *until_context;
} martlet_advance;
MARTLET_STATIC_ASSERT(offsetof(martlet_advance, until_context) == 72 || sizeof(void *) != 8,
                      "frozen in 1.0");
MARTLET_STATIC_ASSERT(sizeof(martlet_advance) == 80 || sizeof(void *) != 8, "frozen in 1.0");

/// A branch that a `wait_any` found stopped.
typedef struct martlet_event {
  uint32_t size;               ///< Set by the caller to sizeof(martlet_event).
  martlet_stop stop;
  martlet_branch branch;
} martlet_event;
MARTLET_STATIC_ASSERT(sizeof(martlet_event) == 16 || sizeof(void *) != 8, "frozen in 1.0");

/// A token that may come next.
typedef struct martlet_choice {
  int32_t token;
  float logprob;               ///< In the model's own distribution, nats.
} martlet_choice;
MARTLET_STATIC_ASSERT(sizeof(martlet_choice) == 8, "frozen in 1.0");

/// What to read of the distribution of the token that would come next.
typedef struct martlet_next_token {
  uint32_t size;               ///< Set by the caller to sizeof(martlet_next_token).
  uint32_t top;                ///< How many of the most likely tokens are wanted; may be 0.
  const int32_t *tokens;       ///< Tokens whose log-probabilities are wanted; may be null.
  size_t token_count;
  /// Filled: the likeliest first, ties by id, `top` a branch; a token of -1 where there are fewer.
  martlet_choice *choices;
  float *logprobs;             ///< Filled: `token_count` a branch, nats; -inf for no probability.
  double *entropies;           ///< Filled: one a branch, nats; may be null.
} martlet_next_token;
MARTLET_STATIC_ASSERT(sizeof(martlet_next_token) == 48 || sizeof(void *) != 8, "frozen in 1.0");

/// How a prompt is put to the model.
typedef enum martlet_prompt_form {
  MARTLET_PROMPT_PLAIN = 0,    ///< As it stands.
  MARTLET_PROMPT_CHAT = 1,     ///< As one user's message in the model's chat format, if it has one.
} martlet_prompt_form;

/// Another strategy's run on a part of this one's budget.
typedef struct martlet_child {
  uint32_t size;               ///< Set by the caller to sizeof(martlet_child).
  uint32_t reserved;
  const char *strategy;        ///< Its id. NUL-terminated.
  /// Options that differ from their defaults: `name=value`, each NUL-terminated, one after the
  /// other; null for none.
  const char *options;
  size_t options_length;
  /// A branch whose text so far the child continues: its root is a fork of it. Null for the prompt.
  martlet_branch branch;
  uint64_t tokens;             ///< The most it may sample; 0 for what the run has left.
  double seconds;              ///< The longest it may take; 0 for what the run has left.
} martlet_child;
MARTLET_STATIC_ASSERT(sizeof(martlet_child) == 56 || sizeof(void *) != 8, "frozen in 1.0");

/// What a child left.
typedef struct martlet_child_result {
  uint32_t size;               ///< Set by the caller to sizeof(martlet_child_result).
  uint32_t first_candidate;    ///< Its candidates are the run's from here on.
  uint32_t candidate_count;
  uint32_t answer;             ///< Index of the one it answered with; UINT32_MAX for none.
  /// A branch that holds the answer's text, yours to release; null when the answer is no branch's.
  martlet_branch branch;
  uint64_t tokens;             ///< How many it sampled.
} martlet_child_result;
MARTLET_STATIC_ASSERT(sizeof(martlet_child_result) == 32 || sizeof(void *) != 8, "frozen in 1.0");

/// What a run has used.
typedef struct martlet_usage {
  uint32_t size;               ///< Set by the caller to sizeof(martlet_usage).
  uint32_t reserved;
  uint64_t prompt_tokens;      ///< Of the prompt, of opened prompts and of appended text.
  uint64_t generated_tokens;
  uint64_t scored_tokens;      ///< That other models processed, for whoever in the run.
  uint64_t kv_bytes;           ///< Held now.
  uint64_t peak_kv_bytes;
  double flops;
} martlet_usage;
MARTLET_STATIC_ASSERT(sizeof(martlet_usage) == 56, "frozen in 1.0");

/// A note that a memory found.
typedef struct martlet_note {
  uint64_t id;                 ///< Names it where its texts are asked for.
  double score;                ///< How well it suits the query; finite, higher is better.
} martlet_note;
MARTLET_STATIC_ASSERT(sizeof(martlet_note) == 16, "frozen in 1.0");

/// The texts of a note.
typedef enum martlet_note_part {
  MARTLET_NOTE_KEY = 0,        ///< What it was stored under.
  MARTLET_NOTE_TEXT = 1,       ///< What it says.
} martlet_note_part;

/// The host's functions. `size` says how many are there: check before calling one that a later
/// minor version added. Every function may be called with any arguments: what is wrong gives a
/// status.
typedef struct martlet_host {
  uint32_t size;
  uint32_t abi_minor;

  /// An extension table by id (NUL-terminated), or null. Lives as long as the process. [any thread]
  const void *(*extension)(const char *id);
  /// The last failed call's message on this thread, for logs. Valid until the next call. [any
  /// thread]
  martlet_status (*last_error)(char *buffer, size_t capacity, size_t *needed);
  /// Logs under the plugin's name. level: 0 debug, 1 info, 2 warning, 3 error. [any thread]
  void (*log)(martlet_run run, int32_t level, const char *text, size_t length);
  /// Says why the component is about to return a failure; the host shows this text to the user
  /// beside the status. The last call before the return counts. [any thread]
  martlet_status (*explain)(martlet_run run, const char *text, size_t length);

  // ---- the run ---------------------------------------------------------------------------------
  /// An option's text: as set by the user, else the manifest's default. MARTLET_E_NOT_FOUND for a
  /// name the manifest does not declare. `name` is NUL-terminated. [any thread]
  martlet_status (*option_text)(martlet_run run, const char *name, char *buffer, size_t capacity,
                                size_t *needed);
  /// An option of type integer or number; the host has checked type and range. [any thread]
  martlet_status (*option_integer)(martlet_run run, const char *name, int64_t *value);
  martlet_status (*option_number)(martlet_run run, const char *name, double *value);
  /// What is left of a resource: +inf when unlimited, never negative. [any thread]
  martlet_status (*budget_left)(martlet_run run, martlet_resource resource, double *left);
  /// A 64-bit random number for (run seed, branch path or the run itself if `branch` is null,
  /// `index`): the same on every schedule, thread count and machine. [any thread]
  martlet_status (*random)(martlet_run run, martlet_branch branch, uint64_t index, uint64_t *value);
  /// Adds an instant event to the trace. `json` is one JSON object or null. `name` is
  /// NUL-terminated. [any thread]
  martlet_status (*trace)(martlet_run run, const char *name, const char *json, size_t length);

  // ---- branches --------------------------------------------------------------------------------
  /// The branch that holds the prompt. Owned by the run: releasing it is allowed once. [run thread]
  martlet_status (*root)(martlet_run run, martlet_branch *branch);
  /// Makes `count` children that share all pages of `branch` until they differ. The parent stays as
  /// it is. All or none are made. [run thread]
  martlet_status (*fork)(martlet_run run, martlet_branch branch, uint32_t count,
                         martlet_branch *children);
  /// KV bytes that `count` forks of `branch` would take after each wrote one token. [run thread]
  martlet_status (*fork_cost)(martlet_run run, martlet_branch branch, uint32_t count,
                              uint64_t *bytes);
  /// Replaces a population: result[i] continues population[ancestors[i]]. All of `population` is
  /// released; results are new branches with new random paths. Reference moves only. [run thread]
  martlet_status (*resample)(martlet_run run, const martlet_branch *population, uint32_t count,
                             const uint32_t *ancestors, martlet_branch *result);
  /// Drops generated tokens so that `generated_tokens` remain, frees pages, starts a new random
  /// epoch: going on draws afresh. [run thread]
  martlet_status (*truncate)(martlet_run run, martlet_branch branch, uint32_t generated_tokens);
  /// Appends text (tokenised without special tokens) as if generated; it costs prompt tokens, not
  /// sampled ones. [run thread]
  martlet_status (*append_text)(martlet_run run, martlet_branch branch, const char *text,
                                size_t length);
  /// Gives the branch up; its unshared pages return at once. Cancels it if it is advancing.
  /// [run thread]
  martlet_status (*release)(martlet_run run, martlet_branch branch);
  /// [any thread]
  martlet_status (*state)(martlet_run run, martlet_branch branch, martlet_branch_state *state);
  /// The generated text so far, without the prompt and without the stop string. [any thread]
  martlet_status (*text)(martlet_run run, martlet_branch branch, char *buffer, size_t capacity,
                         size_t *needed);
  /// Generated token ids; `capacity` and `needed` count tokens. [any thread]
  martlet_status (*tokens)(martlet_run run, martlet_branch branch, int32_t *buffer, size_t capacity,
                           size_t *needed);
  /// Untempered log-probabilities of the generated tokens, nats. [any thread]
  martlet_status (*logprobs)(martlet_run run, martlet_branch branch, float *buffer, size_t capacity,
                             size_t *needed);

  // ---- advancing -------------------------------------------------------------------------------
  /// Advances all branches together and blocks until each has stopped. Finished branches are left
  /// alone. MARTLET_E_BUDGET when the budget ended first: tokens made until then are kept.
  /// [run thread, blocks]
  martlet_status (*advance)(martlet_run run, const martlet_branch *branches, uint32_t count,
                            const martlet_advance *how);
  /// Starts branches without waiting. [run thread]
  martlet_status (*submit)(martlet_run run, const martlet_branch *branches, uint32_t count,
                           const martlet_advance *how);
  /// Waits for the next submitted branch that stopped. Events come in an order that does not depend
  /// on time: by tokens committed, then by branch path. A branch that a budget stopped gives an
  /// event like any other, with MARTLET_STOP_BUDGET. MARTLET_E_STATE when nothing was submitted.
  /// [run thread, blocks]
  martlet_status (*wait_any)(martlet_run run, martlet_event *event);
  /// Stops a submitted branch at the next token. It produces no event. [run thread]
  martlet_status (*cancel)(martlet_run run, martlet_branch branch);

  // ---- judging ---------------------------------------------------------------------------------
  /// Scores branches with the run's scorer, higher is better. MARTLET_E_NOT_FOUND when the run has
  /// none. [run thread, may block]
  martlet_status (*score)(martlet_run run, const martlet_branch *branches, uint32_t count,
                          double *scores);
  /// The run's extractor applied to a branch's text. MARTLET_E_NOT_FOUND when it finds no answer.
  /// [run thread, may block]
  martlet_status (*extract)(martlet_run run, martlet_branch branch, char *buffer, size_t capacity,
                            size_t *needed);

  // ---- the result ------------------------------------------------------------------------------
  /// Records a candidate (text, answer, log-probability and tokens are taken from the branch now;
  /// the branch may be released afterwards). `*index` counts from 0. [run thread]
  martlet_status (*candidate)(martlet_run run, martlet_branch branch, uint32_t *index);
  /// Sets or replaces a candidate's score. [run thread]
  martlet_status (*candidate_score)(martlet_run run, uint32_t index, double score);
  /// Names the answer so far. May be called again with a better one; the last call counts, also
  /// when the budget ends or the plugin fails afterwards. [run thread]
  martlet_status (*answer)(martlet_run run, uint32_t candidate);

  // ---- what width costs ---------------------------------------------------------------------------
  /// The time of a step in which `width` branches decode one token each, relative to a step of one:
  /// 1 for 1, never falling. Measured on this machine with this model at a short context, sampling
  /// left out; interpolated between measured widths. The first call of a process may measure. It
  /// differs between machines: a strategy that decides by it records that in the trace, which this
  /// call does. MARTLET_E_ARGUMENT for a width of 0. For strategies. [any thread, may block]
  martlet_status (*width_cost)(martlet_run run, uint32_t width, double *cost);
  /// The largest width whose step costs at most twice a step of one: up to it another branch is
  /// nearly free. At least 1. For strategies. [any thread, may block]
  martlet_status (*knee_width)(martlet_run run, uint32_t *width);

  // ---- prompts and text -------------------------------------------------------------------------
  /// What the user asked. [any thread]
  martlet_status (*prompt)(martlet_run run, char *buffer, size_t capacity, size_t *needed);
  /// Opens a branch on another prompt: for a judge, a critic, another way to ask. It costs prompt
  /// tokens. It shares the run's seed, sampling rules, stop strings and budget; no constraint holds
  /// for it. `form` is a martlet_prompt_form. [run thread]
  martlet_status (*open)(martlet_run run, const char *text, size_t length, uint32_t form,
                         martlet_branch *branch);
  /// Appends token ids as if generated; as `append_text` otherwise. [run thread]
  martlet_status (*append_tokens)(martlet_run run, martlet_branch branch, const int32_t *tokens,
                                  size_t count);
  /// The ids of a text, without special tokens. [any thread]
  martlet_status (*tokenize)(martlet_run run, const char *text, size_t length, int32_t *buffer,
                             size_t capacity, size_t *needed);
  /// The text of token ids. [any thread]
  martlet_status (*detokenize)(martlet_run run, const int32_t *tokens, size_t count, char *buffer,
                               size_t capacity, size_t *needed);

  // ---- branches ---------------------------------------------------------------------------------
  /// Makes a child from which text can go on also where `branch` is finished: without the token
  /// that ended the sequence, or what came of the stop string. The run's constraint does not hold
  /// for it. [run thread]
  martlet_status (*reopen)(martlet_run run, martlet_branch branch, martlet_branch *child);
  /// Gives back the pages that the branch alone holds; `*bytes` says how many bytes. Its text is
  /// kept and processed again, to the same bits, when it goes on. [run thread]
  martlet_status (*demote)(martlet_run run, martlet_branch branch, uint64_t *bytes);
  /// Child indices from the root down. What `random` and all draws of the branch are keyed by.
  /// [any thread]
  martlet_status (*path)(martlet_run run, martlet_branch branch, uint32_t *buffer, size_t capacity,
                         size_t *needed);
  /// Entropies of the model's distribution at the generated tokens, nats. [any thread]
  martlet_status (*entropies)(martlet_run run, martlet_branch branch, float *buffer,
                              size_t capacity, size_t *needed);
  /// What the model thinks comes next after each branch: the likeliest tokens, the
  /// log-probabilities of those asked about, the entropy; of the model's own distribution, without
  /// rules. Nothing is drawn and the branches stay as they are. One batch, one row of logits each,
  /// which the next advance uses too. MARTLET_E_STATE for a finished branch (see `reopen`). [run
  /// thread, blocks]
  martlet_status (*next_token)(martlet_run run, const martlet_branch *branches, uint32_t count,
                               const martlet_next_token *query);

  // ---- judging ----------------------------------------------------------------------------------
  /// Scores branches with the scorer of that id and its default options, in place of the run's.
  /// NUL-terminated. [run thread, may block]
  martlet_status (*score_by)(martlet_run run, const char *scorer, const martlet_branch *branches,
                             uint32_t count, double *scores);
  /// The run's extractor applied to a text. MARTLET_E_NOT_FOUND when it finds no answer.
  /// [run thread, may block]
  martlet_status (*extract_text)(martlet_run run, const char *text, size_t length, char *buffer,
                                 size_t capacity, size_t *needed);
  /// Opens another model beside the run's, once per process: a GGUF file, by path, or one of those
  /// that are installed with Martlet, by name (`martlet-arith-prm`). Valid until the instance goes.
  /// MARTLET_E_NOT_FOUND, MARTLET_E_MEMORY. [run thread, blocks]
  martlet_status (*model)(martlet_run run, const char *name, martlet_model *model);
  /// Opens a branch on another model. All functions of branches work on it but `score`, `candidate`
  /// and `submit`; branches of two models never go into one call. What it processes counts as
  /// scored tokens, with operations by that model's parameters. [run thread]
  martlet_status (*open_on)(martlet_run run, martlet_model model, const char *text, size_t length,
                            uint32_t form, martlet_branch *branch);

  // ---- the result -------------------------------------------------------------------------------
  /// Records a text that no branch holds as a candidate: a vote, a synthesis, a program's output.
  /// Its answer is what the extractor finds in it, or the text itself. [run thread]
  martlet_status (*candidate_text)(martlet_run run, const char *text, size_t length,
                                   uint32_t *index);
  /// The answer of a candidate, as voting compares it. MARTLET_E_NOT_FOUND when it has none.
  /// [run thread]
  martlet_status (*candidate_answer)(martlet_run run, uint32_t index, char *buffer,
                                     size_t capacity, size_t *needed);
  /// Names the answer for good: it is shown to whoever listens as committed, where `answer` shows a
  /// provisional one. A later `answer` gives MARTLET_E_STATE. [run thread]
  martlet_status (*commit)(martlet_run run, uint32_t candidate);
  /// Declares that there is no answer worth giving: the result has an empty answer and says
  /// `abstained`. Candidates stay in it. A later `answer` takes it back. [run thread]
  martlet_status (*abstain)(martlet_run run);

  // ---- the run ----------------------------------------------------------------------------------
  /// Runs another strategy inside this run, on a part of its budget, and waits for its end. It sees
  /// the run's prompt, scorer, extractor and memory. Its branches go when it ends, but for the
  /// answer's; its candidates join the run's. It ends with MARTLET_OK also when its part of the
  /// budget did. What is done while it works is charged to its part, to this run and to those
  /// around it, whoever does it: tokens of the run's model as they are, those that another model
  /// processes for it or for a scorer as scored tokens, with operations by that model's parameters.
  /// MARTLET_E_STATE while branches are submitted, or eight deep. [run thread, blocks]
  martlet_status (*run_child)(martlet_run run, const martlet_child *child,
                              martlet_child_result *result);
  /// What the run has used so far. [any thread]
  martlet_status (*usage)(martlet_run run, martlet_usage *usage);
  /// What the host, the model or the run can do: 1 or 0, or a number. Names: `chat` (the model has
  /// a chat format), `context` (tokens that fit), `scorer`, `extractor`, `memory`, `models`
  /// (`model` works), `parameters`, `vocabulary`, `hidden_size` (floats that `hidden_state` gives;
  /// 0 where the model has none), `seeded` (draws are reproducible). MARTLET_E_NOT_FOUND for a name
  /// this host does not know. NUL-terminated. [any thread]
  martlet_status (*capability)(martlet_run run, const char *name, double *value);

  // ---- what earlier runs left, and what the model is inside -------------------------------------
  /// Has the run's memory keep a text under a key, for this run and later ones. Each at most 1 MiB,
  /// the key not empty. MARTLET_E_NOT_FOUND when the run has no memory. [run thread, may block]
  martlet_status (*remember)(martlet_run run, const char *key, size_t key_length, const char *text,
                             size_t text_length);
  /// Asks the run's memory what suits a query: writes at most `top` notes (1 to 4,096), best first,
  /// and their number to `*count`, which may be 0. Their ids are good until the run ends.
  /// MARTLET_E_NOT_FOUND when the run has no memory. [run thread, may block]
  martlet_status (*recall)(martlet_run run, const char *query, size_t query_length, uint32_t top,
                           martlet_note *notes, uint32_t *count);
  /// A text of a note that this run recalled; `part` is a martlet_note_part. MARTLET_E_NOT_FOUND
  /// for an id that `recall` did not give. [any thread]
  martlet_status (*note)(martlet_run run, uint64_t id, uint32_t part, char *buffer, size_t capacity,
                         size_t *needed);
  /// The model's hidden state after the branch's last token, behind the final norm: what the logits
  /// of the next token are computed from, `capability("hidden_size")` floats; `capacity` and
  /// `needed` count floats. Nothing is drawn and the branch stays as it is; its last token may be
  /// processed again, and from the first call on the model keeps its states, which takes memory
  /// beside keys and values. MARTLET_E_UNSUPPORTED where the model has none to give,
  /// MARTLET_E_STATE for a finished branch (see `reopen`). [run thread, blocks]
  martlet_status (*hidden_state)(martlet_run run, martlet_branch branch, float *buffer,
                                 size_t capacity, size_t *needed);
} martlet_host;
MARTLET_STATIC_ASSERT(offsetof(martlet_host, hidden_state) == 8 + 56 * sizeof(void *),
                      "the last of 57 functions, frozen in 1.0");
MARTLET_STATIC_ASSERT(sizeof(martlet_host) == 8 + 57 * sizeof(void *), "57 functions in 1.0");

/// One thing a plugin offers. All strings are NUL-terminated and static.
typedef struct martlet_component {
  uint32_t size;  ///< sizeof(martlet_component).
  uint32_t kind;  ///< martlet_component_kind.
  uint32_t flags;
  uint32_t reserved;
  const char *id;        ///< `best-of-n`; third parties use reverse-domain ids.
  /// All tables begin alike: size, reserved, `create`, the function that the kind is about,
  /// `destroy`.
  const void *functions; ///< martlet_strategy, _scorer, _extractor, _drafter, _sampler or _memory.
} martlet_component;
MARTLET_STATIC_ASSERT(sizeof(martlet_component) == 16 + 2 * sizeof(void *), "frozen in 1.0");

/// A strategy: decides which branches to extend, fork, score, drop and answer from.
typedef struct martlet_strategy {
  uint32_t size;  ///< sizeof(martlet_strategy).
  uint32_t reserved;
  /// Makes an instance for one run. `component` is the descriptor that the plugin returned, so that
  /// one function can serve several components; `host` lives as long as the process.
  martlet_status (*create)(const martlet_component *component, const martlet_host *host,
                           martlet_run run, void **instance);
  /// Does the work. Returns MARTLET_OK, or the status that made it stop; the answer set so far
  /// counts either way.
  martlet_status (*run)(void *instance);
  void (*destroy)(void *instance);
} martlet_strategy;
MARTLET_STATIC_ASSERT(sizeof(martlet_strategy) == 8 + 3 * sizeof(void *), "frozen in 1.0");

/// What a scorer or extractor is shown.
typedef struct martlet_text_view {
  uint32_t size;               ///< sizeof(martlet_text_view).
  uint32_t finished;           ///< 1 when the sequence ended by itself.
  const char *prompt;          ///< The user's prompt. Valid during the call.
  size_t prompt_length;
  const char *text;            ///< The generated text. Valid during the call.
  size_t text_length;
  const float *logprobs;       ///< One per generated token, nats; null for an extractor.
  size_t token_count;
} martlet_text_view;
MARTLET_STATIC_ASSERT(sizeof(martlet_text_view) == 8 + 6 * sizeof(void *), "frozen in 1.0");

/// A scorer: how good is this text as an answer to this prompt; higher is better. Its instance
/// lives as long as the run and remembers nothing that changes a score.
typedef struct martlet_scorer {
  uint32_t size;  ///< sizeof(martlet_scorer).
  uint32_t reserved;
  martlet_status (*create)(const martlet_component *component, const martlet_host *host,
                           martlet_run run, void **instance);
  /// Writes a finite score, or returns MARTLET_E_UNSUPPORTED when it cannot judge this prompt.
  martlet_status (*score)(void *instance, const martlet_text_view *view, double *score);
  void (*destroy)(void *instance);
  /// Scores branches in place of `score`, which then serves texts of no branch; null for a scorer
  /// of texts. Called on the run thread. It may fork, open, append to, advance and ask the
  /// branches, and gives back what it made; those it was given stay as they are. What it keeps
  /// between calls it may keep until `destroy`, after which the host takes it: a judge's keys and
  /// values of a text whose beginning it has judged are forked, not made again.
  martlet_status (*score_branches)(void *instance, const martlet_branch *branches, uint32_t count,
                                   double *scores);
} martlet_scorer;
MARTLET_STATIC_ASSERT(sizeof(martlet_scorer) == 8 + 4 * sizeof(void *), "frozen in 1.0");

/// An extractor: the final answer inside a text, in a canonical form fit for voting.
typedef struct martlet_extractor {
  uint32_t size;  ///< sizeof(martlet_extractor).
  uint32_t reserved;
  martlet_status (*create)(const martlet_component *component, const martlet_host *host,
                           martlet_run run, void **instance);
  /// MARTLET_E_NOT_FOUND when the text holds no answer.
  martlet_status (*extract)(void *instance, const martlet_text_view *view, char *buffer,
                            size_t capacity, size_t *needed);
  void (*destroy)(void *instance);
} martlet_extractor;
MARTLET_STATIC_ASSERT(sizeof(martlet_extractor) == 8 + 3 * sizeof(void *), "frozen in 1.0");

/// A sequence that is to be guessed on.
typedef struct martlet_draft_sequence {
  uint32_t size;               ///< sizeof(martlet_draft_sequence).
  uint32_t depth;              ///< The most guesses in a row that can be of use.
  /// Stays the same while the sequence is extended token by token, so that what was worked out of
  /// it can be kept; its tokens may still become other ones, or fewer.
  uint64_t id;
  const int32_t *tokens;       ///< All tokens, prompt included. Valid during the call.
  size_t token_count;
} martlet_draft_sequence;
MARTLET_STATIC_ASSERT(sizeof(martlet_draft_sequence) == 32 || sizeof(void *) != 8, "frozen in 1.0");

/// One guessed token.
typedef struct martlet_guess {
  int32_t token;
  int32_t parent;              ///< The earlier guess that it follows; -1 for the sequence itself.
  float probability;           ///< That it follows its parent, 0…1, in the drafter's opinion.
  uint32_t reserved;
} martlet_guess;
MARTLET_STATIC_ASSERT(sizeof(martlet_guess) == 16, "frozen in 1.0");

/// A drafter: guesses the tokens that come next, so that several are processed in one forward pass.
/// No text depends on it: a guess counts when it is what would have been drawn. Its instance lives
/// as long as the session. Called on the engine's own thread, never twice at once; while it works
/// nobody decodes.
///
typedef struct martlet_drafter {
  uint32_t size;  ///< sizeof(martlet_drafter).
  uint32_t reserved;
  martlet_status (*create)(const martlet_component *component, const martlet_host *host,
                           martlet_run run, void **instance);
  /// Writes at most `capacity` guesses for each sequence, sequence i's from guesses[i * capacity]
  /// on, parents first and the best of siblings first, and their number to counts[i]. After a
  /// failure it is not asked again.
  martlet_status (*propose)(void *instance, const martlet_draft_sequence *sequences,
                            uint32_t count, uint32_t capacity, martlet_guess *guesses,
                            uint32_t *counts);
  void (*destroy)(void *instance);
} martlet_drafter;
MARTLET_STATIC_ASSERT(sizeof(martlet_drafter) == 8 + 3 * sizeof(void *), "frozen in 1.0");

/// The choice of a token that is to be made.
typedef struct martlet_sampling_choice {
  uint32_t size;               ///< sizeof(martlet_sampling_choice).
  uint32_t generated_tokens;   ///< How many of the tokens were generated.
  const int32_t *tokens;       ///< All tokens of the branch, prompt included. Valid during the call.
  size_t token_count;
  /// Random bits of this choice alone, by run seed, branch path and position: the same on every
  /// schedule, thread count and machine. The only randomness a sampler may use.
  uint64_t noise;
} martlet_sampling_choice;
MARTLET_STATIC_ASSERT(sizeof(martlet_sampling_choice) == 32 || sizeof(void *) != 8, "frozen in 1.0");

/// A sampler: changes the model's logits before the run's sampling rules, its constraint and its
/// guidance see them. What it writes is a function of the arguments and its options; it keeps
/// nothing from one choice to the next, so that no batch, schedule or neighbour changes a text.
/// Log-probabilities and entropies that anybody reads stay the model's own. Its instance lives as
/// long as the run. Called on the engine's own thread, one row at a time, never twice at once for
/// one instance: while it works nobody decodes. A row that takes more than 0.1 s of processor time
/// ends the run. Host functions of the run are not to be had: options are read in `create`.
typedef struct martlet_sampler {
  uint32_t size;  ///< sizeof(martlet_sampler).
  uint32_t reserved;
  martlet_status (*create)(const martlet_component *component, const martlet_host *host,
                           martlet_run run, void **instance);
  /// Changes `logits`, one for each of the `count` tokens of the vocabulary, in place. Minus
  /// infinity forbids a token; at least one stays finite, and none becomes NaN or plus infinity. A
  /// failure ends the run.
  martlet_status (*process)(void *instance, const martlet_sampling_choice *choice, float *logits,
                            size_t count);
  void (*destroy)(void *instance);
} martlet_sampler;
MARTLET_STATIC_ASSERT(sizeof(martlet_sampler) == 8 + 3 * sizeof(void *), "frozen in 1.0");

/// A memory: keeps texts under keys from one run to the next, and finds those that suit a query.
///
/// Its instance lives as long as the session and serves every run that names it with the same
/// options; what it holds when the session ends is gone, unless an option names where it is to be
/// kept (which needs the permission `files`). What it gives is a function of what was stored, in
/// which order, of the query and of its options: runs that come one after another repeat exactly,
/// runs side by side see what the others stored meanwhile. The host serialises all calls, on any
/// thread, and notes what was recalled, so that a replay of the run decides the same.
typedef struct martlet_memory {
  uint32_t size;  ///< sizeof(martlet_memory).
  uint32_t reserved;
  martlet_status (*create)(const martlet_component *component, const martlet_host *host,
                           martlet_run run, void **instance);
  /// Keeps a text under a key. Which notes give way when there are too many is its own rule; a
  /// failure is passed on to the strategy and leaves what was there before.
  martlet_status (*store)(void *instance, const char *key, size_t key_length, const char *text,
                          size_t text_length);
  void (*destroy)(void *instance);
  /// Writes at most `top` notes that suit the query, best first, equal ones in the order in which
  /// they were stored, and their number to `*count`. The first of many are those of few. Ids are
  /// good until the next call of `recall` or `store`.
  martlet_status (*recall)(void *instance, const char *query, size_t query_length, uint32_t top,
                           martlet_note *notes, uint32_t *count);
  /// A text of a note of the last `recall`; `part` is a martlet_note_part. The key and the text are
  /// the bytes that were stored.
  martlet_status (*read)(void *instance, uint64_t id, uint32_t part, char *buffer, size_t capacity,
                         size_t *needed);
} martlet_memory;
MARTLET_STATIC_ASSERT(sizeof(martlet_memory) == 8 + 5 * sizeof(void *), "frozen in 1.0");

/// What the entry function returns.
typedef struct martlet_plugin {
  uint32_t size;  ///< sizeof(martlet_plugin).
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t component_count;
  const char *id;       ///< The plugin's id, as in its manifest.
  const char *version;  ///< As in its manifest.
  const martlet_component *const *components;
} martlet_plugin;
MARTLET_STATIC_ASSERT(sizeof(martlet_plugin) == 16 + 3 * sizeof(void *), "frozen in 1.0");

/// The one symbol a plugin exports. Called once, after loading; the result lives forever. Returns
/// null when the plugin cannot serve this host.
typedef const martlet_plugin *(*martlet_plugin_entry_function)(uint32_t abi_major,
                                                               uint32_t abi_minor);

#define MARTLET_PLUGIN_ENTRY_SYMBOL "martlet_plugin_entry"

#endif

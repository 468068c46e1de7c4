/// Martlet from C: open a model, run a prompt under a strategy, stream, cancel, read the result.
///
/// The functions are in the library `martlet` (`cc … $(pkg-config --cflags --libs martlet)`), which
/// holds the kernels of `kernels.h` too. `docs/c.md` has a program to begin with.
///
/// Versions. The caller states the version it was compiled with in `martlet_engine_options`, and the
/// size of every struct it passes. A library serves callers of its own major version whose minor
/// version is not newer. Structs grow only at the end; numbers and names never change meaning.
///
/// Handles are opaque, pointer-sized ids that are never dereferenced and never given out twice. A
/// null, closed, released or made-up handle gives MARTLET_E_HANDLE. No misuse ends the process.
///
/// Errors. Functions return MARTLET_OK or the reason; `martlet_status_name` names it. Where a
/// function takes `char **error`, that may be null; else it is set to null, and on failure to one
/// sentence that says what was wrong, where, and what to do: NUL-terminated UTF-8, freed with
/// `martlet_free`. Outputs are written only on success, except that texts are set to null first.
///
/// Memory. Every `char *` that a function hands out is the caller's, to be freed with
/// `martlet_free`. What the caller passes is read during the call and copied. What a callback is
/// given is valid until it returns.
///
/// Threads. Every function may be called from any thread, also while others are in progress on the
/// same handle. Callbacks come only on a thread of the caller's own, inside `martlet_engine_open`
/// (progress) or `martlet_job_wait` and `martlet_engine_run` (stream), and may call any function
/// here; only log callbacks come on any thread. Martlet starts threads and installs no signal
/// handlers. After `fork` without `exec` the child must not call it.
///
/// Options are JSON objects whose names are those of the command line without the dashes:
/// `{"strategy": "best-of-n", "set": {"n": 16}, "budget": {"tokens": 1000}}`. A name that is not
/// known, or a value that cannot be used, is MARTLET_E_ARGUMENT; messages may name an option as the
/// command line writes it (`--strategy`).
#ifndef MARTLET_ENGINE_H
#define MARTLET_ENGINE_H

#include "common.h"

#define MARTLET_ENGINE_ABI_MAJOR 0
#define MARTLET_ENGINE_ABI_MINOR 1

/// A model opened on this machine, with its threads, its memory and the plugins found.
typedef struct martlet_engine_handle *martlet_engine;
/// A run in progress or ended.
typedef struct martlet_job_handle *martlet_job;

/// A length that says: up to the NUL.
#define MARTLET_NUL_TERMINATED SIZE_MAX

/// Receives 0…1 while weights are packed, on the thread that opens.
typedef void (*martlet_progress)(void *context, double fraction);

/// What to open, and how. Zero it, then set `size`, the versions and what is wanted;
/// MARTLET_ENGINE_OPTIONS does.
typedef struct martlet_engine_options {
  uint32_t size;       ///< sizeof(martlet_engine_options).
  uint32_t abi_major;  ///< MARTLET_ENGINE_ABI_MAJOR.
  uint32_t abi_minor;  ///< MARTLET_ENGINE_ABI_MINOR.
  uint32_t reserved;   ///< 0.
  /// A GGUF file's path, NUL-terminated; null for the small model that comes with Martlet.
  const char *model;
  /// A JSON object, NUL-terminated, or null for all defaults. Names: `attention`, `context`,
  /// `isolate`, `kv-bytes` (a number), `kv-file`, `kv-type`, `no-tuning`, `numa`, `numeric`,
  /// `pack-cache`, `placement`, `plugin-dir` (a text or a list), `prefill-chunk`, `prefix-store`,
  /// `threads`, `unconfined`.
  const char *options;
  martlet_progress progress;  ///< Null for none.
  void *context;              ///< Handed to `progress`.
} martlet_engine_options;
MARTLET_STATIC_ASSERT(sizeof(martlet_engine_options) == 16 + 4 * sizeof(void *), "frozen in 0.1");

/// A `martlet_engine_options` with its versions set.
#define MARTLET_ENGINE_OPTIONS                                                                     \
  {sizeof(martlet_engine_options), MARTLET_ENGINE_ABI_MAJOR, MARTLET_ENGINE_ABI_MINOR, 0, 0, 0, 0, 0}

/// What a stream event is.
typedef enum martlet_stream_kind {
  /// More of the answer's text: as it is generated, token by token, under a strategy of one branch;
  /// whole, once it is chosen, under the others.
  MARTLET_STREAM_TEXT = 1,
  /// An answer that the strategy has for now, whole. It may give way to another.
  MARTLET_STREAM_ANSWER = 2,
  /// An answer that the strategy named for good.
  MARTLET_STREAM_COMMITTED = 3,
} martlet_stream_kind;

/// What a run says on its way. Valid until the callback returns.
typedef struct martlet_stream_event {
  uint32_t size;              ///< sizeof(martlet_stream_event), as the library knows it.
  uint32_t kind;              ///< martlet_stream_kind.
  const char *text;           ///< UTF-8, also NUL-terminated.
  size_t text_length;
  /// For answers: what the extractor found in the text; null where it found nothing.
  const char *answer;
  size_t answer_length;
  double score;               ///< For answers: the candidate's, higher is better; NaN for none.
  uint64_t generated_tokens;  ///< For answers: how many tokens the run had sampled by then.
} martlet_stream_event;
MARTLET_STATIC_ASSERT(sizeof(martlet_stream_event) == 56 || sizeof(void *) != 8, "frozen in 0.1");

/// Receives a run's events, in order, on the thread that waits for the run. 0 to go on; anything
/// else cancels the run, and no further event comes.
typedef int32_t (*martlet_stream)(void *context, const martlet_stream_event *event);

/// What to run. Zero it, then set `size` and what is wanted.
typedef struct martlet_request {
  uint32_t size;         ///< sizeof(martlet_request).
  uint32_t reserved;     ///< 0.
  const char *prompt;    ///< UTF-8.
  size_t prompt_length;  ///< Bytes, or MARTLET_NUL_TERMINATED.
  /// A JSON object, NUL-terminated, or null for all defaults. Names, with what `martlet run` takes
  /// in them: `budget` (a text, or an object of amounts), `chat`, `contrast`, `draft`, `extractor`,
  /// `guidance`, `json-schema`, `json-whitespace`, `kl-temperature`, `max-tokens`, `memory`,
  /// `negative-prompt`, `regex`, `sampler`, `sampling`, `scorer`, `seed` (a number, or a text where
  /// it has more than 63 bits), `set` (an object, or a list of texts `name=value`), `stop` (a text or
  /// a list), `strategy`, `verify`.
  const char *options;
  martlet_stream stream;  ///< Null for none.
  void *context;          ///< Handed to `stream`.
} martlet_request;
MARTLET_STATIC_ASSERT(sizeof(martlet_request) == 8 + 5 * sizeof(void *), "frozen in 0.1");

/// The library's interface version, major << 16 | minor.
MARTLET_API uint32_t martlet_engine_abi(void);
/// The library's release, such as `0.1.0`. NUL-terminated, never null, lives forever.
MARTLET_API const char *martlet_version(void);

/// Opens a model. Blocks while weights are mapped or packed and, the first time on a machine, while
/// speeds are measured (`no-tuning` measures nothing).
/// MARTLET_E_UNSUPPORTED for a caller of another version, MARTLET_E_FILE or MARTLET_E_DATA for the
/// model, MARTLET_E_MEMORY.
MARTLET_API martlet_status martlet_engine_open(const martlet_engine_options *options,
                                               martlet_engine *engine, char **error);

/// Closes a model: runs in progress are cancelled and waited for, and its threads and memory go.
/// Its jobs stay readable until they are released. Blocks for at most the forward pass in progress
/// and what a strategy does after it is told to stop.
MARTLET_API martlet_status martlet_engine_close(martlet_engine engine);

/// The components that runs on this engine can use, as `martlet plugin list --json` prints them: a
/// JSON array of {id, kind, version, path, paper, summary}.
MARTLET_API martlet_status martlet_engine_plugins(martlet_engine engine, char **json,
                                                  char **error);

/// The same without opening a model. `options` is a JSON object with `plugin-dir`, or null.
MARTLET_API martlet_status martlet_plugin_list(const char *options, char **json, char **error);

/// Runs a prompt to its end: `martlet_job_start`, `_wait` and `_release`.
///
/// `*result` becomes one JSON object, as `martlet run --json` prints it. A budget that ends, a
/// callback that cancels and a strategy that fails after it has something are results too, with
/// `stopped_because` saying why.
MARTLET_API martlet_status martlet_engine_run(martlet_engine engine, const martlet_request *request,
                                              char **result, char **error);

/// Begins a run and returns at once. Any number may be in progress on an engine; they decode
/// together. Everything that can be checked before running is checked here.
MARTLET_API martlet_status martlet_job_start(martlet_engine engine, const martlet_request *request,
                                             martlet_job *job, char **error);

/// Waits until a run ends, at most `seconds` (negative: without limit; 0: does not wait), and
/// delivers its events meanwhile; events that come while nobody waits are kept. MARTLET_E_STATE when
/// it has not ended by then, or when called from the job's own stream callback. `result` may be
/// null. Once a run has ended, each wait gives the same result, until it is released.
///
/// Of several threads that wait for one job, one at a time is given events.
MARTLET_API martlet_status martlet_job_wait(martlet_job job, double seconds, char **result,
                                            char **error);

/// Ends a run at its next token, with the best answer so far: `martlet_job_wait` gives a result, or
/// MARTLET_E_CANCELLED when there is none yet. Returns at once. A run that has ended stays as it is.
MARTLET_API martlet_status martlet_job_cancel(martlet_job job);

/// Forgets a run; one in progress is cancelled. Waits in progress end as they would.
MARTLET_API martlet_status martlet_job_release(martlet_job job);

/// Frees what a function here handed out. Null is allowed.
MARTLET_API void martlet_free(void *memory);

/// Receives a line without its end. level: 0 debug, 1 info, 2 warning, 3 error. Called on any
/// thread, one call at a time; must not call functions of this header.
typedef void (*martlet_log)(void *context, int32_t level, const char *text, size_t length);

/// Sends what is logged at `level` or above to a callback, for the whole process; null for nobody,
/// which is the default: nothing is ever printed. Once this returns the former one is not called any
/// more.
MARTLET_API void martlet_log_to(martlet_log log, void *context, int32_t level);

#endif

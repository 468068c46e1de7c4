/// A C program on the engine, as somebody outside the repository would write it: run by EngineHeaderTests
/// with the name of a case, which it ends with 0 when everything is as engine.h says.
#include <martlet/martlet.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Ends the program with the place unless a condition holds.
#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);       \
      exit(1);                                                                      \
    }                                                                               \
  } while (0)

/// Ends the program unless a call has this status and a message that holds this text.
#define FAILS(call, status, part)                                                   \
  do {                                                                              \
    char *error = NULL;                                                             \
    const martlet_status got = (call);                                              \
    if (got != (status) || !error || !strstr(error, part)) {                        \
      fprintf(stderr, "%s:%d: %s: status %d, message %s\n", __FILE__, __LINE__,     \
              #call, got, error ? error : "none");                                  \
      exit(1);                                                                      \
    }                                                                               \
    martlet_free(error);                                                            \
  } while (0)

static const char *quick = "{\"no-tuning\": true, \"threads\": 2, \"pack-cache\": \"off\"}";

static martlet_engine opened(const char *options) {
  martlet_engine_options wanted = MARTLET_ENGINE_OPTIONS;
  wanted.options = options;
  martlet_engine engine = NULL;
  char *error = NULL;
  if (martlet_engine_open(&wanted, &engine, &error) != MARTLET_OK) {
    fprintf(stderr, "cannot open: %s\n", error);
    exit(1);
  }
  CHECK(engine && !error);
  return engine;
}

static martlet_request request(const char *prompt, const char *options) {
  return (martlet_request){.size = sizeof(martlet_request),
                           .prompt = prompt,
                           .prompt_length = MARTLET_NUL_TERMINATED,
                           .options = options};
}

/// Prints the result of `martlet run --json` for the same options.
static void result(void) {
  martlet_engine engine = opened(quick);
  const martlet_request wanted = request(
      "make 46 from 3 7 25?",
      "{\"strategy\": \"best-of-n\", \"set\": {\"n\": 8}, \"seed\": 3, \"budget\": {\"tokens\": 300}}");
  char *text = NULL, *error = NULL;
  CHECK(martlet_engine_run(engine, &wanted, &text, &error) == MARTLET_OK);
  CHECK(text && !error);
  fputs(text, stdout);
  martlet_free(text);
  CHECK(martlet_engine_close(engine) == MARTLET_OK);
}

typedef struct {
  char text[4096];
  size_t length;
  int texts, answers, committed;
  double last_score;
  uint64_t last_tokens;
  int stop_after;
  pthread_t thread;
} heard;

static int32_t listen(void *context, const martlet_stream_event *event) {
  heard *all = context;
  CHECK(event->size == sizeof *event && pthread_equal(pthread_self(), all->thread));
  CHECK(event->text && strlen(event->text) == event->text_length);
  switch (event->kind) {
    case MARTLET_STREAM_TEXT:
      ++all->texts;
      CHECK(all->length + event->text_length < sizeof all->text);
      memcpy(all->text + all->length, event->text, event->text_length + 1);
      all->length += event->text_length;
      CHECK(isnan(event->score) && !event->answer);
      break;
    case MARTLET_STREAM_ANSWER:
    case MARTLET_STREAM_COMMITTED:
      ++*(event->kind == MARTLET_STREAM_ANSWER ? &all->answers : &all->committed);
      all->last_score = event->score;
      CHECK(event->generated_tokens >= all->last_tokens && event->generated_tokens > 0);
      all->last_tokens = event->generated_tokens;
      break;
    default: CHECK(!"a kind this program knows");
  }
  return all->stop_after > 0 && all->texts >= all->stop_after;
}

/// The text of a result, compared with what was streamed: `"text" : "…",` of the first level, which
/// is the last one, since keys are sorted.
static void holds(const char *json, const char *key, const char *text) {
  char quoted[4200];
  snprintf(quoted, sizeof quoted, "\"%s\" : \"%s\"", key, text);
  if (!strstr(json, quoted)) {
    fprintf(stderr, "no %s in %s\n", quoted, json);
    exit(1);
  }
}

static void stream(void) {
  martlet_engine engine = opened(quick);
  // One branch: token by token, and the pieces are the text.
  heard all = {.thread = pthread_self()};
  martlet_request wanted = request("calc 17 *4 -23 +45?", NULL);
  wanted.stream = listen;
  wanted.context = &all;
  char *text = NULL, *error = NULL;
  CHECK(martlet_engine_run(engine, &wanted, &text, &error) == MARTLET_OK);
  CHECK(all.texts > 3);
  holds(text, "text", all.text);
  martlet_free(text);

  // A strategy of many: answers on the way, the text at the end. Nobody waits at first: events are kept.
  all = (heard){.thread = pthread_self()};
  wanted.options = "{\"strategy\": \"best-of-n\", \"set\": [\"n=4\"]}";
  martlet_job job = NULL;
  CHECK(martlet_job_start(engine, &wanted, &job, &error) == MARTLET_OK && job);
  while (martlet_job_wait(job, 0.01, &text, NULL) == MARTLET_E_STATE) CHECK(!text);
  CHECK(text && all.texts == 1 && all.answers + all.committed >= 1 && !isnan(all.last_score));
  holds(text, "text", all.text);
  char *again = NULL;
  CHECK(martlet_job_wait(job, -1, &again, NULL) == MARTLET_OK && !strcmp(text, again));
  martlet_free(again);
  martlet_free(text);
  CHECK(martlet_job_release(job) == MARTLET_OK);

  // A callback that has enough ends the run.
  all = (heard){.thread = pthread_self(), .stop_after = 2};
  wanted.options = "{\"stop\": \"no such text\"}";
  CHECK(martlet_engine_run(engine, &wanted, &text, &error) == MARTLET_OK);
  CHECK(all.texts == 2);
  martlet_free(text);
  CHECK(martlet_engine_close(engine) == MARTLET_OK);
}

/// A run that would go on for a long time: an endless pattern, up to what the context holds.
static martlet_request endless(void) {
  return request("calc 17 +4?", "{\"strategy\": \"sample\", \"regex\": \"[0-9 ]{100,}\","
                                " \"draft\": \"off\"}");
}

/// Many of them: one alone fills the context in some milliseconds.
static martlet_request crowd(void) {
  return request("calc 17 +4?", "{\"strategy\": \"best-of-n\", \"set\": {\"n\": 1000}, \"scorer\":"
                                " \"mean-logprob\", \"regex\": \"[0-9 ]{100,}\", \"draft\": \"off\"}");
}

static void *cancelling(void *job) {
  // Often, to find races between ending and cancelling.
  for (int i = 0; i < 100; ++i) CHECK(martlet_job_cancel(job) == MARTLET_OK);
  return NULL;
}

static void cancel(void) {
  martlet_engine engine = opened(quick);
  heard all = {.thread = pthread_self()};
  martlet_request wanted = endless();
  wanted.stream = listen;
  wanted.context = &all;
  martlet_job job = NULL;
  CHECK(martlet_job_start(engine, &wanted, &job, NULL) == MARTLET_OK);
  while (!all.texts) CHECK(martlet_job_wait(job, 0.001, NULL, NULL) != MARTLET_E_HANDLE);
  pthread_t other;
  CHECK(!pthread_create(&other, NULL, cancelling, job));
  char *text = NULL;
  CHECK(martlet_job_wait(job, -1, &text, NULL) == MARTLET_OK);
  CHECK(!pthread_join(other, NULL));
  holds(text, "stopped_because", "cancelled");
  martlet_free(text);
  CHECK(martlet_job_release(job) == MARTLET_OK);

  // Cancelled before there is anything, or just after: a result or the status that says so.
  for (int i = 0; i < 20; ++i) {
    wanted = endless();
    CHECK(martlet_job_start(engine, &wanted, &job, NULL) == MARTLET_OK);
    CHECK(martlet_job_cancel(job) == MARTLET_OK);
    char *error = NULL;
    const martlet_status status = martlet_job_wait(job, -1, &text, &error);
    CHECK(status == MARTLET_OK ? text && !error : status == MARTLET_E_CANCELLED && !text && error);
    martlet_free(text);
    martlet_free(error);
    CHECK(martlet_job_release(job) == MARTLET_OK);
  }

  // Closing ends what runs; its result stays until the job is released.
  wanted = crowd();
  CHECK(martlet_job_start(engine, &wanted, &job, NULL) == MARTLET_OK);
  CHECK(martlet_job_wait(job, 0.05, NULL, NULL) == MARTLET_E_STATE);
  CHECK(martlet_engine_close(engine) == MARTLET_OK);
  CHECK(martlet_job_wait(job, 0, &text, NULL) == MARTLET_OK);
  holds(text, "stopped_because", "cancelled");
  martlet_free(text);
  CHECK(martlet_job_release(job) == MARTLET_OK);
}

enum { RUNNERS = 8 };

typedef struct {
  martlet_engine engine;
  char *text;
} runner;

static void *running(void *context) {
  runner *own = context;
  const martlet_request wanted = request("calc 17 *4 -23?", "{\"strategy\": \"sample\", \"seed\": 7}");
  CHECK(martlet_engine_run(own->engine, &wanted, &own->text, NULL) == MARTLET_OK);
  return NULL;
}

/// How much of a result comes before its timing, which is after the candidates: keys are sorted.
static size_t before_timing(const char *json) {
  const char *timing = strstr(json, "\"timing\"");
  CHECK(timing);
  return (size_t)(timing - json);
}

static void threads(void) {
  martlet_engine engine = opened(quick);
  runner all[RUNNERS];
  pthread_t ids[RUNNERS];
  for (int i = 0; i < RUNNERS; ++i) {
    all[i] = (runner){.engine = engine};
    CHECK(!pthread_create(&ids[i], NULL, running, &all[i]));
  }
  for (int i = 0; i < RUNNERS; ++i) {
    CHECK(!pthread_join(ids[i], NULL));
    CHECK(!strncmp(all[i].text, all[0].text, before_timing(all[0].text)));
  }
  for (int i = 0; i < RUNNERS; ++i) martlet_free(all[i].text);
  CHECK(martlet_engine_close(engine) == MARTLET_OK);
}

typedef struct {
  martlet_engine engine;
  martlet_job job;
  int calls;
} nested;

static int32_t from_inside(void *context, const martlet_stream_event *event) {
  (void)event;
  nested *own = context;
  if (own->calls++ > 0) return 0;
  FAILS(martlet_job_wait(own->job, -1, NULL, &error), MARTLET_E_STATE, "own stream callback");
  const martlet_request other = request("calc 1 +1?", NULL);
  char *text = NULL;
  CHECK(martlet_engine_run(own->engine, &other, &text, NULL) == MARTLET_OK);
  martlet_free(text);
  CHECK(martlet_engine_close(own->engine) == MARTLET_OK);
  CHECK(martlet_job_release(own->job) == MARTLET_OK);
  return 0;
}

static void inside(void) {
  nested own = {.engine = opened(quick)};
  martlet_request wanted = endless();
  wanted.stream = from_inside;
  wanted.context = &own;
  CHECK(martlet_job_start(own.engine, &wanted, &own.job, NULL) == MARTLET_OK);
  char *text = NULL;
  CHECK(martlet_job_wait(own.job, -1, &text, NULL) == MARTLET_OK && own.calls >= 1);
  martlet_free(text);
  FAILS(martlet_job_wait(own.job, -1, &text, &error), MARTLET_E_HANDLE, "released before");
}

static void count_line(void *context, int32_t level, const char *text, size_t length) {
  CHECK(level >= 0 && level <= 3 && strlen(text) == length);
  ++*(int *)context;
}

static void misuse(const char *not_a_model) {
  char *error = NULL, *text = NULL;
  martlet_engine engine = NULL;
  martlet_job job = NULL;
  martlet_free(NULL);

  // Structs and versions.
  martlet_engine_options options = MARTLET_ENGINE_OPTIONS;
  FAILS(martlet_engine_open(NULL, &engine, &error), MARTLET_E_ARGUMENT, "martlet_engine_options is null");
  FAILS(martlet_engine_open(&options, NULL, &error), MARTLET_E_ARGUMENT, "engine is null");
  options.size = 0;
  FAILS(martlet_engine_open(&options, &engine, &error), MARTLET_E_ARGUMENT, "states size 0");
  options.size = sizeof options + 8;
  FAILS(martlet_engine_open(&options, &engine, &error), MARTLET_E_UNSUPPORTED, "states size");
  options = (martlet_engine_options)MARTLET_ENGINE_OPTIONS;
  options.abi_major = 7;
  FAILS(martlet_engine_open(&options, &engine, &error), MARTLET_E_UNSUPPORTED, "engine.h 7.");
  options.abi_major = MARTLET_ENGINE_ABI_MAJOR;
  options.abi_minor = MARTLET_ENGINE_ABI_MINOR + 1;
  FAILS(martlet_engine_open(&options, &engine, &error), MARTLET_E_UNSUPPORTED, "engine.h 0.2");
  CHECK(martlet_engine_open(&options, &engine, NULL) == MARTLET_E_UNSUPPORTED && !engine);

  // Models and options.
  options = (martlet_engine_options)MARTLET_ENGINE_OPTIONS;
  options.model = "/no/such/file.gguf";
  FAILS(martlet_engine_open(&options, &engine, &error), MARTLET_E_FILE, "/no/such/file.gguf");
  options.model = not_a_model;
  FAILS(martlet_engine_open(&options, &engine, &error), MARTLET_E_DATA, not_a_model);
  options.model = "\xff\xfe";
  FAILS(martlet_engine_open(&options, &engine, &error), MARTLET_E_ARGUMENT, "not UTF-8");
  options.model = NULL;
  const char *const bad[][2] = {
      {"{", "not JSON"},
      {"[]", "must be an object"},
      {"{\"\\ud800\": 1}", "not JSON"},
      {"{\"threads\": \"two\"}", "'threads' must be an integer"},
      {"{\"threads\": 0}", "'threads' is 0, outside"},
      {"{\"thread\": 2}", "'thread' is not known"},
      {"{\"numeric\": \"exact\"}", "none of portable"},
      {"{\"kv-type\": \"f12\"}", "'kv-type' is 'f12'"},
      {"{\"attention\": \"none\"}", "none"},
      {"{\"pack-cache\": \"\"}", "'pack-cache' is empty"},
      {"{\"prefill-chunk\": 99999999}", "'prefill-chunk' is 99999999"},
      {"{\"no-tuning\": 1}", "must be true or false"},
      {"{\"placement\": \"nodes=x\"}", "'placement' is"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
    options.options = bad[i][0];
    FAILS(martlet_engine_open(&options, &engine, &error), MARTLET_E_ARGUMENT, bad[i][1]);
  }
  options.options = "{\"plugin-dir\": [\"/no/such/folder\"]}";
  FAILS(martlet_engine_open(&options, &engine, &error), MARTLET_E_FILE, "/no/such/folder");

  // Handles.
  FAILS(martlet_engine_plugins(NULL, &text, &error), MARTLET_E_HANDLE, "engine is null");
  FAILS(martlet_job_wait(NULL, 0, &text, &error), MARTLET_E_HANDLE, "job is null");
  CHECK(martlet_engine_close(NULL) == MARTLET_E_HANDLE && martlet_job_cancel(NULL) == MARTLET_E_HANDLE);
  CHECK(martlet_job_release((martlet_job)(uintptr_t)12345) == MARTLET_E_HANDLE);
  martlet_engine closed = opened(quick);
  CHECK(martlet_engine_close(closed) == MARTLET_OK);
  CHECK(martlet_engine_close(closed) == MARTLET_E_HANDLE);

  // Requests.
  int lines = 0;
  martlet_log_to(count_line, &lines, 0);
  engine = opened(quick);
  CHECK(lines > 0);
  martlet_log_to(NULL, NULL, 0);
  martlet_request wanted = request("calc 1 +1?", NULL);
  FAILS(martlet_engine_run(closed, &wanted, &text, &error), MARTLET_E_HANDLE, "closed or released");
  FAILS(martlet_engine_run((martlet_engine)&lines, &wanted, &text, &error), MARTLET_E_HANDLE, "no engine");
  FAILS(martlet_engine_run(engine, NULL, &text, &error), MARTLET_E_ARGUMENT, "martlet_request is null");
  wanted.size = 3;
  FAILS(martlet_engine_run(engine, &wanted, &text, &error), MARTLET_E_ARGUMENT, "states size 3");
  FAILS(martlet_job_start(engine, &(martlet_request){.size = sizeof wanted}, NULL, &error),
        MARTLET_E_ARGUMENT, "job is null");
  wanted = request(NULL, NULL);
  FAILS(martlet_engine_run(engine, &wanted, &text, &error), MARTLET_E_ARGUMENT, "prompt is null");
  wanted = request("x", NULL);
  wanted.prompt_length = 0;
  FAILS(martlet_engine_run(engine, &wanted, &text, &error), MARTLET_E_ARGUMENT, "prompt is empty");
  wanted.prompt_length = (size_t)1 << 63;
  FAILS(martlet_engine_run(engine, &wanted, &text, &error), MARTLET_E_ARGUMENT, "bytes");
  wanted = request("\xc3(", NULL);
  FAILS(martlet_engine_run(engine, &wanted, &text, &error), MARTLET_E_ARGUMENT, "not UTF-8");
  const struct {
    const char *options, *message;
    martlet_status status;
  } refused[] = {
      {"nonsense", "not JSON", MARTLET_E_ARGUMENT},
      {"{\"strategy\": \"nope\"}", "no strategy 'nope'", MARTLET_E_NOT_FOUND},
      {"{\"scorer\": \"nope\"}", "no scorer 'nope'", MARTLET_E_NOT_FOUND},
      {"{\"strategy\": \"best-of-n\", \"set\": {\"n\": 0}}", "'n'", MARTLET_E_ARGUMENT},
      {"{\"strategy\": \"best-of-n\", \"set\": \"n\"}", "name=value", MARTLET_E_ARGUMENT},
      {"{\"set\": {\"n\": []}}", "'set.n'", MARTLET_E_ARGUMENT},
      {"{\"budget\": \"tokens=none\"}", "tokens", MARTLET_E_ARGUMENT},
      {"{\"budget\": {\"tokens\": 0}}", "budget of 0", MARTLET_E_ARGUMENT},
      {"{\"sampling\": \"warm=1\"}", "warm", MARTLET_E_ARGUMENT},
      {"{\"strategy\": \"greedy\", \"sampling\": \"top-p=0.5\"}", "does nothing", MARTLET_E_ARGUMENT},
      {"{\"draft\": \"tea\"}", "tea", MARTLET_E_ARGUMENT},
      {"{\"verify\": \"chain\"}", "does nothing", MARTLET_E_ARGUMENT},
      {"{\"negative-prompt\": \"x\"}", "does nothing", MARTLET_E_ARGUMENT},
      {"{\"kl-temperature\": 0}", "kl-temperature", MARTLET_E_ARGUMENT},
      {"{\"contrast\": \"size=2\"}", "size", MARTLET_E_ARGUMENT},
      {"{\"regex\": \"(\"}", "(", MARTLET_E_ARGUMENT},
      {"{\"regex\": \"a\", \"json-schema\": \"{}\"}", "exclude", MARTLET_E_ARGUMENT},
      {"{\"json-whitespace\": \"compact\"}", "does nothing", MARTLET_E_ARGUMENT},
      {"{\"json-schema\": \"/no/such/schema\"}", "/no/such/schema", MARTLET_E_FILE},
      {"{\"max-tokens\": 0}", "'max-tokens' is 0", MARTLET_E_ARGUMENT},
      {"{\"seed\": -1}", "'seed' is -1", MARTLET_E_ARGUMENT},
      {"{\"chat\": true}", "chat template", MARTLET_E_ARGUMENT},
      {"{\"prompt\": \"x\"}", "'prompt' is not known", MARTLET_E_ARGUMENT},
  };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i) {
    wanted = request("calc 1 +1?", refused[i].options);
    FAILS(martlet_job_start(engine, &wanted, &job, &error), refused[i].status, refused[i].message);
    CHECK(!job);
  }
  // What is found only while it runs is told to who waits.
  wanted = request("calc 1 +1?", "{\"contrast\": \"model=/no/such/model\", \"seed\": \"18446744073709551615\"}");
  FAILS(martlet_engine_run(engine, &wanted, &text, &error), MARTLET_E_FILE, "/no/such/model");
  CHECK(!text);
  wanted = request("calc 1 +1?", "{}");
  CHECK(martlet_job_start(engine, &wanted, &job, &error) == MARTLET_OK);
  FAILS(martlet_job_wait(job, NAN, &text, &error), MARTLET_E_ARGUMENT, "not a number");
  CHECK(martlet_engine_close((martlet_engine)job) == MARTLET_E_HANDLE);
  CHECK(martlet_job_wait((martlet_job)engine, 0, NULL, NULL) == MARTLET_E_HANDLE);
  CHECK(martlet_job_wait(job, -1, NULL, NULL) == MARTLET_OK);
  CHECK(martlet_job_release(job) == MARTLET_OK && martlet_job_release(job) == MARTLET_E_HANDLE);
  CHECK(martlet_engine_close(engine) == MARTLET_OK);
}

/// Prints what plugins there are, which the engine and the process agree on.
static void plugins(void) {
  martlet_engine engine = opened(quick);
  char *own = NULL, *found = NULL, *error = NULL;
  CHECK(martlet_engine_plugins(engine, &own, &error) == MARTLET_OK);
  CHECK(martlet_plugin_list(NULL, &found, &error) == MARTLET_OK && !strcmp(own, found));
  fputs(own, stdout);
  martlet_free(own);
  martlet_free(found);
  FAILS(martlet_plugin_list("{\"plugin-dirs\": []}", &found, &error), MARTLET_E_ARGUMENT, "plugin-dirs");
  CHECK(martlet_engine_close(engine) == MARTLET_OK);
}

int main(int count, char **arguments) {
  CHECK(count >= 2);
  const char *name = arguments[1];
  CHECK(martlet_engine_abi() == (MARTLET_ENGINE_ABI_MAJOR << 16 | MARTLET_ENGINE_ABI_MINOR));
  CHECK(strchr(martlet_version(), '.'));
  // The kernels are in the library too.
  float logits[2] = {0, 0}, probabilities[2];
  CHECK(martlet_softmax_f32(1, 2, 1.0f, logits, 2, probabilities, 2) == MARTLET_OK);
  CHECK(probabilities[0] == 0.5f && !strcmp(martlet_status_name(MARTLET_E_DATA), "invalid data"));
  if (!strcmp(name, "result")) result();
  else if (!strcmp(name, "stream")) stream();
  else if (!strcmp(name, "cancel")) cancel();
  else if (!strcmp(name, "threads")) threads();
  else if (!strcmp(name, "inside")) inside();
  else if (!strcmp(name, "plugins")) plugins();
  else if (!strcmp(name, "misuse") && count == 3) misuse(arguments[2]);
  else return 2;
  return 0;
}

// The plugin's side: loads the library, held by its permissions, and serves the host's calls.
#define _GNU_SOURCE
#include "child.h"

#include "sandbox.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// MARK: The plugin

static const martlet_plugin *plugin;
/// What `create` made, and of which kind.
static void *instance;
static const martlet_component *component;

static char problem[512];

static martlet_status refuse(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(problem, sizeof problem, format, arguments);
  va_end(arguments);
  return MARTLET_E_PLUGIN;
}

static bool is_size(const char *name, uint32_t size, size_t known) {
  if (size == known) return true;
  refuse("its %s states size %u, but the struct has %zu", name, size, known);
  return false;
}

static bool is_text(const char *name, const char *found, const char *expected) {
  if (found != NULL && strcmp(found, expected) == 0) return true;
  refuse("its library states %s '%s' and its manifest '%s'", name, found == NULL ? "" : found,
         expected);
  return false;
}

/// Ends the process when the host is gone.
static void *watch_host(void *argument) {
  (void)argument;
  char byte;
  while (read(martlet_link.control, &byte, 1) > 0) continue;
  _exit(0);
}

static martlet_status load(reader *from) {
  size_t length;
  sandbox rules = {0};
  rules.library = strdup(take_text(from, &length));
  const char *id = take_text(from, &length);
  const char *version = take_text(from, &length);
  rules.readable = take_text(from, &rules.readable_length);
  rules.permissions = (uint32_t)take_word(from);
  rules.allow_unconfined = (uint32_t)take_word(from);
  rules.memory_bytes = take_word(from);
  rules.missing = (uint32_t)take_word(from);
  bool is_sealed = take_word(from) != 0;
  if (from->failed || rules.library == NULL) return refuse("memory is short");
  // Before a single instruction of the plugin: its constructors are its code too.
  if (!martlet_sandbox_enter(&rules, martlet_link.shared, problem, sizeof problem)) {
    return MARTLET_E_UNSUPPORTED;
  }
  // Not sooner: the rules bind threads, and a thread without them would be a way out.
  pthread_t watch;
  if (pthread_create(&watch, NULL, watch_host, NULL) != 0) return refuse("it gets no thread");
  char sealed[32];
  snprintf(sealed, sizeof sealed, "/proc/self/fd/%d", library_file);
  void *image = dlopen(is_sealed ? sealed : rules.library, RTLD_NOW | RTLD_LOCAL);
  if (image == NULL) return refuse("it does not load: %s", dlerror());
  martlet_plugin_entry_function entry =
      (martlet_plugin_entry_function)dlsym(image, MARTLET_PLUGIN_ENTRY_SYMBOL);
  if (entry == NULL) return refuse("it does not export '%s'", MARTLET_PLUGIN_ENTRY_SYMBOL);
  plugin = entry(MARTLET_PLUGIN_ABI_MAJOR, MARTLET_PLUGIN_ABI_MINOR);
  if (plugin == NULL) {
    return refuse("its entry function says that it cannot serve plugin interface %d.%d",
                  MARTLET_PLUGIN_ABI_MAJOR, MARTLET_PLUGIN_ABI_MINOR);
  }
  if (!is_size("martlet_plugin", plugin->size, sizeof *plugin)) return MARTLET_E_PLUGIN;
  if (plugin->abi_major != MARTLET_PLUGIN_ABI_MAJOR ||
      plugin->abi_minor > MARTLET_PLUGIN_ABI_MINOR) {
    return refuse("its library was built for plugin interface %u.%u and this host serves %d.%d: "
                  "build it again with the plugin.h of this release", plugin->abi_major,
                  plugin->abi_minor, MARTLET_PLUGIN_ABI_MAJOR, MARTLET_PLUGIN_ABI_MINOR);
  }
  if (!is_text("plugin id", plugin->id, id) || !is_text("plugin version", plugin->version, version))
    return MARTLET_E_PLUGIN;
  if (plugin->component_count > 0 && plugin->components == NULL) {
    return refuse("its list of components is null");
  }
  return MARTLET_OK;
}

static bool scores_branches(const martlet_component *of) {
  const martlet_scorer *table = of->functions;
  return of->kind == MARTLET_KIND_SCORER && table->score_branches != NULL;
}

static bool has_functions(const martlet_component *of) {
  char name[160];
  uint32_t size;
  if (of->functions == NULL) {
    refuse("the functions of '%s' are null", of->id);
    return false;
  }
  memcpy(&size, of->functions, sizeof size);
  static const struct { const char *kind, *table; size_t size; } tables[] = {
      [MARTLET_KIND_STRATEGY] = {"strategy", "martlet_strategy", sizeof(martlet_strategy)},
      [MARTLET_KIND_SCORER] = {"scorer", "martlet_scorer", sizeof(martlet_scorer)},
      [MARTLET_KIND_EXTRACTOR] = {"extractor", "martlet_extractor", sizeof(martlet_extractor)},
      [MARTLET_KIND_DRAFTER] = {"drafter", "martlet_drafter", sizeof(martlet_drafter)},
      [MARTLET_KIND_SAMPLER] = {"sampler", "martlet_sampler", sizeof(martlet_sampler)},
      [MARTLET_KIND_MEMORY] = {"memory", "martlet_memory", sizeof(martlet_memory)}};
  snprintf(name, sizeof name, "%s of '%s'", tables[of->kind].table, of->id);
  if (!is_size(name, size, tables[of->kind].size)) return false;
  // In each table the three functions that must be there come first.
  const martlet_strategy *first = of->functions;
  const martlet_memory *memory = of->functions;
  bool has_others =
      of->kind != MARTLET_KIND_MEMORY || (memory->recall != NULL && memory->read != NULL);
  if (first->create != NULL && first->run != NULL && first->destroy != NULL && has_others) {
    return true;
  }
  refuse("a function of %s '%s' is null", tables[of->kind].kind, of->id);
  return false;
}

static const martlet_component *find(uint64_t kind, const char *id) {
  for (uint32_t i = 0; i < plugin->component_count; ++i) {
    const martlet_component *each = plugin->components[i];
    if (each == NULL) {
      refuse("component %u of its list is null", i);
      return NULL;
    }
    if (!is_size("martlet_component", each->size, sizeof *each)) return NULL;
    if (each->kind < MARTLET_KIND_STRATEGY || each->kind > MARTLET_KIND_MEMORY) {
      refuse("component %u has kind %u, which is not served", i, each->kind);
      return NULL;
    }
    if (each->id != NULL && each->kind == kind && strcmp(each->id, id) == 0) {
      return has_functions(each) ? each : NULL;
    }
  }
  refuse("its library has no component '%s' of kind %u", id, (unsigned)kind);
  return NULL;
}

// MARK: Calls of the host

/// A text to be judged, in memory of its own: calls of the host write over the frame.
static martlet_text_view taken_view(reader *from) {
  martlet_text_view view = {.size = sizeof view};
  view.finished = (uint32_t)take_word(from);
  view.prompt = take_text(from, &view.prompt_length);
  view.text = take_text(from, &view.text_length);
  bool has_logprobs = take_word(from) != 0;
  view.token_count = take_word(from);
  if (has_logprobs) view.logprobs = take_bytes(from, view.token_count * sizeof(float));
  return view;
}

static martlet_status propose(reader *from, writer *results, void **kept) {
  const martlet_drafter *table = component->functions;
  uint64_t count = take_word(from), capacity = take_word(from);
  martlet_draft_sequence *sequences = calloc(count + 1, sizeof *sequences);
  martlet_guess *guesses = calloc(count * capacity + 1, sizeof *guesses);
  uint32_t *counts = calloc(count + 1, sizeof *counts);
  martlet_status status = MARTLET_E_MEMORY;
  if (sequences != NULL && guesses != NULL && counts != NULL) {
    for (uint64_t i = 0; i < count; ++i) {
      sequences[i].size = sizeof *sequences;
      sequences[i].depth = (uint32_t)take_word(from);
      sequences[i].id = take_word(from);
      sequences[i].token_count = take_word(from);
      sequences[i].tokens = take_bytes(from, sequences[i].token_count * sizeof(int32_t));
    }
    status = table->propose(instance, sequences, (uint32_t)count, (uint32_t)capacity, guesses,
                            counts);
  }
  put_word(results, (uint64_t)(int64_t)status);
  for (uint64_t i = 0; status == MARTLET_OK && i < count; ++i) {
    put_word(results, counts[i]);
    put_bytes(results, guesses + i * capacity,
              (counts[i] < capacity ? counts[i] : capacity) * sizeof *guesses);
  }
  free(sequences);
  free(guesses);
  *kept = counts;
  return status;
}

/// The row and the tokens lie in shared memory, where the sampler works on them.
static martlet_status process(reader *from) {
  uint64_t count = take_word(from);
  martlet_sampling_choice choice = {.size = sizeof choice,
                                    .tokens = row_tokens_of(martlet_link.shared)};
  choice.token_count = take_word(from);
  choice.generated_tokens = (uint32_t)take_word(from);
  choice.noise = take_word(from);
  return ((const martlet_sampler *)component->functions)
      ->process(instance, &choice, row_of(martlet_link.shared), count);
}

static void recall(reader *from, writer *results, void **kept) {
  size_t length;
  const char *query = take_text(from, &length);
  uint32_t top = (uint32_t)take_word(from), count = 0;
  martlet_note *notes = calloc((size_t)top + 1, sizeof *notes);
  *kept = notes;
  martlet_status status = MARTLET_E_MEMORY;
  if (notes != NULL) {
    status = ((const martlet_memory *)component->functions)
                 ->recall(instance, query, length, top, notes, &count);
  }
  put_word(results, (uint64_t)(int64_t)status);
  put_word(results, count);
  if (status == MARTLET_OK) put_bytes(results, notes, (count < top ? count : top) * sizeof *notes);
}

void martlet_child_serve(lane *lane) {
  uint32_t operation = lane->operation;
  reader frame = martlet_child_received(LANE_MAIN);
  uint8_t *copy = malloc(frame.size + 8);
  if (copy == NULL) _exit(70);
  memcpy(copy, frame.start, frame.size);
  reader from = {.start = copy, .size = frame.size};
  // Results are written last: calls of the host from within write over the frame.
  writer results = martlet_child_writer(LANE_MAIN);
  void *kept = NULL;
  size_t length;
  switch (operation) {
    case CALL_LOAD: {
      martlet_status status = load(&from);
      put_word(&results, (uint64_t)(int64_t)status);
      put_text(&results, problem, strlen(problem));
      break;
    }
    case CALL_FIND: {
      uint64_t kind = take_word(&from);
      const martlet_component *found = find(kind, take_text(&from, &length));
      put_word(&results, (uint64_t)(int64_t)(found == NULL ? MARTLET_E_PLUGIN : MARTLET_OK));
      put_text(&results, problem, strlen(problem));
      put_word(&results, found == NULL ? 0 : found->flags);
      put_word(&results, found != NULL && scores_branches(found));
      break;
    }
    case CALL_CREATE: {
      uint64_t kind = take_word(&from);
      component = find(kind, take_text(&from, &length));
      martlet_run run = (martlet_run)(uintptr_t)take_word(&from);
      instance = NULL;
      martlet_status status = MARTLET_E_PLUGIN;
      if (component != NULL) {
        // All tables begin alike.
        const martlet_strategy *table = component->functions;
        status = table->create(component, &martlet_child_table, run, &instance);
      }
      put_word(&results, (uint64_t)(int64_t)status);
      break;
    }
    case CALL_RUN: {
      martlet_status status = ((const martlet_strategy *)component->functions)->run(instance);
      put_word(&results, (uint64_t)(int64_t)status);
      break;
    }
    case CALL_DESTROY:
      ((const martlet_strategy *)component->functions)->destroy(instance);
      instance = NULL;
      put_word(&results, MARTLET_OK);
      break;
    case CALL_SCORE: {
      martlet_text_view view = taken_view(&from);
      double score = real_of_word(take_word(&from));
      martlet_status status =
          ((const martlet_scorer *)component->functions)->score(instance, &view, &score);
      put_word(&results, (uint64_t)(int64_t)status);
      put_word(&results, word_of_real(score));
      break;
    }
    case CALL_SCORE_BRANCHES: {
      uint64_t count = take_word(&from);
      const martlet_branch *branches = take_bytes(&from, count * sizeof *branches);
      double *scores = take_bytes(&from, count * sizeof *scores);
      martlet_status status = ((const martlet_scorer *)component->functions)
                                  ->score_branches(instance, branches, (uint32_t)count, scores);
      put_word(&results, (uint64_t)(int64_t)status);
      put_bytes(&results, scores, count * sizeof *scores);
      break;
    }
    case CALL_EXTRACT: {
      martlet_text_view view = taken_view(&from);
      size_t capacity = take_word(&from), needed = 0;
      char *buffer = malloc(capacity + 1);
      kept = buffer;
      martlet_status status = MARTLET_E_MEMORY;
      if (buffer != NULL) {
        status = ((const martlet_extractor *)component->functions)
                     ->extract(instance, &view, buffer, capacity, &needed);
      }
      put_word(&results, (uint64_t)(int64_t)status);
      put_word(&results, needed);
      put_text(&results, buffer, status == MARTLET_OK && needed <= capacity ? needed : 0);
      break;
    }
    case CALL_PROPOSE: propose(&from, &results, &kept); break;
    case CALL_PROCESS: put_word(&results, (uint64_t)(int64_t)process(&from)); break;
    case CALL_STORE: {
      size_t text_length;
      const char *key = take_text(&from, &length), *text = take_text(&from, &text_length);
      martlet_status status = ((const martlet_memory *)component->functions)
                                  ->store(instance, key, length, text, text_length);
      put_word(&results, (uint64_t)(int64_t)status);
      break;
    }
    case CALL_RECALL: recall(&from, &results, &kept); break;
    case CALL_READ: {
      uint64_t id = take_word(&from);
      uint32_t part = (uint32_t)take_word(&from);
      size_t capacity = take_word(&from), needed = 0;
      char *buffer = malloc(capacity + 1);
      kept = buffer;
      martlet_status status = MARTLET_E_MEMORY;
      if (buffer != NULL) {
        status = ((const martlet_memory *)component->functions)
                     ->read(instance, id, part, buffer, capacity, &needed);
      }
      put_word(&results, (uint64_t)(int64_t)status);
      put_word(&results, needed);
      put_text(&results, buffer, status == MARTLET_OK && needed <= capacity ? needed : 0);
      break;
    }
    default: _exit(70);
  }
  martlet_child_send(LANE_MAIN, FRAME_RETURN, operation, &results);
  free(kept);
  free(copy);
}

int martlet_isolated_child(int memory, int connection) {
  martlet_link.shared = mmap(NULL, channel_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (martlet_link.shared == MAP_FAILED) return 71;
  close(memory);
  martlet_link.control = connection;
  martlet_link.main_thread = pthread_self();
  lane *lane = &martlet_link.shared->lanes[LANE_MAIN];
  // The call to load comes at once, unless the host is gone already; after it somebody watches.
  if (!martlet_lane_wait(lane, TURN_PLUGIN, 0, 30000000000u)) return 71;
  while (martlet_lane_wait(lane, TURN_PLUGIN, look_long, 0)) martlet_child_serve(lane);
  return 0;
}

/// A memory for the tests of memories: a list of notes of which every recall finds the latest first.
/// What it does wrong is a macro: MEMORY_CREATE, MEMORY_STORE and MEMORY_RECALL are blocks that run before,
/// MEMORY_AFTER one that runs after notes were found; they may use the arguments, `self` and the static `calls`.
#include "martlet/plugin.h"

#include <stdlib.h>
#include <string.h>

#ifndef MEMORY_STORE
#define MEMORY_STORE
#endif
#ifndef MEMORY_RECALL
#define MEMORY_RECALL
#endif
#ifndef MEMORY_AFTER
#define MEMORY_AFTER
#endif
#ifndef MEMORY_CREATE
#define MEMORY_CREATE
#endif
#ifndef MEMORY_TEXT
#define MEMORY_TEXT(text) text
#endif

static int calls;

enum { MOST = 64 };
typedef struct memory {
  const martlet_host *host;
  martlet_run run;
  size_t count;
  char *texts[2][MOST];
  size_t lengths[2][MOST];
} memory;

static memory *kept;

static martlet_status create(const martlet_component *component, const martlet_host *host,
                             martlet_run run, void **instance) {
  (void)component;
#ifdef MEMORY_OUTLIVES
  if (kept != NULL) {
    *instance = kept;
    return MARTLET_OK;
  }
#endif
  MEMORY_CREATE
  memory *self = calloc(1, sizeof *self);
  if (self == NULL) return MARTLET_E_MEMORY;
  self->host = host;
  self->run = run;
  *instance = kept = self;
  return MARTLET_OK;
}

static martlet_status store(void *instance, const char *key, size_t key_length, const char *text,
                            size_t text_length) {
  memory *self = instance;
  ++calls;
  MEMORY_STORE
  if (self->count == MOST) return MARTLET_OK;
  const char *texts[] = {key, text};
  size_t lengths[] = {key_length, text_length};
  for (int part = 0; part < 2; ++part) {
    self->texts[part][self->count] = malloc(lengths[part] + 1);
    if (lengths[part] > 0) memcpy(self->texts[part][self->count], texts[part], lengths[part]);
    self->lengths[part][self->count] = lengths[part];
  }
  self->count += 1;
  return MARTLET_OK;
}

static martlet_status recall(void *instance, const char *query, size_t query_length, uint32_t top,
                             martlet_note *notes, uint32_t *count) {
  memory *self = instance;
  (void)query, (void)query_length;
  ++calls;
  MEMORY_RECALL
  *count = self->count < top ? (uint32_t)self->count : top;
  for (uint32_t i = 0; i < *count; ++i) notes[i] = (martlet_note){self->count - 1 - i, 0};
  MEMORY_AFTER
  return MARTLET_OK;
}

static martlet_status read_note(void *instance, uint64_t id, uint32_t part, char *buffer,
                                size_t capacity, size_t *needed) {
  memory *self = instance;
  *needed = self->lengths[part][id];
  if (*needed > capacity) return MARTLET_E_TOO_SMALL;
  if (*needed > 0) memcpy(buffer, MEMORY_TEXT(self->texts[part][id]), *needed);
  return MARTLET_OK;
}

static void destroy(void *instance) {
#ifdef MEMORY_OUTLIVES
  (void)instance;
#else
  memory *self = instance;
  for (size_t i = 0; i < 2 * self->count; ++i) free(self->texts[i % 2][i / 2]);
  free(self);
#endif
}

static const martlet_memory functions = {.size = sizeof functions,
                                         .create = create,
                                         .store = store,
                                         .destroy = destroy,
                                         .recall = recall,
                                         .read = read_note};

#define FIXTURE_KIND MARTLET_KIND_MEMORY
#include "entry.h"

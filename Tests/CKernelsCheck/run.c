/// Walks the variant table, runs every case of every variant, and reports.
#include "check.h"

#include "broken.h"
#include "emulated.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void martlet_check_catch_faults(void);
void martlet_check_release_faults(void);

/// One run and where its results go.
typedef struct check_run {
  martlet_check check;
  martlet_check_options options;
  martlet_check_callback callback;
  void *context;
  martlet_check_summary summary;
} check_run;

static const martlet_check_operation *operation_named(const char *name) {
  for (size_t f = 0; f < martlet_check_family_count; ++f)
    for (size_t i = 0; i < *martlet_check_families[f].count; ++i)
      if (!strcmp(martlet_check_families[f].operations[i].operation, name))
        return &martlet_check_families[f].operations[i];
  return NULL;
}

static const martlet_entry *reference_of(const martlet_entry *entry) {
  size_t count;
  const martlet_entry *entries = martlet_entries(&count);
  for (size_t i = 0; i < count; ++i)
    if (!strcmp(entries[i].operation, entry->operation) && !strcmp(entries[i].isa, "reference"))
      return &entries[i];
  return NULL;
}

/// Whether `text` contains the part [part, part + length).
static int contains(const char *text, const char *part, size_t length) {
  for (; strlen(text) >= length; ++text)
    if (!strncmp(text, part, length)) return 1;
  return 0;
}

static int matches(const char *filter, const martlet_entry *entry) {
  if (!filter || !*filter) return 1;
  while (*filter) {
    const size_t length = strcspn(filter, ",");
    if (length &&
        (contains(entry->family, filter, length) || contains(entry->name, filter, length)))
      return 1;
    filter += length;
    if (*filter) ++filter;
  }
  return 0;
}

static martlet_check_result result_of(const check_run *run, const martlet_entry *entry,
                                      const char *check_case) {
  const martlet_entry *serving =
      entry->operation_id < MARTLET_OPERATION_COUNT
          ? martlet_resolve(entry->operation_id, entry->numeric_class)
          : NULL;
  return (martlet_check_result){
      .size = sizeof(martlet_check_result),
      .family = entry->family,
      .operation = entry->operation,
      .isa = entry->isa,
      .variant = entry->name,
      .check_case = check_case,
      .numeric_class = (int32_t)entry->numeric_class,
      .serving = entry == serving,
      .seed = run->options.seed,
      .message = "",
      .timing_case = "",
  };
}

/// Reports a failure that comes before any case can run.
static void report_unfit(check_run *run, const martlet_entry *entry, const char *message) {
  martlet_check_result result = result_of(run, entry, "registration");
  result.outcome = MARTLET_CHECK_FAILED;
  result.failures = 1;
  result.message = message;
  run->callback(run->context, &result);
}

/// The stream of a case: the same for every variant of an operation.
static uint64_t stream(uint64_t seed, const char *operation, const char *check_case) {
  uint64_t hash = 0xcbf29ce484222325ull ^ seed;
  for (const char *p = operation; *p; ++p) hash = (hash ^ (unsigned char)*p) * 0x100000001b3ull;
  for (const char *p = check_case; *p; ++p) hash = (hash ^ (unsigned char)*p) * 0x100000001b3ull;
  return hash;
}

/// Runs one case at both placements; returns whether it failed.
static int run_case(check_run *run, const martlet_check_operation *operation,
                    const martlet_check_case *what) {
  martlet_check *check = &run->check;
  check->runs = check->failures = 0;
  check->message[0] = check->description[0] = 0;
  for (int placement = CHECK_AT_END; placement <= CHECK_AT_START; ++placement) {
    check->placement = (check_placement)placement;
    check->random = stream(run->options.seed, operation->operation, what->name);
    check_new_run(check);
    what->run(check);
  }
  martlet_check_result result = result_of(run, check->entry, what->name);
  result.outcome = check->failures ? MARTLET_CHECK_FAILED : MARTLET_CHECK_PASSED;
  result.runs = check->runs;
  result.failures = check->failures;
  result.message = check->message;
  run->summary.runs += check->runs;
  run->callback(run->context, &result);
  return check->failures != 0;
}

static void run_timing(check_run *run, const martlet_check_operation *operation) {
  martlet_check *check = &run->check;
  martlet_check_timing timing = {.bytes = 0};
  check->placement = CHECK_AT_END;
  check->random = stream(run->options.seed, operation->operation, "timing");
  check_new_run(check);
  operation->time(check, &timing);
  martlet_check_result result = result_of(run, check->entry, "timing");
  result.timing_case = timing.shape;
  result.nanoseconds = timing.nanoseconds;
  result.reference_nanoseconds = timing.reference_nanoseconds;
  if (timing.nanoseconds > 0) {
    result.speedup = timing.reference_nanoseconds / timing.nanoseconds;
    result.gigabytes_per_second = timing.bytes / timing.nanoseconds;
    result.gigaflops = timing.operations / timing.nanoseconds;
    result.fraction_of_limit =
        timing.compute_bound ? result.gigaflops * 1e9 / check_peak_operations()
                             : check_copy_nanoseconds(timing.bytes) / timing.nanoseconds;
  }
  run->callback(run->context, &result);
}

static int is_emulated(const martlet_entry *entry) {
  for (size_t i = 0; i < martlet_emulated_entry_count; ++i)
    if (entry == &martlet_emulated_entries[i]) return 1;
  return 0;
}

static void run_entry(check_run *run, const martlet_entry *entry) {
  if (!matches(run->options.filter, entry)) return;
  ++run->summary.variants;
  if (!martlet_entry_available(entry)) {
    martlet_check_result result = result_of(run, entry, "registration");
    result.outcome = MARTLET_CHECK_SKIPPED;
    result.message = "this CPU, or MARTLET_ISA, does not let it run";
    ++run->summary.skipped;
    run->callback(run->context, &result);
    return;
  }
  const martlet_check_operation *operation = operation_named(entry->operation);
  const martlet_entry *reference = reference_of(entry);
  if (!operation || !reference || !operation->case_count) {
    report_unfit(run, entry, !operation || !operation->case_count
                                 ? "the operation is listed but has no check"
                                 : "the operation has no reference variant");
    ++run->summary.failed;
    return;
  }
  run->check.entry = entry;
  run->check.reference = reference;
  int failed = 0;
  if (!(run->options.flags & MARTLET_CHECK_ONLY_TIMINGS))
    for (size_t i = 0; i < operation->case_count; ++i)
      if (!operation->cases[i].reference_only || entry == reference)
        failed |= run_case(run, operation, &operation->cases[i]);
  if (!(run->options.flags & MARTLET_CHECK_SKIP_TIMINGS) && operation->time && !failed &&
      !is_emulated(entry))
    run_timing(run, operation);
  run->summary.failed += (uint32_t)failed;
}

static void release_buffers(martlet_check *check) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < CHECK_BUFFERS; ++i)
    if (check->buffers[i].area)
      munmap(check->buffers[i].area - page, check->buffers[i].area_bytes + 2 * page);
}

martlet_status martlet_check_run(const martlet_check_options *options,
                                 martlet_check_callback callback, void *context,
                                 martlet_check_summary *summary) {
  if (!options || options->size < sizeof(martlet_check_options) || !callback)
    return MARTLET_E_ARGUMENT;
  if (summary && summary->size < sizeof(martlet_check_summary)) return MARTLET_E_ARGUMENT;
  check_run *run = calloc(1, sizeof *run);
  if (!run) return MARTLET_E_MEMORY;
  run->options = *options;
  run->callback = callback;
  run->context = context;
  run->summary.size = sizeof run->summary;
  run->check.timing_seconds = options->timing_seconds > 0 ? options->timing_seconds : 0.01;

  // The fault handlers belong to the process, so one run at a time.
  static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&one_at_a_time);
  volatile martlet_status status = MARTLET_OK;
  martlet_check_catch_faults();
  if (sigsetjmp(run->check.out_of_memory, 1) == 0) {
    size_t count;
    const martlet_entry *entries = martlet_entries(&count);
    for (size_t i = 0; i < count; ++i) run_entry(run, &entries[i]);
    // Their time says nothing.
    for (size_t i = 0; i < martlet_emulated_entry_count; ++i)
      if (!(options->flags & MARTLET_CHECK_ONLY_TIMINGS))
        run_entry(run, &martlet_emulated_entries[i]);
    if (options->flags & MARTLET_CHECK_INCLUDE_BROKEN)
      for (size_t i = 0; i < martlet_broken_entry_count; ++i)
        run_entry(run, &martlet_broken_entries[i]);
    if (run->summary.variants == 0) status = MARTLET_E_NOT_FOUND;
  } else {
    status = MARTLET_E_MEMORY;
  }
  martlet_check_release_faults();
  pthread_mutex_unlock(&one_at_a_time);
  release_buffers(&run->check);
  if (summary) *summary = run->summary;
  free(run);
  return status;
}

/// Timings and the limits they are compared with.
#include "check.h"

#include <martlet/probe.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/// Nanoseconds of one batch of `calls`.
static double batch(void (*call)(void *, martlet_any_function), void *context,
                    martlet_any_function function, size_t calls) {
  double start = now();
  for (size_t i = 0; i < calls; ++i) call(context, function);
  return (now() - start) / (double)calls;
}

/// How many calls fill about a twentieth of the time.
static size_t calls_for(void (*call)(void *, martlet_any_function), void *context,
                        martlet_any_function function, double seconds) {
  batch(call, context, function, 1);
  double once = batch(call, context, function, 1);
  double calls = seconds * 1e9 / 20 / (once > 1 ? once : 1);
  return calls < 1 ? 1 : calls > 1e6 ? 1000000 : (size_t)calls;
}

void check_time(martlet_check *check, martlet_check_timing *timing,
                void (*call)(void *context, martlet_any_function function), void *context) {
  const martlet_any_function mine = check->entry->function, theirs = check->reference->function;
  const size_t calls = calls_for(call, context, mine, check->timing_seconds);
  const size_t reference_calls = calls_for(call, context, theirs, check->timing_seconds);
  double best = 1e300, reference_best = 1e300;
  // In turns, so that a change of clock speed meets both; the best batch of each counts.
  for (int round = 0; round < 10; ++round) {
    double taken = batch(call, context, mine, calls);
    if (taken < best) best = taken;
    taken = batch(call, context, theirs, reference_calls);
    if (taken < reference_best) reference_best = taken;
  }
  timing->nanoseconds = best;
  timing->reference_nanoseconds = reference_best;
}

double check_copy_nanoseconds(double bytes) {
  const size_t half = (size_t)(bytes / 2) + 64;
  unsigned char *memory = aligned_alloc(64, (2 * half + 63) / 64 * 64);
  if (!memory) return 0;
  memset(memory, 1, 2 * half);
  double best = 1e300;
  const size_t calls = 1 + (size_t)(2e5 / (1 + bytes / 32));
  for (int round = 0; round < 10; ++round) {
    double start = now();
    for (size_t i = 0; i < calls; ++i) {
      memcpy(memory, memory + half, half);
      __asm__ volatile("" : : "r"(memory) : "memory");
    }
    double taken = (now() - start) / (double)calls;
    if (taken < best) best = taken;
  }
  free(memory);
  return best;
}

double check_peak_operations(void) {
  double best = 0;
  for (int round = 0; round < 10; ++round) {
    double start = now();
    double operations = martlet_probe_arithmetic(MARTLET_PROBE_FMA_F32, 20000);
    double rate = operations / (now() - start) * 1e9;
    if (rate > best) best = rate;
  }
  return best;
}

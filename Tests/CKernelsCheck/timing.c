/// Timings and the limits they are compared with.
#include "check.h"

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

/// Ten independent chains of `width`-lane multiply-adds; returns lanes × chains × 2 per step.
#define CHECK_PEAK(name, attributes, width)                                           \
  typedef float name##_vector __attribute__((vector_size(width * 4)));                \
  __attribute__(attributes) static double name(size_t steps) {                        \
    name##_vector sums[10], factor;                                                   \
    for (int lane = 0; lane < width; ++lane) factor[lane] = 0.999f;                   \
    for (int chain = 0; chain < 10; ++chain) sums[chain] = factor;                    \
    for (size_t i = 0; i < steps; ++i) {                                              \
      _Pragma("clang loop unroll(full)") for (int chain = 0; chain < 10; ++chain)     \
        sums[chain] = __builtin_elementwise_fma(sums[chain], factor, factor);         \
    }                                                                                 \
    float total = 0;                                                                  \
    for (int chain = 0; chain < 10; ++chain) total += sums[chain][0];                 \
    volatile float keep = total;                                                      \
    (void)keep;                                                                       \
    return 2.0 * width * 10;                                                          \
  }

#if defined(__x86_64__)
CHECK_PEAK(peak_avx512, (target("avx512f"), min_vector_width(512), noinline), 16)
CHECK_PEAK(peak_avx2, (target("avx2,fma"), noinline), 8)
#endif
CHECK_PEAK(peak_baseline, (noinline), 4)

double check_peak_operations(void) {
  double (*run)(size_t) = peak_baseline;
#if defined(__x86_64__)
  uint32_t features = martlet_isa_features();
  if (features & MARTLET_ISA_AVX512) run = peak_avx512;
  else if (features & MARTLET_ISA_AVX2) run = peak_avx2;
#endif
  const size_t steps = run == peak_baseline ? 2000 : 20000;
  double best = 1e300, operations = 0;
  for (int round = 0; round < 10; ++round) {
    double start = now();
    operations = run(steps);
    double taken = (now() - start) / (double)steps;
    if (taken < best) best = taken;
  }
  return operations / best * 1e9;
}

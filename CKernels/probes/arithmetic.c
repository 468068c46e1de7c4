/// Chooses the widest loop that this process may run; the plain C ones serve where none is native.
#include "probes/probe.h"

/// float32 multiply-adds in the vectors of the baseline.
static double fma_plain(uint64_t steps) {
  typedef float vector __attribute__((vector_size(16)));
  vector sums[MARTLET_PROBE_CHAINS], factor = {0.999f, 0.999f, 0.999f, 0.999f};
  martlet_probe_opaque(&factor);
  for (int chain = 0; chain < MARTLET_PROBE_CHAINS; ++chain) sums[chain] = factor;
  for (uint64_t step = 0; step < steps; ++step) {
#pragma clang loop unroll(full)
    for (int chain = 0; chain < MARTLET_PROBE_CHAINS; ++chain)
      sums[chain] = sums[chain] * factor + factor;
  }
  martlet_probe_opaque(sums);
  return (double)steps * MARTLET_PROBE_CHAINS * 4 * 2;
}

/// bf16 pairs widened to float32 by a shift, then multiplied and added.
static double bf16_plain(uint64_t steps) {
  typedef uint32_t bits __attribute__((vector_size(16)));
  typedef float vector __attribute__((vector_size(16)));
  bits pairs = {0x3f7f3f7f, 0x3f7f3f7f, 0x3f7f3f7f, 0x3f7f3f7f};
  vector sums[4] = {{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}};
  vector other = {0.5f, 0.5f, 0.5f, 0.5f};
  martlet_probe_opaque(&other);
  for (uint64_t step = 0; step < steps; ++step) {
    martlet_probe_opaque(&pairs);
    vector high = (vector)(pairs & 0xffff0000u), low = (vector)(pairs << 16);
#pragma clang loop unroll(full)
    for (int chain = 0; chain < 4; ++chain)
      sums[chain] = (sums[chain] + high * other) * 0.5f + low * other;
  }
  martlet_probe_opaque(sums);
  return (double)steps * 4 * 4 * 2 * 2;
}

/// int8 products as the compiler makes them of C.
static double int8_plain(uint64_t steps) {
  enum { length = 256 };
  int8_t left[length], right[length];
  for (int i = 0; i < length; ++i) left[i] = (int8_t)(i * 7), right[i] = (int8_t)(i * 13);
  for (uint64_t step = 0; step < steps; ++step) {
    martlet_probe_opaque(left);
    int32_t sum = 0;
    for (int i = 0; i < length; ++i) sum += left[i] * right[i];
    martlet_probe_opaque(&sum);
  }
  return (double)steps * length * 2;
}

static const martlet_probe_loop plain[] = {
    {MARTLET_PROBE_FMA_F32, 0, "plain c", fma_plain},
    {MARTLET_PROBE_DOT_BF16, 0, "plain c", bf16_plain},
    {MARTLET_PROBE_DOT_INT8, 0, "plain c", int8_plain},
};

static const martlet_probe_loop *choose(martlet_probe_unit unit) {
  const martlet_probe_loop *best = NULL;
  for (size_t i = 0; i < sizeof plain / sizeof plain[0]; ++i)
    if (plain[i].unit == unit) best = &plain[i];
  size_t count = 0;
  const martlet_probe_loop *native = martlet_probe_native_loops(&count);
  for (size_t i = 0; i < count; ++i)
    if (native[i].unit == unit && !(native[i].requires_isa & ~martlet_isa_features()))
      best = &native[i];
  return best;
}

const char *martlet_probe_arithmetic_name(martlet_probe_unit unit) {
  const martlet_probe_loop *loop = choose(unit);
  return loop ? loop->name : NULL;
}

double martlet_probe_arithmetic(martlet_probe_unit unit, uint64_t steps) {
  const martlet_probe_loop *loop = choose(unit);
  return loop ? loop->run(steps) : 0;
}

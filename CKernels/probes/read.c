/// Reads memory as fast as one thread can. Streams are equal parts read side by side, 512 bytes of
/// each in turn: some hardware prefetchers follow several streams further than one. The software
/// prefetch runs ahead of each stream by a distance that outlasts the memory's latency.
#include "dispatch/variant.h"

#include <martlet/probe.h>

typedef uint64_t line __attribute__((vector_size(64), aligned(64)));

/// Loads 64 bytes at a time, which the compiler makes of whatever registers the caller's target has.
__attribute__((always_inline)) static inline void read_streams(const unsigned char *memory,
                                                               size_t bytes, size_t streams,
                                                               size_t distance) {
  const size_t part = bytes / streams;
  line sums[8] = {0};
  for (size_t offset = 0; offset < part; offset += 512) {
    for (size_t stream = 0; stream < streams; ++stream) {
      const unsigned char *from = memory + stream * part + offset;
#pragma clang loop unroll(full)
      for (size_t i = 0; i < 8; ++i) {
        if (distance) __builtin_prefetch(from + distance + i * 64, 0, 3);
        sums[i] ^= *(const line *)(const void *)(from + i * 64);
      }
    }
  }
  __asm__ volatile("" : : "r"(sums) : "memory");
}

/// Every loop shape: name, streams (a power of two), bytes of prefetch distance.
#define READ_SHAPES(X)                        \
  X("1 stream", 1, 0)                         \
  X("1 stream, prefetch 2048", 1, 2048)       \
  X("1 stream, prefetch 4096", 1, 4096)       \
  X("2 streams, prefetch 2048", 2, 2048)      \
  X("4 streams", 4, 0)                        \
  X("4 streams, prefetch 2048", 4, 2048)

#define READ_CASE(name, streams, distance) \
  case __COUNTER__ - READ_FIRST - 1: read_streams(memory, bytes, streams, distance); break;

static void read_baseline(size_t shape, const unsigned char *memory, size_t bytes) {
  enum { READ_FIRST = __COUNTER__ };
  switch (shape) { READ_SHAPES(READ_CASE) }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void read_avx2(size_t shape, const unsigned char *memory,
                                                      size_t bytes) {
  enum { READ_FIRST = __COUNTER__ };
  switch (shape) { READ_SHAPES(READ_CASE) }
}

__attribute__((target("avx512f"), min_vector_width(512))) static void read_avx512(
    size_t shape, const unsigned char *memory, size_t bytes) {
  enum { READ_FIRST = __COUNTER__ };
  switch (shape) { READ_SHAPES(READ_CASE) }
}
#endif

#define READ_NAME(name, streams, distance) name,
static const char *const names[] = {READ_SHAPES(READ_NAME)};

size_t martlet_probe_read_count(void) { return sizeof names / sizeof names[0]; }

const char *martlet_probe_read_name(size_t shape) {
  return shape < martlet_probe_read_count() ? names[shape] : NULL;
}

martlet_status martlet_probe_read(size_t shape, const void *memory, size_t bytes) {
  if (!memory || (uintptr_t)memory % 64 || bytes % 4096 || shape >= martlet_probe_read_count())
    return MARTLET_E_ARGUMENT;
#if defined(__x86_64__)
  const uint32_t features = martlet_isa_features();
  if (features & MARTLET_ISA_AVX512) return read_avx512(shape, memory, bytes), MARTLET_OK;
  if (features & MARTLET_ISA_AVX2) return read_avx2(shape, memory, bytes), MARTLET_OK;
#endif
  return read_baseline(shape, memory, bytes), MARTLET_OK;
}

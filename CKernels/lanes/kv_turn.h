/// Turned keys as columns, on any ISA.
///
/// Keys in pages lie dimension by dimension: a single position of 128 dimensions lies in 128 lines.
/// Turned (martlet_kv_turn_keys) it lies in 4, in the same bits, and becomes a column here. One step
/// takes 64 bytes of each of 16 / e positions, e bytes an element, and writes 16 bytes of positions
/// to each of 64 / e dimensions: log2(16 / e) rounds of zips within 128 bits, which every ISA has. A
/// page of 128 dimensions of 2 bytes takes 16 steps of 8 loads, 24 zips and 32 stores. What a row's
/// last step reads past its end is of the same page, and lands in columns that nobody reads.
#ifndef MARTLET_LANES_KV_TURN_H
#define MARTLET_LANES_KV_TURN_H

#include "lanes/kv_read.h"

// A line, of a register of 64 bytes or several; the compiler splits it.
typedef uint8_t kv_line_1 __attribute__((vector_size(64), aligned(1), may_alias));
typedef uint16_t kv_line_2 __attribute__((vector_size(64), aligned(1), may_alias));
typedef uint32_t kv_line_4 __attribute__((vector_size(64), aligned(1), may_alias));
typedef uint64_t kv_line_8 __attribute__((vector_size(64), aligned(1), may_alias));
typedef uint64_t kv_quarter __attribute__((vector_size(16), aligned(1), may_alias));

#define KV_ZIP_4(b) b, 16 + b, b + 1, 17 + b
#define KV_ZIP_2(b) b, 32 + b, b + 1, 33 + b, b + 2, 34 + b, b + 3, 35 + b
#define KV_ZIP_1(b)                                                                        \
  b, 64 + b, b + 1, 65 + b, b + 2, 66 + b, b + 3, 67 + b, b + 4, 68 + b, b + 5, 69 + b,     \
      b + 6, 70 + b, b + 7, 71 + b
/// Half (0 the low, 1 the high) of the elements of a and b in turns, in each quarter by itself.
#define KV_ZIP(e, a, b, half)                                                               \
  __builtin_shufflevector(a, b, KV_ZIP_##e((0 + 8 * half) / e), KV_ZIP_##e((16 + 8 * half) / e), \
                          KV_ZIP_##e((32 + 8 * half) / e), KV_ZIP_##e((48 + 8 * half) / e))
#define KV_STORE_QUARTER(v, quarter, to) \
  *(kv_quarter *)(void *)(to) =          \
      __builtin_shufflevector((kv_line_8)(v), (kv_line_8)(v), 2 * quarter, 2 * quarter + 1)

/// A line at `at` of each of 16 / e rows becomes columns: `to` is the first position of the line's
/// first dimension.
#define KV_TURN(e, rounds)                                                                   \
  LANES void kv_turn_##e(const char *const *rows, size_t at, char *to) {                     \
    enum { count = 16 / e, row_bytes = kv_positions * e };                                   \
    kv_line_##e a[count], b[count];                                                          \
    for (int i = 0; i < count; ++i) a[i] = *(const kv_line_##e *)(const void *)(rows[i] + at); \
    for (int round = 0; round < rounds; ++round) {                                           \
      for (int i = 0; i < count / 2; ++i) {                                                  \
        b[2 * i] = KV_ZIP(e, a[i], a[i + count / 2], 0);                                     \
        b[2 * i + 1] = KV_ZIP(e, a[i], a[i + count / 2], 1);                                 \
      }                                                                                      \
      for (int i = 0; i < count; ++i) a[i] = b[i];                                           \
    }                                                                                        \
    for (int i = 0; i < count; ++i) {                                                        \
      KV_STORE_QUARTER(a[i], 0, to + i * row_bytes);                                         \
      KV_STORE_QUARTER(a[i], 1, to + (i + count) * row_bytes);                               \
      KV_STORE_QUARTER(a[i], 2, to + (i + 2 * count) * row_bytes);                           \
      KV_STORE_QUARTER(a[i], 3, to + (i + 3 * count) * row_bytes);                           \
    }                                                                                        \
  }
KV_TURN(1, 4)
KV_TURN(2, 3)
KV_TURN(4, 2)
#undef KV_TURN
#undef KV_STORE_QUARTER
#undef KV_ZIP
#undef KV_ZIP_1
#undef KV_ZIP_2
#undef KV_ZIP_4

/// A page's turned keys of one head as columns. `to` has room for kv_most_head_bytes.
#define KV_TURN_PAGE(e)                                                                  \
  LANES void kv_turn_page_##e(size_t row_bytes, const char *keys, char *to) {            \
    for (size_t slot = 0; slot < kv_positions; slot += 16 / e) {                         \
      const char *rows[16 / e];                                                          \
      for (size_t i = 0; i < 16 / e; ++i) rows[i] = keys + (slot + i) * row_bytes;       \
      for (size_t b = 0; b < row_bytes; b += 64)                                         \
        kv_turn_##e(rows, b, to + slot * e + b * kv_positions);                          \
    }                                                                                    \
  }
KV_TURN_PAGE(1)
KV_TURN_PAGE(2)
KV_TURN_PAGE(4)
#undef KV_TURN_PAGE

LANES void kv_turn_page(const kv_shape *shape, const char *keys, char *to) {
  switch (shape->element) {
    case 1: kv_turn_page_1(shape->key_row_bytes, keys, to); break;
    case 2: kv_turn_page_2(shape->key_row_bytes, keys, to); break;
    default: kv_turn_page_4(shape->key_row_bytes, keys, to); break;
  }
}

#endif

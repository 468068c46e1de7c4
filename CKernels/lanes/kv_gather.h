/// Gathering a page's worth of listed positions from anywhere, on any ISA.
///
/// Keys in pages lie dimension by dimension: a single position of 128 dimensions lies in 128 lines.
/// Its key row (martlet_kv_key_rows) lies in 4, in the same bits, and turns into a column here. One
/// step takes a line of each of 16 / e positions, e bytes an element, and writes 16 bytes of
/// positions to each of 64 / e dimensions: log2(16 / e) rounds of zips within 128 bits, which every
/// ISA has. A page of 128 dimensions of 2 bytes takes 16 steps of 8 loads, 24 zips and 32 stores.
/// Value rows are copied. What the next page will need is called for meanwhile, position by position,
/// so that the memory is as busy as in reading pages in order.
#ifndef MARTLET_LANES_KV_GATHER_H
#define MARTLET_LANES_KV_GATHER_H

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

/// Where the positions of a row's path are.
typedef struct kv_source {
  const kv_shape *shape;
  const martlet_attention_row *row;
  size_t page_offset, key_offset, head;
} kv_source;

LANES kv_head kv_source_page(const kv_source *from, uint32_t position) {
  return kv_head_of(from->shape,
                    (const char *)from->row->pages[position / kv_positions] + from->page_offset,
                    from->head);
}
/// A position's key row, or null where the row has none for its page.
LANES const char *kv_source_key(const kv_source *from, uint32_t position) {
  if (position / kv_positions >= from->row->key_row_pages) return NULL;
  return (const char *)from->row->key_rows[position / kv_positions] + from->key_offset +
         position % kv_positions * kv_key_row_bytes(from->shape);
}

/// Calls for what a position keeps.
LANES void kv_call(const kv_source *from, uint32_t position) {
  const kv_shape *shape = from->shape;
  const kv_head page = kv_source_page(from, position);
  const char *key = kv_source_key(from, position);
  const char *value = page.values + position % kv_positions * shape->value_row_bytes;
  for (size_t b = 0; key && b < kv_key_row_bytes(shape); b += 64)
    __builtin_prefetch(key + b, 0, 3);
  for (size_t b = 0; b < shape->value_row_bytes; b += 64) __builtin_prefetch(value + b, 0, 3);
  if (shape->groups) {
    __builtin_prefetch(page.key_scales, 0, 3);
    __builtin_prefetch(page.value_scales, 0, 3);
  }
}

/// A position's values and scales to slot `to`.
LANES void kv_gather_values(const kv_source *from, uint32_t position, kv_gathered *gathered,
                            size_t to) {
  const size_t slot = position % kv_positions, bytes = from->shape->value_row_bytes;
  const kv_head page = kv_source_page(from, position);
  const char *old = page.values + slot * bytes;
  char *new = gathered->values + to * bytes;
  size_t b = 0;
  for (; b + 64 <= bytes; b += 64)
    *(kv_line_8 *)(void *)(new + b) = *(const kv_line_8 *)(const void *)(old + b);
  for (; b < bytes; b += 16)
    *(kv_quarter *)(void *)(new + b) = *(const kv_quarter *)(const void *)(old + b);
  if (from->shape->groups) {
    memcpy(gathered->key_scales + 2 * to, page.key_scales + 2 * slot, 2);
    memcpy(gathered->value_scales + 2 * to, page.value_scales + 2 * slot, 2);
  }
}

/// Gathers positions path[0 ..< count] while `next_count` from `next` on are called for.
#define KV_GATHER(e)                                                                           \
  static __attribute__((noinline)) void kv_gather_##e(                                         \
      const kv_source *from, const uint32_t *path, size_t count, const uint32_t *next,         \
      size_t next_count, kv_gathered *gathered) {                                              \
    static const char none[4 * kv_most_dimensions];                                            \
    const size_t row_bytes = kv_key_row_bytes(from->shape);                                    \
    for (size_t group = 0; group < count; group += 16 / e) {                                   \
      const char *rows[16 / e];                                                                \
      for (size_t i = 0; i < 16 / e; ++i) {                                                    \
        const size_t at = group + i;                                                           \
        const char *key = kv_source_key(from, path[at < count ? at : count - 1]);              \
        rows[i] = key ? key : none;                                                            \
        if (at < next_count) kv_call(from, next[at]);                                          \
        if (at < count) kv_gather_values(from, path[at], gathered, at);                        \
      }                                                                                        \
      char *to = gathered->keys + group * e;                                                   \
      for (size_t b = 0; b < row_bytes; b += 64) kv_turn_##e(rows, b, to + b * kv_positions);  \
    }                                                                                          \
  }
KV_GATHER(1)
KV_GATHER(2)
KV_GATHER(4)
#undef KV_GATHER

/// Gathers positions path[0 ..< count], at most 32, of a type that has key rows.
static kv_head kv_gather(const kv_source *from, const uint32_t *path, size_t count,
                         const uint32_t *next, size_t next_count, kv_gathered *gathered) {
  const kv_head own = {gathered->keys, gathered->values, gathered->key_scales,
                       gathered->value_scales};
  switch (from->shape->element) {
    case 1: kv_gather_1(from, path, count, next, next_count, gathered); break;
    case 2: kv_gather_2(from, path, count, next, next_count, gathered); break;
    default: kv_gather_4(from, path, count, next, next_count, gathered); break;
  }
  // The newest positions have no rows yet; they are neighbours.
  for (size_t i = 0; i < count;) {
    const size_t run = kv_path_run(path + i, count - i);
    if (!kv_source_key(from, path[i]))
      kv_copy_keys(from->shape, kv_source_page(from, path[i]), path[i] % kv_positions, own, i, run);
    i += run;
  }
  return own;
}

#endif

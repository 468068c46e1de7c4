/// Gathering a page's worth of listed positions from anywhere, on any ISA.
///
/// Keys of turned pages become columns as kv_turn.h says. Value rows are copied. What the next page
/// will need is called for meanwhile, position by position, so that the memory is as busy as in
/// reading pages in order.
#ifndef MARTLET_LANES_KV_GATHER_H
#define MARTLET_LANES_KV_GATHER_H

#include "lanes/kv_turn.h"

/// Where the positions of a row's path are.
typedef struct kv_source {
  const kv_shape *shape;
  const martlet_attention_row *row;
  size_t page_offset, head;
} kv_source;

LANES kv_head kv_source_page(const kv_source *from, uint32_t position) {
  return kv_head_of(from->shape,
                    (const char *)from->row->pages[position / kv_positions] + from->page_offset,
                    from->head);
}
/// A position's key, or null where its page is not turned.
LANES const char *kv_source_key(const kv_source *from, uint32_t position) {
  if (!from->row->turned[position / kv_positions]) return NULL;
  return kv_source_page(from, position).keys + position % kv_positions * from->shape->key_row_bytes;
}

/// Calls for what a position keeps.
LANES void kv_call(const kv_source *from, uint32_t position) {
  const kv_shape *shape = from->shape;
  const kv_head page = kv_source_page(from, position);
  const char *key = kv_source_key(from, position);
  const char *value = page.values + position % kv_positions * shape->value_row_bytes;
  for (size_t b = 0; key && b < shape->key_row_bytes; b += 64) __builtin_prefetch(key + b, 0, 3);
  for (size_t b = 0; b < shape->value_row_bytes; b += 64) __builtin_prefetch(value + b, 0, 3);
  for (size_t g = 0; g < shape->groups; ++g) {
    __builtin_prefetch(page.key_scales + g * kv_positions * 2, 0, 3);
    __builtin_prefetch(page.value_scales + g * kv_positions * 2, 0, 3);
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
  for (size_t g = 0; g < from->shape->groups; ++g) {
    const size_t column = g * kv_positions;
    memcpy(gathered->key_scales + 2 * (column + to), page.key_scales + 2 * (column + slot), 2);
    memcpy(gathered->value_scales + 2 * (column + to), page.value_scales + 2 * (column + slot), 2);
  }
}

/// Gathers positions path[0 ..< count] while `next_count` from `next` on are called for.
#define KV_GATHER(e)                                                                           \
  static __attribute__((noinline)) void kv_gather_##e(                                         \
      const kv_source *from, const uint32_t *path, size_t count, const uint32_t *next,         \
      size_t next_count, kv_gathered *gathered) {                                              \
    static const char none[4 * kv_most_dimensions];                                            \
    const size_t row_bytes = from->shape->key_row_bytes;                                       \
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

/// Gathers positions path[0 ..< count], at most 32, of a row that has turned pages.
static kv_head kv_gather(const kv_source *from, const uint32_t *path, size_t count,
                         const uint32_t *next, size_t next_count, kv_gathered *gathered) {
  const kv_head own = {gathered->keys, gathered->values, gathered->key_scales,
                       gathered->value_scales};
  switch (from->shape->element) {
    case 1: kv_gather_1(from, path, count, next, next_count, gathered); break;
    case 2: kv_gather_2(from, path, count, next, next_count, gathered); break;
    default: kv_gather_4(from, path, count, next, next_count, gathered); break;
  }
  // The newest pages are not turned yet; their positions are neighbours.
  for (size_t i = 0; i < count;) {
    const size_t run = kv_path_run(path + i, count - i);
    if (!kv_source_key(from, path[i]))
      kv_copy_keys(from->shape, kv_source_page(from, path[i]), 0, path[i] % kv_positions, own, i,
                   run);
    i += run;
  }
  return own;
}

#endif

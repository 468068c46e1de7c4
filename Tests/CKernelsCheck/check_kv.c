/// Checks of writing positions to pages, and of copying them.
#include "attention_case.h"

#include "dispatch/kv_layout.h"

#include <math.h>
#include <string.h>

static void write_slots(martlet_check *check) {
  static const uint32_t sizes[] = {1, 2, 5, 15, 16, 17, 31, 32, 33, 64, 100, 128};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i)
    for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
      for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
        const uint32_t heads = 1 + i % 3, slot = (uint32_t)check_below(check, page_tokens);
        const martlet_kv_layout layout = {sizeof layout, (martlet_kv_type)type, heads, sizes[i]};
        const size_t bytes = martlet_kv_page_bytes(&layout), count = (size_t)heads * sizes[i];
        check_new_run(check);
        check_describe(check, "%s, %u heads of %u, slot %u, %s inputs", attention_type_names[type],
                       heads, sizes[i], slot, check_kind_name((check_kind)kind));
        float *keys = check_buffer(check, "keys", count * sizeof(float), 4);
        float *values = check_buffer(check, "values", count * sizeof(float), 8);
        char *expected = check_aligned_buffer(check, "expected", bytes);
        char *actual = check_aligned_buffer(check, "page", bytes);
        check_fill(check, (check_kind)kind, keys, count);
        check_fill(check, (check_kind)kind, values, count);
        check_seal(check, keys);
        check_seal(check, values);
        ((martlet_kv_write_function *)check->reference->function)(&layout, expected, slot, keys,
                                                                  values);
        CHECK_CALL(check, ((martlet_kv_write_function *)check->entry->function)(
                              &layout, actual, slot, keys, values));
        // NaN payloads may differ in float32 arithmetic, never here: this is a conversion.
        check_same_bytes(check, expected, actual, bytes);
        check_poison(check);
      }
}

/// Half a step of the type, as a part of the number (floats) or of the largest of those that share
/// its scale.
static double half_step(martlet_kv_type type, const float *x, size_t d, size_t dimensions) {
  if (type == MARTLET_KV_F32) return 0;
  if (type == MARTLET_KV_F16) return fabs((double)x[d]) * 0x1p-11 + 0x1p-25;
  if (type == MARTLET_KV_BF16) return fabs((double)x[d]) * 0x1p-8;
  const size_t group = type == MARTLET_KV_I4 ? 32 : dimensions, begin = d / group * group;
  double largest = 0;
  for (size_t i = begin; i < dimensions && i < begin + group; ++i)
    largest = fmax(largest, fabs((double)x[i]));
  // Four bits reach 8 steps on one side and 7 on the other, which may cost a whole step there. The
  // scale itself is rounded to float16: 2⁻¹¹ of it, or 2⁻²⁵ of 1, times the code.
  return type == MARTLET_KV_I8 ? largest / 127 * (0.5 + 127 * 0x1p-11) + 127 * 0x1p-25
                               : largest / 8 * (1 + 8 * 0x1p-11) + 8 * 0x1p-25;
}

static void write_float64(martlet_check *check) {
  check_describe(check, "written values against what they round");
  for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type)
    for (int round = 0; round < 4; ++round) {
      static const size_t sizes[] = {256, 128, 80, 33};
      const size_t d_count = sizes[round];
      const martlet_kv_layout layout = {sizeof layout, (martlet_kv_type)type, 2, (uint32_t)d_count};
      check_new_run(check);
      char *page = check_aligned_buffer(check, "page", martlet_kv_page_bytes(&layout));
      float keys[512], values[512];
      for (size_t i = 0; i < 2 * d_count; ++i) {
        keys[i] = check_normal(check);
        values[i] = ldexpf(check_uniform(check), -(int)check_below(check, 13));
      }
      CHECK_CALL(check, ((martlet_kv_write_function *)check->entry->function)(&layout, page, 9,
                                                                              keys, values));
      for (size_t i = 0; i < 2 * d_count; ++i) {
        const size_t head = i / d_count, d = i % d_count;
        const float *key = keys + head * d_count, *value = values + head * d_count;
        check_close(check, "half a step", key[d],
                    (float)attention_stored(&layout, page, 0, head, d, 9),
                    half_step((martlet_kv_type)type, key, d, d_count));
        check_close(check, "half a step", value[d],
                    (float)attention_stored(&layout, page, 1, head, d, 9),
                    half_step((martlet_kv_type)type, value, d, d_count));
      }
    }
}

/// Whether the `bytes` at a place are what the copy should have left there.
static int copied(const char *source, const char *target, size_t bytes, int within) {
  return within ? memcmp(source, target, bytes) == 0 : check_untouched(target, bytes);
}

/// Every run of slots, to the same slots as a fork has it and to others as moving a position has
/// it.
static void copy_slots(martlet_check *check) {
  for (uint32_t slots = 0; slots <= page_tokens; ++slots)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      attention_case a = attention_shape((martlet_kv_type)type, 2, 1, 9);
      const size_t whole = martlet_kv_page_bytes(&a.layout);
      // Some with their values elsewhere.
      const size_t bytes = slots % 3 == 2 ? 2 * whole : whole;
      a.layout.value_offset = slots % 3 == 2 ? whole : 0;
      const uint32_t from = slots % 2 ? (uint32_t)check_below(check, page_tokens - slots + 1) : 0;
      const uint32_t to = slots % 2 ? (uint32_t)check_below(check, page_tokens - slots + 1) : 0;
      check_new_run(check);
      check_describe(check, "%s, %u slots from %u to %u%s", attention_type_names[type], slots,
                     from, to, a.layout.value_offset ? ", values apart" : "");
      char *source = check_aligned_buffer(check, "source", bytes);
      char *target = check_aligned_buffer(check, "target", bytes);
      attention_write_positions(check, &a, CHECK_NORMAL, source, 0, page_tokens);
      check_seal(check, source);
      CHECK_CALL(check, ((martlet_kv_copy_function *)check->entry->function)(
                            &a.layout, source, from, target, to, slots));
      const kv_shape s = kv_shape_of(&a.layout);
      size_t wrong = 0;
      for (size_t head = 0; head < 2; ++head) {
        const kv_head old = kv_head_of(&s, source, head), new = kv_head_of(&s, target, head);
        for (size_t slot = 0; slot < page_tokens; ++slot) {
          const int within = slot >= to && slot < to + slots;
          const size_t was = within ? slot - to + from : slot;
          for (size_t row = 0; row < s.key_rows; ++row)
            wrong += !copied(old.keys + (row * page_tokens + was) * s.element,
                             new.keys + (row * page_tokens + slot) * s.element, s.element, within);
          wrong += !copied(old.values + was * s.value_row_bytes,
                           new.values + slot * s.value_row_bytes, s.value_row_bytes, within);
          for (size_t g = 0; g < s.groups; ++g) {
            const size_t now = 2 * (g * page_tokens + slot), then = 2 * (g * page_tokens + was);
            wrong += !copied(old.key_scales + then, new.key_scales + now, 2, within);
            wrong += !copied(old.value_scales + then, new.value_scales + now, 2, within);
          }
        }
      }
      if (wrong) check_fail(check, "%zu places hold what they should not", wrong);
      check_poison(check);
    }
}

/// Turned keys, bit by bit where the page had them, everything else untouched; and back again.
static void turned_keys(martlet_check *check) {
  static const uint32_t sizes[] = {1, 2, 15, 16, 17, 33, 64, 100, 128, 256};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      attention_case a = attention_shape((martlet_kv_type)type, 2, 1, sizes[i]);
      const uint32_t head = (uint32_t)check_below(check, 2);
      const size_t bytes = martlet_kv_page_bytes(&a.layout);
      check_new_run(check);
      check_describe(check, "%s, %u dimensions", attention_type_names[type], sizes[i]);
      char *page = check_aligned_buffer(check, "page", bytes);
      char *expected = check_aligned_buffer(check, "expected", bytes);
      char *old = check_aligned_buffer(check, "old", bytes);
      attention_write_positions(check, &a, CHECK_NORMAL, page, 0, page_tokens);
      memcpy(expected, page, bytes);
      memcpy(old, page, bytes);
      const size_t each = type == MARTLET_KV_F32 ? 4 : type >= MARTLET_KV_I8 ? 1 : 2;
      const size_t rows = type == MARTLET_KV_I4 ? (sizes[i] + 1) / 2 : sizes[i];
      const size_t first = head * rows * page_tokens * each;
      for (size_t slot = 0; slot < page_tokens; ++slot)
        for (size_t row = 0; row < rows; ++row)
          memcpy(expected + first + (slot * rows + row) * each,
                 old + first + (row * page_tokens + slot) * each, each);
      martlet_kv_turn_keys_function *turn =
          (martlet_kv_turn_keys_function *)check->entry->function;
      CHECK_CALL(check, turn(&a.layout, page, head, 1));
      check_same_bytes(check, expected, page, bytes);
      CHECK_CALL(check, turn(&a.layout, page, head, 0));
      check_same_bytes(check, old, page, bytes);
      check_poison(check);
    }
}

/// What is read is what an own reading of the layout finds, turned or not.
static void read_slots(martlet_check *check) {
  static const uint32_t sizes[] = {1, 15, 16, 33, 64, 100, 256};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i)
    for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
      attention_case a = attention_shape((martlet_kv_type)type, 2, 1, sizes[i]);
      const size_t bytes = martlet_kv_page_bytes(&a.layout), d_count = sizes[i];
      check_new_run(check);
      check_describe(check, "%s, %u dimensions", attention_type_names[type], sizes[i]);
      char *page = check_aligned_buffer(check, "page", bytes);
      attention_write_positions(check, &a, CHECK_NORMAL, page, 0, page_tokens);
      char *turned = check_aligned_buffer(check, "turned", bytes);
      memcpy(turned, page, bytes);
      for (uint32_t head = 0; head < 2; ++head)
        martlet_kv_turn_keys_reference(&a.layout, turned, head, 1);
      check_seal(check, page);
      check_seal(check, turned);
      float *key = check_buffer(check, "key", d_count * sizeof(float), 4);
      float *value = check_buffer(check, "value", d_count * sizeof(float), 8);
      for (int is_turned = 0; is_turned < 2; ++is_turned)
        for (uint32_t slot = 0; slot < page_tokens; slot += 1 + slot % 7) {
          const uint32_t head = slot % 2;
          CHECK_CALL(check, ((martlet_kv_read_function *)check->entry->function)(
                                &a.layout, is_turned ? turned : page, is_turned, head, slot, key,
                                value));
          for (size_t d = 0; d < d_count; ++d) {
            const double k = attention_stored(&a.layout, page, 0, head, d, slot);
            const double v = attention_stored(&a.layout, page, 1, head, d, slot);
            check_close(check, "one rounding", k, key[d], fabs(k) * CHECK_EPSILON);
            check_close(check, "one rounding", v, value[d], fabs(v) * CHECK_EPSILON);
          }
        }
      check_poison(check);
    }
}

// ---- timings ------------------------------------------------------------------------------------

typedef struct write_context {
  martlet_kv_layout layout;
  char *page, *target;
  float *keys, *values;
} write_context;

static void repeat_write(void *context, martlet_any_function function) {
  write_context *w = context;
  ((martlet_kv_write_function *)function)(&w->layout, w->page, 7, w->keys, w->values);
}

static void time_write(martlet_check *check, martlet_check_timing *timing) {
  write_context w = {.layout = {sizeof(martlet_kv_layout), MARTLET_KV_F16, 8, 128}};
  w.page = check_aligned_buffer(check, "page", martlet_kv_page_bytes(&w.layout));
  w.keys = check_buffer(check, "keys", 4096, 0);
  w.values = check_buffer(check, "values", 4096, 0);
  check_fill(check, CHECK_NORMAL, w.keys, 1024);
  check_fill(check, CHECK_NORMAL, w.values, 1024);
  strcpy(timing->shape, "8 heads × 128 f16");
  timing->bytes = 2 * 1024.0 * 6;
  timing->operations = 2 * 1024.0;
  check_time(check, timing, repeat_write, &w);
}

static void repeat_copy(void *context, martlet_any_function function) {
  write_context *w = context;
  ((martlet_kv_copy_function *)function)(&w->layout, w->page, 0, w->target, 0, 17);
}

static void time_copy(martlet_check *check, martlet_check_timing *timing) {
  write_context w = {.layout = {sizeof(martlet_kv_layout), MARTLET_KV_F16, 8, 128}};
  const size_t bytes = martlet_kv_page_bytes(&w.layout);
  w.page = check_aligned_buffer(check, "source", bytes);
  w.target = check_aligned_buffer(check, "target", bytes);
  strcpy(timing->shape, "17 slots × 8 heads × 128 f16");
  timing->bytes = (double)bytes * 17 / page_tokens * 2;
  check_time(check, timing, repeat_copy, &w);
}

static void repeat_turn(void *context, martlet_any_function function) {
  write_context *w = context;
  ((martlet_kv_turn_keys_function *)function)(&w->layout, w->page, 3, 1);
}

static void time_turn(martlet_check *check, martlet_check_timing *timing) {
  write_context w = {.layout = {sizeof(martlet_kv_layout), MARTLET_KV_F16, 8, 128}};
  w.page = check_aligned_buffer(check, "page", martlet_kv_page_bytes(&w.layout));
  strcpy(timing->shape, "32 slots × 128 f16");
  timing->bytes = 2 * 128.0 * 32 * 2;
  check_time(check, timing, repeat_turn, &w);
}

static void repeat_read(void *context, martlet_any_function function) {
  write_context *w = context;
  ((martlet_kv_read_function *)function)(&w->layout, w->page, 0, 3, 7, w->keys, w->values);
}

static void time_read(martlet_check *check, martlet_check_timing *timing) {
  write_context w = {.layout = {sizeof(martlet_kv_layout), MARTLET_KV_F16, 8, 128}};
  w.page = check_aligned_buffer(check, "page", martlet_kv_page_bytes(&w.layout));
  w.keys = check_buffer(check, "key", 512, 0);
  w.values = check_buffer(check, "value", 512, 0);
  memset(w.page, 0, martlet_kv_page_bytes(&w.layout));
  strcpy(timing->shape, "128 f16");
  timing->bytes = 2 * 128.0 * 6;
  check_time(check, timing, repeat_read, &w);
}

static const martlet_check_case write_cases[] = {
    {"slots", write_slots, 0},
    {"rounding", write_float64, 0},
};
static const martlet_check_case copy_cases[] = {{"slots", copy_slots, 0}};
static const martlet_check_case read_cases[] = {{"slots", read_slots, 1}};
static const martlet_check_case turn_cases[] = {{"there and back", turned_keys, 1}};

const martlet_check_operation martlet_check_kv_operations[] = {
    {"kv_write", write_cases, 2, time_write},
    {"kv_copy", copy_cases, 1, time_copy},
    {"kv_turn_keys", turn_cases, 1, time_turn},
    {"kv_read", read_cases, 1, time_read},
};
const size_t martlet_check_kv_operation_count = 4;

/// Checks of merging the records of chunks.
#include "attention_case.h"

#include <string.h>

static void merging(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind)
    for (uint32_t size = 1; size <= 256; size = size * 2 + 1) {
      check_new_run(check);
      check_describe(check, "%u dimensions, %s records", size, check_kind_name((check_kind)kind));
      attention_case a = attention_shape(MARTLET_KV_F16, 2, 2, size);
      a.rows = 3;
      a.width = 4 * size;
      const size_t floats = martlet_attention_partial_floats(&a.layout), records = 4 * 3 * 4;
      a.queries = check_buffer(check, "queries", 3 * a.width * sizeof(float), 0);
      a.expected = check_buffer(check, "expected", 3 * a.width * sizeof(float), 0);
      a.actual = check_buffer(check, "output", 3 * a.width * sizeof(float), 4);
      float *partials = check_buffer(check, "records", records * floats * sizeof(float), 8);
      check_fill(check, (check_kind)kind, partials, records * floats);
      check_seal(check, partials);
      attention_set_row(&a, 0, 1024, 1024 + 4 * chunk_tokens);
      attention_set_row(&a, 1, 1024 + chunk_tokens, 1024 + chunk_tokens + 1);
      attention_set_row(&a, 2, 1024 + chunk_tokens - 1, 1024 + 3 * chunk_tokens);
      martlet_attention_row row[attention_most_rows];
      martlet_attention_arguments arguments = attention_arguments_of(&a, 0, 3, row, a.expected);
      arguments.partials = partials;
      arguments.partials_chunk = 1024 / chunk_tokens;
      ((martlet_attention_merge_f32_function *)check->reference->function)(&arguments);
      arguments = attention_arguments_of(&a, 0, 3, row, a.actual);
      arguments.partials = partials;
      arguments.partials_chunk = 1024 / chunk_tokens;
      CHECK_CALL(check, ((martlet_attention_merge_f32_function *)check->entry->function)(
                            &arguments));
      check_same_bits(check, a.expected, a.actual, 3, a.width, a.width);
      check_poison(check);
    }
}

// ---- timing -------------------------------------------------------------------------------------

static void repeat_merge(void *context, martlet_any_function function) {
  ((martlet_attention_merge_f32_function *)function)(context);
}

static void time_merge(martlet_check *check, martlet_check_timing *timing) {
  attention_case a = attention_shape(MARTLET_KV_F16, 8, 4, 128);
  a.width = 32 * 128;
  const size_t floats = martlet_attention_partial_floats(&a.layout);
  a.queries = check_buffer(check, "queries", a.width * sizeof(float), 0);
  a.actual = check_buffer(check, "output", a.width * sizeof(float), 0);
  attention_set_row(&a, 0, 0, 8 * chunk_tokens);
  martlet_attention_row row[attention_most_rows];
  martlet_attention_arguments arguments = attention_arguments_of(&a, 0, 1, row, a.actual);
  arguments.partials = check_buffer(check, "records", 8 * 32 * floats * sizeof(float), 0);
  check_fill(check, CHECK_NORMAL, arguments.partials, 8 * 32 * floats);
  strcpy(timing->shape, "8 records × 32 heads × 128");
  timing->bytes = 8.0 * 32 * (double)floats * 4;
  timing->operations = 8.0 * 32 * 128 * 3;
  check_time(check, timing, repeat_merge, &arguments);
}

static const martlet_check_case merge_cases[] = {{"merging", merging, 0}};

const martlet_check_operation martlet_check_attention_merge_operations[] = {
    {"attention_merge_f32", merge_cases, 1, time_merge},
};
const size_t martlet_check_attention_merge_operation_count = 1;

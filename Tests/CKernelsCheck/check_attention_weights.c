/// Checks of the weights that rows give to positions.
#include "attention_case.h"

#include <math.h>
#include <string.h>

/// Weights of all rows by the variant and by the reference, bit by bit; what no row sees is untouched.
static void compare(martlet_check *check, attention_case *a, size_t stride) {
  const size_t count = a->rows * a->query_heads * stride;
  float *expected = check_buffer(check, "expected weights", count * sizeof(float), 0);
  float *actual = check_buffer(check, "weights", count * sizeof(float), 4);
  martlet_attention_row row[attention_most_rows];
  martlet_attention_arguments arguments = attention_arguments_of(a, 0, a->rows, row, a->actual);
  arguments.kv_head_begin = 0;
  arguments.kv_head_end = a->layout.kv_heads;
  memset(expected, 0x55, count * sizeof(float));
  memset(actual, 0x55, count * sizeof(float));
  ((martlet_attention_weights_f32_function *)check->reference->function)(&arguments, expected,
                                                                         stride);
  CHECK_CALL(check, ((martlet_attention_weights_f32_function *)check->entry->function)(
                        &arguments, actual, stride));
  check_same_bytes(check, (const char *)expected, (const char *)actual, count * sizeof(float));
  for (size_t r = 0; r < a->rows; ++r)
    for (size_t h = 0; h < a->query_heads; ++h) {
      double sum = 0;
      const float *weights = actual + (r * a->query_heads + h) * stride;
      for (uint32_t p = a->row[r].first; p < a->row[r].end; ++p) sum += weights[p];
      check_close(check, "weights sum to one", 1, (float)sum, 1e-5);
    }
}

static void rows(martlet_check *check) {
  static const uint32_t sizes[] = {1, 7, 16, 20, 33, 64, 128, 256};
  for (int round = 0; round < 40; ++round) {
    const int type = round % 5;
    const uint32_t group = 1 + (uint32_t)check_below(check, round % 10 ? 9 : 80);
    uint32_t first[3], end[3];
    for (int r = 0; r < 3; ++r) {
      first[r] = check_below(check, 2) ? 0 : (uint32_t)check_below(check, 60);
      end[r] = first[r] + 1 + (uint32_t)check_below(check, round % 3 ? 90 : 1100);
    }
    check_describe(check, "%s, group of %u, %u dimensions (%d)", attention_type_names[type], group,
                   sizes[round % 8], round);
    attention_case a = attention_shape((martlet_kv_type)type, 2, group, sizes[round % 8]);
    attention_prepare(check, &a, CHECK_NORMAL, 3, first, end);
    compare(check, &a, 1200);
    check_poison(check);
  }
}

/// Listed positions in turned pages and others.
static void selections(martlet_check *check) {
  for (int round = 0; round < 20; ++round) {
    enum { pages = 6, most = pages * page_tokens };
    const int type = round % 5;
    check_describe(check, "%s, listed positions (%d)", attention_type_names[type], round);
    attention_case a =
        attention_shape((martlet_kv_type)type, 2, 1 + (uint32_t)check_below(check, 8), 40);
    const size_t page_bytes = martlet_kv_page_bytes(&a.layout);
    attention_allocate(check, &a, CHECK_NORMAL, 2, pages);
    uint8_t turned[pages];
    for (size_t page = 0; page < pages; ++page) {
      attention_write_positions(check, &a, CHECK_NORMAL, a.slab + page * page_bytes, 0,
                                page_tokens);
      turned[page] = check_below(check, 2) == 0;
      for (uint32_t head = 0; turned[page] && head < 2; ++head)
        martlet_kv_turn_keys_reference(&a.layout, a.slab + page * page_bytes, head, 1);
    }
    uint32_t count = 1 + (uint32_t)check_below(check, 120);
    uint32_t *path = check_buffer(check, "path", count * sizeof *path, 4);
    for (uint32_t i = 0; i < count; ++i) path[i] = (uint32_t)check_below(check, most);
    check_seal(check, path);
    for (uint32_t r = 0; r < 2; ++r) {
      for (size_t page = 0; page < pages; ++page) a.pages[r][page] = a.slab + page * page_bytes;
      attention_set_row(&a, r, 0, count);
      a.row[r].path = path;
      a.row[r].path_count = count;
      a.row[r].turned = turned;
    }
    check_seal(check, a.slab);
    check_seal(check, a.queries);
    compare(check, &a, count);
    check_poison(check);
  }
}

// ---- timing -------------------------------------------------------------------------------------

typedef struct weights_context {
  martlet_attention_arguments arguments;
  float *weights;
  size_t stride;
} weights_context;

static void repeat(void *context, martlet_any_function function) {
  weights_context *w = context;
  ((martlet_attention_weights_f32_function *)function)(&w->arguments, w->weights, w->stride);
}

static void time_weights(martlet_check *check, martlet_check_timing *timing) {
  attention_case a = attention_shape(MARTLET_KV_F16, 1, 8, 64);
  const uint32_t first = 0, end = 1024;
  attention_prepare(check, &a, CHECK_NORMAL, 1, &first, &end);
  martlet_attention_row row[attention_most_rows];
  weights_context w = {attention_arguments_of(&a, 0, 1, row, a.actual), NULL, 1024};
  w.arguments.kv_head_end = 1;
  w.weights = check_buffer(check, "weights", 8 * 1024 * sizeof(float), 0);
  strcpy(timing->shape, "1024 × 8/1 × 64 f16");
  timing->bytes = 1024.0 * 64 * 2;
  timing->operations = 2.0 * 1024 * 8 * 64;
  timing->compute_bound = 1;
  check_time(check, timing, repeat, &w);
}

static const martlet_check_case weights_cases[] = {
    {"rows", rows, 0},
    {"selections", selections, 0},
};

const martlet_check_operation martlet_check_attention_weights_operations[] = {
    {"attention_weights_f32", weights_cases, 2, time_weights},
};
const size_t martlet_check_attention_weights_operation_count = 1;

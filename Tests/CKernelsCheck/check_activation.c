/// Checks of the gated activations.
#include "check.h"

#include <math.h>
#include <string.h>

/// Both operations have this type.
typedef martlet_silu_gate_f32_function gate_function;

typedef struct gate_buffers {
  size_t count;
  float *gate, *up, *expected, *actual;
} gate_buffers;

static gate_buffers prepare(martlet_check *check, check_kind kind, size_t count) {
  check_new_run(check);
  const size_t offset = 4 * check_below(check, 16);
  gate_buffers b = {count, check_buffer(check, "gate", count * sizeof(float), offset),
                    check_buffer(check, "up", count * sizeof(float), 0),
                    check_buffer(check, "expected", count * sizeof(float), 0),
                    check_buffer(check, "output", count * sizeof(float), offset)};
  check_fill(check, kind, b.gate, count);
  check_fill(check, kind == CHECK_ONE_NAN ? CHECK_NORMAL : kind, b.up, count);
  return b;
}

static void compare(martlet_check *check, gate_buffers *b) {
  check_seal(check, b->gate);
  check_seal(check, b->up);
  ((gate_function *)check->reference->function)(b->count, b->gate, b->up, b->expected);
  CHECK_CALL(check, ((gate_function *)check->entry->function)(b->count, b->gate, b->up, b->actual));
  check_same_bits(check, b->expected, b->actual, 1, b->count, b->count);
  check_poison(check);
}

static void lengths(martlet_check *check) {
  for (size_t i = 0; i < check_length_count; ++i) {
    check_describe(check, "%zu elements", check_lengths[i]);
    gate_buffers b = prepare(check, CHECK_NORMAL, check_lengths[i]);
    compare(check, &b);
  }
}

static void special_values(martlet_check *check) {
  for (int kind = 0; kind < CHECK_KIND_COUNT; ++kind) {
    check_describe(check, "%s inputs", check_kind_name((check_kind)kind));
    gate_buffers b = prepare(check, (check_kind)kind, 1003);
    compare(check, &b);
  }
}

/// The whole range of the exponential, densely, with its edges.
static void exponential_range(martlet_check *check) {
  check_describe(check, "gates from -100 to 100 and their neighbours");
  gate_buffers b = prepare(check, CHECK_NORMAL, 40000);
  static const float edges[] = {0x1.62e42ep+6f, 0x1.5d589cp+6f, 0.0f, 0x1p-126f, 0x1p-149f};
  for (size_t i = 0; i < b.count; ++i) {
    b.gate[i] = check_uniform(check) * 100;
    if (i < 200) {
      float edge = edges[i / 40];
      for (size_t step = 0; step < i % 20; ++step) edge = nextafterf(edge, i / 20 % 2 ? 200 : -200);
      b.gate[i] = i % 2 ? -edge : edge;
    }
  }
  compare(check, &b);
}

static void in_place(martlet_check *check) {
  for (size_t count = 1; count < 70; count += 4)
    for (int which = 0; which < 2; ++which) {
      check_describe(check, "%zu elements, output is %s", count, which ? "up" : "gate");
      gate_buffers b = prepare(check, CHECK_NORMAL, count);
      ((gate_function *)check->reference->function)(count, b.gate, b.up, b.expected);
      float *output = which ? b.up : b.gate;
      CHECK_CALL(check, ((gate_function *)check->entry->function)(count, b.gate, b.up, output));
      check_same_bits(check, b.expected, output, 1, count, count);
      check_poison(check);
    }
}

static void float64(martlet_check *check) {
  const int gelu = !strcmp(check->entry->operation, "gelu_gate_f32");
  check_describe(check, "against float64");
  gate_buffers b = prepare(check, CHECK_NORMAL, 20000);
  for (size_t i = 0; i < b.count; ++i) b.gate[i] = check_uniform(check) * (i % 2 ? 90 : 9);
  CHECK_CALL(check, ((gate_function *)check->entry->function)(b.count, b.gate, b.up, b.actual));
  for (size_t i = 0; i < b.count; ++i) {
    double x = b.gate[i], argument = -x, roundings = 8;
    if (gelu) {
      argument = -2 * 0.79788456080286535588 * (x + 0.044715 * x * x * x);
      roundings += 8 * fabs(argument);
    }
    double expected = x / (1 + exp(argument)) * b.up[i];
    check_close(check, gelu ? "8 + 8·|argument| roundings" : "8 roundings", expected, b.actual[i],
                fabs(expected) * roundings * CHECK_EPSILON + fabs((double)b.up[i]) * 1e-35);
  }
}

static void repeat(void *context, martlet_any_function function) {
  gate_buffers *b = context;
  ((gate_function *)function)(b->count, b->gate, b->up, b->actual);
}

static void time_gate(martlet_check *check, martlet_check_timing *timing) {
  gate_buffers b = prepare(check, CHECK_NORMAL, 4096);
  strcpy(timing->shape, "4096");
  timing->bytes = 12.0 * 4096;
  timing->operations = 20.0 * 4096;
  check_time(check, timing, repeat, &b);
}

static const martlet_check_case cases[] = {
    {"lengths", lengths, 0},
    {"special values", special_values, 0},
    {"exponential range", exponential_range, 0},
    {"in place", in_place, 0},
    {"float64", float64, 1},
};

const martlet_check_operation martlet_check_activation_operations[] = {
    {"silu_gate_f32", cases, 5, time_gate},
    {"gelu_gate_f32", cases, 5, time_gate},
};
const size_t martlet_check_activation_operation_count = 2;

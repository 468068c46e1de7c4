/// Checks of dequantising: every variant meets the reference bit for bit, and the reference meets
/// GGUF's own Python package.
#include "check.h"

#include <martlet/rows.h>

#include <math.h>
#include <string.h>

/// The storage of an operation's type, and the hash of what GGUF's own Python package makes of
/// the blocks that `golden` draws (scripts/gguf-dequantize-hashes.py).
typedef struct row_type {
  const char *operation;
  martlet_weight_type type;
  uint64_t hash;
} row_type;

static const row_type types[] = {
    {"dequantize_f32", MARTLET_WEIGHT_F32, 0},
    {"dequantize_f16", MARTLET_WEIGHT_F16, 0x503dacc4f8ef1f56},
    {"dequantize_bf16", MARTLET_WEIGHT_BF16, 0x543549dd5f58cfb0},
    {"dequantize_q4_0", MARTLET_WEIGHT_Q4_0, 0x8475e237f234e4d1},
    {"dequantize_q4_1", MARTLET_WEIGHT_Q4_1, 0x37de90ac64933297},
    {"dequantize_q5_0", MARTLET_WEIGHT_Q5_0, 0x121c96057a5ea9f4},
    {"dequantize_q5_1", MARTLET_WEIGHT_Q5_1, 0x1f5482864f38cafe},
    {"dequantize_q8_0", MARTLET_WEIGHT_Q8_0, 0x91c85d055daa63cb},
    {"dequantize_q4_k", MARTLET_WEIGHT_Q4_K, 0x9ced806b1a876c30},
    {"dequantize_q5_k", MARTLET_WEIGHT_Q5_K, 0x5e4ab80b4668c325},
    {"dequantize_q6_k", MARTLET_WEIGHT_Q6_K, 0x3e789c93e8fa9b56},
    {"dequantize_iq4_nl", MARTLET_WEIGHT_IQ4_NL, 0xca01d370ea27f490},
};

static const row_type *row_type_of(const martlet_entry *entry) {
  for (size_t i = 1; i < sizeof(types) / sizeof(types[0]); ++i)
    if (!strcmp(types[i].operation, entry->operation)) return &types[i];
  return &types[0];
}

static martlet_weight_type type_of(const martlet_entry *entry) { return row_type_of(entry)->type; }

typedef struct row_buffers {
  size_t count, source_bytes;
  unsigned char *source;
  float *expected, *actual;
} row_buffers;

/// Random bits: scales may be subnormal, infinite or NaN, as in a hostile file.
static row_buffers prepare(martlet_check *check, size_t blocks) {
  check_new_run(check);
  const martlet_weight_type type = type_of(check->entry);
  row_buffers b = {.count = blocks * martlet_weight_block_elements(type),
                   .source_bytes = blocks * martlet_weight_block_bytes(type)};
  b.source = check_buffer(check, "source", b.source_bytes, check_below(check, 64));
  b.expected = check_buffer(check, "expected", b.count * sizeof(float), 0);
  b.actual = check_buffer(check, "output", b.count * sizeof(float), 4 * check_below(check, 16));
  for (size_t i = 0; i < b.source_bytes; ++i) b.source[i] = (unsigned char)check_random(check);
  return b;
}

static void compare(martlet_check *check, row_buffers *b) {
  check_seal(check, b->source);
  ((martlet_dequantize_function *)check->reference->function)(b->count, b->source, b->expected);
  CHECK_CALL(check, ((martlet_dequantize_function *)check->entry->function)(b->count, b->source,
                                                                            b->actual));
  check_same_bits(check, b->expected, b->actual, 1, b->count, b->count);
  check_poison(check);
}

static void lengths(martlet_check *check) {
  const size_t elements = martlet_weight_block_elements(type_of(check->entry));
  for (size_t i = 0; i < check_length_count; ++i) {
    if (check_lengths[i] * elements > 40000) continue;
    check_describe(check, "%zu blocks", check_lengths[i]);
    row_buffers b = prepare(check, check_lengths[i]);
    compare(check, &b);
  }
}

/// Every float16 or bfloat16, or every scale of a quantised type.
static void all_halves(martlet_check *check) {
  const martlet_weight_type type = type_of(check->entry);
  if (type == MARTLET_WEIGHT_F32) return;
  const size_t stride = martlet_weight_block_bytes(type), step = stride == 2 ? 1 : 37;
  const size_t at = type == MARTLET_WEIGHT_Q6_K ? stride - 2 : 0, blocks = 65536 / step;
  check_describe(check, "every 16-bit pattern as value or scale");
  row_buffers b = prepare(check, blocks);
  for (size_t i = 0; i < blocks; ++i) {
    b.source[i * stride + at] = (unsigned char)(i * step);
    b.source[i * stride + at + 1] = (unsigned char)(i * step >> 8);
  }
  compare(check, &b);
}

/// The public gather against single rows.
static void gather(martlet_check *check) {
  const martlet_weight_type type = type_of(check->entry);
  const size_t elements = martlet_weight_block_elements(type), depth = elements * 3, rows = 9;
  const size_t row_bytes = 3 * martlet_weight_block_bytes(type), stride = depth + 5;
  check_describe(check, "gathered rows of %zu", depth);
  row_buffers b = prepare(check, 3 * rows);
  float *gathered = check_buffer(check, "gathered", (4 * stride + depth) * sizeof(float), 0);
  const int32_t indices[5] = {8, 0, 3, 3, 7}, outside[2] = {0, 9}, negative[1] = {-1};
  CHECK_CALL(check, {
    if (martlet_gather_rows(type, rows, depth, b.source, outside, 2, gathered, stride) !=
            MARTLET_E_ARGUMENT ||
        martlet_gather_rows(type, rows, depth, b.source, negative, 1, gathered, stride) !=
            MARTLET_E_ARGUMENT ||
        !check_untouched(gathered, (4 * stride + depth) * sizeof(float)))
      check_fail(check, "an index outside the table was not refused");
    if (martlet_gather_rows(type, rows, depth, b.source, indices, 5, gathered, stride))
      check_fail(check, "gathering failed");
    for (size_t i = 0; i < 5; ++i) {
      ((martlet_dequantize_function *)check->entry->function)(
          depth, b.source + (size_t)indices[i] * row_bytes, b.actual);
      check_same_bits(check, b.actual, gathered + i * stride, 1, depth, depth);
    }
  });
  check_poison(check);
}

static void golden(martlet_check *check) {
  enum { blocks = 64 };
  const row_type *type = row_type_of(check->entry);
  if (type->type == MARTLET_WEIGHT_F32) return;
  check_describe(check, "%d blocks against the hash of GGUF's Python package", (int)blocks);
  row_buffers b = prepare(check, blocks);
  const size_t bytes = b.source_bytes / blocks;
  check->random = 42;
  for (size_t i = 0; i < b.source_bytes; ++i) b.source[i] = (unsigned char)check_random(check);
  for (size_t block = 0; block < blocks; ++block) {
    // Scales below 2, so that nothing is infinite or NaN.
    unsigned char *at = b.source + block * bytes;
    if (type->type == MARTLET_WEIGHT_Q6_K) at += bytes - 2;
    at[1] &= 0xbf;
    if (type->type == MARTLET_WEIGHT_Q4_1 || type->type == MARTLET_WEIGHT_Q5_1 ||
        type->type == MARTLET_WEIGHT_Q4_K || type->type == MARTLET_WEIGHT_Q5_K)
      at[3] &= 0xbf;
  }
  CHECK_CALL(check, ((martlet_dequantize_function *)check->entry->function)(b.count, b.source,
                                                                            b.actual));
  uint64_t hash = 0xcbf29ce484222325ull;
  const unsigned char *output = (const unsigned char *)b.actual;
  for (size_t i = 0; i < b.count * sizeof(float); ++i)
    hash = (hash ^ output[i]) * 0x100000001b3ull;
  if (hash != type->hash)
    check_fail(check, "hash 0x%016llx, expected 0x%016llx", (unsigned long long)hash,
               (unsigned long long)type->hash);
}

static void repeat(void *context, martlet_any_function function) {
  row_buffers *b = context;
  ((martlet_dequantize_function *)function)(b->count, b->source, b->actual);
}

static void time_rows(martlet_check *check, martlet_check_timing *timing) {
  const martlet_weight_type type = type_of(check->entry);
  row_buffers b = prepare(check, 4096 / martlet_weight_block_elements(type));
  const size_t half = type == MARTLET_WEIGHT_Q6_K ? martlet_weight_block_bytes(type) - 2 : 0;
  for (size_t i = 0; i < b.source_bytes; i += martlet_weight_block_bytes(type))
    b.source[i + half] = 0, b.source[i + half + 1] = 0x3c;  // Scales of 1.
  strcpy(timing->shape, "4096");
  timing->bytes = (double)b.source_bytes + 4.0 * (double)b.count;
  timing->operations = (double)b.count;
  check_time(check, timing, repeat, &b);
}

static const martlet_check_case cases[] = {
    {"lengths", lengths, 0},
    {"every half", all_halves, 0},
    {"gather", gather, 0},
    {"golden", golden, 0},
};

#define OPERATION(type) {"dequantize_" #type, cases, 4, time_rows}
const martlet_check_operation martlet_check_rows_operations[] = {
    OPERATION(f32),  OPERATION(f16),  OPERATION(bf16), OPERATION(q4_0),
    OPERATION(q4_1), OPERATION(q5_0), OPERATION(q5_1), OPERATION(q8_0),
    OPERATION(q4_k), OPERATION(q5_k), OPERATION(q6_k), OPERATION(iq4_nl),
};
const size_t martlet_check_rows_operation_count = 12;

/// Random operands for products, and their meaning in float64.
#include "gemm_operands.h"

#include "reference/blocks.h"

#include <math.h>
#include <string.h>

static const gemm_operation operations[] = {
    {"gemm_f32_f32", MARTLET_WEIGHT_F32, MARTLET_ACTIVATION_F32},
    {"gemm_f16_f32", MARTLET_WEIGHT_F16, MARTLET_ACTIVATION_F32},
    {"gemm_bf16_f32", MARTLET_WEIGHT_BF16, MARTLET_ACTIVATION_F32},
    {"gemm_bf16_bf16", MARTLET_WEIGHT_BF16, MARTLET_ACTIVATION_BF16},
    {"gemm_q4_0_q8", MARTLET_WEIGHT_Q4_0, MARTLET_ACTIVATION_Q8},
    {"gemm_q4_1_q8", MARTLET_WEIGHT_Q4_1, MARTLET_ACTIVATION_Q8},
    {"gemm_q5_0_q8", MARTLET_WEIGHT_Q5_0, MARTLET_ACTIVATION_Q8},
    {"gemm_q5_1_q8", MARTLET_WEIGHT_Q5_1, MARTLET_ACTIVATION_Q8},
    {"gemm_q8_0_q8", MARTLET_WEIGHT_Q8_0, MARTLET_ACTIVATION_Q8},
    {"gemm_q4_k_q8", MARTLET_WEIGHT_Q4_K, MARTLET_ACTIVATION_Q8},
    {"gemm_q5_k_q8", MARTLET_WEIGHT_Q5_K, MARTLET_ACTIVATION_Q8},
    {"gemm_q6_k_q8", MARTLET_WEIGHT_Q6_K, MARTLET_ACTIVATION_Q8},
    {"gemm_iq4_nl_q8", MARTLET_WEIGHT_IQ4_NL, MARTLET_ACTIVATION_Q8},
};

const gemm_operation *gemm_operation_of(const martlet_check *check) {
  for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); ++i)
    if (!strcmp(operations[i].name, check->entry->operation)) return &operations[i];
  return NULL;
}

size_t gemm_source_row_bytes(martlet_weight_type type, size_t depth) {
  return depth / martlet_weight_block_elements(type) * martlet_weight_block_bytes(type);
}

// ---- weights ------------------------------------------------------------------------------------

/// Where the float16 factors of a block lie: the scale, and the minimum or −1.
static int scale_offset(martlet_weight_type type) { return type == MARTLET_WEIGHT_Q6_K ? 208 : 0; }
static int minimum_offset(martlet_weight_type type) {
  switch (type) {
    case MARTLET_WEIGHT_Q4_1:
    case MARTLET_WEIGHT_Q5_1:
    case MARTLET_WEIGHT_Q4_K:
    case MARTLET_WEIGHT_Q5_K: return 2;
    default: return -1;
  }
}

static uint16_t random_scale(martlet_check *check, gemm_weight_kind kind) {
  static const uint16_t extremes[] = {0x7bff, 0xfbff, 0x0001, 0x8001,
                                      0x0000, 0x8000, 0x03ff, 0x3c00};
  switch (kind) {
    case GEMM_WEIGHTS_NORMAL: return martlet_half_of_float(0.02f * check_normal(check));
    case GEMM_WEIGHTS_EXTREME: return extremes[check_below(check, 8)];
    case GEMM_WEIGHTS_BITS: break;
  }
  const uint16_t bits = (uint16_t)check_random(check);
  return (bits & 0x7c00) == 0x7c00 ? bits & 0xbfff : bits;
}

static void fill_floats(martlet_check *check, martlet_weight_type type, gemm_weight_kind kind,
                        size_t count, unsigned char *target) {
  const check_kind value_kind = kind == GEMM_WEIGHTS_NORMAL    ? CHECK_NORMAL
                                : kind == GEMM_WEIGHTS_EXTREME ? CHECK_HUGE
                                                               : CHECK_BITS;
  for (size_t i = 0; i < count; ++i) {
    float value;
    check_fill(check, value_kind, &value, 1);
    const uint16_t half = kind == GEMM_WEIGHTS_BITS ? (uint16_t)check_random(check)
                          : type == MARTLET_WEIGHT_F16
                              ? martlet_half_of_float(kind == GEMM_WEIGHTS_NORMAL ? value : 65504)
                              : martlet_bfloat_of_float(value);
    if (type == MARTLET_WEIGHT_F32)
      memcpy(target + 4 * i, &value, 4);
    else
      memcpy(target + 2 * i, &half, 2);
  }
}

void gemm_fill_weights(martlet_check *check, martlet_weight_type type, gemm_weight_kind kind,
                       size_t rows, size_t depth, unsigned char *source) {
  static const unsigned char ends[] = {0x00, 0xff, 0x80, 0x7f};
  if (martlet_weight_block_elements(type) == 1) {
    fill_floats(check, type, kind, rows * depth, source);
    return;
  }
  const size_t block_bytes = martlet_weight_block_bytes(type);
  const size_t bytes = rows * gemm_source_row_bytes(type, depth);
  // One end per row, so that sums reach their bounds.
  const size_t row_bytes = bytes / (rows ? rows : 1);
  for (size_t i = 0; i < bytes; ++i)
    source[i] = kind == GEMM_WEIGHTS_EXTREME ? ends[i / row_bytes % 4]
                                             : (unsigned char)check_random(check);
  for (size_t block = 0; block < bytes; block += block_bytes) {
    const uint16_t scale = random_scale(check, kind), minimum = random_scale(check, kind);
    memcpy(source + block + scale_offset(type), &scale, 2);
    if (minimum_offset(type) >= 0)
      memcpy(source + block + minimum_offset(type), &minimum, 2);
  }
}

// ---- products -----------------------------------------------------------------------------------

static void *pack(martlet_check *check, const char *name, const gemm_product *product,
                  martlet_numeric_class numeric_class) {
  const gemm_shape *shape = &product->shape;
  const martlet_weight_type type = product->operation->weight_type;
  const size_t bytes =
      martlet_gemm_packed_bytes(type, numeric_class, shape->columns, shape->depth);
  void *packed = check_aligned_buffer(check, name, bytes);
  volatile martlet_status status = MARTLET_OK;
  CHECK_CALL(check, status = martlet_gemm_pack(type, numeric_class, shape->columns, shape->depth,
                                               product->source, packed, 0, shape->columns));
  if (status) check_fail(check, "packing was refused");
  check_seal(check, packed);
  return packed;
}

gemm_product gemm_make(martlet_check *check, gemm_shape shape) {
  check_new_run(check);
  gemm_product p = {.shape = shape, .operation = gemm_operation_of(check)};
  const martlet_weight_type type = p.operation->weight_type;
  const martlet_activation_type activation_type = p.operation->activation_type;
  const size_t offset = 4 * check_below(check, 16);
  p.input_stride = shape.depth + check_below(check, 3);
  p.output_stride = shape.columns + check_below(check, 5);
  const size_t output_bytes = ((shape.rows - 1) * p.output_stride + shape.columns) * sizeof(float);
  p.source = check_buffer(check, "source", shape.columns * gemm_source_row_bytes(type, shape.depth),
                          1 + check_below(check, 15));
  p.input = check_buffer(check, "input", shape.rows * p.input_stride * sizeof(float), offset);
  gemm_fill_weights(check, type, shape.weight_kind, shape.columns, shape.depth, p.source);
  check_seal(check, p.source);
  check_fill(check, shape.input_kind, p.input, shape.rows * p.input_stride);
  check_seal(check, p.input);

  void *activations = check_aligned_buffer(
      check, "activations",
      martlet_gemm_activation_bytes(activation_type, shape.rows, shape.depth));
  volatile martlet_status status = MARTLET_OK;
  CHECK_CALL(check, status = martlet_gemm_prepare(activation_type, shape.rows, shape.depth, p.input,
                                                  p.input_stride, activations, 0, shape.rows));
  if (status) check_fail(check, "preparing was refused");
  check_seal(check, activations);

  const martlet_numeric_class theirs = (martlet_numeric_class)check->reference->numeric_class;
  const martlet_numeric_class mine = (martlet_numeric_class)check->entry->numeric_class;
  void *weights = pack(check, "weights", &p, theirs);
  if (shape.bias) {
    p.bias = check_buffer(check, "bias", shape.columns * sizeof(float), offset);
    check_fill(check, CHECK_NORMAL, p.bias, shape.columns);
    check_seal(check, p.bias);
  }
  p.expected = check_buffer(check, "expected", output_bytes, 0);
  p.actual = check_buffer(check, "output", output_bytes, offset);
  if (shape.accumulate)
    for (size_t row = 0; row < shape.rows; ++row) {
      check_fill(check, CHECK_NORMAL, p.expected + row * p.output_stride, shape.columns);
      memcpy(p.actual + row * p.output_stride, p.expected + row * p.output_stride,
             shape.columns * sizeof(float));
    }
  p.reference = (martlet_gemm_arguments){
      .size = sizeof(martlet_gemm_arguments),
      .weight_type = type,
      .numeric_class = theirs,
      .accumulate = (uint32_t)shape.accumulate,
      .rows = shape.rows,
      .columns = shape.columns,
      .depth = shape.depth,
      .activations = activations,
      .weights = weights,
      .bias = p.bias,
      .output = p.expected,
      .output_stride = p.output_stride,
      .column_begin = 0,
      .column_end = shape.columns,
  };
  p.variant = p.reference;
  p.variant.output = p.actual;
  p.variant.numeric_class = mine;
  if (mine == MARTLET_NUMERIC_OPENBLAS) p.variant.weights = pack(check, "rows", &p, mine);
  return p;
}

// ---- float64 ------------------------------------------------------------------------------------

static double half_at(const unsigned char *halves, size_t index) {
  return (double)martlet_read_half(halves + 2 * index);
}

/// The unsigned quant at depth `k` of a block whose nibbles begin at `nibbles`; `high` is the
/// number of further bits, which follow the nibbles.
static int quant_of(const unsigned char *nibbles, size_t o, size_t k, int high) {
  const size_t group = k / 4, byte = 4 * o + k % 4;
  int quant = nibbles[64 * (group % 4) + byte];
  quant = group < 4 ? quant % 16 : quant / 16;
  const unsigned char *plane = nibbles + 256;
  if (high == 1) quant += (plane[byte] >> group & 1) * 16;
  if (high == 2) quant += (plane[64 * (group / 4) + byte] >> (2 * (group % 4)) & 3) * 16;
  return quant;
}

double gemm_packed_weight(martlet_weight_type type, const unsigned char *tile, size_t depth,
                          size_t o, size_t k, double *parts) {
  const unsigned char *at;
  double scale = 1, minimum = 0, quant;
  float value;
  const size_t chunk = k / 256, b = k % 256 / 32;
  // Blocks of the chunk, and its areas of 32 bytes of scales per block in whole lines.
  const size_t left = depth / 32 - 8 * chunk, blocks = left < 8 ? left : 8;
  const size_t area = blocks % 2 ? 32 * blocks + 32 : 32 * blocks;
  switch (type) {
    case MARTLET_WEIGHT_F32:
      memcpy(&value, tile + 64 * k + 4 * o, 4);
      quant = (double)value;
      break;
    case MARTLET_WEIGHT_F16: quant = half_at(tile + 32 * k, o); break;
    case MARTLET_WEIGHT_BF16:
      at = tile + 64 * (k / 2) + 4 * o + 2 * (k % 2);
      quant = (double)martlet_float_of_bfloat((uint16_t)(at[0] | at[1] << 8));
      break;
    case MARTLET_WEIGHT_Q4_0:
      at = tile + 2304 * chunk;
      scale = half_at(at + 32 * b, o), quant = quant_of(at + area + 256 * b, o, k % 32, 0) - 8;
      break;
    case MARTLET_WEIGHT_IQ4_NL:
      at = tile + 2304 * chunk;
      scale = half_at(at + 32 * b, o);
      quant = martlet_iq4_nl_values[quant_of(at + area + 256 * b, o, k % 32, 0)];
      break;
    case MARTLET_WEIGHT_Q4_1:
      at = tile + 2560 * chunk;
      scale = half_at(at + 32 * b, o), minimum = half_at(at + area + 32 * b, o);
      quant = quant_of(at + 2 * area + 256 * b, o, k % 32, 0);
      break;
    case MARTLET_WEIGHT_Q5_0:
      at = tile + 2816 * chunk;
      scale = half_at(at + 32 * b, o), quant = quant_of(at + area + 320 * b, o, k % 32, 1) - 16;
      break;
    case MARTLET_WEIGHT_Q5_1:
      at = tile + 3072 * chunk;
      scale = half_at(at + 32 * b, o), minimum = half_at(at + area + 32 * b, o);
      quant = quant_of(at + 2 * area + 320 * b, o, k % 32, 1);
      break;
    case MARTLET_WEIGHT_Q8_0:
      at = tile + 4352 * chunk;
      scale = half_at(at + 32 * b, o);
      quant = at[area + 512 * b + 64 * (k % 32 / 4) + 4 * o + k % 4] - 128;
      break;
    case MARTLET_WEIGHT_Q4_K:
      at = tile + 2368 * chunk;
      scale = half_at(at, o), minimum = -half_at(at + 32, o);
      scale *= at[64 + 32 * b + o], minimum *= at[64 + 32 * b + 16 + o];
      quant = quant_of(at + 320 + 256 * b, o, k % 32, 0);
      break;
    case MARTLET_WEIGHT_Q5_K:
      at = tile + 2880 * chunk;
      scale = half_at(at, o), minimum = -half_at(at + 32, o);
      scale *= at[64 + 32 * b + o], minimum *= at[64 + 32 * b + 16 + o];
      quant = quant_of(at + 320 + 320 * b, o, k % 32, 1);
      break;
    default:  // Q6_K
      at = tile + 3392 * chunk;
      scale = half_at(at, o);
      scale *= (int8_t)at[64 + 32 * b + (k % 32 < 16 ? 0 : 16) + o];
      quant = quant_of(at + 320 + 384 * b, o, k % 32, 2) - 32;
      break;
  }
  *parts = fabs(quant * scale) + fabs(minimum);
  // Without a minimum a zero keeps its sign.
  return minimum_offset(type) >= 0 ? quant * scale + minimum : quant * scale;
}

static double prepared_value(const gemm_product *p, size_t row, size_t k) {
  const martlet_activation_type type = p->operation->activation_type;
  const unsigned char *at = (const unsigned char *)p->reference.activations +
                            row * martlet_gemm_row_bytes(type, p->shape.depth);
  uint16_t bits;
  switch (type) {
    case MARTLET_ACTIVATION_F32: return (double)((const float *)(const void *)at)[k];
    case MARTLET_ACTIVATION_BF16:
      memcpy(&bits, at + 2 * k, 2);
      return (double)martlet_float_of_bfloat(bits);
    case MARTLET_ACTIVATION_Q8: break;
  }
  const martlet_q8_block *block = (const martlet_q8_block *)(const void *)at + k / 32;
  return block->values[k % 32] * (double)block->scale;
}

double gemm_exact(const gemm_product *p, size_t row, size_t column, double *tolerance) {
  const martlet_weight_type type = p->operation->weight_type;
  const unsigned char *tile = (const unsigned char *)p->reference.weights +
                              column / 16 * martlet_gemm_tile_bytes(type, p->shape.depth);
  double sum = 0, magnitude = 0;
  for (size_t k = 0; k < p->shape.depth; ++k) {
    double parts;
    const double weight = gemm_packed_weight(type, tile, p->shape.depth, column % 16, k, &parts);
    const double activation = prepared_value(p, row, k);
    sum += activation * weight;
    magnitude += fabs(activation) * parts;
  }
  if (p->bias) sum += (double)p->bias[column], magnitude += fabs((double)p->bias[column]);
  // Each multiply-add into the chain rounds once, at most at the magnitude of all terms: one per
  // depth of float weights, two per block of quantised ones. Beside them round the product of the
  // scales, the scaled sum, the bias and the accumulation.
  const double depth = (double)p->shape.depth;
  const double chain = p->operation->activation_type == MARTLET_ACTIVATION_Q8 ? depth / 16 : depth;
  *tolerance = (chain + 5) * CHECK_EPSILON * magnitude;
  // Where subnormals are flushed every step may lose one.
  *tolerance += depth * (p->operation->activation_type == MARTLET_ACTIVATION_BF16 ? 0x1p-125
                                                                                  : 0x1p-148);
  return sum;
}

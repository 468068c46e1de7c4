/// Dequantising over the 16-lane vocabulary: 16 bytes at a time are split, joined with their high
/// bits, widened and scaled. Bytes read are a third to an eighth of bytes written; the stores are
/// the limit.

LANES void rows_scaled(float *output, bytes signed_values, lanes scale) {
  lanes_store(output, lanes_multiply(scale, lanes_of_signed(signed_values)));
}

LANES void rows_affine(float *output, bytes values, lanes scale, lanes minimum) {
  lanes_store(output, lanes_add(lanes_multiply(scale, lanes_of_unsigned(values)), minimum));
}

LANES uint16_t rows_bits(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

#define ROWS_FUNCTION(type) \
  void LANES_NAME(dequantize_##type, LANES_ISA)(size_t count, const void *source, float *output)

ROWS_FUNCTION(f16) {
  const uint16_t *words = source;
  size_t i = 0;
  for (; i + 16 <= count; i += 16) lanes_store(output + i, lanes_load_f16(words + i));
  if (i < count)
    lanes_store_first(output + i, count - i, lanes_load_f16_first(words + i, count - i));
}

ROWS_FUNCTION(bf16) {
  const uint16_t *words = source;
  size_t i = 0;
  for (; i + 16 <= count; i += 16) lanes_store(output + i, lanes_load_bf16(words + i));
  if (i < count)
    lanes_store_first(output + i, count - i, lanes_load_bf16_first(words + i, count - i));
}

ROWS_FUNCTION(q4_0) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 18) {
    lanes scale = lanes_set_f16(block);
    bytes packed = bytes_load(block + 2), eight = bytes_set(8);
    bytes low = bytes_and(packed, bytes_set(15)), high = bytes_shift_right(packed, 4);
    rows_scaled(output + i, bytes_subtract(low, eight), scale);
    rows_scaled(output + i + 16, bytes_subtract(high, eight), scale);
  }
}

ROWS_FUNCTION(q4_1) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 20) {
    lanes scale = lanes_set_f16(block);
    lanes minimum = lanes_set_f16(block + 2);
    bytes packed = bytes_load(block + 4);
    rows_affine(output + i, bytes_and(packed, bytes_set(15)), scale, minimum);
    rows_affine(output + i + 16, bytes_shift_right(packed, 4), scale, minimum);
  }
}

ROWS_FUNCTION(q5_0) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 22) {
    lanes scale = lanes_set_f16(block);
    bytes packed = bytes_load(block + 6), sixteen = bytes_set(16);
    bytes low = bytes_or(bytes_and(packed, bytes_set(15)), bytes_of_bits(rows_bits(block + 2)));
    bytes high = bytes_or(bytes_shift_right(packed, 4), bytes_of_bits(rows_bits(block + 4)));
    rows_scaled(output + i, bytes_subtract(low, sixteen), scale);
    rows_scaled(output + i + 16, bytes_subtract(high, sixteen), scale);
  }
}

ROWS_FUNCTION(q5_1) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 24) {
    lanes scale = lanes_set_f16(block);
    lanes minimum = lanes_set_f16(block + 2);
    bytes packed = bytes_load(block + 8);
    bytes low = bytes_or(bytes_and(packed, bytes_set(15)), bytes_of_bits(rows_bits(block + 4)));
    bytes high = bytes_or(bytes_shift_right(packed, 4), bytes_of_bits(rows_bits(block + 6)));
    rows_affine(output + i, low, scale, minimum);
    rows_affine(output + i + 16, high, scale, minimum);
  }
}

ROWS_FUNCTION(q8_0) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 34) {
    lanes scale = lanes_set_f16(block);
    rows_scaled(output + i, bytes_load(block + 2), scale);
    rows_scaled(output + i + 16, bytes_load(block + 18), scale);
  }
}

ROWS_FUNCTION(iq4_nl) {
  const uint8_t *block = source;
  const bytes table = bytes_load(martlet_iq4_nl_values);
  for (size_t i = 0; i < count; i += 32, block += 18) {
    lanes scale = lanes_set_f16(block);
    bytes packed = bytes_load(block + 2);
    bytes low = bytes_and(packed, bytes_set(15)), high = bytes_shift_right(packed, 4);
    rows_scaled(output + i, bytes_lookup(table, low), scale);
    rows_scaled(output + i + 16, bytes_lookup(table, high), scale);
  }
}

/// 32 values of a K block: one 6-bit scale and minimum for all.
LANES void rows_k32(float *output, bytes first, bytes second, float scale, float minimum) {
  lanes s = lanes_set(scale), m = lanes_set(minimum);
  lanes_store(output, lanes_subtract(lanes_multiply(s, lanes_of_unsigned(first)), m));
  lanes_store(output + 16, lanes_subtract(lanes_multiply(s, lanes_of_unsigned(second)), m));
}

ROWS_FUNCTION(q4_k) {
  const uint8_t *block = source;
  const bytes nibble = bytes_set(15);
  for (size_t i = 0; i < count; i += 256, block += 144) {
    const float d = lanes_scalar_f16(block), d_minimum = lanes_scalar_f16(block + 2);
    uint8_t scales[8], minimums[8];
    martlet_k_scales(block + 4, scales, minimums);
    for (size_t pair = 0; pair < 4; ++pair) {
      float *out = output + i + 64 * pair;
      bytes a = bytes_load(block + 16 + 32 * pair), b = bytes_load(block + 32 + 32 * pair);
      rows_k32(out, bytes_and(a, nibble), bytes_and(b, nibble), d * scales[2 * pair],
               d_minimum * minimums[2 * pair]);
      rows_k32(out + 32, bytes_shift_right(a, 4), bytes_shift_right(b, 4),
               d * scales[2 * pair + 1], d_minimum * minimums[2 * pair + 1]);
    }
  }
}

/// Bit 4 set in each byte of `low` whose byte of `high` has bit `bit` set.
#define ROWS_FIFTH(low, high, bit)                                           \
  bytes_or(low, bytes_shift_left(bytes_and(bytes_shift_right(high, bit), one), 4))
#define ROWS_Q5_K_PAIR(pair)                                                                     \
  {                                                                                              \
    float *out = output + i + 64 * (pair);                                                       \
    bytes a = bytes_load(block + 48 + 32 * (pair)), b = bytes_load(block + 64 + 32 * (pair));    \
    rows_k32(out, ROWS_FIFTH(bytes_and(a, nibble), high_a, 2 * (pair)),                          \
             ROWS_FIFTH(bytes_and(b, nibble), high_b, 2 * (pair)), d * scales[2 * (pair)],       \
             d_minimum * minimums[2 * (pair)]);                                                  \
    rows_k32(out + 32, ROWS_FIFTH(bytes_shift_right(a, 4), high_a, 2 * (pair) + 1),              \
             ROWS_FIFTH(bytes_shift_right(b, 4), high_b, 2 * (pair) + 1),                        \
             d * scales[2 * (pair) + 1], d_minimum * minimums[2 * (pair) + 1]);                  \
  }

ROWS_FUNCTION(q5_k) {
  const uint8_t *block = source;
  const bytes nibble = bytes_set(15), one = bytes_set(1);
  for (size_t i = 0; i < count; i += 256, block += 176) {
    const float d = lanes_scalar_f16(block), d_minimum = lanes_scalar_f16(block + 2);
    uint8_t scales[8], minimums[8];
    martlet_k_scales(block + 4, scales, minimums);
    bytes high_a = bytes_load(block + 16), high_b = bytes_load(block + 32);
    ROWS_Q5_K_PAIR(0)
    ROWS_Q5_K_PAIR(1)
    ROWS_Q5_K_PAIR(2)
    ROWS_Q5_K_PAIR(3)
  }
}
#undef ROWS_Q5_K_PAIR
#undef ROWS_FIFTH

/// 16 values of a Q6_K block: four low bits, two high bits in place at 4 and 5, less 32.
LANES void rows_q6(float *output, bytes low, bytes high, float scale) {
  rows_scaled(output, bytes_subtract(bytes_or(low, high), bytes_set(32)), lanes_set(scale));
}

ROWS_FUNCTION(q6_k) {
  const uint8_t *block = source;
  const bytes nibble = bytes_set(15), pair = bytes_set(0x30);
  for (size_t i = 0; i < count; i += 256, block += 210) {
    const float d = lanes_scalar_f16(block + 208);
    for (size_t part = 0; part < 4; ++part) {
      // Half of the block, then the first or second 16 of each run of 32.
      const size_t half = part / 2, side = part % 2;
      const int8_t *scales = (const int8_t *)block + 192 + 8 * half + side;
      bytes a = bytes_load(block + 64 * half + 16 * side);
      bytes b = bytes_load(block + 64 * half + 32 + 16 * side);
      bytes high = bytes_load(block + 128 + 32 * half + 16 * side);
      float *out = output + i + 128 * half + 16 * side;
      rows_q6(out, bytes_and(a, nibble), bytes_and(bytes_shift_left(high, 4), pair),
              d * scales[0]);
      rows_q6(out + 32, bytes_and(b, nibble), bytes_and(bytes_shift_left(high, 2), pair),
              d * scales[2]);
      rows_q6(out + 64, bytes_shift_right(a, 4), bytes_and(high, pair), d * scales[4]);
      rows_q6(out + 96, bytes_shift_right(b, 4), bytes_and(bytes_shift_right(high, 2), pair),
              d * scales[6]);
    }
  }
}
#undef ROWS_FUNCTION

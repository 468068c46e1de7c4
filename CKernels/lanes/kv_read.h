/// Reading a page's keys and values 16 at a time, on the 16-lane vocabulary.
#ifndef MARTLET_LANES_KV_READ_H
#define MARTLET_LANES_KV_READ_H

#include "dispatch/kv_layout.h"

/// Bytes of 16 elements in a row of values.
LANES size_t kv_vector_bytes(martlet_kv_type type) {
  switch (type) {
    case MARTLET_KV_F32: return 64;
    case MARTLET_KV_I8: return 16;
    case MARTLET_KV_I4: return 8;
    default: return 32;
  }
}

LANES int kv_quantized(martlet_kv_type type) {
  return type == MARTLET_KV_I8 || type == MARTLET_KV_I4;
}

LANES lanes kv_nibbles(bytes pairs, int high) {
  bytes codes = high ? bytes_shift_right(pairs, 4) : pairs;
  return lanes_of_signed(bytes_subtract(bytes_and(codes, bytes_set(15)), bytes_set(8)));
}

/// 16 positions, from `position` on, of dimension d. `type` is a constant wherever this is inlined.
LANES lanes kv_load_keys(martlet_kv_type type, const char *keys, size_t d, size_t position) {
  const size_t index = d * kv_positions + position;
  switch (type) {
    case MARTLET_KV_F32: return lanes_load((const float *)keys + index);
    case MARTLET_KV_F16: return lanes_load_f16((const uint16_t *)keys + index);
    case MARTLET_KV_BF16: return lanes_load_bf16((const uint16_t *)keys + index);
    case MARTLET_KV_I8: return lanes_of_signed(bytes_load(keys + index));
    default: return kv_nibbles(bytes_load(keys + d / 2 * kv_positions + position), d % 2);
  }
}

/// Vector v of a position's values.
LANES lanes kv_load_values(martlet_kv_type type, const char *row, size_t v) {
  switch (type) {
    case MARTLET_KV_F32: return lanes_load((const float *)row + 16 * v);
    case MARTLET_KV_F16: return lanes_load_f16((const uint16_t *)row + 16 * v);
    case MARTLET_KV_BF16: return lanes_load_bf16((const uint16_t *)row + 16 * v);
    case MARTLET_KV_I8: return lanes_of_signed(bytes_load(row + 16 * v));
    default: {
      bytes pairs = bytes_load(row + v / 2 * 16);
      return v % 2 ? kv_nibbles(pairs, 1) : kv_nibbles(pairs, 0);
    }
  }
}

#endif

/// Writing a position's keys and values into its page, on the 16-lane vocabulary. Values go out as
/// they come; keys are rounded 16 at a time and scattered, one element per dimension's row. The
/// quantised types share one plain body, which the compiler fits to the ISA.
#include "dispatch/kv_layout.h"

/// Rounds 16 elements to the page's type.
LANES void kv_store(martlet_kv_type type, void *target, lanes v) {
  if (type == MARTLET_KV_F32) lanes_store((float *)target, v);
  else if (type == MARTLET_KV_F16) lanes_store_f16_first(target, 16, v);
  else lanes_store_bf16_first(target, 16, v);
}

LANES void kv_write_typed(martlet_kv_type type, const kv_shape *shape, char *page, uint32_t slot,
                          const float *keys, const float *values) {
  const size_t dimensions = shape->dimensions, element = type == MARTLET_KV_F32 ? 4 : 2;
  for (size_t head = 0; head < shape->heads; ++head) {
    char *row = page + shape->values + head * shape->value_head_bytes +
                slot * shape->value_row_bytes;
    char *column = page + head * shape->key_head_bytes + slot * element;
    for (size_t d = 0; d < dimensions; d += 16) {
      const size_t n = dimensions - d < 16 ? dimensions - d : 16, from = head * dimensions + d;
      kv_store(type, row + d * element, lanes_load_first(values + from, n));
      _Alignas(64) char rounded[64];
      kv_store(type, rounded, lanes_load_first(keys + from, n));
      for (size_t i = 0; i < n; ++i)
        memcpy(column + (d + i) * kv_positions * element, rounded + i * element, element);
    }
  }
}

void LANES_NAME(kv_write, LANES_ISA)(const martlet_kv_layout *layout, void *page, uint32_t slot,
                                     const float *keys, const float *values) {
  const kv_shape shape = kv_shape_of(layout);
  const size_t dimensions = shape.dimensions;
  switch (layout->type) {
    case MARTLET_KV_F32: kv_write_typed(MARTLET_KV_F32, &shape, page, slot, keys, values); break;
    case MARTLET_KV_F16: kv_write_typed(MARTLET_KV_F16, &shape, page, slot, keys, values); break;
    case MARTLET_KV_BF16: kv_write_typed(MARTLET_KV_BF16, &shape, page, slot, keys, values); break;
    case MARTLET_KV_I8:
      for (size_t head = 0; head < shape.heads; ++head)
        kv_write_quantized(MARTLET_KV_I8, &shape, page, head, slot, keys + head * dimensions,
                           values + head * dimensions);
      break;
    case MARTLET_KV_I4:
      for (size_t head = 0; head < shape.heads; ++head)
        kv_write_quantized(MARTLET_KV_I4, &shape, page, head, slot, keys + head * dimensions,
                           values + head * dimensions);
      break;
  }
}

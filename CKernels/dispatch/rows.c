/// The public doors of the rows family.
#include <martlet/rows.h>

#include "dispatch/families.h"

/// The serving variant for a type, or null for an unknown type.
static martlet_dequantize_function *chosen(martlet_weight_type type) {
  switch (type) {
    case MARTLET_WEIGHT_F32: return MARTLET_CHOSEN(dequantize_f32, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_F16: return MARTLET_CHOSEN(dequantize_f16, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_BF16: return MARTLET_CHOSEN(dequantize_bf16, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q4_0: return MARTLET_CHOSEN(dequantize_q4_0, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q4_1: return MARTLET_CHOSEN(dequantize_q4_1, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q5_0: return MARTLET_CHOSEN(dequantize_q5_0, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q5_1: return MARTLET_CHOSEN(dequantize_q5_1, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q8_0: return MARTLET_CHOSEN(dequantize_q8_0, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q4_K: return MARTLET_CHOSEN(dequantize_q4_k, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q5_K: return MARTLET_CHOSEN(dequantize_q5_k, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_Q6_K: return MARTLET_CHOSEN(dequantize_q6_k, MARTLET_NUMERIC_PORTABLE);
    case MARTLET_WEIGHT_IQ4_NL: return MARTLET_CHOSEN(dequantize_iq4_nl, MARTLET_NUMERIC_PORTABLE);
  }
  return NULL;
}

martlet_status martlet_dequantize(martlet_weight_type type, size_t count, const void *source,
                                  float *output) {
  const size_t elements = martlet_weight_block_elements(type);
  if (elements == 0 || count % elements) return MARTLET_E_ARGUMENT;
  if (count == 0) return MARTLET_OK;
  if (!source || !output) return MARTLET_E_ARGUMENT;
  chosen(type)(count, source, output);
  return MARTLET_OK;
}

martlet_status martlet_gather_rows(martlet_weight_type type, size_t table_rows, size_t depth,
                                   const void *table, const int32_t *indices, size_t count,
                                   float *output, size_t output_stride) {
  const size_t elements = martlet_weight_block_elements(type);
  if (elements == 0 || depth % elements) return MARTLET_E_ARGUMENT;
  if (count == 0 || depth == 0) return MARTLET_OK;
  if (!table || !indices || !output) return MARTLET_E_ARGUMENT;
  if (count > 1 && output_stride < depth) return MARTLET_E_ARGUMENT;
  for (size_t i = 0; i < count; ++i)
    if (indices[i] < 0 || (size_t)indices[i] >= table_rows) return MARTLET_E_ARGUMENT;
  const size_t row_bytes = depth / elements * martlet_weight_block_bytes(type);
  martlet_dequantize_function *dequantize = chosen(type);
  for (size_t i = 0; i < count; ++i)
    dequantize(depth, (const char *)table + (size_t)indices[i] * row_bytes,
               output + i * output_stride);
  return MARTLET_OK;
}

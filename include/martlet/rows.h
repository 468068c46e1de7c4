/// Dequantising and gathering rows of tensors as GGUF stores them, and packing nothing.
#ifndef MARTLET_ROWS_H
#define MARTLET_ROWS_H

#include "common.h"

/// Writes `count` float32 values of `type` from `source` (unaligned is fine). `count` is a multiple
/// of the type's block. Bit-identical on every ISA.
MARTLET_API martlet_status martlet_dequantize(martlet_weight_type type, size_t count,
                                              const void *source, float *output);

/// output[i] = dequantised row indices[i] of a table of `table_rows` rows of `depth` elements.
/// An index outside the table is MARTLET_E_ARGUMENT and nothing is written.
MARTLET_API martlet_status martlet_gather_rows(martlet_weight_type type, size_t table_rows,
                                               size_t depth, const void *table,
                                               const int32_t *indices, size_t count, float *output,
                                               size_t output_stride);

#endif

/// Packing of one tile; the door has checked every argument.
#ifndef MARTLET_GEMM_PACK_H
#define MARTLET_GEMM_PACK_H

#include "dispatch/gemm_layout.h"
#include "dispatch/variant.h"

/// Packs up to 16 outputs into one tile. `source` is the first output's row, `row_bytes` lie from
/// row to row, `outputs` (1 to 16) are present; the others become zero.
MARTLET_HIDDEN void martlet_gemm_pack_tile(martlet_weight_type type, const void *source,
                                           size_t row_bytes, size_t outputs, size_t depth,
                                           void *tile);

#endif

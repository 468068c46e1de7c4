/// Reference of the graph family.
#include "dispatch/graph_variants.h"

void martlet_graph_distances_reference(size_t bytes, const int8_t *row, const int8_t *rows,
                                       size_t count, const uint32_t *ids, int32_t *distances) {
  for (size_t i = 0; i < count; ++i) {
    const int8_t *other = rows + ids[i] * bytes;
    int32_t sum = 0;
    for (size_t d = 0; d < bytes; ++d) sum += (row[d] - other[d]) * (row[d] - other[d]);
    distances[i] = sum;
  }
}

void martlet_graph_pass_reference(size_t blocks, const uint16_t *scores, uint16_t least,
                                  uint32_t *masks) {
  for (size_t b = 0; b < blocks; ++b) {
    uint32_t mask = 0;
    for (unsigned i = 0; i < 32; ++i) mask |= (uint32_t)(scores[32 * b + i] >= least) << i;
    masks[b] = mask;
  }
}

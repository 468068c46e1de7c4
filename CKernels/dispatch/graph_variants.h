/// The graph family's operations and variants. See variant.h for how to read the lists. Walking
/// itself is plain C over these and retrieve_scan.
#ifndef MARTLET_DISPATCH_GRAPH_VARIANTS_H
#define MARTLET_DISPATCH_GRAPH_VARIANTS_H

#include "dispatch/variant.h"

#include <martlet/graph.h>

/// distances[i] = Σ (row[d] - rows[ids[i] · bytes + d])² over `bytes` numbers of -63 ... 63; `bytes`
/// is a multiple of 64, at most 256, rows are aligned to 64 bytes.
typedef void martlet_graph_distances_function(size_t bytes, const int8_t *row, const int8_t *rows,
                                              size_t count, const uint32_t *ids,
                                              int32_t *distances);
/// Bit i of masks[b]: whether scores[32 · b + i] is at least `least`.
typedef void martlet_graph_pass_function(size_t blocks, const uint16_t *scores, uint16_t least,
                                         uint32_t *masks);

#define MARTLET_GRAPH_OPERATIONS(O) \
  O(graph, graph_distances)         \
  O(graph, graph_pass)

/// Every operation on one ISA.
#define MARTLET_GRAPH_ON(X, isa, requires)                              \
  X(graph, graph_distances, isa, MARTLET_NUMERIC_PORTABLE, requires)    \
  X(graph, graph_pass, isa, MARTLET_NUMERIC_PORTABLE, requires)

#if defined(__x86_64__)
#define MARTLET_GRAPH_VARIANTS(X)                \
  MARTLET_GRAPH_ON(X, reference, 0)              \
  MARTLET_GRAPH_ON(X, avx2, MARTLET_ISA_AVX2)    \
  MARTLET_GRAPH_ON(X, avx512, MARTLET_ISA_AVX512)
#elif defined(__aarch64__)
#define MARTLET_GRAPH_VARIANTS(X)   \
  MARTLET_GRAPH_ON(X, reference, 0) \
  MARTLET_GRAPH_ON(X, neon, MARTLET_ISA_NEON)
#else
#define MARTLET_GRAPH_VARIANTS(X) MARTLET_GRAPH_ON(X, reference, 0)
#endif

MARTLET_GRAPH_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

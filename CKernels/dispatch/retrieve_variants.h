/// The retrieve family's operations and variants. See variant.h for how to read the lists.
#ifndef MARTLET_DISPATCH_RETRIEVE_VARIANTS_H
#define MARTLET_DISPATCH_RETRIEVE_VARIANTS_H

#include "dispatch/variant.h"

#include <martlet/retrieve.h>

typedef void martlet_retrieve_encode_function(const void *codebook,
                                              const martlet_kv_layout *layout, const void *page,
                                              int turned, uint32_t kv_head, uint32_t slots,
                                              void *codes, void *bounds);
typedef void martlet_retrieve_query_function(const void *codebook, const float *query,
                                             void *prepared);
typedef void martlet_retrieve_scan_function(const martlet_retrieve_scan_arguments *arguments);
enum { retrieve_sieve_slack = 576 };  ///< What a list needs room for behind its last place.
#define retrieve_sieve_full SIZE_MAX

/// A scan that keeps what scores at least as much as a bound, query by query.
typedef struct retrieve_sieve {
  const martlet_retrieve_scan_arguments *scan;  ///< Its scores are not written.
  const uint16_t *least;  ///< Bounds, by query.
  uint32_t first_place;   ///< Of position 0 of page_begin.
  size_t room;            ///< Per list; room + retrieve_sieve_slack from a query's to the next one's.
  uint32_t *places;
  uint16_t *kept;         ///< Their scores.
  /// How many there are by query, before and after: what is found is appended in order of place. A list
  /// that would pass `room` is full: its contents are of no use, and stay so.
  size_t *counts;
} retrieve_sieve;
typedef void martlet_retrieve_sieve_function(const retrieve_sieve *sieve);
typedef void martlet_retrieve_scan_bounds_function(
    const martlet_retrieve_scan_arguments *arguments);
typedef void martlet_retrieve_rank_function(const void *prepared, const martlet_kv_layout *layout,
                                            uint32_t kv_head, const void *const *pages,
                                            size_t page_offset, size_t count,
                                            const uint32_t *positions, float *scores);
/// 0 < k < count; writes k places.
typedef void martlet_retrieve_select_function(size_t count, const uint16_t *scores, size_t k,
                                              void *scratch, uint32_t *places);

#define MARTLET_RETRIEVE_OPERATIONS(O) \
  O(retrieve, retrieve_encode)         \
  O(retrieve, retrieve_query)          \
  O(retrieve, retrieve_scan)           \
  O(retrieve, retrieve_sieve)          \
  O(retrieve, retrieve_scan_bounds)    \
  O(retrieve, retrieve_rank)           \
  O(retrieve, retrieve_select)

/// Every operation on one ISA.
#define MARTLET_RETRIEVE_ON(X, isa, requires)                                \
  X(retrieve, retrieve_encode, isa, MARTLET_NUMERIC_PORTABLE, requires)      \
  X(retrieve, retrieve_query, isa, MARTLET_NUMERIC_PORTABLE, requires)       \
  X(retrieve, retrieve_scan, isa, MARTLET_NUMERIC_PORTABLE, requires)        \
  X(retrieve, retrieve_sieve, isa, MARTLET_NUMERIC_PORTABLE, requires)       \
  X(retrieve, retrieve_scan_bounds, isa, MARTLET_NUMERIC_PORTABLE, requires) \
  X(retrieve, retrieve_rank, isa, MARTLET_NUMERIC_PORTABLE, requires)        \
  X(retrieve, retrieve_select, isa, MARTLET_NUMERIC_PORTABLE, requires)

#define MARTLET_RETRIEVE_VBMI \
  (MARTLET_ISA_AVX512 | MARTLET_ISA_AVX512_VBMI | MARTLET_ISA_AVX512_VNNI)

#if defined(__x86_64__)
#define MARTLET_RETRIEVE_VARIANTS(X)                                                    \
  MARTLET_RETRIEVE_ON(X, reference, 0)                                                  \
  MARTLET_RETRIEVE_ON(X, avx2, MARTLET_ISA_AVX2)                                        \
  MARTLET_RETRIEVE_ON(X, avx512, MARTLET_ISA_AVX512)                                    \
  X(retrieve, retrieve_scan, avx512_vbmi, MARTLET_NUMERIC_PORTABLE, MARTLET_RETRIEVE_VBMI)  \
  X(retrieve, retrieve_sieve, avx512_vbmi, MARTLET_NUMERIC_PORTABLE, MARTLET_RETRIEVE_VBMI)
#elif defined(__aarch64__)
#define MARTLET_RETRIEVE_VARIANTS(X)   \
  MARTLET_RETRIEVE_ON(X, reference, 0) \
  MARTLET_RETRIEVE_ON(X, neon, MARTLET_ISA_NEON)
#else
#define MARTLET_RETRIEVE_VARIANTS(X) MARTLET_RETRIEVE_ON(X, reference, 0)
#endif

MARTLET_RETRIEVE_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

/// The verify family's operations and variants. See variant.h for how to read the lists. These are
/// the passes over rows; dispatch/verify_walk.h says when each is made.
#ifndef MARTLET_DISPATCH_VERIFY_VARIANTS_H
#define MARTLET_DISPATCH_VERIFY_VARIANTS_H

#include "dispatch/variant.h"

#include <martlet/verify.h>

/// Sums over rows, and the smallest entry read: a NaN makes the sums NaN. Of a residual the lanes are
/// in four sets as in sampling.h, of other rows in one.
typedef struct martlet_verify_sums {
  double residual, base, draft;
  float lowest;  ///< At most 0; NaN passed over.
} martlet_verify_sums;

/// residual = max(base - times · draft, 0), the product fused; `draft` may be null, then residual =
/// base. Stores it if `output` is not null (which may be `base`), and per block of 256 its sum and,
/// if both are there, that of `draft`.
typedef void martlet_verify_residual_f32_function(size_t width, const float *base, float times,
                                                  const float *draft, float *output,
                                                  float *block_sums, float *draft_block_sums,
                                                  martlet_verify_sums *sums);

/// Ratios base/draft in levels: a token is at level n if base ≥ bounds[i] · draft for the first
/// n bounds, which ascend. `cap` limits what counts of a token's base to cap · draft.
typedef struct martlet_verify_bounds {
  float bounds[MARTLET_VERIFY_LEVELS - 1];
  float cap;
} martlet_verify_bounds;

/// Sums over the tokens at level i and above; i = 0 is all. `base` is capped, `whole` is the sum of
/// base as it is.
typedef struct martlet_verify_shares {
  double base[MARTLET_VERIFY_LEVELS], draft[MARTLET_VERIFY_LEVELS], whole;
  float lowest;
} martlet_verify_shares;

typedef void martlet_verify_levels_f32_function(size_t width, const float *base,
                                                const float *draft,
                                                const martlet_verify_bounds *bounds,
                                                martlet_verify_shares *shares);
/// residual = max(base - factors[level] · draft, 0) and the sums of its blocks, as above.
typedef void martlet_verify_weighted_f32_function(size_t width, const float *base,
                                                  const float *draft,
                                                  const martlet_verify_bounds *bounds,
                                                  const float factors[MARTLET_VERIFY_LEVELS],
                                                  float *output, float *block_sums);
/// Where the largest of a row first stands; MARTLET_VERIFY_NONE if the row holds NaN or +inf, or
/// nothing finite.
typedef void martlet_verify_largest_f32_function(size_t width, const float *row, uint32_t *place);
/// Σ p into sums->base, and -Σ p ln p, where p below 2⁻¹²⁶ counts as 0, into sums->residual.
typedef void martlet_verify_entropy_f32_function(size_t width, const float *row,
                                                 martlet_verify_sums *sums);

#define MARTLET_VERIFY_OPERATIONS(O) \
  O(verify, verify_residual_f32)     \
  O(verify, verify_levels_f32)       \
  O(verify, verify_weighted_f32)     \
  O(verify, verify_largest_f32)      \
  O(verify, verify_entropy_f32)

/// Every operation on one ISA.
#define MARTLET_VERIFY_ON(X, isa, requires)                                     \
  X(verify, verify_residual_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)       \
  X(verify, verify_levels_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)         \
  X(verify, verify_weighted_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)       \
  X(verify, verify_largest_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)        \
  X(verify, verify_entropy_f32, isa, MARTLET_NUMERIC_PORTABLE, requires)

#if defined(__x86_64__)
#define MARTLET_VERIFY_VARIANTS(X)                \
  MARTLET_VERIFY_ON(X, reference, 0)              \
  MARTLET_VERIFY_ON(X, avx2, MARTLET_ISA_AVX2)    \
  MARTLET_VERIFY_ON(X, avx512, MARTLET_ISA_AVX512)
#elif defined(__aarch64__)
#define MARTLET_VERIFY_VARIANTS(X)   \
  MARTLET_VERIFY_ON(X, reference, 0) \
  MARTLET_VERIFY_ON(X, neon, MARTLET_ISA_NEON)
#else
#define MARTLET_VERIFY_VARIANTS(X) MARTLET_VERIFY_ON(X, reference, 0)
#endif

MARTLET_VERIFY_VARIANTS(MARTLET_DECLARE_VARIANT)

#endif

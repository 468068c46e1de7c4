/// Statistical tests of what claims to follow a distribution, and those of the verify family.
///
/// A test gives the probability of a deviation at least as large as the one seen, if the claim holds.
/// With fixed seeds a test that passes once passes always; MARTLET_LAW_ALARM is how often a right
/// sampler fails it over all seeds.
#ifndef MARTLET_LAW_H
#define MARTLET_LAW_H

#include <martlet/common.h>

#define MARTLET_LAW_ALARM 1e-6

/// P(χ² > x) with `freedom` degrees of freedom; relative error below 1e-10 down to 1e-300.
MARTLET_EXTERN double martlet_law_chi_square_tail(double x, double freedom);

/// The G-test of counts against weights, which need no normalisation. Cells that expect fewer than
/// 16 are pooled. 0 if something of weight 0 was seen; 1 if there is but one cell.
MARTLET_EXTERN double martlet_law_fits(const uint64_t *counts, const double *weights,
                                       size_t cells);
/// The G-test of two sets of counts having one law. Cells with fewer than 32 in both are pooled.
MARTLET_EXTERN double martlet_law_agrees(const uint64_t *counts, const uint64_t *others,
                                         size_t cells);

/// One test of the verify family.
typedef void (*martlet_law_callback)(void *context, const char *test, double probability);

/// Draws from every verifier on every pair of laws, and whole texts of trees over a Markov chain,
/// `draws` times each, and compares with the target. Mistake 0 is the product itself; the others are
/// seeded mistakes, 1 ..< martlet_law_verify_mistakes(), each in a copy of the walk.
/// MARTLET_E_INTERNAL if a verifier refuses what it was given.
MARTLET_EXTERN martlet_status martlet_law_verify(uint32_t mistake, uint64_t seed, uint32_t draws,
                                                 martlet_law_callback callback, void *context);
MARTLET_EXTERN uint32_t martlet_law_verify_mistakes(void);
MARTLET_EXTERN const char *martlet_law_verify_mistake_name(uint32_t mistake);

#endif

/// The logarithm that entropy is made of, for every variant.
///
///   x = m · 2ᵉ, m in [2/3, 4/3); f = m - 1
///   ln x = e · ln 2 + (f + f² · (f · P(f) - 1/2)), P of degree 6, Horner with fused multiply-adds
///
/// P is a minimax fit of (ln(1 + f) - f + f²/2) / f³, rounded to float32. For normal positive x.
#ifndef MARTLET_REFERENCE_VERIFY_H
#define MARTLET_REFERENCE_VERIFY_H

#define MARTLET_LOG_ORIGIN 0x3f2aaaab  ///< The bits of 2/3.
#define MARTLET_LOG_LN2 0x1.62e43p-1f
#define MARTLET_LOG_C3 0x1.555528p-2f
#define MARTLET_LOG_C4 -0x1.000b1cp-2f
#define MARTLET_LOG_C5 0x1.99c31ep-3f
#define MARTLET_LOG_C6 -0x1.515a66p-3f
#define MARTLET_LOG_C7 0x1.1f962p-3f
#define MARTLET_LOG_C8 -0x1.35b3fep-3f
#define MARTLET_LOG_C9 0x1.1b09f6p-3f

/// The smallest probability that entropy counts.
#define MARTLET_LOG_LEAST 0x1p-126f

#endif

/// What every softmax variant shares: the logarithm and the rows that hold +inf.
#ifndef MARTLET_REFERENCE_SOFTMAX_H
#define MARTLET_REFERENCE_SOFTMAX_H

#include "dispatch/variant.h"

/// log(sum), evaluated in float64 and rounded once.
MARTLET_HIDDEN float martlet_softmax_log(float sum);
/// A row whose largest value of input·scale is +inf: those entries share the mass equally, unless
/// the row holds a NaN.
MARTLET_HIDDEN void martlet_softmax_infinite_row(size_t width, float scale, const float *input,
                                                 float *output, int logarithm);

#endif

/// What every sampling variant shares: all that is done once per block or row, in float64.
#ifndef MARTLET_REFERENCE_SAMPLING_H
#define MARTLET_REFERENCE_SAMPLING_H

#include "dispatch/sampling_variants.h"

/// Where `maximum` first stands among `count` logits, one of which it is.
MARTLET_HIDDEN uint32_t martlet_sampling_first(const float *logits, size_t count, float maximum);
/// Completes a shape whose `maximum` and `most_likely` are set, from the sums over the row of
/// exp(x) and x·exp(x), x = l - maximum.
MARTLET_HIDDEN void martlet_sampling_finish(martlet_logits_shape *shape, double sum,
                                            double moment);
/// The block that holds the draw; `target` becomes what is to be passed inside it.
MARTLET_HIDDEN size_t martlet_sampling_block(const float *sums, size_t blocks, double uniform,
                                             double *target);
/// The first of `count` weights at which their running sum exceeds `target`; the last positive one
/// when rounding leaves none.
MARTLET_HIDDEN uint32_t martlet_sampling_pick(const float *weights, size_t count, double target);

#endif

/// The lane structure that every reduction in the portable class has: 16 lanes, element i in lane
/// i mod 16, folded 16 → 8 → 4 → 2 → 1 by adding lane i + half to lane i.
#ifndef MARTLET_REFERENCE_LANES_H
#define MARTLET_REFERENCE_LANES_H

#define MARTLET_LANES 16

/// The sum of 16 lanes in the fixed order.
static inline float martlet_fold_lanes(const float lanes[MARTLET_LANES]) {
  float folded[MARTLET_LANES];
  for (int i = 0; i < MARTLET_LANES; ++i) folded[i] = lanes[i];
  for (int half = MARTLET_LANES / 2; half >= 1; half /= 2)
    for (int i = 0; i < half; ++i) folded[i] = folded[i] + folded[i + half];
  return folded[0];
}

#endif

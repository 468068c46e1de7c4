/// Statistical tests.
#include "martlet_law.h"

#include <math.h>

/// Q(a, x) by its series, for x < a + 1, or its continued fraction (modified Lentz).
static double upper_gamma(double a, double x) {
  const double front = exp(a * log(x) - x - lgamma(a));
  if (x < a + 1) {
    double term = 1 / a, sum = term;
    for (double n = a + 1; term > sum * 1e-17; ++n) sum += term *= x / n;
    return 1 - front * sum;
  }
  double b = x + 1 - a, c = 1e300, d = 1 / b, fraction = d;
  for (int i = 1; i < 10000; ++i) {
    const double an = -i * (i - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    fraction *= c * d;
    if (fabs(c * d - 1) < 1e-15) break;
  }
  return front * fraction;
}

double martlet_law_chi_square_tail(double x, double freedom) {
  return x <= 0 || freedom <= 0 ? 1 : upper_gamma(freedom / 2, x / 2);
}

/// A cell's part of G.
static double deviation(double seen, double expected) {
  return seen > 0 ? 2 * seen * log(seen / expected) : 0;
}

double martlet_law_fits(const uint64_t *counts, const double *weights, size_t cells) {
  double total = 0, seen = 0;
  for (size_t i = 0; i < cells; ++i) {
    if (weights[i] <= 0 && counts[i] > 0) return 0;
    total += weights[i];
    seen += (double)counts[i];
  }
  double statistic = 0, pooled = 0, pooled_seen = 0, used = 0;
  double least = INFINITY, least_seen = 0;
  for (size_t i = 0; i < cells; ++i) {
    const double expected = weights[i] / total * seen;
    if (expected < 16) {
      pooled += expected;
      pooled_seen += (double)counts[i];
      continue;
    }
    statistic += deviation((double)counts[i], expected);
    ++used;
    if (expected < least) {
      least = expected;
      least_seen = (double)counts[i];
    }
  }
  if (pooled >= 16 || used == 0) {
    statistic += deviation(pooled_seen, pooled);
    ++used;
  } else if (pooled > 0) {
    // Too little for a cell of its own: it joins the smallest.
    statistic -= deviation(least_seen, least);
    statistic += deviation(least_seen + pooled_seen, least + pooled);
  }
  return martlet_law_chi_square_tail(statistic, used - 1);
}

double martlet_law_agrees(const uint64_t *counts, const uint64_t *others, size_t cells) {
  double sum = 0, other_sum = 0;
  for (size_t i = 0; i < cells; ++i) {
    sum += (double)counts[i];
    other_sum += (double)others[i];
  }
  if (sum == 0 || other_sum == 0) return 1;
  const double share = sum / (sum + other_sum);
  double statistic = 0, used = 0, pooled = 0, other_pooled = 0;
  for (size_t i = 0; i <= cells; ++i) {
    double a = pooled, b = other_pooled;
    if (i < cells) {
      a = (double)counts[i];
      b = (double)others[i];
      if (a + b < 32) {
        pooled += a;
        other_pooled += b;
        continue;
      }
    }
    if (a + b == 0) continue;
    statistic += deviation(a, (a + b) * share) + deviation(b, (a + b) * (1 - share));
    ++used;
  }
  return martlet_law_chi_square_tail(statistic, used - 1);
}

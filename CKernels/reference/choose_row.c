/// Sampling by rules: what is done once per row, by every variant.
#include "reference/choose.h"

#pragma STDC FP_CONTRACT OFF

double martlet_portable_log(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  double exponent = (double)((int)(bits >> 52) - 1023);
  bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 0x1.6a09e667f3bcdp0) {
    m *= 0.5;
    exponent += 1;
  }
  const double s = (m - 1) / (m + 1), square = s * s;
  double series = 1.0 / 21;
  for (int k = 19; k >= 1; k -= 2) series = series * square + 1.0 / k;
  return exponent * 0x1.62e42fefa39efp-1 + 2 * s * series;
}

double martlet_portable_exp(double x) {
  if (!(x > -700)) return 0;
  if (x > 700) x = 700;
  double n = x * MARTLET_LOG2_E;
  n = (n + 0x1.8p52) - 0x1.8p52;
  double r = x - n * 0x1.62e42fefa38p-1;
  r = r - n * 0x1.ef35793c7673p-45;
  double series = 1;
  for (int k = 17; k >= 1; --k) series = 1 + series * r / k;
  uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
  double power;
  memcpy(&power, &bits, sizeof power);
  return series * power;
}

double martlet_choose_temperature(const martlet_sampling_rules *rules, size_t width,
                                  double entropy, double divergence) {
  double temperature = (double)rules->temperature;
  if (temperature == 0) return 0;
  if (rules->dynamic_range > 0) {
    const double range = (double)rules->dynamic_range;
    const double low = temperature > range ? temperature - range : 0, high = temperature + range;
    double share = width > 1 ? entropy / martlet_portable_log((double)width) : 0;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    if (rules->dynamic_exponent != 1)
      share = share > 0 ? martlet_portable_exp((double)rules->dynamic_exponent *
                                               martlet_portable_log(share))
                        : 0;
    temperature = low + (high - low) * share;
  }
  if (rules->kl_scale > 0)
    temperature *=
        martlet_portable_exp(-MARTLET_LN_2 * (divergence > 0 ? divergence : 0) /
                             (double)rules->kl_scale);
  return temperature < 0x1p-126 ? 0x1p-126 : temperature;
}

/// Random inputs: a splitmix64 stream and the kinds of values kernels are tried with.
#include "check.h"

#include <math.h>
#include <string.h>

const size_t check_lengths[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,   9,   10,  11,   12,  13,
                                14, 15, 16, 17, 18, 19, 20, 21, 22,  23,  24,  25,   26,  27,
                                28, 29, 30, 31, 32, 33, 47, 48, 100, 255, 257, 1000, 4097};
const size_t check_length_count = sizeof(check_lengths) / sizeof(check_lengths[0]);

uint64_t check_random(martlet_check *check) {
  uint64_t z = check->random += 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

size_t check_below(martlet_check *check, size_t bound) {
  return (size_t)(((unsigned __int128)check_random(check) * bound) >> 64);
}

float check_uniform(martlet_check *check) {
  return (float)((int64_t)(check_random(check) >> 40) - (1 << 23)) * 0x1p-23f;
}

float check_normal(martlet_check *check) {
  // Sum of four uniforms: variance 4/3.
  float sum = check_uniform(check) + check_uniform(check) + check_uniform(check) +
              check_uniform(check);
  return sum * 0.8660254f;
}

const char *check_kind_name(check_kind kind) {
  switch (kind) {
    case CHECK_NORMAL: return "normal";
    case CHECK_WIDE: return "wide";
    case CHECK_EQUAL: return "all equal";
    case CHECK_ZEROS: return "signed zeros";
    case CHECK_SUBNORMAL: return "subnormal";
    case CHECK_HUGE: return "huge";
    case CHECK_CANCELLING: return "cancelling";
    case CHECK_ONE_NAN: return "one NaN";
    case CHECK_ONE_INFINITY: return "one infinity";
    case CHECK_INFINITIES: return "infinities";
    case CHECK_ALL_LOWEST: return "all -inf";
    case CHECK_BITS: return "any bits";
    case CHECK_KIND_COUNT: break;
  }
  return "unknown";
}

static float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

void check_fill(martlet_check *check, check_kind kind, float *values, size_t count) {
  const float shared = check_normal(check);
  for (size_t i = 0; i < count; ++i) {
    uint64_t bits = check_random(check);
    float sign = bits & 1 ? -1.0f : 1.0f;
    switch (kind) {
      case CHECK_WIDE: values[i] = ldexpf(check_uniform(check), (int)(bits >> 8 & 63) - 24); break;
      case CHECK_EQUAL: values[i] = shared; break;
      case CHECK_ZEROS: values[i] = sign * 0.0f; break;
      case CHECK_SUBNORMAL:
        values[i] = bits & 6 ? sign * float_of_bits((uint32_t)(bits >> 41)) : sign * 0.0f;
        break;
      case CHECK_HUGE:
        values[i] = sign * float_of_bits(0x7f000000u | (uint32_t)(bits >> 42));
        break;
      case CHECK_CANCELLING:
        values[i] = bits & 6 ? check_normal(check) : (i % 2 ? -0x1p20f : 0x1p20f);
        break;
      case CHECK_INFINITIES: values[i] = bits & 6 ? check_normal(check) : sign * INFINITY; break;
      case CHECK_ALL_LOWEST: values[i] = -INFINITY; break;
      case CHECK_BITS: values[i] = float_of_bits((uint32_t)(bits >> 32)); break;
      default: values[i] = check_normal(check); break;
    }
  }
  if (count == 0) return;
  const size_t special = check_below(check, count);
  if (kind == CHECK_ONE_NAN) values[special] = NAN;
  if (kind == CHECK_ONE_INFINITY) values[special] = check_random(check) & 1 ? INFINITY : -INFINITY;
}

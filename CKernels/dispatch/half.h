/// float16 and bfloat16 bits to float32, exactly, without any ISA.
#ifndef MARTLET_HALF_H
#define MARTLET_HALF_H

#include <stdint.h>
#include <string.h>

static inline float martlet_float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline float martlet_float_of_bf16(uint16_t bits) {
  return martlet_float_of_bits((uint32_t)bits << 16);
}

static inline float martlet_float_of_f16(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, magnitude = bits & 0x7FFFu;
  if (magnitude >= 0x7C00u)
    return martlet_float_of_bits(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
  if (magnitude >= 0x0400u)
    return martlet_float_of_bits(sign | ((magnitude << 13) + ((127u - 15u) << 23)));
  // A subnormal is a multiple of 2^-24; the product is exact.
  float value = (float)magnitude * 0x1p-24f;
  return sign ? -value : value;
}

#endif

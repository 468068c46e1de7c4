/// float16 and bfloat16 to and from float32 in integer arithmetic: what the conversion
/// instructions of every ISA give, round to nearest even.
#ifndef MARTLET_REFERENCE_HALF_H
#define MARTLET_REFERENCE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float martlet_float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t martlet_bits_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float martlet_float_of_half(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00) {  // Infinity, or NaN made quiet.
    uint32_t quiet = magnitude > 0x7c00 ? 0x400000 : 0;
    return martlet_float_of_bits(sign | 0x7f800000 | quiet | (magnitude & 0x3ff) << 13);
  }
  if (magnitude >= 0x400) return martlet_float_of_bits(sign | ((magnitude << 13) + (112u << 23)));
  // Subnormal: magnitude · 2⁻²⁴, exact in float32.
  float value = (float)magnitude * 0x1p-24f;
  return martlet_float_of_bits(sign | martlet_bits_of_float(value));
}

static inline uint16_t martlet_half_of_float(float value) {
  uint32_t bits = martlet_bits_of_float(value);
  uint32_t sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
  if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);  // 65520 and above.
  if (magnitude < 0x38800000) {
    // Below 2⁻¹⁴: adding 0.5 leaves the multiple of 2⁻²⁴ in the low bits, rounded to even.
    float shifted = martlet_float_of_bits(magnitude) + 0.5f;
    return (uint16_t)(sign | (martlet_bits_of_float(shifted) - 0x3f000000));
  }
  uint32_t rounded = magnitude - (112u << 23);
  rounded += 0xfff + (rounded >> 13 & 1);
  return (uint16_t)(sign | rounded >> 13);
}

static inline float martlet_float_of_bfloat(uint16_t bfloat) {
  return martlet_float_of_bits((uint32_t)bfloat << 16);
}

static inline uint16_t martlet_bfloat_of_float(float value) {
  uint32_t bits = martlet_bits_of_float(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif

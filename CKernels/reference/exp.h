/// Martlet's float32 exponential: the same operations in scalar C, AVX2, AVX-512 and NEON, so the
/// same bits on every ISA.
///
///   n = round to even(x · log2 e)
///   r = x - n · ln 2, with ln 2 in two parts, each one fused multiply-add
///   p = 1 + r + r² · q(r), q of degree 4, Horner with fused multiply-adds
///   exp(x) = p · 2ⁿ, by adding n to the exponent
///
/// Error below 0.9 ulp against float64 over the whole range (every float32 was tried). Above
/// MARTLET_EXP_HIGH the result is +inf. Below MARTLET_EXP_LOW, where exp(x) is less than the
/// smallest normal float32, it is 0. NaN gives NaN.
///
/// The coefficients are a minimax fit of (exp(r) - 1 - r)/r² weighted by r²/exp(r) over
/// |r| ≤ ln 2 / 2, rounded to float32.
#ifndef MARTLET_REFERENCE_EXP_H
#define MARTLET_REFERENCE_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

#define MARTLET_EXP_LOG2E 0x1.715476p+0f
#define MARTLET_EXP_LN2_HIGH 0x1.63p-1f
#define MARTLET_EXP_LN2_LOW -0x1.bd0106p-13f
#define MARTLET_EXP_C2 0x1.fffffcp-2f
#define MARTLET_EXP_C3 0x1.555492p-3f
#define MARTLET_EXP_C4 0x1.5558f2p-5f
#define MARTLET_EXP_C5 0x1.123a2p-7f
#define MARTLET_EXP_C6 0x1.6a23cep-10f
/// The largest float32 whose exponential is finite.
#define MARTLET_EXP_HIGH 0x1.62e42ep+6f
/// Just above ln(2⁻¹²⁶).
#define MARTLET_EXP_LOW -0x1.5d589cp+6f

static inline float martlet_exp_f32(float x) {
  if (x != x) return x;
  if (x > MARTLET_EXP_HIGH) return INFINITY;
  if (x < MARTLET_EXP_LOW) return 0.0f;
  // Adding and subtracting 1.5·2²³ rounds to an integer, ties to even.
  float n = (x * MARTLET_EXP_LOG2E + 0x1.8p23f) - 0x1.8p23f;
  float r = fmaf(n, -MARTLET_EXP_LN2_HIGH, x);
  r = fmaf(n, -MARTLET_EXP_LN2_LOW, r);
  float p = MARTLET_EXP_C6;
  p = fmaf(p, r, MARTLET_EXP_C5);
  p = fmaf(p, r, MARTLET_EXP_C4);
  p = fmaf(p, r, MARTLET_EXP_C3);
  p = fmaf(p, r, MARTLET_EXP_C2);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  int32_t bits;
  memcpy(&bits, &p, sizeof bits);
  bits += (int32_t)((uint32_t)(int32_t)n << 23);
  memcpy(&p, &bits, sizeof bits);
  return p;
}

#endif

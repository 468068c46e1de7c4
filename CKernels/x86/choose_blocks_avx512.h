/// Blocks of sampling by rules on AVX-512: reference/choose_blocks.h, bit for bit. An exponential is
/// nine operations per 16 logits: one subtraction, three fused multiply-adds, one subtraction between
/// them, vpermi2d for the table's 32 entries, a shift and an addition for the power of two, and the
/// product. Fused ones and products have two pipes, additions and shifts two others; on Zen 5 such a
/// mixture runs at 2.7 to 2.9 operations per cycle of the four there could be, so 3.3 cycles, and
/// 4.0 with sum and moment. vcompressps gathers what lies in an interval.
/// Included inside a `clang attribute push` that sets the target.
#ifndef MARTLET_X86_CHOOSE_BLOCKS_AVX512_H
#define MARTLET_X86_CHOOSE_BLOCKS_AVX512_H

#include "reference/choose_blocks.h"

#define CHOOSE_NATIVE

/// The exponential's table times a power of two.
typedef struct choose_powers {
  __m512i low, high;
} choose_powers;

LANES choose_powers choose_powers_of(float scale) {
  int32_t bits;
  memcpy(&bits, &scale, sizeof bits);
  const __m512i places = _mm512_set1_epi32(bits - 0x3f800000);
  return (choose_powers){
      _mm512_add_epi32(_mm512_loadu_si512(martlet_exp2_table), places),
      _mm512_add_epi32(_mm512_loadu_si512(martlet_exp2_table + 16), places)};
}
LANES __mmask16 choose_within(__m512 l, __m512 low, __m512 high) {
  return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(l, low, _CMP_GE_OQ), l, high, _CMP_LE_OQ);
}
typedef struct choose_sums {
  __m512d first[2], second[2];
} choose_sums;
LANES choose_sums choose_sums_begin(void) {
  const __m512d zero = _mm512_setzero_pd();
  return (choose_sums){{zero, zero}, {zero, zero}};
}
/// Adds the sums of a block, counted in `unit`, a power of two, so that no rounding differs.
LANES void choose_sums_add_in(__m512d *sums, const __m512 sets[4], __m512d unit) {
  const __m512 all = lanes_add(lanes_add(sets[0], sets[1]), lanes_add(sets[2], sets[3]));
  sums[0] = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(all)), unit, sums[0]);
  sums[1] = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(all, 1)), unit, sums[1]);
}
LANES void choose_sums_add(__m512d *sums, const __m512 sets[4]) {
  choose_sums_add_in(sums, sets, _mm512_set1_pd(1));
}
LANES void choose_sums_add_units(choose_sums *sums, const __m512 w[4], const __m512 m[4],
                                 float scale) {
  const __m512d unit = _mm512_set1_pd(1 / (double)scale);
  choose_sums_add_in(sums->first, w, unit);
  choose_sums_add_in(sums->second, m, unit);
}
LANES double choose_sums_fold(const __m512d *sums) {
  double folded[16];
  _mm512_storeu_pd(folded, sums[0]);
  _mm512_storeu_pd(folded + 8, sums[1]);
  return block_sums_fold(folded);
}
LANES double choose_sums_first(const choose_sums *sums) { return choose_sums_fold(sums->first); }
LANES double choose_sums_second(const choose_sums *sums) {
  return choose_sums_fold(sums->second);
}
LANES uint64_t choose_fold_one(__m512i all) {
  const __m512i odd = _mm512_srli_epi64(all, 32);
  const __m512i even = _mm512_and_si512(all, _mm512_set1_epi64(0xffffffff));
  return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(odd, even));
}
LANES uint64_t choose_fold_units(const __m512i sets[4]) {
  return choose_fold_one(_mm512_add_epi32(_mm512_add_epi32(sets[0], sets[1]),
                                          _mm512_add_epi32(sets[2], sets[3])));
}

/// The smallest is the largest by bits where any logit is negative: integers are compared four
/// times a cycle, floats twice. NaN with a sign comes out as NaN, which no comparison lets pass.
LANES float choose_smallest(const float *l) {
  __m512 less = lanes_set(INFINITY);
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 16) less = _mm512_min_ps(lanes_load(l + i), less);
  return _mm512_reduce_min_ps(less);
}
LANES void choose_extremes_sets(const float *l, __m512 *more, __m512i *less) {
  __m512 m[2] = {lanes_set(-INFINITY), lanes_set(-INFINITY)};
  __m512i n[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 32)
    for (int k = 0; k < 2; ++k) {
      const __m512 x = lanes_load(l + i + 16 * k);
      m[k] = _mm512_max_ps(x, m[k]);
      n[k] = _mm512_max_epu32(_mm512_castps_si512(x), n[k]);
    }
  *more = _mm512_max_ps(m[0], m[1]);
  *less = _mm512_max_epu32(n[0], n[1]);
}
LANES float choose_extremes(const float *l, float *smallest) {
  __m512 more;
  __m512i less;
  choose_extremes_sets(l, &more, &less);
  const int32_t bits = (int32_t)_mm512_reduce_max_epu32(less);
  memcpy(smallest, &bits, sizeof bits);
  if (bits >= 0) *smallest = choose_smallest(l);
  return lanes_fold_larger(more);
}
/// Four blocks fold together.
LANES void choose_extremes_four(const float *l, float *largest, float *smallest) {
  __m512 more[4];
  __m512i less[4];
#pragma unroll
  for (int b = 0; b < 4; ++b)
    choose_extremes_sets(l + b * MARTLET_LOGITS_BLOCK, more + b, less + b);
  for (int b = 0; b < 4; b += 2) {
    more[b] = _mm512_max_ps(_mm512_shuffle_f32x4(more[b], more[b + 1], 0x44),
                            _mm512_shuffle_f32x4(more[b], more[b + 1], 0xee));
    less[b] = _mm512_max_epu32(_mm512_shuffle_i32x4(less[b], less[b + 1], 0x44),
                               _mm512_shuffle_i32x4(less[b], less[b + 1], 0xee));
  }
  // A block per quarter.
  __m512 m = _mm512_max_ps(_mm512_shuffle_f32x4(more[0], more[2], 0x88),
                           _mm512_shuffle_f32x4(more[0], more[2], 0xdd));
  __m512i n = _mm512_max_epu32(_mm512_shuffle_i32x4(less[0], less[2], 0x88),
                               _mm512_shuffle_i32x4(less[0], less[2], 0xdd));
  m = _mm512_max_ps(m, _mm512_permute_ps(m, 0x4e));
  n = _mm512_max_epu32(n, _mm512_shuffle_epi32(n, 0x4e));
  m = _mm512_max_ps(m, _mm512_permute_ps(m, 0xb1));
  n = _mm512_max_epu32(n, _mm512_shuffle_epi32(n, 0xb1));
  const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  _mm_storeu_ps(largest, _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, m)));
  const __m128i bits = _mm512_castsi512_si128(_mm512_permutexvar_epi32(firsts, n));
  _mm_storeu_ps(smallest, _mm_castsi128_ps(bits));
  const int negative = _mm_movemask_ps(_mm_castsi128_ps(bits));
  for (int b = 0; b < 4 && negative != 15; ++b)
    if (!(negative >> b & 1)) smallest[b] = choose_smallest(l + b * MARTLET_LOGITS_BLOCK);
}

/// z = l - maximum of four vectors, and 2^(z · factor) times the scale of the table. Stage by stage, so that the
/// stages of four vectors overlap.
LANES void choose_four(const float *l, __m512 top, __m512 c, __m512 floor, choose_powers powers,
                       int clamp, __m512 z[4], __m512 e[4]) {
  const __m512 shift = lanes_set(MARTLET_EXP2_SHIFT), shift_a = lanes_set(MARTLET_EXP2_SHIFT_A);
  __m512 s[4];
  __m512i t[4];
  for (int k = 0; k < 4; ++k) z[k] = lanes_subtract(lanes_load(l + 16 * k), top);
  if (clamp)
    for (int k = 0; k < 4; ++k) z[k] = lanes_larger(floor, z[k]);
  for (int k = 0; k < 4; ++k) t[k] = _mm512_castps_si512(lanes_fma(z[k], c, shift));
  for (int k = 0; k < 4; ++k)
    s[k] = _mm512_fmsub_ps(z[k], c, lanes_subtract(_mm512_castsi512_ps(t[k]), shift_a));
  for (int k = 0; k < 4; ++k) s[k] = lanes_fma(s[k], s[k], lanes_set(MARTLET_EXP2_B));
  for (int k = 0; k < 4; ++k)
    t[k] = _mm512_add_epi32(_mm512_permutex2var_epi32(powers.low, t[k], powers.high),
                            _mm512_slli_epi32(t[k], 18));
  for (int k = 0; k < 4; ++k) e[k] = lanes_multiply(s[k], _mm512_castsi512_ps(t[k]));
}

/// choose_four's powers of one vector, with the clamp.
LANES __m512 choose_one(__m512 l, __m512 top, __m512 c, __m512 floor, choose_powers powers) {
  const __m512 z = lanes_larger(floor, lanes_subtract(l, top));
  const __m512 t = lanes_fma(z, c, lanes_set(MARTLET_EXP2_SHIFT));
  const __m512 s = _mm512_fmsub_ps(z, c, lanes_subtract(t, lanes_set(MARTLET_EXP2_SHIFT_A)));
  const __m512i bits = _mm512_castps_si512(t);
  const __m512i power = _mm512_add_epi32(
      _mm512_permutex2var_epi32(powers.low, bits, powers.high), _mm512_slli_epi32(bits, 18));
  return lanes_multiply(lanes_fma(s, s, lanes_set(MARTLET_EXP2_B)), _mm512_castsi512_ps(power));
}

LANES void choose_shape(const float *l, float maximum, float factor, float low, float high,
                        choose_sums *sums) {
  const choose_powers one = choose_powers_of(1);
  const __m512 top = lanes_set(maximum), c = lanes_set(factor),
               floor = lanes_set(martlet_exp2_floor(factor));
  const __m512 lows = lanes_set(low), highs = lanes_set(high);
  const int all = low == -INFINITY && high == INFINITY;
  __m512 w[4], m[4], z[4], e[4];
  for (int k = 0; k < 4; ++k) w[k] = m[k] = lanes_zero();
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 64) {
    choose_four(l + i, top, c, floor, one, 1, z, e);
    for (int k = 0; k < 4 && !all; ++k)
      e[k] = _mm512_maskz_mov_ps(choose_within(lanes_load(l + i + 16 * k), lows, highs), e[k]);
    for (int k = 0; k < 4; ++k) w[k] = lanes_add(w[k], e[k]);
    for (int k = 0; k < 4; ++k) m[k] = lanes_fma(e[k], z[k], m[k]);
  }
  choose_sums_add(sums->first, w);
  choose_sums_add(sums->second, m);
}
/// choose_shape of a block whose every z is at or above the exponential's floor, or NaN.
LANES void choose_shape_near(const float *l, float maximum, float factor, choose_sums *sums) {
  const choose_powers one = choose_powers_of(1);
  const __m512 top = lanes_set(maximum), c = lanes_set(factor),
               floor = lanes_set(martlet_exp2_floor(factor));
  __m512 w[4], m[4], z[4], e[4];
  for (int k = 0; k < 4; ++k) w[k] = m[k] = lanes_zero();
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 64) {
    choose_four(l + i, top, c, floor, one, 0, z, e);
    for (int k = 0; k < 4; ++k) w[k] = lanes_add(w[k], e[k]);
    for (int k = 0; k < 4; ++k) m[k] = lanes_fma(e[k], z[k], m[k]);
  }
  choose_sums_add(sums->first, w);
  choose_sums_add(sums->second, m);
}

LANES uint64_t choose_shape_units(const float *l, float maximum, float factor, float scale,
                                  float low, choose_sums *sums, uint32_t *count) {
  const choose_powers scaled = choose_powers_of(scale);
  const __m512 top = lanes_set(maximum), c = lanes_set(factor),
               floor = lanes_set(martlet_exp2_floor(factor));
  __m512 w[4], m[4], z[4], e[4];
  __m512i u[4];
  for (int k = 0; k < 4; ++k) {
    w[k] = m[k] = lanes_zero();
    u[k] = _mm512_setzero_si512();
  }
  uint32_t found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 64) {
    choose_four(l + i, top, c, floor, scaled, 1, z, e);
    for (int k = 0; k < 4; ++k) w[k] = lanes_add(w[k], e[k]);
    for (int k = 0; k < 4; ++k) m[k] = lanes_fma(e[k], z[k], m[k]);
    for (int k = 0; k < 4; ++k) {
      const __mmask16 in =
          _mm512_cmp_ps_mask(lanes_load(l + i + 16 * k), lanes_set(low), _CMP_GE_OQ);
      u[k] = _mm512_mask_add_epi32(u[k], in, u[k], _mm512_cvtps_epi32(e[k]));
      found += (uint32_t)__builtin_popcount(in);
    }
  }
  choose_sums_add_units(sums, w, m, scale);
  *count = found;
  return choose_fold_units(u);
}
LANES uint64_t choose_shape_units_near(const float *l, float maximum, float factor, float scale,
                                       choose_sums *sums) {
  const choose_powers scaled = choose_powers_of(scale);
  const __m512 top = lanes_set(maximum), c = lanes_set(factor),
               floor = lanes_set(martlet_exp2_floor(factor));
  __m512 w[4], m[4], z[4], e[4];
  __m512i u[4];
  for (int k = 0; k < 4; ++k) {
    w[k] = m[k] = lanes_zero();
    u[k] = _mm512_setzero_si512();
  }
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 64) {
    choose_four(l + i, top, c, floor, scaled, 0, z, e);
    for (int k = 0; k < 4; ++k) w[k] = lanes_add(w[k], e[k]);
    for (int k = 0; k < 4; ++k) m[k] = lanes_fma(e[k], z[k], m[k]);
    for (int k = 0; k < 4; ++k) u[k] = _mm512_add_epi32(u[k], _mm512_cvtps_epi32(e[k]));
  }
  choose_sums_add_units(sums, w, m, scale);
  return choose_fold_units(u);
}

LANES void choose_units(const float *l, float maximum, float factor, float scale, float low,
                        float high, uint32_t *units) {
  const choose_powers scaled = choose_powers_of(scale);
  const __m512 top = lanes_set(maximum), c = lanes_set(factor),
               floor = lanes_set(martlet_exp2_floor(factor));
  const __m512 lows = lanes_set(low), highs = lanes_set(high);
  __m512 z[4], e[4];
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 64) {
    choose_four(l + i, top, c, floor, scaled, 1, z, e);
    for (int k = 0; k < 4; ++k) {
      const __mmask16 in = choose_within(lanes_load(l + i + 16 * k), lows, highs);
      _mm512_storeu_si512(units + i + 16 * k, _mm512_maskz_cvtps_epi32(in, e[k]));
    }
  }
}

LANES uint64_t choose_weigh(const float *l, float maximum, float factor, float scale, float low,
                            float high, uint32_t *count) {
  const choose_powers scaled = choose_powers_of(scale);
  const __m512 top = lanes_set(maximum), c = lanes_set(factor),
               floor = lanes_set(martlet_exp2_floor(factor));
  const __m512 lows = lanes_set(low), highs = lanes_set(high);
  __m512 z[4], e[4];
  __m512i u[4];
  for (int k = 0; k < 4; ++k) u[k] = _mm512_setzero_si512();
  uint32_t found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 64) {
    choose_four(l + i, top, c, floor, scaled, 1, z, e);
    for (int k = 0; k < 4; ++k) {
      const __mmask16 in = choose_within(lanes_load(l + i + 16 * k), lows, highs);
      u[k] = _mm512_mask_add_epi32(u[k], in, u[k], _mm512_cvtps_epi32(e[k]));
      found += (uint32_t)__builtin_popcount(in);
    }
  }
  *count = found;
  return choose_fold_units(u);
}
/// choose_weigh of all logits of such a block.
LANES uint64_t choose_weigh_all(const float *l, float maximum, float factor, float scale) {
  const choose_powers scaled = choose_powers_of(scale);
  const __m512 top = lanes_set(maximum), c = lanes_set(factor),
               floor = lanes_set(martlet_exp2_floor(factor));
  __m512 z[4], e[4];
  __m512i u[4];
  for (int k = 0; k < 4; ++k) u[k] = _mm512_setzero_si512();
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 64) {
    choose_four(l + i, top, c, floor, scaled, 0, z, e);
    for (int k = 0; k < 4; ++k) u[k] = _mm512_add_epi32(u[k], _mm512_cvtps_epi32(e[k]));
  }
  return choose_fold_units(u);
}

LANES uint32_t choose_count(const float *l, float low, float high) {
  const __m512 lows = lanes_set(low), highs = lanes_set(high);
  uint32_t found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 16)
    found += (uint32_t)__builtin_popcount(choose_within(lanes_load(l + i), lows, highs));
  return found;
}

/// Appends the logits of sixty-four that `bits` names. Four are written whether there are any or not,
/// which costs integer pipes that the exponentials leave idle, and no branch that is hard to foresee.
LANES uint32_t choose_list_bits(const float *l, uint64_t bits, uint32_t first, float *logits,
                                uint32_t *tokens) {
  const uint32_t count = (uint32_t)__builtin_popcountll(bits);
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t place = (uint32_t)__builtin_ctzll(bits | (uint64_t)1 << 63);
    memcpy(logits + i, l + place, sizeof *l);
    tokens[i] = first + place;
    bits &= bits - 1;
  }
  for (uint32_t i = 4; i < count; ++i) {
    const uint32_t place = (uint32_t)__builtin_ctzll(bits);
    logits[i] = l[place];
    tokens[i] = first + place;
    bits &= bits - 1;
  }
  return count;
}

LANES uint64_t choose_join_masks(const __mmask16 masks[4]) {
  return (uint64_t)_cvtmask16_u32(masks[0]) | (uint64_t)_cvtmask16_u32(masks[1]) << 16 |
         (uint64_t)_cvtmask16_u32(masks[2]) << 32 | (uint64_t)_cvtmask16_u32(masks[3]) << 48;
}
/// One branch per sixty-four logits: one per vector is foreseen only on a row that was seen before.
LANES uint32_t choose_gather(const float *l, float low, float high, uint32_t first, float *logits,
                             uint32_t *tokens) {
  const __m512 lows = lanes_set(low), highs = lanes_set(high);
  const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  uint32_t found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 64) {
    __mmask16 in[4];
    for (int k = 0; k < 4; ++k) in[k] = choose_within(lanes_load(l + i + 16 * k), lows, highs);
    const uint64_t bits = choose_join_masks(in);
    if (bits == 0) continue;
    for (int k = 0; k < 4; ++k) {
      const __m512i token = _mm512_add_epi32(_mm512_set1_epi32((int)first + i + 16 * k), places);
      _mm512_storeu_ps(logits + found, _mm512_maskz_compress_ps(in[k], lanes_load(l + i + 16 * k)));
      _mm512_storeu_si512(tokens + found, _mm512_maskz_compress_epi32(in[k], token));
      found += (uint32_t)__builtin_popcount(in[k]);
    }
  }
  return found;
}

/// Over blocks: the weight of all logits, and how many are not in the inner interval.
typedef struct choose_tally {
  __m512i whole, outside;
} choose_tally;
LANES choose_tally choose_tally_begin(void) {
  return (choose_tally){_mm512_setzero_si512(), _mm512_setzero_si512()};
}
LANES uint64_t choose_tally_whole(const choose_tally *tally) {
  return (uint64_t)_mm512_reduce_add_epi64(tally->whole);
}
LANES uint64_t choose_tally_outside(const choose_tally *tally) {
  return choose_fold_one(tally->outside);
}

/// choose_split with or without the sums of choose_shape, and with or without the clamp. Where
/// `above`, neither interval has an upper end.
LANES void choose_split_body(const float *l, float maximum, float factor, float scale,
                             uint8_t shift, block_rings rings, uint32_t first, int shaped,
                             int clamp, int above, choose_sums *sums, choose_tally *tally,
                             float *logits, uint32_t *tokens, block_part *part) {
  const choose_powers scaled = choose_powers_of(scale);
  const __m512 top = lanes_set(maximum), c = lanes_set(factor),
               floor = lanes_set(martlet_exp2_floor(factor));
  const __m512 lows = lanes_set(rings.low), highs = lanes_set(rings.high);
  const __m512 outer_lows = lanes_set(rings.outer_low), outer_highs = lanes_set(rings.outer_high);
  __m512 z[4], e[4], w[4], m[4];
  // Sums of integers need no sets; registers are short here.
  __m512i all = _mm512_setzero_si512(), out = all, outside = tally->outside;
  // Hidden from the compiler, which would make two operations of a masked addition of it.
  __m512i one = _mm512_set1_epi32(1);
  __asm__("" : "+v"(one));
  for (int k = 0; k < 4; ++k) w[k] = m[k] = lanes_zero();
  uint32_t found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 64) {
    // Of what is not inside, so that one mask serves the other.
    __mmask16 not[4], between[4];
    choose_four(l + i, top, c, floor, scaled, clamp, z, e);
    for (int k = 0; k < 4; ++k) {
      const __m512 x = lanes_load(l + i + 16 * k);
      if (above) {
        not[k] = _mm512_cmp_ps_mask(x, lows, _CMP_LT_OQ);
        between[k] = _mm512_mask_cmp_ps_mask(not[k], x, outer_lows, _CMP_GE_OQ);
      } else {
        not[k] = (__mmask16)~choose_within(x, lows, highs);
        between[k] = (__mmask16)(choose_within(x, outer_lows, outer_highs) & not[k]);
      }
    }
    for (int k = 0; k < 4; ++k) {
      const __m512i units = _mm512_cvtps_epi32(e[k]);
      if (shaped) {
        w[k] = lanes_add(w[k], e[k]);
        m[k] = lanes_fma(e[k], z[k], m[k]);
      }
      all = _mm512_add_epi32(all, units);
      out = _mm512_mask_add_epi32(out, not[k], out, units);
      outside = _mm512_mask_add_epi32(outside, not[k], outside, one);
    }
    found += choose_list_bits(l + i, choose_join_masks(between), first + (uint32_t)i,
                              logits + found, tokens + found);
  }
  if (shaped) choose_sums_add_units(sums, w, m, scale);
  tally->outside = outside;
  const __m512i odd = _mm512_srli_epi64(all, 32);
  const __m512i even = _mm512_and_si512(all, _mm512_set1_epi64(0xffffffff));
  tally->whole = _mm512_add_epi64(
      tally->whole, _mm512_sll_epi64(_mm512_add_epi64(odd, even), _mm_cvtsi32_si128(shift)));
  part->inner = choose_fold_one(_mm512_sub_epi32(all, out));
  part->appended = found;
}
LANES void choose_split(const float *l, float maximum, float factor, float scale, uint8_t shift,
                        block_rings rings, uint32_t first, choose_tally *tally, float *logits,
                        uint32_t *tokens, block_part *part) {
  choose_split_body(l, maximum, factor, scale, shift, rings, first, 0, 1, 0, NULL, tally, logits,
                    tokens, part);
}
/// choose_split without upper ends of a block that needs no clamp, and with its shape.
LANES void choose_split_above(const float *l, float maximum, float factor, float scale,
                              uint8_t shift, block_rings rings, uint32_t first,
                              choose_tally *tally, float *logits, uint32_t *tokens,
                              block_part *part) {
  choose_split_body(l, maximum, factor, scale, shift, rings, first, 0, 0, 1, NULL, tally, logits,
                    tokens, part);
}
LANES void choose_shape_split_above(const float *l, float maximum, float factor, float scale,
                                    uint8_t shift, block_rings rings, uint32_t first,
                                    choose_sums *sums, choose_tally *tally, float *logits,
                                    uint32_t *tokens, block_part *part) {
  choose_split_body(l, maximum, factor, scale, shift, rings, first, 1, 0, 1, sums, tally, logits,
                    tokens, part);
}
LANES void choose_shape_split(const float *l, float maximum, float factor, float scale,
                              uint8_t shift, block_rings rings, uint32_t first, choose_sums *sums,
                              choose_tally *tally, float *logits, uint32_t *tokens,
                              block_part *part) {
  choose_split_body(l, maximum, factor, scale, shift, rings, first, 1, 1, 0, sums, tally, logits,
                    tokens, part);
}

LANES void choose_lift(const float *l, uint32_t count, float maximum, float factor, float scale,
                       uint8_t shift, uint64_t *weights) {
  const choose_powers scaled = choose_powers_of(scale);
  const __m512 top = lanes_set(maximum), c = lanes_set(factor),
               floor = lanes_set(martlet_exp2_floor(factor));
  const __m128i places = _mm_cvtsi32_si128(shift);
  for (uint32_t i = 0; i < count; i += 16) {
    const __m512i units =
        _mm512_cvtps_epi32(choose_one(lanes_load(l + i), top, c, floor, scaled));
    const __m512i low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(units));
    const __m512i high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(units, 1));
    _mm512_storeu_si512(weights + i, _mm512_sll_epi64(low, places));
    _mm512_storeu_si512(weights + i + 8, _mm512_sll_epi64(high, places));
  }
}

/// The weights of those of a list that are in `set`, added up; *count counts them.
LANES uint64_t choose_sum_listed(const float *l, const uint32_t *tokens, const uint64_t *weights,
                                 uint32_t length, choose_set set, uint64_t *count) {
  const __m256 lows = _mm256_set1_ps(set.low), highs = _mm256_set1_ps(set.high);
  const __m256i low_tokens = _mm256_set1_epi32((int)set.low_token),
                high_tokens = _mm256_set1_epi32((int)set.high_token);
  const int tied = set.low_token != UINT32_MAX || set.high_token != 0;
  __m512i sum = _mm512_setzero_si512();
  uint64_t found = 0;
  for (uint32_t i = 0; i < length; i += 8) {
    const uint32_t here = length - i >= 8 ? 0xff : (1u << (length - i)) - 1;
    const __m256 x = _mm256_loadu_ps(l + i);
    __mmask8 in = _mm256_mask_cmp_ps_mask(
        _mm256_mask_cmp_ps_mask((__mmask8)here, x, lows, _CMP_GE_OQ), x, highs, _CMP_LE_OQ);
    if (tied) {
      const __m256i t = _mm256_loadu_si256((const __m256i *)(const void *)(tokens + i));
      const __mmask8 low = _mm256_mask_cmp_epu32_mask(_mm256_cmp_ps_mask(x, lows, _CMP_EQ_OQ), t,
                                                      low_tokens, _MM_CMPINT_NLE);
      const __mmask8 high = _mm256_mask_cmp_epu32_mask(_mm256_cmp_ps_mask(x, highs, _CMP_EQ_OQ),
                                                       t, high_tokens, _MM_CMPINT_LT);
      in = (__mmask8)(in & ~(low | high));
    }
    sum = _mm512_mask_add_epi64(sum, in, sum, _mm512_loadu_si512(weights + i));
    found += (uint64_t)__builtin_popcount(in);
  }
  *count += found;
  return (uint64_t)_mm512_reduce_add_epi64(sum);
}

/// The weight of the values above a bound, and their number.
LANES uint64_t choose_weight_above(const float *l, const uint64_t *weights, size_t n, float bound,
                                   uint32_t *count) {
  const __m256 bounds = _mm256_set1_ps(bound);
  __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  size_t i = 0;
  uint32_t found = 0;
  uint64_t above = 0;
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < 2; ++k) {
      const __mmask8 in = _mm256_cmp_ps_mask(_mm256_loadu_ps(l + i + 8 * k), bounds, _CMP_GT_OQ);
      sums[k] =
          _mm512_mask_add_epi64(sums[k], in, sums[k], _mm512_loadu_si512(weights + i + 8 * k));
      found += (uint32_t)__builtin_popcount(in);
    }
  for (; i < n; ++i) {
    above += l[i] > bound ? weights[i] : 0;
    found += l[i] > bound;
  }
  *count = found;
  return above + (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(sums[0], sums[1]));
}

LANES uint32_t choose_spread(const float *l, float pivot, choose_sums *sums) {
  const __m512 p = lanes_set(pivot);
  __m512 s[4], q[4];
  for (int k = 0; k < 4; ++k) s[k] = q[k] = lanes_zero();
  uint32_t found = 0;
  for (int i = 0; i < MARTLET_LOGITS_BLOCK; i += 64)
    for (int k = 0; k < 4; ++k) {
      const __m512 x = lanes_load(l + i + 16 * k);
      const __mmask16 in = _mm512_cmp_ps_mask(x, lanes_set(-INFINITY), _CMP_GT_OQ);
      const __m512 d = _mm512_maskz_sub_ps(in, x, p);
      s[k] = lanes_add(s[k], d);
      q[k] = lanes_fma(d, d, q[k]);
      found += (uint32_t)__builtin_popcount(in);
    }
  choose_sums_add(sums->first, s);
  choose_sums_add(sums->second, q);
  return found;
}

#endif

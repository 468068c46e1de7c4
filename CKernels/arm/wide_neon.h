/// The 64-byte vocabulary (CKernels/lanes/README.md) on AArch64 NEON: four q registers.
/// Included after lanes_neon.h.
#ifndef MARTLET_ARM_WIDE_NEON_H
#define MARTLET_ARM_WIDE_NEON_H

/// Queries × pages whose sums a scan keeps in registers at once, at most: 8 or 1.
#define WIDE_CHAINS 1

typedef struct wide {
  uint8x16_t part[4];
} wide;

/// A wide value whose part `i` is an expression in `i`.
#define WIDE_EACH(expression)                                 \
  __extension__({                                             \
    wide each;                                                \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; \
                                            ++i) each.part[i] = (expression); \
    each;                                                     \
  })
/// The same of words.
#define WIDE_EACH_WORD(expression) WIDE_EACH(vreinterpretq_u8_u16(expression))
#define WIDE_WORDS(v) vreinterpretq_u16_u8((v).part[i])

LANES wide wide_zero(void) { return WIDE_EACH(vdupq_n_u8(0)); }
LANES wide wide_load(const void *p) { return WIDE_EACH(vld1q_u8((const uint8_t *)p + 16 * i)); }
LANES void wide_store(void *p, wide v) {
  for (int i = 0; i < 4; ++i) vst1q_u8((uint8_t *)p + 16 * i, v.part[i]);
}
/// The low and the high four bits of each byte.
LANES wide wide_low(wide v) { return WIDE_EACH(vandq_u8(v.part[i], vdupq_n_u8(15))); }
LANES wide wide_high(wide v) { return WIDE_EACH(vshrq_n_u8(v.part[i], 4)); }
/// Each 16 bytes of `v`, all below 16, looked up in the 16 bytes of `table` at the same place.
LANES wide wide_lookup(wide table, wide v) {
  return WIDE_EACH(vqtbl1q_u8(table.part[i], v.part[i]));
}
LANES wide wide_add_bytes(wide a, wide b) { return WIDE_EACH(vaddq_u8(a.part[i], b.part[i])); }
LANES wide wide_add_words(wide a, wide b) {
  return WIDE_EACH_WORD(vaddq_u16(WIDE_WORDS(a), WIDE_WORDS(b)));
}
/// The odd bytes as words.
LANES wide wide_odd(wide v) { return WIDE_EACH_WORD(vshrq_n_u16(WIDE_WORDS(v), 8)); }

/// `all` sums words whose low byte is meant and whose high byte is summed in `odd`. Adds the two
/// halves of 32 bytes and stores the 32 sums in order.
LANES void wide_store_sums(uint16_t *to, wide all, wide odd) {
  for (int i = 0; i < 2; ++i) {
    const uint16x8_t o = vaddq_u16(vreinterpretq_u16_u8(odd.part[i]),
                                   vreinterpretq_u16_u8(odd.part[i + 2]));
    const uint16x8_t a = vaddq_u16(vreinterpretq_u16_u8(all.part[i]),
                                   vreinterpretq_u16_u8(all.part[i + 2]));
    const uint16x8x2_t both = {{vsubq_u16(a, vshlq_n_u16(o, 8)), o}};
    vst2q_u16(to + 16 * i, both);
  }
}

/// The larger of 32 words.
LANES wide wide_larger_words(wide a, wide b) {
  return WIDE_EACH_WORD(vmaxq_u16(WIDE_WORDS(a), WIDE_WORDS(b)));
}
/// Bit i where word i is at least `least`.
LANES uint32_t wide_words_at_least(const uint16_t *p, uint16_t least) {
  static const uint16_t bits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const uint16x8_t bit = vld1q_u16(bits), bound = vdupq_n_u16(least);
  uint32_t mask = 0;
  for (int i = 0; i < 4; ++i)
    mask |= (uint32_t)vaddvq_u16(vandq_u16(vcgeq_u16(vld1q_u16(p + 8 * i), bound), bit)) << 8 * i;
  return mask;
}

/// Writes those of 32 numbers whose bit in `mask` is set, one after another; returns how many.
LANES size_t wide_pack(const uint32_t *from, uint32_t mask, uint32_t *to) {
  size_t n = 0;
  for (; mask; mask &= mask - 1) to[n++] = from[__builtin_ctz(mask)];
  return n;
}
/// The same of first, first + 1 ….
LANES size_t wide_pack_places(uint32_t first, uint32_t mask, uint32_t *to) {
  size_t n = 0;
  for (; mask; mask &= mask - 1) to[n++] = first + (uint32_t)__builtin_ctz(mask);
  return n;
}

/// Sums of products of bytes and words, as lanes of 32 bits.
typedef int32x4_t wide_sum;
LANES wide_sum wide_sum_zero(void) { return vdupq_n_s32(0); }
LANES wide_sum wide_add_products(wide_sum sum, int16x8_t words, const int16_t *weights) {
  const int16x8_t w = vld1q_s16(weights);
  return vmlal_high_s16(vmlal_s16(sum, vget_low_s16(words), vget_low_s16(w)), words, w);
}
/// Adds 64 unsigned bytes, of `b` where `sides` is 255 and of `a` where it is 0, times words.
LANES wide_sum wide_add_sided(wide_sum sum, const uint8_t *a, const uint8_t *b,
                              const uint8_t *sides, const int16_t *weights) {
  for (int i = 0; i < 64; i += 8) {
    const uint8x8_t v = vbsl_u8(vld1_u8(sides + i), vld1_u8(b + i), vld1_u8(a + i));
    sum = wide_add_products(sum, vreinterpretq_s16_u16(vmovl_u8(v)), weights + i);
  }
  return sum;
}
LANES int32_t wide_fold_sum(wide_sum sum) { return vaddvq_s32(sum); }

// ---- lanes --------------------------------------------------------------------------------------

/// Where x > *best, takes x, and `code` for *codes.
LANES void lanes_take_larger(lanes x, float code, lanes *best, lanes *codes) {
  for (int i = 0; i < 4; ++i) {
    const uint32x4_t larger = vcgtq_f32(x.part[i], best->part[i]);
    best->part[i] = vbslq_f32(larger, x.part[i], best->part[i]);
    codes->part[i] = vbslq_f32(larger, vdupq_n_f32(code), codes->part[i]);
  }
}
/// Stores lanes that are integers of 0 ... 255 as bytes.
LANES void lanes_store_bytes(uint8_t *p, lanes v) {
  const uint16x8_t low = vcombine_u16(vmovn_u32(vcvtq_u32_f32(v.part[0])),
                                      vmovn_u32(vcvtq_u32_f32(v.part[1])));
  const uint16x8_t high = vcombine_u16(vmovn_u32(vcvtq_u32_f32(v.part[2])),
                                       vmovn_u32(vcvtq_u32_f32(v.part[3])));
  vst1q_u8(p, vcombine_u8(vmovn_u16(low), vmovn_u16(high)));
}

#endif

/// The exponential's table on NEON: TBL and TBX look bytes up in 64 of them each, and leave alone
/// what is beyond.
#ifndef MARTLET_ARM_CHOOSE_LOOK_UP_NEON_H
#define MARTLET_ARM_CHOOSE_LOOK_UP_NEON_H

#include "reference/choose.h"

LANES void choose_look_up(const uint32_t *bits, uint32_t *powers) {
  const uint8_t *table = (const uint8_t *)(const void *)martlet_exp2_table;
  const uint8x16x4_t low = vld1q_u8_x4(table), high = vld1q_u8_x4(table + 64);
  for (int i = 0; i < 16; i += 4) {
    // The four bytes of entry p are 4·p + 0 … 3.
    const uint32x4_t places = vandq_u32(vld1q_u32(bits + i), vdupq_n_u32(31));
    const uint8x16_t bytes = vreinterpretq_u8_u32(
        vmlaq_u32(vdupq_n_u32(0x03020100), places, vdupq_n_u32(0x04040404)));
    const uint8x16_t found = vqtbx4q_u8(vqtbl4q_u8(low, bytes), high,
                                        vsubq_u8(bytes, vdupq_n_u8(64)));
    vst1q_u32(powers + i, vreinterpretq_u32_u8(found));
  }
}

#endif

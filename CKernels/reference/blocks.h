/// What every reader of GGUF's quantised blocks shares.
#ifndef MARTLET_REFERENCE_BLOCKS_H
#define MARTLET_REFERENCE_BLOCKS_H

#include "reference/half.h"

/// The 16 values of IQ4_NL's codebook.
static const int8_t martlet_iq4_nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};

/// The eight 6-bit scales and minimums of a Q4_K or Q5_K block, packed in 12 bytes: the first four
/// of each in the low six bits of bytes 0…7; of the last four, four bits in the nibbles of bytes
/// 8…11 and two in the top bits of bytes 0…7.
static inline void martlet_k_scales(const uint8_t packed[12], uint8_t scales[8],
                                    uint8_t minimums[8]) {
  for (int i = 0; i < 4; ++i) {
    scales[i] = packed[i] & 63;
    minimums[i] = packed[i + 4] & 63;
    scales[i + 4] = (uint8_t)((packed[i + 8] & 15) | (packed[i] >> 6) << 4);
    minimums[i + 4] = (uint8_t)(packed[i + 8] >> 4 | (packed[i + 4] >> 6) << 4);
  }
}

/// A float16 at any alignment.
static inline float martlet_read_half(const uint8_t *p) {
  return martlet_float_of_half((uint16_t)(p[0] | p[1] << 8));
}

#endif

/// Reference of dequantising: the block formats of GGUF, one function each. Blocks lie unaligned.
#include "dispatch/rows_variants.h"
#include "reference/blocks.h"

#pragma STDC FP_CONTRACT OFF

void martlet_dequantize_f32_reference(size_t count, const void *source, float *output) {
  memcpy(output, source, count * sizeof(float));
}

void martlet_dequantize_f16_reference(size_t count, const void *source, float *output) {
  const uint8_t *p = source;
  for (size_t i = 0; i < count; ++i) output[i] = martlet_read_half(p + 2 * i);
}

void martlet_dequantize_bf16_reference(size_t count, const void *source, float *output) {
  const uint8_t *p = source;
  for (size_t i = 0; i < count; ++i)
    output[i] = martlet_float_of_bfloat((uint16_t)(p[2 * i] | p[2 * i + 1] << 8));
}

void martlet_dequantize_q4_0_reference(size_t count, const void *source, float *output) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 18) {
    float d = martlet_read_half(block);
    for (size_t j = 0; j < 16; ++j) {
      output[i + j] = d * (float)((block[2 + j] & 15) - 8);
      output[i + j + 16] = d * (float)((block[2 + j] >> 4) - 8);
    }
  }
}

void martlet_dequantize_q4_1_reference(size_t count, const void *source, float *output) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 20) {
    float d = martlet_read_half(block), minimum = martlet_read_half(block + 2);
    for (size_t j = 0; j < 16; ++j) {
      output[i + j] = d * (float)(block[4 + j] & 15) + minimum;
      output[i + j + 16] = d * (float)(block[4 + j] >> 4) + minimum;
    }
  }
}

/// Bit `index` of a little-endian bit field, at bit 4.
static int fifth_bit(const uint8_t *bits, size_t index) {
  return (bits[index / 8] >> (index % 8) & 1) << 4;
}

void martlet_dequantize_q5_0_reference(size_t count, const void *source, float *output) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 22) {
    float d = martlet_read_half(block);
    for (size_t j = 0; j < 16; ++j) {
      int low = (block[6 + j] & 15) | fifth_bit(block + 2, j);
      int high = block[6 + j] >> 4 | fifth_bit(block + 2, j + 16);
      output[i + j] = d * (float)(low - 16);
      output[i + j + 16] = d * (float)(high - 16);
    }
  }
}

void martlet_dequantize_q5_1_reference(size_t count, const void *source, float *output) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 24) {
    float d = martlet_read_half(block), minimum = martlet_read_half(block + 2);
    for (size_t j = 0; j < 16; ++j) {
      int low = (block[8 + j] & 15) | fifth_bit(block + 4, j);
      int high = block[8 + j] >> 4 | fifth_bit(block + 4, j + 16);
      output[i + j] = d * (float)low + minimum;
      output[i + j + 16] = d * (float)high + minimum;
    }
  }
}

void martlet_dequantize_q8_0_reference(size_t count, const void *source, float *output) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 34) {
    float d = martlet_read_half(block);
    for (size_t j = 0; j < 32; ++j) output[i + j] = d * (float)(int8_t)block[2 + j];
  }
}

void martlet_dequantize_iq4_nl_reference(size_t count, const void *source, float *output) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 32, block += 18) {
    float d = martlet_read_half(block);
    for (size_t j = 0; j < 16; ++j) {
      output[i + j] = d * (float)martlet_iq4_nl_values[block[2 + j] & 15];
      output[i + j + 16] = d * (float)martlet_iq4_nl_values[block[2 + j] >> 4];
    }
  }
}

void martlet_dequantize_q4_k_reference(size_t count, const void *source, float *output) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 256, block += 144) {
    float d = martlet_read_half(block), d_minimum = martlet_read_half(block + 2);
    uint8_t scales[8], minimums[8];
    martlet_k_scales(block + 4, scales, minimums);
    for (size_t j = 0; j < 256; ++j) {
      size_t run = j / 32;  // Runs 2g and 2g + 1 are the low and high nibbles of the same bytes.
      uint8_t packed = block[16 + run / 2 * 32 + j % 32];
      float scale = d * (float)scales[run], minimum = d_minimum * (float)minimums[run];
      output[i + j] = scale * (float)(run % 2 ? packed >> 4 : packed & 15) - minimum;
    }
  }
}

void martlet_dequantize_q5_k_reference(size_t count, const void *source, float *output) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 256, block += 176) {
    float d = martlet_read_half(block), d_minimum = martlet_read_half(block + 2);
    uint8_t scales[8], minimums[8];
    martlet_k_scales(block + 4, scales, minimums);
    for (size_t j = 0; j < 256; ++j) {
      size_t run = j / 32;
      uint8_t packed = block[48 + run / 2 * 32 + j % 32];
      int low = run % 2 ? packed >> 4 : packed & 15;
      int high = (block[16 + j % 32] >> run & 1) << 4;
      float scale = d * (float)scales[run], minimum = d_minimum * (float)minimums[run];
      output[i + j] = scale * (float)(low | high) - minimum;
    }
  }
}

void martlet_dequantize_q6_k_reference(size_t count, const void *source, float *output) {
  const uint8_t *block = source;
  for (size_t i = 0; i < count; i += 256, block += 210) {
    float d = martlet_read_half(block + 208);
    for (size_t j = 0; j < 256; ++j) {
      // Each half of 128 holds four runs of 32: low nibbles of bytes 0…63, then their high ones.
      size_t half = j / 128, run = j % 128 / 32, at = j % 32;
      uint8_t packed = block[64 * half + 32 * (run % 2) + at];
      int low = run / 2 ? packed >> 4 : packed & 15;
      int high = (block[128 + 32 * half + at] >> (2 * run) & 3) << 4;
      float scale = d * (float)(int8_t)block[192 + j / 16];
      output[i + j] = scale * (float)((low | high) - 32);
    }
  }
}

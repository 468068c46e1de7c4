/// The exponential's table on AVX2: four registers of eight entries each, chosen by the lower three
/// bits; bits 3 and 4, shifted into the sign, choose among the four.
/// Included inside a `clang attribute push` that sets the target.
#ifndef MARTLET_X86_CHOOSE_LOOK_UP_AVX2_H
#define MARTLET_X86_CHOOSE_LOOK_UP_AVX2_H

#include "reference/choose.h"

LANES __m256 choose_look_up_part(int part, __m256i places) {
  const float *table = (const float *)(const void *)martlet_exp2_table;
  return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8 * part), places);
}

LANES void choose_look_up(const uint32_t *bits, uint32_t *powers) {
  for (int i = 0; i < 16; i += 8) {
    const __m256i places = _mm256_loadu_si256((const __m256i *)(const void *)(bits + i));
    const __m256 bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(places, 28));
    const __m256 bit4 = _mm256_castsi256_ps(_mm256_slli_epi32(places, 27));
    const __m256 low = _mm256_blendv_ps(choose_look_up_part(0, places),
                                        choose_look_up_part(1, places), bit3);
    const __m256 high = _mm256_blendv_ps(choose_look_up_part(2, places),
                                         choose_look_up_part(3, places), bit3);
    _mm256_storeu_ps((float *)(void *)(powers + i), _mm256_blendv_ps(low, high, bit4));
  }
}

#endif

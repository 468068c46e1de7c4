/// The exponential's table on AVX-512, for blocks that have no body of their own there.
/// Included inside a `clang attribute push` that sets the target.
#ifndef MARTLET_X86_CHOOSE_LOOK_UP_AVX512_H
#define MARTLET_X86_CHOOSE_LOOK_UP_AVX512_H

#include "reference/choose.h"

LANES void choose_look_up(const uint32_t *bits, uint32_t *powers) {
  _mm512_storeu_si512(powers, _mm512_permutex2var_epi32(
                                  _mm512_loadu_si512(martlet_exp2_table), _mm512_loadu_si512(bits),
                                  _mm512_loadu_si512(martlet_exp2_table + 16)));
}

#endif

/// Scans of four queries on AVX-512 with VBMI and VNNI; fewer as on AVX-512.
///
/// Two permutations make quads of two lines of codes: four bytes of one position side by side. A byte
/// permutation then looks eight nibbles up in two registers of four tables each (the table's number is
/// in the upper half of its index), and a dot product with ones adds four bytes up to 32 bits, which
/// replaces the two additions of words and the shift that bytes of different positions take. Per 64
/// bytes of codes: 4 operations to make indexes, then per query 2 lookups, an addition and a dot
/// product; per page of 32 positions and 16 bytes each 32 + 4 · 32 operations, and 8 to pack, store and
/// compare. Four ports make that 42 cycles, half of them lookups and permutations, which two ports do.
/// The shared body takes 208 operations.
#include "dispatch/retrieve_variants.h"

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target( \
        "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vbmi,avx512vnni,avx2,fma,f16c"))), \
    apply_to = function)
#define LANES_ISA avx512_vbmi
#include "x86/lanes_avx512.h"
#include "x86/wide_avx512.h"

#include "dispatch/retrieve_layout.h"

/// Byte 4i + j of half h is byte j of position 8(i / 4) + 4h + i % 4, so that packing both halves puts
/// positions in order.
static const uint8_t retrieve_quad_bytes[2][64] = {
#define QUAD(p) (p), (p) + 32, (p) + 64, (p) + 96
#define QUADS(p) QUAD(p), QUAD((p) + 1), QUAD((p) + 2), QUAD((p) + 3)
    {QUADS(0), QUADS(8), QUADS(16), QUADS(24)},
    {QUADS(4), QUADS(12), QUADS(20), QUADS(28)},
#undef QUADS
#undef QUAD
};

/// Scores of four queries; each query's tables in quads lie behind its others.
static void retrieve_scan_quads(size_t bytes, const uint8_t *const *tables, size_t pages,
                                const uint8_t *const *codes, const uint8_t *const *next,
                                uint16_t *const *scores) {
  const __m512i halves[2] = {_mm512_loadu_si512(retrieve_quad_bytes[0]),
                             _mm512_loadu_si512(retrieve_quad_bytes[1])};
  const __m512i nibble = _mm512_set1_epi8(15), ones = _mm512_set1_epi8(1);
  const __m512i table = _mm512_set1_epi32(0x30201000);
  const uint8_t *quads[4];
  for (int q = 0; q < 4; ++q) quads[q] = tables[q] + 2 * bytes;
  for (size_t page = 0; page < pages; ++page) {
    const uint8_t *from = codes[page], *ahead = next[page];
    __m512i sums[4][2];
    for (int q = 0; q < 4; ++q) sums[q][0] = sums[q][1] = _mm512_setzero_si512();
    for (size_t at = 0; at < bytes; at += 128) {
      const __m512i a = _mm512_loadu_si512(from + at), b = _mm512_loadu_si512(from + at + 64);
      __builtin_prefetch(ahead + at, 0, 3);
      __builtin_prefetch(ahead + at + 64, 0, 3);
      __m512i low[2], high[2];
      for (int h = 0; h < 2; ++h) {
        const __m512i quad = _mm512_permutex2var_epi8(a, halves[h], b);
        // (codes & nibble) | table
        low[h] = _mm512_ternarylogic_epi32(quad, nibble, table, 0xea);
        high[h] = _mm512_ternarylogic_epi32(_mm512_srli_epi16(quad, 4), nibble, table, 0xea);
      }
      for (int q = 0; q < 4; ++q) {
        const __m512i even = _mm512_loadu_si512(quads[q] + at);
        const __m512i odd = _mm512_loadu_si512(quads[q] + at + 64);
        for (int h = 0; h < 2; ++h) {
          const __m512i entries = _mm512_add_epi8(_mm512_permutexvar_epi8(low[h], even),
                                                  _mm512_permutexvar_epi8(high[h], odd));
          sums[q][h] = _mm512_dpbusd_epi32(sums[q][h], entries, ones);
        }
      }
    }
    for (int q = 0; q < 4; ++q)
      _mm512_storeu_si512(scores[q] + page * kv_positions,
                          _mm512_packus_epi32(sums[q][0], sums[q][1]));
  }
}
#define WIDE_QUADS

#include "lanes/retrieve_scan.h"
#pragma clang attribute pop
#endif

/// The tile vocabulary of AMX kernels, by its instructions. Tests/CKernelsCheck/tiles_emulated.h
/// says the same words in plain C, so that the bodies over it are checked on CPUs without AMX.
/// Include it inside the target attribute; tile numbers are literals.
///
/// A tile has up to 16 rows of up to 64 bytes. A dot is C += A · B with A of rows × depth, B of
/// depth / 4 (bytes) or depth / 2 (bf16) rows by outputs, each row holding 4 bytes (a pair) per
/// output: the order of `bytes` and of bf16 steps in gemm_layout.h.
#ifndef MARTLET_X86_TILES_AMX_H
#define MARTLET_X86_TILES_AMX_H

#include <immintrin.h>

#include "x86/tiles.h"

ALWAYS_INLINE void tile_configure(const tile_shapes *shapes) { _tile_loadconfig(shapes); }
ALWAYS_INLINE void tile_release(void) { _tile_release(); }

#define tile_zero(tile) _tile_zero(tile)
/// Rows from `base`, `stride` bytes apart.
#define tile_load(tile, base, stride) _tile_loadd(tile, base, stride)
#define tile_store(tile, base, stride) _tile_stored(tile, base, stride)
/// Signed bytes by signed bytes, exact sums in int32.
#define tile_dot_bytes(c, a, b) _tile_dpbssd(c, a, b)
/// bf16 pairs: the sums of even and of odd depths from 0, each a chain of fused multiply-adds,
/// added and then added to C; subnormal operands and results are zero.
#define tile_dot_bf16(c, a, b) _tile_dpbf16ps(c, a, b)

/// 16 float16.
ALWAYS_INLINE floats floats_of_halves(const uint8_t *halves) {
  return (floats)_mm512_cvtph_ps(_mm256_loadu_si256((const void *)halves));
}

/// table[indices[i]], indices below 16.
ALWAYS_INLINE bytes bytes_lookup(const int8_t *table, bytes indices) {
  const __m512i all = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)table));
  return (bytes)_mm512_shuffle_epi8(all, (__m512i)indices);
}

#endif

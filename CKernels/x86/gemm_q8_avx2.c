/// Products of quantised weights with int8 activations, AVX2.
///
/// Tile. One tile of 16 outputs, as two registers of 8, by up to 16 rows, a block of 32 depth at a
/// time: the same bytes the AVX-512 kernel reads, each 64-byte group as two halves. Sixteen
/// registers cannot hold an unpacked block (16 of quants), so it lies in the first-level cache
/// (512 bytes) with the rows' sums; one broadcast of activations serves both halves.
///
/// Exactness. vpmaddubsw multiplies unsigned quants by signed activations and adds pairs in int16,
/// saturating at 2^15: groups_per_sum says how many groups of which type stay below it. Quants of
/// eight bits would not, so Q8_0 and IQ4_NL multiply magnitudes by activations that took the
/// weight's sign (vpsignb), 2 · 128 · 127 at most. vpmaddwd by ones widens to int32. The sums are
/// the same integers in every variant, and the float steps the same multiply-adds.
///
/// Work per block, row and tile, on three vector ports of which two multiply: 16 vpmaddubsw, up to
/// 16 adds, 2 (4-bit types) to 16 (8-bit) vpmaddwd with as many adds, 6 float operations, and 16
/// vpsignb for 8-bit types; 8 broadcasts and 16 loads of quants. About 15 cycles for 4-bit and 28
/// for 8-bit types: a third and a fifth of what AVX-512 VNNI reaches per row. Bytes per call are as
/// in gemm_q8_avx512_vnni.c. One row is still bound by reading weights on machines with 10 GB/s and
/// less per core, and by arithmetic on others.
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "dispatch/gemm_variants.h"
#include "reference/blocks.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "x86/gemm_avx2.h"

enum { ROWS_PER_PANEL = 16 }; ///< Rows that share one unpacking of a weight block.

/// One block of 32 depth of one tile, ready for the dot product: [group][half].
typedef struct {
  __m256i quants[8][MARTLET_HALVES]; ///< Unsigned; magnitudes where weights are signed bytes.
  __m256i signs[8][MARTLET_HALVES];  ///< The signed bytes themselves, there.
  __m256 scale[MARTLET_HALVES], second_scale[MARTLET_HALVES], minimum[MARTLET_HALVES];
} unpacked_block;

/// Quants of eight bits go through magnitudes and signs, see `group_dot`.
ALWAYS_INLINE bool is_signed(martlet_weight_type type) {
  return type == MARTLET_WEIGHT_Q8_0 || type == MARTLET_WEIGHT_IQ4_NL;
}

/// How many groups' int16 pair sums may be added before they widen: n · 2 · quant · 127 < 2^15.
ALWAYS_INLINE int groups_per_sum(martlet_weight_type type) {
  if (is_signed(type)) return 1;                 // 1 · 2 · 128 · 127 = 32,512
  if (type == MARTLET_WEIGHT_Q6_K) return 2;     // 2 · 2 ·  63 · 127 = 32,004
  return martlet_gemm_has_bits(type) ? 4 : 8;                 // 4 · 2 ·  31 · 127 = 31,496; 8 · 2 · 15 · 127
}

/// −8 · sum, times offset / 8.
ALWAYS_INLINE int32_t scaled_start(martlet_weight_type type, int32_t start) {
  switch (type) {
    case MARTLET_WEIGHT_Q4_0: return start;
    case MARTLET_WEIGHT_Q5_0: return start * 2;
    case MARTLET_WEIGHT_Q6_K: return start * 4;
    default: return 0;
  }
}

ALWAYS_INLINE __m256i load_line(const uint8_t *bytes) {
  return _mm256_loadu_si256((const void *)bytes);
}

ALWAYS_INLINE __m256 load_halves(const uint8_t *halves) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const void *)halves));
}

ALWAYS_INLINE __m256 load_bytes(const uint8_t *bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)bytes)));
}

ALWAYS_INLINE __m256 load_signed_bytes(const uint8_t *bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)bytes)));
}

/// The two groups that share nibbles `g`, with their further bits from `plane`.
ALWAYS_INLINE void unpack_group_pair(martlet_weight_type type, const uint8_t *nibbles,
                                     const uint8_t *plane, int g, int half,
                                     unpacked_block *unpacked) {
  const __m256i low_mask = _mm256_set1_epi8(15);
  __m256i both = load_line(nibbles + 64 * g + 32 * half);
  __m256i low = _mm256_and_si256(both, low_mask);
  __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), low_mask);
  if (martlet_gemm_has_bits(type)) {
    const __m256i bit = _mm256_set1_epi8(16);
    __m256i bits = load_line(plane + 32 * half);
    low = _mm256_or_si256(low, _mm256_and_si256(_mm256_slli_epi16(bits, 4 - g), bit));
    high = _mm256_or_si256(high, _mm256_and_si256(_mm256_srli_epi16(bits, g), bit));
  }
  if (type == MARTLET_WEIGHT_Q6_K) {
    const __m256i pair = _mm256_set1_epi8(48);
    __m256i first = load_line(plane + 32 * half), second = load_line(plane + 64 + 32 * half);
    if (g < 2) {
      first = _mm256_slli_epi16(first, 4 - 2 * g);
      second = _mm256_slli_epi16(second, 4 - 2 * g);
    } else {
      first = _mm256_srli_epi16(first, 2 * g - 4);
      second = _mm256_srli_epi16(second, 2 * g - 4);
    }
    low = _mm256_or_si256(low, _mm256_and_si256(first, pair));
    high = _mm256_or_si256(high, _mm256_and_si256(second, pair));
  }
  if (type == MARTLET_WEIGHT_IQ4_NL) {
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const void *)martlet_iq4_nl_values));
    unpacked->signs[g][half] = low = _mm256_shuffle_epi8(table, low);
    unpacked->signs[g + 4][half] = high = _mm256_shuffle_epi8(table, high);
    low = _mm256_abs_epi8(low);
    high = _mm256_abs_epi8(high);
  }
  unpacked->quants[g][half] = low;
  unpacked->quants[g + 4][half] = high;
}

/// Unpacks block `index` of a tile of `blocks`.
ALWAYS_INLINE void unpack(martlet_weight_type type, const uint8_t *tile, size_t blocks,
                          size_t index, unpacked_block *unpacked) {
  const martlet_gemm_block at = martlet_gemm_block_at(type, blocks, index);
  const uint8_t *factors = tile + at.factors, *quants = tile + at.quants;
  UNROLLED for (int half = 0; half < MARTLET_HALVES; ++half) {
    __m256 scale = load_halves(tile + at.scales + 16 * half);
    if (type == MARTLET_WEIGHT_Q6_K) {
      unpacked->second_scale[half] =
          _mm256_mul_ps(scale, load_signed_bytes(factors + 16 + 8 * half));
      scale = _mm256_mul_ps(scale, load_signed_bytes(factors + 8 * half));
    } else if (martlet_gemm_is_k(type)) {
      scale = _mm256_mul_ps(scale, load_bytes(factors + 8 * half));
    }
    unpacked->scale[half] = scale;
    if (martlet_gemm_has_minimums(type)) {
      __m256 minimum = load_halves(tile + at.minimums + 16 * half);
      if (martlet_gemm_is_k(type))
        minimum = _mm256_mul_ps(minimum, load_bytes(factors + 16 + 8 * half));
      unpacked->minimum[half] = minimum;
    }
  }
  UNROLLED for (int half = 0; half < MARTLET_HALVES; ++half) {
    if (type == MARTLET_WEIGHT_Q8_0) {
      UNROLLED for (int g = 0; g < 8; ++g) {
        __m256i value = _mm256_xor_si256(load_line(quants + 64 * g + 32 * half),
                                         _mm256_set1_epi8((char)0x80));
        unpacked->signs[g][half] = value;
        unpacked->quants[g][half] = _mm256_abs_epi8(value);
      }
    } else {
      UNROLLED for (int g = 0; g < 4; ++g)
        unpack_group_pair(type, quants, quants + MARTLET_GEMM_NIBBLE_BYTES, g, half, unpacked);
    }
  }
}

/// Pair sums of one group in int16, exact: see groups_per_sum. vpmaddubsw takes an unsigned and a
/// signed operand, so signed weights pass as magnitudes and give their signs to the activations
/// (which are never −128).
ALWAYS_INLINE __m256i group_dot(martlet_weight_type type, const unpacked_block *weights, int g,
                                int half, __m256i activations) {
  if (is_signed(type)) activations = _mm256_sign_epi8(activations, weights->signs[g][half]);
  return _mm256_maddubs_epi16(weights->quants[g][half], activations);
}

/// dots[half] += Σ over groups [begin, end).
ALWAYS_INLINE void dot(martlet_weight_type type, const unpacked_block *weights,
                       const martlet_q8_block *block, int begin, int end, __m256i *dots) {
  const __m256i ones = _mm256_set1_epi16(1);
  UNROLLED for (int first = begin; first < end; first += groups_per_sum(type)) {
    __m256i pairs[MARTLET_HALVES];
    UNROLLED for (int i = 0; i < groups_per_sum(type); ++i) {
      int32_t group;
      memcpy(&group, block->values + 4 * (first + i), sizeof group);
      const __m256i activations = _mm256_set1_epi32(group);
      UNROLLED for (int half = 0; half < MARTLET_HALVES; ++half) {
        __m256i sum = group_dot(type, weights, first + i, half, activations);
        pairs[half] = i == 0 ? sum : _mm256_add_epi16(pairs[half], sum);
      }
    }
    UNROLLED for (int half = 0; half < MARTLET_HALVES; ++half)
      dots[half] = _mm256_add_epi32(dots[half], _mm256_madd_epi16(pairs[half], ones));
  }
}

ALWAYS_INLINE __m256 add_scaled(__m256i dot, __m256 weight_scale, __m256 scale, __m256 sum) {
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(weight_scale, scale), sum);
}

/// Adds one block's products to one row's sums, in the order gemm_layout.h fixes.
ALWAYS_INLINE void add_block(martlet_weight_type type, const unpacked_block *weights,
                             const martlet_q8_block *block, __m256 *sums) {
  const __m256 scale = _mm256_set1_ps(block->scale);
  const bool halves = type == MARTLET_WEIGHT_Q6_K;
  __m256i dots[MARTLET_HALVES];
  const __m256i start =
      _mm256_set1_epi32(scaled_start(type, halves ? block->start_first : block->start));
  UNROLLED for (int half = 0; half < MARTLET_HALVES; ++half) dots[half] = start;
  dot(type, weights, block, 0, halves ? 4 : 8, dots);
  UNROLLED for (int half = 0; half < MARTLET_HALVES; ++half)
    sums[half] = add_scaled(dots[half], weights->scale[half], scale, sums[half]);
  if (halves) {
    const __m256i second_start =
        _mm256_set1_epi32(scaled_start(type, block->start - block->start_first));
    UNROLLED for (int half = 0; half < MARTLET_HALVES; ++half) dots[half] = second_start;
    dot(type, weights, block, 4, 8, dots);
    UNROLLED for (int half = 0; half < MARTLET_HALVES; ++half)
      sums[half] = add_scaled(dots[half], weights->second_scale[half], scale, sums[half]);
  }
  if (!martlet_gemm_has_minimums(type)) return;
  const __m256 scaled_sum = _mm256_set1_ps(block->scaled_sum);
  UNROLLED for (int half = 0; half < MARTLET_HALVES; ++half)
    sums[half] = martlet_gemm_is_k(type)
                     ? _mm256_fnmadd_ps(weights->minimum[half], scaled_sum, sums[half])
                     : _mm256_fmadd_ps(weights->minimum[half], scaled_sum, sums[half]);
}

/// The micro-kernel: the whole depth of one tile for `rows` rows.
ALWAYS_INLINE void multiply_panel(martlet_weight_type type, size_t rows,
                                  const martlet_gemm_arguments *a, size_t row, size_t column) {
  const size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth);
  const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
  const uint8_t *tile = (const uint8_t *)a->weights +
                        column / MARTLET_GEMM_TILE * martlet_gemm_tile_bytes(type, a->depth);
  __m256 sums[ROWS_PER_PANEL][MARTLET_HALVES];
  for (size_t i = 0; i < rows; ++i) sums[i][0] = sums[i][1] = _mm256_setzero_ps();
  const size_t blocks = a->depth / MARTLET_GEMM_BLOCK;
  for (size_t b = 0; b < blocks; ++b) {
    unpacked_block weights;
    unpack(type, tile, blocks, b, &weights);
    for (size_t i = 0; i < rows; ++i)
      add_block(type, &weights, (const void *)(activations + i * row_bytes), sums[i]);
    activations += sizeof(martlet_q8_block);
  }
  for (size_t i = 0; i < rows; ++i) {
    finish_half(a, row + i, column, sums[i][0]);
    finish_half(a, row + i, column + 8, sums[i][1]);
  }
}

/// The blocking: groups of rows that stay in L2, tiles, panels of rows.
ALWAYS_INLINE void multiply(martlet_weight_type type, const martlet_gemm_arguments *arguments) {
  const martlet_gemm_arguments *a = arguments;
  const size_t group =
      rows_per_group(martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth), ROWS_PER_PANEL);
  for (size_t begin = 0; begin < a->rows; begin += group) {
    size_t end = a->rows - begin < group ? a->rows : begin + group;
    for (size_t column = a->column_begin; column < a->column_end; column += MARTLET_GEMM_TILE)
      for (size_t row = begin; row < end; row += ROWS_PER_PANEL) {
        size_t rows = end - row < ROWS_PER_PANEL ? end - row : ROWS_PER_PANEL;
        if (rows == 1)
          multiply_panel(type, 1, a, row, column);
        else
          multiply_panel(type, rows, a, row, column);
      }
  }
}

#define MARTLET_DEFINE_PRODUCT(name, type)                                     \
  void martlet_gemm_##name##_q8_avx2(const martlet_gemm_arguments *arguments) { \
    multiply(type, arguments);                                                 \
  }
MARTLET_DEFINE_PRODUCT(q4_0, MARTLET_WEIGHT_Q4_0)
MARTLET_DEFINE_PRODUCT(q4_1, MARTLET_WEIGHT_Q4_1)
MARTLET_DEFINE_PRODUCT(q5_0, MARTLET_WEIGHT_Q5_0)
MARTLET_DEFINE_PRODUCT(q5_1, MARTLET_WEIGHT_Q5_1)
MARTLET_DEFINE_PRODUCT(q8_0, MARTLET_WEIGHT_Q8_0)
MARTLET_DEFINE_PRODUCT(q4_k, MARTLET_WEIGHT_Q4_K)
MARTLET_DEFINE_PRODUCT(q5_k, MARTLET_WEIGHT_Q5_K)
MARTLET_DEFINE_PRODUCT(q6_k, MARTLET_WEIGHT_Q6_K)
MARTLET_DEFINE_PRODUCT(iq4_nl, MARTLET_WEIGHT_IQ4_NL)

#pragma clang attribute pop
#endif

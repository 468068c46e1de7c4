/// Products of quantised weights with int8 activations, AVX-512 VNNI.
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "dispatch/gemm_layout.h"
#include "dispatch/gemm_variants.h"

#pragma clang attribute push(                                                                    \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))),      \
    apply_to = function)

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum {
  ROWS_PER_PANEL = 16,        ///< Rows that share one unpacking of a weight block.
  ACTIVATION_BYTES = 1 << 19, ///< Prepared rows that should stay in L2 while all tiles pass.
};

/// One block of 32 depth of one tile, ready for the dot product.
typedef struct {
  __m512i quants[8]; ///< 16 outputs × 4 depths each, unsigned.
  __m512 scale, second_scale, minimum;
} unpacked_block;

ALWAYS_INLINE bool has_minimums(martlet_weight_type type) {
  return type == MARTLET_WEIGHT_Q4_1 || type == MARTLET_WEIGHT_Q5_1 ||
         type == MARTLET_WEIGHT_Q4_K || type == MARTLET_WEIGHT_Q5_K;
}

ALWAYS_INLINE bool is_super_block(martlet_weight_type type) {
  return type == MARTLET_WEIGHT_Q4_K || type == MARTLET_WEIGHT_Q5_K ||
         type == MARTLET_WEIGHT_Q6_K;
}

/// log2(offset / 8) of the unsigned quants, or −1 when there is no offset.
ALWAYS_INLINE int offset_shift(martlet_weight_type type) {
  switch (type) {
    case MARTLET_WEIGHT_Q4_0: return 0;
    case MARTLET_WEIGHT_Q5_0: return 1;
    case MARTLET_WEIGHT_Q6_K: return 2;
    case MARTLET_WEIGHT_Q8_0:
    case MARTLET_WEIGHT_IQ4_NL: return 4;
    default: return -1;
  }
}

ALWAYS_INLINE __m512 load_halves(const uint8_t *halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)halves));
}

ALWAYS_INLINE __m512 load_bytes(const uint8_t *bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)bytes)));
}

ALWAYS_INLINE __m512 load_signed_bytes(const uint8_t *bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)bytes)));
}

ALWAYS_INLINE void unpack_nibbles(const uint8_t *nibbles, __m512i quants[8]) {
  const __m512i low = _mm512_set1_epi8(15);
  for (int g = 0; g < 4; ++g) {
    __m512i both = _mm512_loadu_si512(nibbles + 64 * g);
    quants[g] = _mm512_and_si512(both, low);
    quants[g + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
  }
}

/// quants[g] |= bit g of every byte, moved to bit 4.
ALWAYS_INLINE void add_bits(const uint8_t *plane, __m512i quants[8]) {
  const __m512i bit = _mm512_set1_epi8(16);
  __m512i bits = _mm512_loadu_si512(plane);
  for (int g = 0; g < 8; ++g) {
    __m512i moved = g < 4 ? _mm512_slli_epi16(bits, 4 - g) : _mm512_srli_epi16(bits, g - 4);
    quants[g] = _mm512_ternarylogic_epi32(quants[g], moved, bit, 0xF8);  // q | (m & bit)
  }
}

/// quants[g] |= bit pair g mod 4 of every byte of line g / 4, moved to bit 4.
ALWAYS_INLINE void add_bit_pairs(const uint8_t *planes, __m512i quants[8]) {
  const __m512i pair = _mm512_set1_epi8(48);
  for (int g = 0; g < 8; ++g) {
    __m512i pairs = _mm512_loadu_si512(planes + 64 * (g / 4));
    int shift = 2 * (g % 4);
    __m512i moved = shift < 4 ? _mm512_slli_epi16(pairs, 4 - shift)
                              : _mm512_srli_epi16(pairs, shift - 4);
    quants[g] = _mm512_ternarylogic_epi32(quants[g], moved, pair, 0xF8);
  }
}

ALWAYS_INLINE void look_up_nibbles(__m512i quants[8]) {
  const __m512i table = _mm512_broadcast_i32x4(_mm_xor_si128(
      _mm_loadu_si128((const void *)martlet_iq4_nl_values), _mm_set1_epi8((char)0x80)));
  for (int g = 0; g < 8; ++g) quants[g] = _mm512_shuffle_epi8(table, quants[g]);
}

/// Unpacks the block whose own bytes begin at `block`, of the step that begins at `step`.
/// Returns the bytes it took.
ALWAYS_INLINE size_t unpack(martlet_weight_type type, const uint8_t *step, const uint8_t *block,
                            unpacked_block *unpacked) {
  const uint8_t *quants = block;
  if (is_super_block(type)) {
    __m512 scale = load_halves(step);
    if (type == MARTLET_WEIGHT_Q6_K) {
      unpacked->scale = _mm512_mul_ps(scale, load_signed_bytes(block));
      unpacked->second_scale = _mm512_mul_ps(scale, load_signed_bytes(block + 16));
    } else {
      __m512 minimum = load_halves(step + MARTLET_GEMM_HALF_BYTES);
      unpacked->scale = _mm512_mul_ps(scale, load_bytes(block));
      unpacked->minimum = _mm512_mul_ps(minimum, load_bytes(block + 16));
    }
    quants += 32;
  } else {
    unpacked->scale = load_halves(step);
    if (has_minimums(type)) unpacked->minimum = load_halves(step + MARTLET_GEMM_HALF_BYTES);
  }
  switch (type) {
    case MARTLET_WEIGHT_Q8_0:
      for (int g = 0; g < 8; ++g) unpacked->quants[g] = _mm512_loadu_si512(quants + 64 * g);
      return (size_t)(quants - block) + MARTLET_GEMM_BYTE_BYTES;
    case MARTLET_WEIGHT_Q5_0:
    case MARTLET_WEIGHT_Q5_1:
    case MARTLET_WEIGHT_Q5_K:
      unpack_nibbles(quants, unpacked->quants);
      add_bits(quants + MARTLET_GEMM_NIBBLE_BYTES, unpacked->quants);
      return (size_t)(quants - block) + MARTLET_GEMM_NIBBLE_BYTES + MARTLET_GEMM_BITS_BYTES;
    case MARTLET_WEIGHT_Q6_K:
      unpack_nibbles(quants, unpacked->quants);
      add_bit_pairs(quants + MARTLET_GEMM_NIBBLE_BYTES, unpacked->quants);
      return (size_t)(quants - block) + MARTLET_GEMM_NIBBLE_BYTES + MARTLET_GEMM_BIT_PAIRS_BYTES;
    case MARTLET_WEIGHT_IQ4_NL:
      unpack_nibbles(quants, unpacked->quants);
      look_up_nibbles(unpacked->quants);
      return (size_t)(quants - block) + MARTLET_GEMM_NIBBLE_BYTES;
    default:
      unpack_nibbles(quants, unpacked->quants);
      return (size_t)(quants - block) + MARTLET_GEMM_NIBBLE_BYTES;
  }
}

/// start + Σ quants[g] · values[4·g…] over groups [begin, end).
ALWAYS_INLINE __m512i dot(const unpacked_block *weights, const martlet_q8_block *block,
                          __m512i start, int begin, int end) {
  for (int g = begin; g < end; ++g) {
    int32_t group;
    memcpy(&group, block->values + 4 * g, sizeof group);
    start = _mm512_dpbusd_epi32(start, weights->quants[g], _mm512_set1_epi32(group));
  }
  return start;
}

/// Adds one block's products to one row's sums, in the order gemm_layout.h fixes.
ALWAYS_INLINE __m512 add_block(martlet_weight_type type, const unpacked_block *weights,
                               const martlet_q8_block *block, __m512 sum) {
  const __m512 scale = _mm512_set1_ps(block->scale);
  __m512i start = _mm512_setzero_si512();
  if (type == MARTLET_WEIGHT_Q6_K) {
    __m512i first = _mm512_set1_epi32(block->start_first * 4);
    __m512i second = _mm512_set1_epi32((block->start - block->start_first) * 4);
    first = dot(weights, block, first, 0, 4);
    second = dot(weights, block, second, 4, 8);
    sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(first), _mm512_mul_ps(weights->scale, scale), sum);
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(second),
                           _mm512_mul_ps(weights->second_scale, scale), sum);
  }
  if (offset_shift(type) == 0)
    start = _mm512_set1_epi32(block->start);
  else if (offset_shift(type) > 0)
    start = _mm512_slli_epi32(_mm512_set1_epi32(block->start), (unsigned)offset_shift(type));
  start = dot(weights, block, start, 0, 8);
  sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(start), _mm512_mul_ps(weights->scale, scale), sum);
  if (!has_minimums(type)) return sum;
  const __m512 scaled_sum = _mm512_set1_ps(block->scaled_sum);
  return is_super_block(type) ? _mm512_fnmadd_ps(weights->minimum, scaled_sum, sum)
                              : _mm512_fmadd_ps(weights->minimum, scaled_sum, sum);
}

/// The whole depth of one tile for `rows` rows. Sums stay in registers where `rows` is a constant.
ALWAYS_INLINE void multiply_panel(martlet_weight_type type, size_t rows, const uint8_t *activations,
                                  size_t row_bytes, const uint8_t *tile, size_t depth,
                                  __m512 *sums) {
  const martlet_gemm_format format = martlet_gemm_format_of(type);
  const size_t blocks_per_step = format.step_depth / MARTLET_GEMM_BLOCK;
  const size_t header = !is_super_block(type)           ? has_minimums(type) ? 64 : 32
                        : type == MARTLET_WEIGHT_Q6_K ? 32 : 64;
  for (size_t s = 0; s < depth / format.step_depth; ++s, tile += format.step_bytes) {
    const uint8_t *block = tile + header;
    for (size_t b = 0; b < blocks_per_step; ++b, activations += sizeof(martlet_q8_block)) {
      unpacked_block weights;
      block += unpack(type, tile, block, &weights);
      for (size_t row = 0; row < rows; ++row)
        sums[row] = add_block(type, &weights, (const void *)(activations + row * row_bytes),
                              sums[row]);
    }
  }
}

ALWAYS_INLINE void multiply_rows(martlet_weight_type type, size_t rows,
                                 const uint8_t *activations, size_t row_bytes, const uint8_t *tile,
                                 size_t depth, __m512 *result) {
  __m512 sums[ROWS_PER_PANEL];
  for (size_t row = 0; row < rows; ++row) sums[row] = _mm512_setzero_ps();
  multiply_panel(type, rows, activations, row_bytes, tile, depth, sums);
  for (size_t row = 0; row < rows; ++row) result[row] = sums[row];
}

/// Bias, accumulation and store of one tile of one row; `mask` has the outputs that exist.
ALWAYS_INLINE void finish(const martlet_gemm_arguments *arguments, size_t row, size_t column,
                          __mmask16 mask, __m512 sum) {
  float *output = arguments->output + row * arguments->output_stride + column;
  if (arguments->bias)
    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, arguments->bias + column));
  if (arguments->accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, output), sum);
  _mm512_mask_storeu_ps(output, mask, sum);
}

ALWAYS_INLINE void multiply(martlet_weight_type type, const martlet_gemm_arguments *arguments) {
  const martlet_gemm_arguments *a = arguments;
  const size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth);
  const size_t tile_bytes = martlet_gemm_tile_bytes(type, a->depth);
  size_t group = ACTIVATION_BYTES / row_bytes / ROWS_PER_PANEL * ROWS_PER_PANEL;
  if (group == 0) group = ROWS_PER_PANEL;
  for (size_t group_row = 0; group_row < a->rows; group_row += group) {
    size_t group_end = a->rows - group_row < group ? a->rows : group_row + group;
    for (size_t column = a->column_begin; column < a->column_end; column += MARTLET_GEMM_TILE) {
      const uint8_t *tile =
          (const uint8_t *)a->weights + column / MARTLET_GEMM_TILE * tile_bytes;
      size_t outputs = a->column_end - column;
      __mmask16 mask = outputs >= 16 ? 0xFFFF : (__mmask16)((1u << outputs) - 1);
      for (size_t row = group_row; row < group_end;) {
        size_t rows = group_end - row < ROWS_PER_PANEL ? group_end - row : ROWS_PER_PANEL;
        const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
        __m512 sums[ROWS_PER_PANEL];
        switch (rows) {
          case 1: multiply_rows(type, 1, activations, row_bytes, tile, a->depth, sums); break;
          case 2: multiply_rows(type, 2, activations, row_bytes, tile, a->depth, sums); break;
          case 3: multiply_rows(type, 3, activations, row_bytes, tile, a->depth, sums); break;
          case 4: multiply_rows(type, 4, activations, row_bytes, tile, a->depth, sums); break;
          default: multiply_rows(type, rows, activations, row_bytes, tile, a->depth, sums); break;
        }
        for (size_t i = 0; i < rows; ++i) finish(a, row + i, column, mask, sums[i]);
        row += rows;
      }
    }
  }
}

#define MARTLET_DEFINE_PRODUCT(name, type)                                                  \
  void martlet_gemm_##name##_q8_avx512_vnni(const martlet_gemm_arguments *arguments) { \
    multiply(type, arguments);                                                              \
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

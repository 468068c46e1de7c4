/// Products of quantised weights with int8 activations, AVX-512 VNNI.
///
/// Tile. Two tiles of 16 outputs by up to 16 rows, a block of 32 depth at a time. A block is
/// unpacked once into 16 registers of unsigned bytes (8 per tile) and meets every row of the panel;
/// a 4-byte group of activations is broadcast by its load and feeds both tiles. Two tiles rather
/// than one because with one every vpdpbusd brings its own broadcast load, and the two 512-bit load
/// ports are then as busy as the two multipliers.
///
/// Registers. 16 quants, 2 to 4 scales and minimums, 2 dot products, a broadcast and constants. The
/// rows' float sums are registers for up to 4 rows. Beyond that they live in the first-level cache
/// (2 KB at 16 rows): reloading one is the memory operand of the multiply-add that needs it, and
/// its store has a port of its own, so that any number of rows shares one piece of code.
///
/// Work, counted in operations of the two vector ports. Per block, row and tile: 8 vpdpbusd and one
/// each of convert, scale product and multiply-add; minimums add one, the two halves of Q6_K three,
/// an offset other than 8 half an operation (the shift of the start, shared by two tiles). Per
/// block and tile: 12 to unpack nibbles, 16 more for bits or bit pairs, 8 for IQ4_NL's table, none
/// for Q8_0; 2 to 12 for scales. At 8 rows Q4_0 thus spends 8 of 12.8 operations multiplying, at 16
/// rows 8 of 11.9: 63 % and 67 % of the VNNI peak are the bounds; Q4_K 54 % and 60 %.
///
/// Bytes. A product reads columns · depth · (0.5625 bytes for Q4_0, 0.578 Q4_K, 0.82 Q6_K, 1.0625
/// Q8_0) once per group of rows whose activations fit half the second-level cache, and does
/// 2 · rows · columns · depth operations. One to four rows are bound by those reads. Measured
/// beside other load on a Sapphire Rapids guest, 4096 deep and 14,336 wide: the speed of a plain
/// read loop or better up to 4 rows (the prefetch is worth more than what the loop leaves out); 45
/// to 50 % of the VNNI peak at 16 rows of Q4_0.
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "dispatch/gemm_variants.h"
#include "reference/blocks.h"

#pragma clang attribute push(                                                                    \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))),      \
    apply_to = function)

#include "x86/gemm_avx512.h"

enum {
  MAXIMUM_TILES = 2,
  ROWS_PER_PANEL = 16, ///< Rows that share one unpacking of a weight block.
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

ALWAYS_INLINE bool has_bits(martlet_weight_type type) {
  return type == MARTLET_WEIGHT_Q5_0 || type == MARTLET_WEIGHT_Q5_1 ||
         type == MARTLET_WEIGHT_Q5_K;
}

/// Where a step's first block begins.
ALWAYS_INLINE size_t header_bytes(martlet_weight_type type) {
  return has_minimums(type) ? 2 * MARTLET_GEMM_HALF_BYTES : MARTLET_GEMM_HALF_BYTES;
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
ALWAYS_INLINE void unpack(martlet_weight_type type, const uint8_t *step, const uint8_t *block,
                          unpacked_block *unpacked) {
  unpacked->scale = load_halves(step);
  if (has_minimums(type)) unpacked->minimum = load_halves(step + MARTLET_GEMM_HALF_BYTES);
  if (type == MARTLET_WEIGHT_Q6_K) {
    unpacked->second_scale = _mm512_mul_ps(unpacked->scale, load_signed_bytes(block + 16));
    unpacked->scale = _mm512_mul_ps(unpacked->scale, load_signed_bytes(block));
  } else if (is_super_block(type)) {
    unpacked->scale = _mm512_mul_ps(unpacked->scale, load_bytes(block));
    unpacked->minimum = _mm512_mul_ps(unpacked->minimum, load_bytes(block + 16));
  }
  if (is_super_block(type)) block += 32;
  if (type == MARTLET_WEIGHT_Q8_0) {
    for (int g = 0; g < 8; ++g) unpacked->quants[g] = _mm512_loadu_si512(block + 64 * g);
    return;
  }
  unpack_nibbles(block, unpacked->quants);
  block += MARTLET_GEMM_NIBBLE_BYTES;
  if (type == MARTLET_WEIGHT_IQ4_NL) look_up_nibbles(unpacked->quants);
  if (has_bits(type)) add_bits(block, unpacked->quants);
  if (type == MARTLET_WEIGHT_Q6_K) add_bit_pairs(block, unpacked->quants);
}

/// Bytes from one block of a super-block to the next.
ALWAYS_INLINE size_t block_bytes(martlet_weight_type type) {
  martlet_gemm_format format = martlet_gemm_format_of(type);
  return (format.step_bytes - header_bytes(type)) * MARTLET_GEMM_BLOCK / format.step_depth;
}

/// dots[t] += Σ over groups [begin, end) of the tile's quants · values[4·g…]. One broadcast of the
/// activations serves all tiles.
ALWAYS_INLINE void dot(size_t tiles, const unpacked_block *weights, const martlet_q8_block *block,
                       int begin, int end, __m512i *dots) {
  for (int g = begin; g < end; ++g) {
    int32_t group;
    memcpy(&group, block->values + 4 * g, sizeof group);
    const __m512i activations = _mm512_set1_epi32(group);
    UNROLLED for (size_t t = 0; t < tiles; ++t)
      dots[t] = _mm512_dpbusd_epi32(dots[t], weights[t].quants[g], activations);
  }
}

/// Adds one block's products to one row's sums, in the order gemm_layout.h fixes.
ALWAYS_INLINE void add_block(martlet_weight_type type, size_t tiles, const unpacked_block *weights,
                             const martlet_q8_block *block, __m512 *sums) {
  const __m512 scale = _mm512_set1_ps(block->scale);
  __m512i dots[MAXIMUM_TILES];
  if (type == MARTLET_WEIGHT_Q6_K) {
    UNROLLED for (size_t t = 0; t < tiles; ++t) dots[t] = _mm512_set1_epi32(block->start_first * 4);
    dot(tiles, weights, block, 0, 4, dots);
    UNROLLED for (size_t t = 0; t < tiles; ++t) {
      sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t]),
                                _mm512_mul_ps(weights[t].scale, scale), sums[t]);
      dots[t] = _mm512_set1_epi32((block->start - block->start_first) * 4);
    }
    dot(tiles, weights, block, 4, 8, dots);
    UNROLLED for (size_t t = 0; t < tiles; ++t)
      sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t]),
                                _mm512_mul_ps(weights[t].second_scale, scale), sums[t]);
    return;
  }
  __m512i start = _mm512_setzero_si512();
  if (offset_shift(type) == 0)
    start = _mm512_set1_epi32(block->start);
  else if (offset_shift(type) > 0)
    start = _mm512_slli_epi32(_mm512_set1_epi32(block->start), (unsigned)offset_shift(type));
  UNROLLED for (size_t t = 0; t < tiles; ++t) dots[t] = start;
  dot(tiles, weights, block, 0, 8, dots);
  UNROLLED for (size_t t = 0; t < tiles; ++t)
    sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t]), _mm512_mul_ps(weights[t].scale, scale),
                              sums[t]);
  if (!has_minimums(type)) return;
  const __m512 scaled_sum = _mm512_set1_ps(block->scaled_sum);
  UNROLLED for (size_t t = 0; t < tiles; ++t)
    sums[t] = is_super_block(type) ? _mm512_fnmadd_ps(weights[t].minimum, scaled_sum, sums[t])
                                   : _mm512_fmadd_ps(weights[t].minimum, scaled_sum, sums[t]);
}

/// The micro-kernel: the whole depth of `tiles` neighbouring tiles for `rows` rows. Where `rows` is
/// a constant the sums stay in registers, otherwise in the first-level cache.
ALWAYS_INLINE void multiply_panel(martlet_weight_type type, size_t tiles, size_t rows,
                                  const uint8_t *activations, size_t row_bytes,
                                  const uint8_t *tile, size_t tile_bytes, size_t depth,
                                  __m512 *result) {
  const martlet_gemm_format format = martlet_gemm_format_of(type);
  __m512 sums[ROWS_PER_PANEL][MAXIMUM_TILES];
  for (size_t row = 0; row < rows; ++row)
    UNROLLED for (size_t t = 0; t < tiles; ++t) sums[row][t] = _mm512_setzero_ps();
  for (size_t s = 0; s < depth / format.step_depth; ++s, tile += format.step_bytes) {
    const uint8_t *block = tile + header_bytes(type);
    for (size_t b = 0; b < format.step_depth / MARTLET_GEMM_BLOCK; ++b) {
      unpacked_block weights[MAXIMUM_TILES];
      UNROLLED for (size_t t = 0; t < tiles; ++t)
        for (size_t line = 0; line < block_bytes(type); line += 64)
          prefetch_weights(block + t * tile_bytes + line);
      UNROLLED for (size_t t = 0; t < tiles; ++t)
        unpack(type, tile + t * tile_bytes, block + t * tile_bytes, &weights[t]);
      for (size_t row = 0; row < rows; ++row)
        add_block(type, tiles, weights, (const void *)(activations + row * row_bytes), sums[row]);
      block += block_bytes(type);
      activations += sizeof(martlet_q8_block);
    }
  }
  for (size_t row = 0; row < rows; ++row)
    UNROLLED for (size_t t = 0; t < tiles; ++t) result[row * MAXIMUM_TILES + t] = sums[row][t];
}

/// Rows [row, row + rows) of one or two tiles.
ALWAYS_INLINE void multiply_tiles(martlet_weight_type type, size_t tiles,
                                  const martlet_gemm_arguments *a, size_t row, size_t rows,
                                  size_t column) {
  const size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth);
  const size_t tile_bytes = martlet_gemm_tile_bytes(type, a->depth);
  const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
  const uint8_t *tile = (const uint8_t *)a->weights + column / MARTLET_GEMM_TILE * tile_bytes;
  __m512 sums[ROWS_PER_PANEL * MAXIMUM_TILES];
#define MARTLET_PANEL(count) \
  multiply_panel(type, tiles, count, activations, row_bytes, tile, tile_bytes, a->depth, sums)
  switch (rows) {
    case 1: MARTLET_PANEL(1); break;
    case 2: MARTLET_PANEL(2); break;
    case 3: MARTLET_PANEL(3); break;
    case 4: MARTLET_PANEL(4); break;
    default: MARTLET_PANEL(rows); break;
  }
#undef MARTLET_PANEL
  finish_tiles(a, row, rows, column, tiles, sums, MAXIMUM_TILES);
}

/// The blocking: groups of rows that stay in L2, tiles in pairs, rows in panels.
ALWAYS_INLINE void multiply(martlet_weight_type type, const martlet_gemm_arguments *arguments) {
  const martlet_gemm_arguments *a = arguments;
  const size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth);
  const size_t group = rows_per_group(row_bytes, ROWS_PER_PANEL);
  for (size_t begin = 0; begin < a->rows; begin += group) {
    size_t end = a->rows - begin < group ? a->rows : begin + group;
    size_t column = a->column_begin, step;
    for (; column < a->column_end; column += step) {
      bool pair = a->column_end - column > MARTLET_GEMM_TILE;
      step = pair ? 2 * MARTLET_GEMM_TILE : MARTLET_GEMM_TILE;
      for (size_t row = begin; row < end; row += ROWS_PER_PANEL) {
        size_t rows = end - row < ROWS_PER_PANEL ? end - row : ROWS_PER_PANEL;
        if (pair)
          multiply_tiles(type, 2, a, row, rows, column);
        else
          multiply_tiles(type, 1, a, row, rows, column);
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

/// Products of quantised weights with int8 activations, AVX-512 VNNI.
///
/// Tile. Two tiles of 16 outputs by four rows: eight independent chains of vpdpbusd, which hide its
/// latency of four or five cycles at two per cycle, and eight float sums. A 4-byte group of
/// activations is broadcast by its load and feeds both tiles. Everything is a register for a whole
/// chunk of depth: sums that lived in memory between blocks cost a third of the speed.
///
/// Blocking. Weights pass in chunks of 256 depth of two tiles, 5 KB of Q4_0, which all rows of a
/// panel use while they are in the first-level cache; the next chunk is prefetched meanwhile, evenly
/// spread over the work, so that memory and multipliers are busy at the same time (at 8 rows of
/// Q4_0 both are needed in full). Nibbles are unpacked in registers, again for every four rows: on a
/// core with four vector ports that is hidden behind the two that multiply. Types with more to unpack
/// than nibbles do it once per chunk instead, to memory, from unpacking_pays rows on.
///
/// Work, counted in operations of the two multiplying ports. Per block, row and tile: 8 vpdpbusd, a
/// scale product and a multiply-add; minimums add one, the two halves of Q6_K two. 80 % of the VNNI
/// peak is therefore the bound for Q4_0 and Q8_0, 73 % with minimums, 67 % for Q6_K; cores with two
/// vector ports in all (Sapphire Rapids) also convert and unpack there.
///
/// Bytes. A product reads columns · depth · (0.5625 bytes for Q4_0, 0.578 Q4_K, 0.82 Q6_K, 1.0625
/// Q8_0) once per group of rows whose activations fit half the second-level cache, and does
/// 2 · rows · columns · depth operations. The limit is the larger of bytes over read bandwidth and
/// operations over VNNI peak. Medians on one core of a Zen 5 guest, 4096 deep and 14,336 wide,
/// weights from memory, both limits measured beside every sample:
///
///   rows       1    2    4    8   16   64  512
///   Q4_0    0.85 0.84 0.80 0.60 0.69 0.69 0.68
///   Q8_0    0.90 0.87 0.85 0.80 0.63 0.68 0.66
///   Q4_K    0.84 0.82 0.75 0.54 0.57 0.62 0.60
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
  ROWS_PER_STEP = 4,    ///< Rows of a micro-kernel: with two tiles, eight independent chains.
  ROWS_PER_PANEL = 64,  ///< Most rows of a panel; their sums fill 8 KB.
  BLOCKS_PER_CHUNK = MARTLET_GEMM_CHUNK_BLOCKS, ///< Unpacked 10 KB for two tiles.
};

/// One block of 32 depth of one tile, unpacked.
typedef struct {
  uint8_t quants[MARTLET_GEMM_BYTE_BYTES]; ///< As `bytes` of gemm_layout.h.
  float scale[16];
  float other[16]; ///< The minimum, or the second half's scale.
} unpacked_block;

/// Where the micro-kernel finds the weights of a tile.
typedef enum {
  PACKED,   ///< As they lie in memory; unpacked in registers on the way.
  UNPACKED, ///< unpacked_block[].
} weight_source;

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

/// The unsigned quants of groups `g` and `g` + 4, g < 4, of the block whose quants begin at `quants`.
ALWAYS_INLINE void load_groups(martlet_weight_type type, const uint8_t *quants, int g,
                               __m512i *first, __m512i *second) {
  if (type == MARTLET_WEIGHT_Q8_0) {
    *first = _mm512_loadu_si512(quants + 64 * g);
    *second = _mm512_loadu_si512(quants + 64 * (g + 4));
    return;
  }
  const __m512i low = _mm512_set1_epi8(15);
  const __m512i both = _mm512_loadu_si512(quants + 64 * g);
  *first = _mm512_and_si512(both, low);
  *second = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
  if (type == MARTLET_WEIGHT_IQ4_NL) {
    const __m512i table = _mm512_broadcast_i32x4(_mm_xor_si128(
        _mm_loadu_si128((const void *)martlet_iq4_nl_values), _mm_set1_epi8((char)0x80)));
    *first = _mm512_shuffle_epi8(table, *first);
    *second = _mm512_shuffle_epi8(table, *second);
  }
  // 0xF8 is a | (b & c): bits moved to bit 4 of the quant.
  const uint8_t *planes = quants + MARTLET_GEMM_NIBBLE_BYTES;
  if (martlet_gemm_has_bits(type)) {
    const __m512i bit = _mm512_set1_epi8(16), bits = _mm512_loadu_si512(planes);
    *first = _mm512_ternarylogic_epi32(*first, _mm512_slli_epi16(bits, (unsigned)(4 - g)), bit, 0xF8);
    *second = _mm512_ternarylogic_epi32(*second, _mm512_srli_epi16(bits, (unsigned)g), bit, 0xF8);
  }
  if (type == MARTLET_WEIGHT_Q6_K) {
    const __m512i pair = _mm512_set1_epi8(48);
    const __m512i pairs[2] = {_mm512_loadu_si512(planes), _mm512_loadu_si512(planes + 64)};
    __m512i moved[2];
    for (int h = 0; h < 2; ++h)
      moved[h] = g < 2 ? _mm512_slli_epi16(pairs[h], (unsigned)(4 - 2 * g))
                       : _mm512_srli_epi16(pairs[h], (unsigned)(2 * g - 4));
    *first = _mm512_ternarylogic_epi32(*first, moved[0], pair, 0xF8);
    *second = _mm512_ternarylogic_epi32(*second, moved[1], pair, 0xF8);
  }
}

/// Scale and minimum (Q6_K: the second half's scale) of a block.
ALWAYS_INLINE void load_scales(martlet_weight_type type, const uint8_t *tile,
                               martlet_gemm_block at, __m512 *scale, __m512 *other) {
  const uint8_t *factors = tile + at.factors;
  *scale = load_halves(tile + at.scales);
  if (martlet_gemm_has_minimums(type)) *other = load_halves(tile + at.minimums);
  if (type == MARTLET_WEIGHT_Q6_K) {
    *other = _mm512_mul_ps(*scale, load_signed_bytes(factors + 16));
    *scale = _mm512_mul_ps(*scale, load_signed_bytes(factors));
  } else if (martlet_gemm_is_k(type)) {
    *scale = _mm512_mul_ps(*scale, load_bytes(factors));
    *other = _mm512_mul_ps(*other, load_bytes(factors + 16));
  }
}

/// Parts of block `index` of the chunk that begins at `begin`: martlet_gemm_block_at without a
/// division in the inner loop.
ALWAYS_INLINE martlet_gemm_block chunk_block(martlet_weight_type type, size_t blocks, size_t begin,
                                             size_t index) {
  const size_t half = MARTLET_GEMM_HALF_BYTES;
  martlet_gemm_block at = martlet_gemm_block_at(type, blocks, begin);
  if (martlet_gemm_is_k(type)) {
    at.factors += (index - begin) * half;
  } else {
    at.scales += (index - begin) * half;
    at.minimums += (index - begin) * half;
  }
  at.quants += (index - begin) * martlet_gemm_quant_bytes(type);
  return at;
}

/// Unpacks blocks [begin, end) of a tile of `blocks`.
ALWAYS_INLINE void unpack(martlet_weight_type type, const uint8_t *tile, size_t blocks,
                          size_t begin, size_t end, unpacked_block *unpacked) {
  for (size_t b = begin; b < end; ++b, ++unpacked) {
    const martlet_gemm_block at = martlet_gemm_block_at(type, blocks, b);
    __m512 scale, other = _mm512_setzero_ps();
    load_scales(type, tile, at, &scale, &other);
    _mm512_store_ps(unpacked->scale, scale);
    _mm512_store_ps(unpacked->other, other);
    UNROLLED for (int g = 0; g < 4; ++g) {
      __m512i first, second;
      load_groups(type, tile + at.quants, g, &first, &second);
      _mm512_store_si512(unpacked->quants + 64 * g, first);
      _mm512_store_si512(unpacked->quants + 64 * (g + 4), second);
    }
  }
}

/// What an unsigned dot product with the row's block starts from, in multiples of 8.
ALWAYS_INLINE __m512i start_of(martlet_weight_type type, int32_t start) {
  if (offset_shift(type) < 0) return _mm512_setzero_si512();
  return _mm512_slli_epi32(_mm512_set1_epi32(start), (unsigned)offset_shift(type));
}

ALWAYS_INLINE __m512i group_of(const martlet_q8_block *block, int g) {
  int32_t group;
  memcpy(&group, block->values + 4 * g, sizeof group);
  return _mm512_set1_epi32(group);
}

/// Adds blocks [begin, end) of `tiles` neighbouring tiles to the sums of up to ROWS_PER_STEP rows,
/// in the order gemm_layout.h fixes, and asks for `lines` lines `ahead` per block.
ALWAYS_INLINE void multiply_rows(martlet_weight_type type, weight_source source, size_t tiles,
                                 size_t rows, const uint8_t *activations, size_t row_bytes,
                                 const uint8_t *weights, size_t tile_bytes, size_t all_blocks,
                                 size_t begin, size_t end, size_t lines, weight_stream *ahead,
                                 __m512 (*result)[MAXIMUM_TILES]) {
  __m512 sums[ROWS_PER_STEP][MAXIMUM_TILES];
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t t = 0; t < tiles; ++t) sums[i][t] = result[i][t];
  for (size_t b = begin; b < end; ++b) {
    const martlet_q8_block *blocks[ROWS_PER_STEP];
    UNROLLED for (size_t i = 0; i < rows; ++i)
      blocks[i] = (const martlet_q8_block *)(const void *)(activations + i * row_bytes) + b;
    const uint8_t *quants[MAXIMUM_TILES];
    __m512 scales[MAXIMUM_TILES], others[MAXIMUM_TILES];
    UNROLLED for (size_t t = 0; t < tiles; ++t) {
      if (source == UNPACKED) {
        const unpacked_block *block =
            (const unpacked_block *)(const void *)(weights + t * tile_bytes) + (b - begin);
        quants[t] = block->quants;
        scales[t] = _mm512_load_ps(block->scale);
        others[t] = _mm512_load_ps(block->other);
      } else {
        const uint8_t *tile = weights + t * tile_bytes;
        const martlet_gemm_block at = chunk_block(type, all_blocks, begin, b);
        quants[t] = tile + at.quants;
        load_scales(type, tile, at, &scales[t], &others[t]);
      }
    }
    for (size_t line = 0; line < lines; ++line) ask_for_line(ahead, tiles);
    const martlet_weight_type quant_type = source == UNPACKED ? MARTLET_WEIGHT_Q8_0 : type;
    __m512i dots[ROWS_PER_STEP][MAXIMUM_TILES], second_dots[ROWS_PER_STEP][MAXIMUM_TILES];
    UNROLLED for (size_t i = 0; i < rows; ++i)
      UNROLLED for (size_t t = 0; t < tiles; ++t) {
        if (type == MARTLET_WEIGHT_Q6_K) {
          dots[i][t] = start_of(type, blocks[i]->start_first);
          second_dots[i][t] = start_of(type, blocks[i]->start - blocks[i]->start_first);
        } else {
          dots[i][t] = start_of(type, blocks[i]->start);
        }
      }
    UNROLLED for (int g = 0; g < 4; ++g) {
      __m512i first[MAXIMUM_TILES], second[MAXIMUM_TILES];
      UNROLLED for (size_t t = 0; t < tiles; ++t)
        load_groups(quant_type, quants[t], g, &first[t], &second[t]);
      UNROLLED for (size_t i = 0; i < rows; ++i) {
        const __m512i group = group_of(blocks[i], g);
        UNROLLED for (size_t t = 0; t < tiles; ++t)
          dots[i][t] = _mm512_dpbusd_epi32(dots[i][t], first[t], group);
      }
      UNROLLED for (size_t i = 0; i < rows; ++i) {
        const __m512i group = group_of(blocks[i], g + 4);
        UNROLLED for (size_t t = 0; t < tiles; ++t) {
          __m512i *dot = type == MARTLET_WEIGHT_Q6_K ? &second_dots[i][t] : &dots[i][t];
          *dot = _mm512_dpbusd_epi32(*dot, second[t], group);
        }
      }
    }
    UNROLLED for (size_t i = 0; i < rows; ++i) {
      const __m512 scale = _mm512_set1_ps(blocks[i]->scale);
      UNROLLED for (size_t t = 0; t < tiles; ++t) {
        sums[i][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[i][t]),
                                     _mm512_mul_ps(scales[t], scale), sums[i][t]);
        if (type == MARTLET_WEIGHT_Q6_K)
          sums[i][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(second_dots[i][t]),
                                       _mm512_mul_ps(others[t], scale), sums[i][t]);
        if (martlet_gemm_has_minimums(type)) {
          const __m512 sum = _mm512_set1_ps(blocks[i]->scaled_sum);
          sums[i][t] = martlet_gemm_is_k(type) ? _mm512_fnmadd_ps(others[t], sum, sums[i][t])
                                            : _mm512_fmadd_ps(others[t], sum, sums[i][t]);
        }
      }
    }
  }
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t t = 0; t < tiles; ++t) result[i][t] = sums[i][t];
}

/// multiply_rows for any number of rows: steps of ROWS_PER_STEP, then the rest.
ALWAYS_INLINE void multiply_steps(martlet_weight_type type, weight_source source, size_t tiles,
                                  size_t rows, const uint8_t *activations, size_t row_bytes,
                                  const uint8_t *weights, size_t tile_bytes, size_t all_blocks,
                                  size_t begin, size_t end, size_t lines, weight_stream *ahead,
                                  __m512 (*sums)[MAXIMUM_TILES]) {
#define MARTLET_STEP(count)                                                                      \
  multiply_rows(type, source, tiles, count, activations, row_bytes, weights, tile_bytes,         \
                all_blocks, begin, end, lines, ahead, sums)
  for (; rows >= ROWS_PER_STEP; rows -= ROWS_PER_STEP) {
    MARTLET_STEP(ROWS_PER_STEP);
    activations += ROWS_PER_STEP * row_bytes;
    sums += ROWS_PER_STEP;
  }
  switch (rows) {
    case 1: MARTLET_STEP(1); break;
    case 2: MARTLET_STEP(2); break;
    case 3: MARTLET_STEP(3); break;
  }
#undef MARTLET_STEP
}

/// Whether there is enough to unpack for memory to be a help: Q8_0 has nothing, Q4_0 a mask and a
/// shift, which cost less than loading twice the bytes.
ALWAYS_INLINE bool is_unpacked(martlet_weight_type type) {
  return type != MARTLET_WEIGHT_Q8_0 && type != MARTLET_WEIGHT_Q4_0;
}

/// Whether a chunk is unpacked to memory for `rows` rows. Measured on Zen 5; Q6_K has the most to
/// unpack.
ALWAYS_INLINE bool unpacking_pays(martlet_weight_type type, size_t rows) {
  return is_unpacked(type) && rows > (type == MARTLET_WEIGHT_Q6_K ? 8 : 32);
}

/// Rows of a panel. Those that share an unpacking are many; else half as many, with their part of
/// the activations, leave more of the first-level cache to the weights.
ALWAYS_INLINE size_t panel_rows(martlet_weight_type type) {
  return is_unpacked(type) ? ROWS_PER_PANEL : ROWS_PER_PANEL / 2;
}

/// The whole depth of `tiles` neighbouring tiles for up to ROWS_PER_PANEL rows.
ALWAYS_INLINE void multiply_panel(martlet_weight_type type, size_t tiles,
                                  const martlet_gemm_arguments *a, size_t row, size_t rows,
                                  size_t column) {
  const size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth);
  const size_t tile_bytes = martlet_gemm_tile_bytes(type, a->depth);
  const size_t blocks = a->depth / MARTLET_GEMM_BLOCK;
  const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
  const uint8_t *tile = (const uint8_t *)a->weights + column / MARTLET_GEMM_TILE * tile_bytes;
  __m512 sums[ROWS_PER_PANEL][MAXIMUM_TILES];
  for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t t = 0; t < tiles; ++t) sums[i][t] = _mm512_setzero_ps();
  const size_t steps = (rows + ROWS_PER_STEP - 1) / ROWS_PER_STEP;
  const size_t chunk_bytes = martlet_gemm_chunk_bytes(type, BLOCKS_PER_CHUNK);
  // The next chunk's lines, spread over the blocks of all steps.
  const size_t lines = (chunk_bytes / 64 - 1) / (steps * BLOCKS_PER_CHUNK) + 1;
  for (size_t begin = 0; begin < blocks; begin += BLOCKS_PER_CHUNK) {
    const size_t end = blocks - begin < BLOCKS_PER_CHUNK ? blocks : begin + BLOCKS_PER_CHUNK;
    weight_stream ahead;
    UNROLLED for (size_t t = 0; t < tiles; ++t)
      ahead.next[t] = end < blocks ? tile + t * tile_bytes + end / BLOCKS_PER_CHUNK * chunk_bytes
                                   : tile + (tiles + t) * tile_bytes;
    if (!unpacking_pays(type, rows)) {
      multiply_steps(type, PACKED, tiles, rows, activations, row_bytes, tile, tile_bytes, blocks,
                     begin, end, lines, &ahead, sums);
      continue;
    }
    _Alignas(64) unpacked_block unpacked[MAXIMUM_TILES][BLOCKS_PER_CHUNK];
    UNROLLED for (size_t t = 0; t < tiles; ++t)
      unpack(type, tile + t * tile_bytes, blocks, begin, end, unpacked[t]);
    multiply_steps(type, UNPACKED, tiles, rows, activations, row_bytes,
                   (const uint8_t *)unpacked, sizeof unpacked[0], blocks, begin, end, lines,
                   &ahead, sums);
  }
  finish_tiles(a, row, rows, column, tiles, &sums[0][0], MAXIMUM_TILES);
}

/// The blocking: groups of rows that stay in L2, tiles in pairs, rows in panels.
ALWAYS_INLINE void multiply(martlet_weight_type type, const martlet_gemm_arguments *arguments) {
  const martlet_gemm_arguments *a = arguments;
  const size_t row_bytes = martlet_gemm_row_bytes(MARTLET_ACTIVATION_Q8, a->depth);
  const size_t panel = panel_rows(type), group = rows_per_group(row_bytes, panel);
  for (size_t begin = 0; begin < a->rows; begin += group) {
    size_t end = a->rows - begin < group ? a->rows : begin + group;
    size_t column = a->column_begin, step;
    for (; column < a->column_end; column += step) {
      bool pair = a->column_end - column > MARTLET_GEMM_TILE;
      step = pair ? 2 * MARTLET_GEMM_TILE : MARTLET_GEMM_TILE;
      for (size_t row = begin; row < end; row += panel) {
        size_t rows = end - row < panel ? end - row : panel;
        if (pair)
          multiply_panel(type, 2, a, row, rows, column);
        else
          multiply_panel(type, 1, a, row, rows, column);
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

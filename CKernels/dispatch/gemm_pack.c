/// Reads GGUF blocks and lays them out as tiles. Plain C: a load-time step that runs once per
/// weight, bound by memory when the threads share it; 4-byte words move whole dot-product groups.
#include "dispatch/gemm_pack.h"

#include <string.h>

#include "reference/blocks.h"

/// 32 unsigned quants of one output.
typedef struct {
  uint8_t quants[MARTLET_GEMM_BLOCK];
} quant_block;

static inline uint32_t load_word(const void *bytes) {
  uint32_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

static inline void store_word(void *bytes, uint32_t word) {
  memcpy(bytes, &word, sizeof word);
}

// Into the tile. `o` is the output, `quants` the block's 32 quants in depth order.

static inline void put_nibbles(uint8_t *nibbles, size_t o, const uint8_t *quants) {
  for (size_t g = 0; g < 4; ++g) {
    uint32_t low = load_word(quants + 4 * g) & 0x0F0F0F0Fu;
    uint32_t high = load_word(quants + 16 + 4 * g) & 0x0F0F0F0Fu;
    store_word(nibbles + 64 * g + 4 * o, low | high << 4);
  }
}

static inline void put_bits(uint8_t *bits, size_t o, const uint8_t *quants) {
  uint32_t word = 0;
  for (size_t g = 0; g < 8; ++g)
    word |= (load_word(quants + 4 * g) >> 4 & 0x01010101u) << g;
  store_word(bits + 4 * o, word);
}

static inline void put_bit_pairs(uint8_t *pairs, size_t o, const uint8_t *quants) {
  for (size_t half = 0; half < 2; ++half) {
    uint32_t word = 0;
    for (size_t g = 0; g < 4; ++g)
      word |= (load_word(quants + 16 * half + 4 * g) >> 4 & 0x03030303u) << (2 * g);
    store_word(pairs + 64 * half + 4 * o, word);
  }
}

static inline void put_bytes(uint8_t *bytes, size_t o, const uint8_t *quants) {
  for (size_t g = 0; g < 8; ++g)
    memcpy(bytes + 64 * g + 4 * o, quants + 4 * g, 4);
}

// From GGUF.

/// 16 bytes: element i in the low half of byte i, element 16 + i in its high half.
static inline quant_block read_nibbles(const uint8_t *nibbles) {
  quant_block block;
  for (size_t i = 0; i < 16; ++i) {
    block.quants[i] = nibbles[i] & 15;
    block.quants[16 + i] = nibbles[i] >> 4;
  }
  return block;
}

/// 32 bits, bit i is bit 4 of element i, then nibbles as above.
static inline quant_block read_five_bits(const uint8_t *bits) {
  uint32_t high = load_word(bits);
  quant_block block = read_nibbles(bits + 4);
  for (size_t i = 0; i < 32; ++i)
    block.quants[i] |= (uint8_t)((high >> i & 1) << 4);
  return block;
}

/// Nibbles of block `b` of a Q4_K or Q5_K super-block: 64 elements share 32 bytes.
static inline quant_block read_k_nibbles(const uint8_t *nibbles, size_t b) {
  quant_block block;
  const uint8_t *bytes = nibbles + b / 2 * 32;
  unsigned shift = b % 2 * 4;
  for (size_t i = 0; i < 32; ++i)
    block.quants[i] = bytes[i] >> shift & 15;
  return block;
}

static inline quant_block read_q6_k(const uint8_t *source, size_t b) {
  const uint8_t *low = source + b / 4 * 64 + b % 2 * 32;
  const uint8_t *high = source + 128 + b / 4 * 32;
  unsigned low_shift = b % 4 / 2 * 4, high_shift = b % 4 * 2;
  quant_block block;
  for (size_t i = 0; i < 32; ++i)
    block.quants[i] =
      (uint8_t)((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4);
  return block;
}

// One block of the file, of one output, into its tile of `blocks` blocks of 32 depth.

static void pack_legacy(martlet_weight_type type, const uint8_t *source, size_t o, uint8_t *tile,
                        size_t blocks, size_t index) {
  const martlet_gemm_block at = martlet_gemm_block_at(type, blocks, index);
  uint8_t *quants = tile + at.quants;
  memcpy(tile + at.scales + 2 * o, source, 2);
  source += 2;
  if (martlet_gemm_has_minimums(type)) {
    memcpy(tile + at.minimums + 2 * o, source, 2);
    source += 2;
  }
  if (type == MARTLET_WEIGHT_Q8_0) {
    quant_block block;
    for (size_t i = 0; i < 32; ++i) block.quants[i] = source[i] ^ 0x80;
    put_bytes(quants, o, block.quants);
  } else if (martlet_gemm_has_bits(type)) {
    quant_block block = read_five_bits(source);
    put_nibbles(quants, o, block.quants);
    put_bits(quants + MARTLET_GEMM_NIBBLE_BYTES, o, block.quants);
  } else {
    // The file pairs elements i and i + 16 exactly as a tile does.
    for (size_t g = 0; g < 4; ++g) memcpy(quants + 64 * g + 4 * o, source + 4 * g, 4);
  }
}

static void pack_q4_k_or_q5_k(martlet_weight_type type, const uint8_t *source, size_t o,
                              uint8_t *tile, size_t blocks, size_t first) {
  const bool five_bits = type == MARTLET_WEIGHT_Q5_K;
  uint8_t scales[8], minimums[8];
  martlet_k_scales(source + 4, scales, minimums);
  const uint8_t *bits = source + 16;
  const uint8_t *nibbles = five_bits ? bits + 32 : bits;
  for (size_t b = 0; b < 8; ++b) {
    const martlet_gemm_block at = martlet_gemm_block_at(type, blocks, first + b);
    memcpy(tile + at.scales + 2 * o, source, 2);
    memcpy(tile + at.minimums + 2 * o, source + 2, 2);
    tile[at.factors + o] = scales[b];
    tile[at.factors + 16 + o] = minimums[b];
    quant_block block = read_k_nibbles(nibbles, b);
    put_nibbles(tile + at.quants, o, block.quants);
    if (!five_bits) continue;
    for (size_t i = 0; i < 32; ++i) block.quants[i] |= (uint8_t)((bits[i] >> b & 1) << 4);
    put_bits(tile + at.quants + MARTLET_GEMM_NIBBLE_BYTES, o, block.quants);
  }
}

static void pack_q6_k(const uint8_t *source, size_t o, uint8_t *tile, size_t blocks,
                      size_t first) {
  for (size_t b = 0; b < 8; ++b) {
    const martlet_gemm_block at = martlet_gemm_block_at(MARTLET_WEIGHT_Q6_K, blocks, first + b);
    memcpy(tile + at.scales + 2 * o, source + 208, 2);
    tile[at.factors + o] = source[192 + 2 * b];
    tile[at.factors + 16 + o] = source[192 + 2 * b + 1];
    quant_block block = read_q6_k(source, b);
    put_nibbles(tile + at.quants, o, block.quants);
    put_bit_pairs(tile + at.quants + MARTLET_GEMM_NIBBLE_BYTES, o, block.quants);
  }
}

/// Depths [begin, end) of one output; `begin` is even.
static void pack_floats(martlet_weight_type type, const uint8_t *source, size_t begin, size_t end,
                        size_t o, uint8_t *tile) {
  switch (type) {
    case MARTLET_WEIGHT_F32:
      for (size_t k = begin; k < end; ++k) memcpy(tile + 64 * k + 4 * o, source + 4 * k, 4);
      break;
    case MARTLET_WEIGHT_F16:
      for (size_t k = begin; k < end; ++k) memcpy(tile + 32 * k + 2 * o, source + 2 * k, 2);
      break;
    default:
      for (size_t k = begin; k + 1 < end; k += 2)
        memcpy(tile + 32 * k + 4 * o, source + 2 * k, 4);
      if (end % 2) memcpy(tile + 32 * (end - 1) + 4 * o, source + 2 * (end - 1), 2);
      break;
  }
}

void martlet_gemm_pack_tile(martlet_weight_type type, const void *source, size_t row_bytes,
                            size_t outputs, size_t depth, void *tile) {
  size_t tile_bytes = martlet_gemm_tile_bytes(type, depth);
  // Absent outputs are zero, as is what pads areas, the tile and the pair of an odd last depth.
  if (martlet_gemm_is_float(type)) {
    const martlet_gemm_format format = martlet_gemm_format_of(type);
    const size_t used = (depth + format.step_depth - 1) / format.step_depth * format.step_bytes;
    if (outputs < MARTLET_GEMM_TILE)
      memset(tile, 0, tile_bytes);
    else
      memset((uint8_t *)tile + used - format.step_bytes, 0, tile_bytes - used + format.step_bytes);
    // In stretches whose lines stay in the first-level cache until all outputs have filled them.
    const size_t stretch = 128;
    for (size_t begin = 0; begin < depth; begin += stretch) {
      size_t end = depth - begin < stretch ? depth : begin + stretch;
      for (size_t o = 0; o < outputs; ++o)
        pack_floats(type, (const uint8_t *)source + o * row_bytes, begin, end, o, tile);
    }
    return;
  }
  const size_t blocks = depth / MARTLET_GEMM_BLOCK;
  const size_t blocks_per_source = martlet_weight_block_elements(type) / MARTLET_GEMM_BLOCK;
  const size_t block_bytes = martlet_weight_block_bytes(type);
  if (outputs < MARTLET_GEMM_TILE || blocks % 2 || type == MARTLET_WEIGHT_Q6_K)
    memset(tile, 0, tile_bytes);
  for (size_t b = 0; b < blocks; b += blocks_per_source)
    for (size_t o = 0; o < outputs; ++o) {
      const uint8_t *block =
          (const uint8_t *)source + o * row_bytes + b / blocks_per_source * block_bytes;
      switch (type) {
        case MARTLET_WEIGHT_Q4_K:
        case MARTLET_WEIGHT_Q5_K: pack_q4_k_or_q5_k(type, block, o, tile, blocks, b); break;
        case MARTLET_WEIGHT_Q6_K: pack_q6_k(block, o, tile, blocks, b); break;
        default: pack_legacy(type, block, o, tile, blocks, b); break;
      }
    }
}

/// How packed weights and prepared activations lie in memory. This file is the specification that
/// the packing, the reference and every ISA kernel share.
///
/// Weights
/// -------
/// Outputs are cut into tiles of 16; a tile is one stream over depth, in the order a kernel reads
/// it, with nothing beside it. Every tile starts on a cache line (its length is
/// rounded up to 64 bytes); the last tile is filled up with outputs of zero.
///
///   type    depth per step   a step holds
///   F32            1         16 float32                                               64 bytes
///   F16            1         16 float16                                               32 bytes
///   BF16           2         16 pairs (even depth, odd depth), odd depths end in 0    64 bytes
///
/// Quantised types go in chunks of 256 depth: the scales of its blocks of 32, then their quants, so
/// that every 64 bytes of quants are one cache line (a load that crosses two costs twice as much).
///
///   type    a chunk holds                                              bytes
///   Q4_0    8 × scales, 8 × nibbles                                     2304
///   IQ4_NL  8 × scales, 8 × nibbles (indices of martlet_iq4_nl_values)  2304
///   Q4_1    8 × scales, 8 × minimums, 8 × nibbles                       2560
///   Q5_0    8 × scales, 8 × (nibbles, bits)                             2816
///   Q5_1    8 × scales, 8 × minimums, 8 × (nibbles, bits)               3072
///   Q8_0    8 × scales, 8 × bytes                                       4352
///   Q4_K    scales, minimums, 8 × factors, 8 × nibbles                  2368
///   Q5_K    scales, minimums, 8 × factors, 8 × (nibbles, bits)          2880
///   Q6_K    scales, 32 bytes of zero, 8 × factors, 8 × (nibbles, bit pairs)  3392
///
/// The last chunk may have fewer blocks (not in K types); its areas of scales and minimums are
/// rounded up to 64 bytes each.
///
///   scales, minimums     16 float16, one per output (32 bytes)
///   factors              16 6-bit scales, 16 6-bit minimums; in Q6_K 16 int8 scales of the first
///                        half of the depth, 16 of the second (32 bytes)
///   bytes (512)          Unsigned quants in dot-product order: byte 64·g + 4·o + j is depth 4·g+j
///                        of output o, so 64 bytes are one operand of vpdpbusd (and eight of them
///                        the B tile of AMX) for the activations' 4-byte group g, broadcast.
///   nibbles (256)        Byte 64·g + 4·o + j has depth 4·g + j in its low half and depth
///                        16 + 4·g + j in its high half, g < 4: one load serves groups g and g + 4.
///   bits (64)            Bit g of byte 4·o + j is bit 4 of the quant at depth 4·g + j.
///   bit pairs (128)      Bits 2·(g mod 4) of byte 64·(g / 4) + 4·o + j are bits 4 and 5 of the
///                        quant at depth 4·g + j.
///
/// Quants are unsigned; the weight is (quant − offset) · scale, or quant · scale + minimum where
/// there are minimums (K types subtract theirs). Offsets: Q4_0 8, Q5_0 16, Q6_K 32, Q8_0 128;
/// IQ4_NL looks its nibble up.
///
/// In the OpenBLAS class weights are float32 rows, as `columns` × `depth` row-major, whatever their
/// type was.
///
/// Activations
/// -----------
///   F32    float32, row-major
///   BF16   bfloat16, row-major
///   Q8     martlet_q8_block[rows][depth / 32]
///
/// Rows are padded with zeros to an odd number of 64-byte cache lines, at least to an even number
/// of elements: a kernel reads many rows at one depth, and an odd stride spreads those lines over
/// the sets of the cache where a power of two would put them all into one.
///
/// A block of Q8 is x ≈ quant · scale. With the absolute maximum `largest`, for k in 0..<8:
///   inverse = (127 − k) / largest                           rounded, as is every line
///   quant   = fmaf(x, inverse, 1.5 · 2^23) − 1.5 · 2^23     the exact product to nearest even
///   rest    = fmaf(x, inverse, −quant)
///   error   = Σ rest² · (127 / (127 − k))²                  the factor rounded to float32
/// The k with the smallest error wins, the first of equals; from its quants and rests follows the
/// least-squares scale Σ x·quant / Σ quant²:
///   step    = largest / (127 − k)
///   scale   = fmaf(step, Σ quant·rest / Σ quant², step)
/// A sum over the block is lane[i] = fmaf(a[16 + i], b[16 + i], a[i] · b[i]) folded 16 → 8 → 4 → 2
/// → 1. Quants lie in −127…127; scale stays within 1.2% of the step, so that nothing leaves
/// float32's range. All blocks together lose 20% less than at largest / 127 where activations are
/// Gaussian, 18% where Laplace, 13% where a gate multiplies (python3 scripts/q8-block-error.py).
/// The KL that the golden models of quantised types have from float64 is 8 to 36% lower for it
/// (`martlet model logits --all` against Benchmarks/Golden/forward64.py).
///
/// Values
/// ------
/// Portable class, float weights: acc = fmaf(a[k], w[k], acc) for k ascending from acc = 0.
/// Portable class, Q8 activations, for each block of 32 (Q6_K: half block of 16) in depth order:
///   dot = Σ a · (quant − offset), exact in int32
///   acc = fmaf((float)dot, scale · block.scale, acc)
///   acc = fmaf(minimum, block.scaled_sum, acc)              where there are minimums, afterwards
/// `scale` and `minimum` are float32. In K types they are products of the file's float16 and 6-bit
/// (8-bit) factors, which float32 holds exactly, so that no factor is rounded; the minimum is
/// negated there. `scale · block.scale` is rounded once.
/// Then, in every class: acc + bias[column] if there is a bias, then output + acc if accumulating.
#ifndef MARTLET_GEMM_LAYOUT_H
#define MARTLET_GEMM_LAYOUT_H

#include <stdbool.h>

#include <martlet/gemm.h>

/// Add one with every change to the weights' part of this file: packed weights are kept in files.
#define MARTLET_GEMM_LAYOUT_VERSION 2

enum {
  MARTLET_GEMM_BLOCK = 32,        ///< Depth that shares one activation scale.
  MARTLET_GEMM_CHUNK_BLOCKS = 8,  ///< Blocks of a chunk; those of a K type share its scales.
  MARTLET_GEMM_HALF_BYTES = 32,   ///< 16 float16 scales or minimums, or the factors of a block.
  MARTLET_GEMM_NIBBLE_BYTES = 256,
  MARTLET_GEMM_BITS_BYTES = 64,
  MARTLET_GEMM_BIT_PAIRS_BYTES = 128,
  MARTLET_GEMM_BYTE_BYTES = 512,
  MARTLET_Q8_CANDIDATES = 8,      ///< Scales that preparing a block of Q8 tries.
};

/// 32 activations of one row. The starts are what an unsigned dot product begins with when the
/// offset is 8; larger offsets are powers of two above it.
typedef struct martlet_q8_block {
  int8_t values[MARTLET_GEMM_BLOCK];
  float scale;         ///< As the rule above says; 0 for zeros; NaN if an input is not finite.
  float scaled_sum;    ///< scale · (float)(sum of values).
  int32_t start;       ///< −8 · sum of values.
  int32_t start_first; ///< −8 · sum of values[0..<16].
} martlet_q8_block;
_Static_assert(sizeof(martlet_q8_block) == 48, "a prepared block is 48 bytes");

/// A block whose absolute maximum is smaller is prepared as zeros: below it the inverse scale or
/// the scale would leave float32's normal range.
#define MARTLET_Q8_SMALLEST 0x1p-118f

/// What is added to, and taken from, a magnitude below 2^22 to leave its nearest integer.
#define MARTLET_Q8_ROUNDING 0x1.8p23f

#define MARTLET_Q8_ERROR_WEIGHT(k) ((float)(127.0 * 127.0 / ((127.0 - (k)) * (127.0 - (k)))))
/// (127 / (127 − k))² for each candidate k: a step's square, in units of the first candidate's.
#define MARTLET_Q8_ERROR_WEIGHTS                                                            \
  {MARTLET_Q8_ERROR_WEIGHT(0), MARTLET_Q8_ERROR_WEIGHT(1), MARTLET_Q8_ERROR_WEIGHT(2),      \
   MARTLET_Q8_ERROR_WEIGHT(3), MARTLET_Q8_ERROR_WEIGHT(4), MARTLET_Q8_ERROR_WEIGHT(5),      \
   MARTLET_Q8_ERROR_WEIGHT(6), MARTLET_Q8_ERROR_WEIGHT(7)}

/// Depth and bytes of one step of a packed tile of floats.
typedef struct martlet_gemm_format {
  uint16_t step_depth;
  uint16_t step_bytes;
} martlet_gemm_format;

static inline martlet_gemm_format martlet_gemm_format_of(martlet_weight_type type) {
  switch (type) {
    case MARTLET_WEIGHT_F32: return (martlet_gemm_format){1, 64};
    case MARTLET_WEIGHT_F16: return (martlet_gemm_format){1, 32};
    default: return (martlet_gemm_format){2, 64};
  }
}

static inline bool martlet_gemm_is_float(martlet_weight_type type) {
  return type == MARTLET_WEIGHT_F32 || type == MARTLET_WEIGHT_F16 || type == MARTLET_WEIGHT_BF16;
}

static inline bool martlet_gemm_has_minimums(martlet_weight_type type) {
  return type == MARTLET_WEIGHT_Q4_1 || type == MARTLET_WEIGHT_Q5_1 ||
         type == MARTLET_WEIGHT_Q4_K || type == MARTLET_WEIGHT_Q5_K;
}

/// Whether a chunk is one block of the file with factors for each 32 of depth.
static inline bool martlet_gemm_is_k(martlet_weight_type type) {
  return type == MARTLET_WEIGHT_Q4_K || type == MARTLET_WEIGHT_Q5_K ||
         type == MARTLET_WEIGHT_Q6_K;
}

/// Whether quants have a fifth bit in a plane of its own.
static inline bool martlet_gemm_has_bits(martlet_weight_type type) {
  return type == MARTLET_WEIGHT_Q5_0 || type == MARTLET_WEIGHT_Q5_1 ||
         type == MARTLET_WEIGHT_Q5_K;
}

/// Bytes of the quants of one block.
static inline size_t martlet_gemm_quant_bytes(martlet_weight_type type) {
  if (type == MARTLET_WEIGHT_Q8_0) return MARTLET_GEMM_BYTE_BYTES;
  if (type == MARTLET_WEIGHT_Q6_K) return MARTLET_GEMM_NIBBLE_BYTES + MARTLET_GEMM_BIT_PAIRS_BYTES;
  return MARTLET_GEMM_NIBBLE_BYTES + (martlet_gemm_has_bits(type) ? MARTLET_GEMM_BITS_BYTES : 0);
}

/// Bytes before the quants of a chunk of `blocks` blocks.
static inline size_t martlet_gemm_chunk_header(martlet_weight_type type, size_t blocks) {
  if (martlet_gemm_is_k(type)) return 64 + MARTLET_GEMM_CHUNK_BLOCKS * MARTLET_GEMM_HALF_BYTES;
  size_t area = (blocks * MARTLET_GEMM_HALF_BYTES + 63) / 64 * 64;
  return martlet_gemm_has_minimums(type) ? 2 * area : area;
}

/// Bytes of a chunk of `blocks` blocks, a multiple of 64; 0 for none.
static inline size_t martlet_gemm_chunk_bytes(martlet_weight_type type, size_t blocks) {
  if (blocks == 0) return 0;
  return martlet_gemm_chunk_header(type, blocks) + blocks * martlet_gemm_quant_bytes(type);
}

/// Where the parts of one block of a tile lie, in bytes from the tile's begin.
typedef struct martlet_gemm_block {
  size_t scales, minimums, factors, quants;
} martlet_gemm_block;

/// Parts of block `index` of a quantised tile of `blocks` blocks of 32 depth.
static inline martlet_gemm_block martlet_gemm_block_at(martlet_weight_type type, size_t blocks,
                                                       size_t index) {
  const size_t whole = MARTLET_GEMM_CHUNK_BLOCKS, half = MARTLET_GEMM_HALF_BYTES;
  const size_t chunk = index / whole, in_chunk = index % whole;
  const size_t base = chunk * martlet_gemm_chunk_bytes(type, whole);
  const size_t present = blocks - chunk * whole < whole ? blocks - chunk * whole : whole;
  const size_t header = martlet_gemm_chunk_header(type, present);
  const size_t quants = base + header + in_chunk * martlet_gemm_quant_bytes(type);
  if (martlet_gemm_is_k(type))
    return (martlet_gemm_block){base, base + half, base + 64 + in_chunk * half, quants};
  const size_t scales = base + in_chunk * half;
  return (martlet_gemm_block){scales, scales + header / 2, 0, quants};
}

/// Bytes from one packed tile to the next. `depth` has passed martlet_gemm_packed_bytes.
static inline size_t martlet_gemm_tile_bytes(martlet_weight_type type, size_t depth) {
  if (martlet_gemm_is_float(type)) {
    martlet_gemm_format format = martlet_gemm_format_of(type);
    size_t steps = (depth + format.step_depth - 1) / format.step_depth;
    return (steps * format.step_bytes + 63) / 64 * 64;
  }
  const size_t blocks = depth / MARTLET_GEMM_BLOCK, whole = MARTLET_GEMM_CHUNK_BLOCKS;
  return blocks / whole * martlet_gemm_chunk_bytes(type, whole) +
         martlet_gemm_chunk_bytes(type, blocks % whole);
}

/// Bytes of one prepared row without what pads it.
static inline size_t martlet_gemm_row_used_bytes(martlet_activation_type type, size_t depth) {
  switch (type) {
    case MARTLET_ACTIVATION_F32: return depth * sizeof(float);
    case MARTLET_ACTIVATION_BF16: return depth * sizeof(uint16_t);
    case MARTLET_ACTIVATION_Q8: return depth / MARTLET_GEMM_BLOCK * sizeof(martlet_q8_block);
  }
  return 0;
}

/// Bytes from one prepared row to the next.
static inline size_t martlet_gemm_row_bytes(martlet_activation_type type, size_t depth) {
  return ((martlet_gemm_row_used_bytes(type, depth) + 63) / 64 | 1) * 64;
}

/// Writes one finished sum by the rule above.
static inline void martlet_gemm_finish(const martlet_gemm_arguments *arguments, size_t row,
                                       size_t column, float sum) {
  float *output = arguments->output + row * arguments->output_stride + column;
  if (arguments->bias) sum += arguments->bias[column];
  *output = arguments->accumulate ? *output + sum : sum;
}

#endif

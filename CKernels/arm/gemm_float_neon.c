/// Products with float weights, NEON: f32, f16 and bf16 weights with f32 activations, and bf16
/// weights with bf16 activations by the rule of the bf16 dot product.
///
/// Tile. Four rows by one tile of 16 outputs: 16 sums, 4 weights and 4 registers of activations, 24
/// of 32. A depth takes 16 multiply-adds by element for 4 loads of weights and one of four depths
/// of activations; 16 chains cover a latency of 4 on four pipes. The order of a sum is fixed, one
/// chain over depth, so one and two rows take two tiles, 8 and 16 chains.
///
/// f16 costs an fcvtl per register and depth, bf16 a shift or a mask, shared by the rows. Weights
/// pass in chunks of 256 depth, which up to 64 rows use while they are in the first-level cache.
///
/// The bf16 dot product is two multiply-adds per pair, odd depth first, with subnormals flushed by
/// FPCR while sums are made; the finish runs in the caller's mode as in the other variants. AArch64
/// flushes before rounding where x86 does after it: sums that round up to the smallest normal
/// number may differ. bfmmla is not used: it rounds to odd, a class of its own. Bytes: columns ·
/// depth · (4 or 2) per group of rows; operations: 2 · rows · columns · depth. Expected: read
/// bandwidth at one and two rows, 85 % of the multipliers' peak from four. Run under emulation
/// alone so far.
#if defined(__aarch64__)
#include "arm/gemm_neon.h"
#include "dispatch/gemm_variants.h"

#pragma STDC FP_CONTRACT OFF

enum {
  ROWS_PER_STEP = 4,
  ROWS_PER_PANEL = 64,   ///< Rows that meet a chunk while it is in the first-level cache.
  MAXIMUM_REGISTERS = 8, ///< Registers of four outputs side by side: up to two tiles.
  DEPTH_PER_CHUNK = 256, ///< 16 KB of one tile of float32.
};

typedef enum { KIND_F32, KIND_F16, KIND_BF16, KIND_BF16_PAIRS } product_kind;

ALWAYS_INLINE martlet_weight_type weight_type(product_kind kind) {
  return kind == KIND_F32   ? MARTLET_WEIGHT_F32
         : kind == KIND_F16 ? MARTLET_WEIGHT_F16
                            : MARTLET_WEIGHT_BF16;
}

ALWAYS_INLINE martlet_activation_type activation_type(product_kind kind) {
  return kind == KIND_BF16_PAIRS ? MARTLET_ACTIVATION_BF16 : MARTLET_ACTIVATION_F32;
}

ALWAYS_INLINE float32x4_t even_of(uint32x4_t pairs) {
  return vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16));
}

ALWAYS_INLINE float32x4_t odd_of(uint32x4_t pairs) {
  return vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xFFFF0000)));
}

ALWAYS_INLINE uint32x4_t load_words(const uint8_t *bytes) {
  return vreinterpretq_u32_u8(vld1q_u8(bytes));
}

/// Weights of four outputs at depth `k` of a tile; the even one of a pair and the odd one share it.
ALWAYS_INLINE float32x4_t weights_at(product_kind kind, const uint8_t *tile, size_t k,
                                     size_t quarter) {
  if (kind == KIND_F32) return vreinterpretq_f32_u32(load_words(tile + 64 * k + 16 * quarter));
  if (kind == KIND_F16)
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(tile + 32 * k + 8 * quarter)));
  const uint32x4_t pairs = load_words(tile + 64 * (k / 2) + 16 * quarter);
  return k % 2 ? odd_of(pairs) : even_of(pairs);
}

/// sum + weights · activations[lane].
ALWAYS_INLINE float32x4_t add_product(float32x4_t sum, float32x4_t weights,
                                      float32x4_t activations, size_t lane) {
  switch (lane) {
    case 0: return vfmaq_laneq_f32(sum, weights, activations, 0);
    case 1: return vfmaq_laneq_f32(sum, weights, activations, 1);
    case 2: return vfmaq_laneq_f32(sum, weights, activations, 2);
    default: return vfmaq_laneq_f32(sum, weights, activations, 3);
  }
}

typedef float32x4_t panel_sums[ROWS_PER_PANEL][MAXIMUM_REGISTERS];

/// Depths [begin, begin + count) of four f32 activations that lie in `activations`' lanes.
ALWAYS_INLINE void add_depths(product_kind kind, size_t registers, size_t rows, size_t count,
                              const float32x4_t *activations, const uint8_t *tile,
                              size_t tile_bytes, size_t begin,
                              float32x4_t (*sums)[MAXIMUM_REGISTERS]) {
  UNROLLED for (size_t lane = 0; lane < count; ++lane) {
    float32x4_t weights[MAXIMUM_REGISTERS];
    UNROLLED for (size_t r = 0; r < registers; ++r)
      weights[r] = weights_at(kind, tile + r / 4 * tile_bytes, begin + lane, r % 4);
    UNROLLED for (size_t i = 0; i < rows; ++i)
      UNROLLED for (size_t r = 0; r < registers; ++r)
        sums[i][r] = add_product(sums[i][r], weights[r], activations[i], lane);
  }
}

/// `count` pairs of bf16 depths, the odd one of each first.
ALWAYS_INLINE void add_pairs(size_t registers, size_t rows, size_t count,
                             const uint32x4_t *activations, const uint8_t *tile,
                             size_t tile_bytes, size_t begin,
                             float32x4_t (*sums)[MAXIMUM_REGISTERS]) {
  UNROLLED for (size_t lane = 0; lane < count; ++lane)
    UNROLLED for (size_t odd = 2; odd-- > 0;) {
      float32x4_t weights[MAXIMUM_REGISTERS];
      UNROLLED for (size_t r = 0; r < registers; ++r)
        weights[r] =
            weights_at(KIND_BF16, tile + r / 4 * tile_bytes, begin + 2 * lane + odd, r % 4);
      UNROLLED for (size_t i = 0; i < rows; ++i) {
        const float32x4_t activation = odd ? odd_of(activations[i]) : even_of(activations[i]);
        UNROLLED for (size_t r = 0; r < registers; ++r)
          sums[i][r] = add_product(sums[i][r], weights[r], activation, lane);
      }
    }
}

/// Depths [begin, end) of one or two tiles for a constant number of rows; `begin` is a multiple of
/// DEPTH_PER_CHUNK.
ALWAYS_INLINE void multiply_rows(product_kind kind, size_t registers, size_t rows,
                                 const uint8_t *activations, size_t row_bytes, const uint8_t *tile,
                                 size_t tile_bytes, size_t begin, size_t end,
                                 float32x4_t (*result)[MAXIMUM_REGISTERS]) {
  float32x4_t sums[ROWS_PER_STEP][MAXIMUM_REGISTERS];
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t r = 0; r < registers; ++r) sums[i][r] = result[i][r];
  size_t k = begin;
  if (kind == KIND_BF16_PAIRS) {
    uint32x4_t pairs[ROWS_PER_STEP];
    for (; k + 8 <= end; k += 8) {
      __builtin_assume(k % 2 == 0);
      UNROLLED for (size_t i = 0; i < rows; ++i)
        pairs[i] = load_words(activations + i * row_bytes + 2 * k);
      add_pairs(registers, rows, 4, pairs, tile, tile_bytes, k, sums);
    }
    // Rows and tiles are padded with zeros: a half pair is a whole one.
    for (; k < end; k += 2) {
      UNROLLED for (size_t i = 0; i < rows; ++i)
        pairs[i] = vld1q_dup_u32((const void *)(activations + i * row_bytes + 2 * k));
      add_pairs(registers, rows, 1, pairs, tile, tile_bytes, k, sums);
    }
  } else {
    float32x4_t values[ROWS_PER_STEP];
    for (; k + 4 <= end; k += 4) {
      __builtin_assume(k % 4 == 0);
      UNROLLED for (size_t i = 0; i < rows; ++i)
        values[i] = vreinterpretq_f32_u32(load_words(activations + i * row_bytes + 4 * k));
      add_depths(kind, registers, rows, 4, values, tile, tile_bytes, k, sums);
    }
    for (; k < end; ++k) {
      UNROLLED for (size_t i = 0; i < rows; ++i)
        values[i] = vld1q_dup_f32((const void *)(activations + i * row_bytes + 4 * k));
      add_depths(kind, registers, rows, 1, values, tile, tile_bytes, k, sums);
    }
  }
  UNROLLED for (size_t i = 0; i < rows; ++i)
    UNROLLED for (size_t r = 0; r < registers; ++r) result[i][r] = sums[i][r];
}

/// The whole depth of one or two tiles for up to ROWS_PER_PANEL rows.
ALWAYS_INLINE void multiply_panel(product_kind kind, size_t tiles, const martlet_gemm_arguments *a,
                                  size_t row, size_t rows, size_t column, panel_sums sums) {
  const size_t row_bytes = martlet_gemm_row_bytes(activation_type(kind), a->depth);
  const size_t tile_bytes = martlet_gemm_tile_bytes(weight_type(kind), a->depth);
  const uint8_t *activations = (const uint8_t *)a->activations + row * row_bytes;
  const uint8_t *tile = (const uint8_t *)a->weights + column / MARTLET_GEMM_TILE * tile_bytes;
  for (size_t i = 0; i < rows; ++i)
    for (size_t r = 0; r < 4 * tiles; ++r) sums[i][r] = vdupq_n_f32(0);
  for (size_t begin = 0; begin < a->depth; begin += DEPTH_PER_CHUNK) {
    const size_t end = a->depth - begin < DEPTH_PER_CHUNK ? a->depth : begin + DEPTH_PER_CHUNK;
    for (size_t i = 0; i < rows; i += ROWS_PER_STEP) {
      const uint8_t *from = activations + i * row_bytes;
#define MARTLET_ROWS(registers, count)                                                        \
  multiply_rows(kind, registers, count, from, row_bytes, tile, tile_bytes, begin, end, sums + i)
      if (tiles == 2) {
        if (rows == 1) MARTLET_ROWS(8, 1);
        else MARTLET_ROWS(8, 2);
        continue;
      }
      switch (rows - i) {
        case 1: MARTLET_ROWS(4, 1); break;
        case 2: MARTLET_ROWS(4, 2); break;
        case 3: MARTLET_ROWS(4, 3); break;
        default: MARTLET_ROWS(4, 4); break;
      }
#undef MARTLET_ROWS
    }
  }
}

/// A function of its own so that all its arithmetic happens while FPCR is as the caller set it.
/// With two tiles there are one or two rows.
#define MARTLET_DEFINE_PANEL(name, kind)                                                        \
  static __attribute__((noinline)) void multiply_panel_##name(                                  \
      const martlet_gemm_arguments *a, size_t row, size_t rows, size_t tiles, size_t column,    \
      panel_sums sums) {                                                                        \
    if (tiles == 2) multiply_panel(kind, 2, a, row, rows, column, sums);                        \
    else multiply_panel(kind, 1, a, row, rows, column, sums);                                   \
  }
MARTLET_DEFINE_PANEL(f32, KIND_F32)
MARTLET_DEFINE_PANEL(f16, KIND_F16)
MARTLET_DEFINE_PANEL(bf16, KIND_BF16)
MARTLET_DEFINE_PANEL(bf16_pairs, KIND_BF16_PAIRS)

typedef void multiply_panel_function(const martlet_gemm_arguments *a, size_t row, size_t rows,
                                     size_t tiles, size_t column, panel_sums sums);

ALWAYS_INLINE uint64_t float_mode(void) {
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}

ALWAYS_INLINE void set_float_mode(uint64_t mode) {
  __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
}

/// The blocking: groups of rows that stay in L2; tiles, two at a time for one and two rows, whose
/// few sums would otherwise wait for each other; panels of rows.
static void multiply(product_kind kind, multiply_panel_function *multiply_panel_of,
                     const martlet_gemm_arguments *arguments) {
  const martlet_gemm_arguments *a = arguments;
  const size_t group =
      rows_per_group(martlet_gemm_row_bytes(activation_type(kind), a->depth), ROWS_PER_PANEL);
  const uint64_t mode = float_mode(), flush_subnormals = 1u << 24;
  for (size_t begin = 0; begin < a->rows; begin += group) {
    size_t end = a->rows - begin < group ? a->rows : begin + group;
    for (size_t column = a->column_begin; column < a->column_end;) {
      size_t tiles = end - begin <= 2 && a->column_end - column > MARTLET_GEMM_TILE ? 2 : 1;
      for (size_t row = begin; row < end; row += ROWS_PER_PANEL) {
        size_t rows = end - row < ROWS_PER_PANEL ? end - row : ROWS_PER_PANEL;
        panel_sums sums;
        if (kind == KIND_BF16_PAIRS) set_float_mode(mode | flush_subnormals);
        multiply_panel_of(a, row, rows, tiles, column, sums);
        if (kind == KIND_BF16_PAIRS) set_float_mode(mode);
        for (size_t i = 0; i < rows; ++i)
          for (size_t t = 0; t < tiles; ++t)
            finish_tile(a, row + i, column + t * MARTLET_GEMM_TILE, sums[i] + 4 * t);
      }
      column += tiles * MARTLET_GEMM_TILE;
    }
  }
}

void martlet_gemm_f32_f32_neon(const martlet_gemm_arguments *arguments) {
  multiply(KIND_F32, multiply_panel_f32, arguments);
}

void martlet_gemm_f16_f32_neon(const martlet_gemm_arguments *arguments) {
  multiply(KIND_F16, multiply_panel_f16, arguments);
}

void martlet_gemm_bf16_f32_neon(const martlet_gemm_arguments *arguments) {
  multiply(KIND_BF16, multiply_panel_bf16, arguments);
}

void martlet_gemm_bf16_bf16_neon(const martlet_gemm_arguments *arguments) {
  multiply(KIND_BF16_PAIRS, multiply_panel_bf16_pairs, arguments);
}
#endif

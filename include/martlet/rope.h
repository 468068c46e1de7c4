/// Rotary position embedding. Source: "RoFormer: Enhanced Transformer with Rotary Position
/// Embedding"; scaling from "YaRN" and from Llama 3.1's frequency bands.
#ifndef MARTLET_ROPE_H
#define MARTLET_ROPE_H

#include "common.h"

typedef enum martlet_rope_layout {
  MARTLET_ROPE_ADJACENT = 0,  ///< Pairs (0,1), (2,3), …: GGUF's `llama` architecture.
  MARTLET_ROPE_HALVES = 1,    ///< Pairs (i, i + rotary/2): `qwen2`, `qwen3`, NeoX.
} martlet_rope_layout;

typedef enum martlet_rope_scaling {
  MARTLET_ROPE_SCALING_NONE = 0,
  MARTLET_ROPE_SCALING_LINEAR = 1,
  MARTLET_ROPE_SCALING_YARN = 2,
  MARTLET_ROPE_SCALING_LLAMA3 = 3,
} martlet_rope_scaling;

/// Everything that decides the angles. Set `size` to sizeof(martlet_rope_configuration).
typedef struct martlet_rope_configuration {
  uint32_t size;
  martlet_rope_layout layout;
  martlet_rope_scaling scaling;
  uint32_t rotary_dimensions;      ///< Even; dimensions past it are left alone.
  double base;                     ///< theta, e.g. 10000.
  double factor;                   ///< Context extension factor, 1 for none.
  double original_context;         ///< Training context, for YaRN and Llama 3.
  double yarn_extrapolation;       ///< 1 by default.
  double yarn_attention;           ///< Attention scale multiplier, 1 by default.
  double yarn_beta_fast;           ///< 32 by default.
  double yarn_beta_slow;           ///< 1 by default.
  double low_frequency_factor;     ///< Llama 3, 1 by default.
  double high_frequency_factor;    ///< Llama 3, 4 by default.
  const float *frequency_factors;  ///< GGUF's rope_freqs.weight (rotary/2 divisors), or null.
} martlet_rope_configuration;

/// Writes (cosine, sine) pairs: table[row][pair][2], rotary/2 pairs per row, from positions[row].
/// Evaluated in float64 and rounded once.
MARTLET_API martlet_status martlet_rope_table(const martlet_rope_configuration *configuration,
                                              size_t rows, const int32_t *positions, float *table);

/// Rotates `heads` heads of `head_dimensions` in each row of `values` in place; `stride` elements
/// from row to row.
MARTLET_API martlet_status martlet_rope_f32(martlet_rope_layout layout, size_t rows, size_t heads,
                                            size_t head_dimensions, size_t rotary_dimensions,
                                            const float *table, float *values, size_t stride);

#endif

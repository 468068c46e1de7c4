/// The tile vocabulary of x86/tiles_amx.h in plain C, as Intel's manual defines the instructions:
/// what the bodies of AMX kernels are checked over on every machine. What faults there traps here.
#ifndef MARTLET_TESTS_TILES_EMULATED_H
#define MARTLET_TESTS_TILES_EMULATED_H

#include <math.h>

#include "reference/blocks.h"
#include "x86/tiles.h"

// Wide vectors go through functions of this file alone, so that no ABI is involved.
#pragma clang diagnostic ignored "-Wpsabi"

enum { TILES = 8, TILE_ROWS = 16, TILE_ROW_BYTES = 64 };

/// The tile registers of a thread. Bytes outside a tile's shape are zero.
static _Thread_local struct {
  int configured;
  size_t rows[TILES], row_bytes[TILES];
  uint8_t data[TILES][TILE_ROWS][TILE_ROW_BYTES];
} tile_state;

static inline void tile_require(int condition) {
  if (!condition) __builtin_trap();
}

static inline __attribute__((noinline)) void tile_configure(const tile_shapes *shapes) {
  tile_require(shapes->palette == 1 && shapes->start_row == 0);
  for (size_t i = 0; i < sizeof shapes->reserved; ++i) tile_require(!shapes->reserved[i]);
  for (int i = 0; i < 16; ++i) {
    const size_t rows = shapes->rows[i], row_bytes = shapes->row_bytes[i];
    tile_require(rows <= TILE_ROWS && row_bytes <= TILE_ROW_BYTES && !rows == !row_bytes);
    if (i >= TILES) {
      tile_require(!rows);
      continue;
    }
    tile_state.rows[i] = rows;
    tile_state.row_bytes[i] = row_bytes;
  }
  memset(tile_state.data, 0, sizeof tile_state.data);
  tile_state.configured = 1;
}

static inline void tile_release(void) { memset(&tile_state, 0, sizeof tile_state); }

/// Whether a tile may be named: any of no rows is an invalid operand.
static inline void tile_require_shape(int tile) {
  tile_require(tile_state.configured && tile_state.rows[tile]);
}

static inline void tile_zero(int tile) {
  tile_require_shape(tile);
  memset(tile_state.data[tile], 0, sizeof tile_state.data[tile]);
}

static inline __attribute__((noinline)) void tile_load(int tile, const void *base, size_t stride) {
  tile_zero(tile);
  for (size_t row = 0; row < tile_state.rows[tile]; ++row)
    memcpy(tile_state.data[tile][row], (const uint8_t *)base + row * stride,
           tile_state.row_bytes[tile]);
}

static inline __attribute__((noinline)) void tile_store(int tile, void *base, size_t stride) {
  tile_require_shape(tile);
  for (size_t row = 0; row < tile_state.rows[tile]; ++row)
    memcpy((uint8_t *)base + row * stride, tile_state.data[tile][row],
           tile_state.row_bytes[tile]);
}

/// What every dot asks of its operands' shapes.
static inline void tile_require_product(int c, int a, int b) {
  tile_require(tile_state.configured && c != a && a != b && c != b);
  tile_require(tile_state.row_bytes[a] % 4 == 0 && tile_state.row_bytes[b] % 4 == 0);
  tile_require(tile_state.rows[c] && tile_state.rows[c] == tile_state.rows[a]);
  tile_require(tile_state.row_bytes[c] == tile_state.row_bytes[b]);
  tile_require(tile_state.row_bytes[a] / 4 == tile_state.rows[b]);
}

static inline __attribute__((noinline)) void tile_dot_bytes(int c, int a, int b) {
  tile_require_product(c, a, b);
  for (size_t m = 0; m < tile_state.rows[c]; ++m) {
    int32_t sums[TILE_ROW_BYTES / 4];
    memcpy(sums, tile_state.data[c][m], sizeof sums);
    for (size_t k = 0; k < tile_state.row_bytes[a]; ++k) {
      const int8_t value = (int8_t)tile_state.data[a][m][k];
      const uint8_t *weights = tile_state.data[b][k / 4] + k % 4;
      for (size_t n = 0; n < TILE_ROW_BYTES / 4; ++n) sums[n] += value * (int8_t)weights[4 * n];
    }
    memcpy(tile_state.data[c][m], sums, sizeof sums);
  }
}

/// Subnormals become zeros of their sign.
static inline float tile_flushed(float value) {
  return fabsf(value) < 0x1p-126f ? copysignf(0, value) : value;
}

static inline float tile_bf16(const uint8_t *row, size_t index) {
  return tile_flushed(
      martlet_float_of_bfloat((uint16_t)(row[2 * index] | row[2 * index + 1] << 8)));
}

static inline __attribute__((noinline)) void tile_dot_bf16(int c, int a, int b) {
  tile_require_product(c, a, b);
  for (size_t m = 0; m < tile_state.rows[c]; ++m)
    for (size_t n = 0; n < tile_state.row_bytes[c] / 4; ++n) {
      float halves[2] = {0, 0}, sum;
      for (size_t k = 0; k < tile_state.rows[b]; ++k)
        for (size_t i = 0; i < 2; ++i)
          halves[i] = tile_flushed(fmaf(tile_bf16(tile_state.data[a][m], 2 * k + i),
                                        tile_bf16(tile_state.data[b][k], 2 * n + i), halves[i]));
      memcpy(&sum, tile_state.data[c][m] + 4 * n, sizeof sum);
      sum = tile_flushed(tile_flushed(sum) + tile_flushed(halves[0] + halves[1]));
      memcpy(tile_state.data[c][m] + 4 * n, &sum, sizeof sum);
    }
}

static inline floats floats_of_halves(const uint8_t *halves) {
  floats values;
  for (size_t i = 0; i < 16; ++i) values[i] = martlet_read_half(halves + 2 * i);
  return values;
}

static inline bytes bytes_lookup(const int8_t *table, bytes indices) {
  bytes values;
  for (size_t i = 0; i < 64; ++i) values[i] = (uint8_t)table[indices[i]];
  return values;
}

#endif

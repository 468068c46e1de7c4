/// Rotary embedding over the 16-lane vocabulary. Pairs are the outer loop and heads the inner one,
/// so that each (cosine, sine) vector is loaded and split once per row and serves all heads.

/// One pair in scalar arithmetic, the same operations as the lanes.
LANES void rope_pair(const float *table, float *first, float *second) {
  float cosine = table[0], sine = table[1], x = *first, y = *second;
  float y_sine = y * sine, x_sine = x * sine;
  *first = __builtin_fmaf(x, cosine, -y_sine);
  *second = __builtin_fmaf(y, cosine, x_sine);
}

LANES void rope_row_adjacent(size_t heads, size_t head_dimensions, size_t rotary,
                             const float *table, float *row) {
  const size_t whole = rotary / 16 * 16;
  for (size_t d = 0; d < whole; d += 16) {
    lanes angles = lanes_load(table + d);
    lanes cosines = lanes_duplicate_even(angles), sines = lanes_duplicate_odd(angles);
    for (size_t head = 0; head < heads; ++head) {
      float *values = row + head * head_dimensions + d;
      lanes x = lanes_load(values);
      lanes crossed = lanes_multiply(lanes_swap_pairs(x), sines);
      lanes_store(values, lanes_fma_alternating(x, cosines, crossed));
    }
  }
  for (size_t d = whole; d < rotary; d += 2)
    for (size_t head = 0; head < heads; ++head) {
      float *values = row + head * head_dimensions + d;
      rope_pair(table + d, values, values + 1);
    }
}

LANES void rope_row_halves(size_t heads, size_t head_dimensions, size_t rotary,
                           const float *table, float *row) {
  const size_t half = rotary / 2, whole = half / 16 * 16;
  for (size_t pair = 0; pair < whole; pair += 16) {
    lanes cosines, sines;
    lanes_unzip(table + 2 * pair, &cosines, &sines);
    for (size_t head = 0; head < heads; ++head) {
      float *first = row + head * head_dimensions + pair, *second = first + half;
      lanes x = lanes_load(first), y = lanes_load(second);
      lanes_store(first, lanes_fms(x, cosines, lanes_multiply(y, sines)));
      lanes_store(second, lanes_fma(y, cosines, lanes_multiply(x, sines)));
    }
  }
  for (size_t pair = whole; pair < half; ++pair)
    for (size_t head = 0; head < heads; ++head) {
      float *first = row + head * head_dimensions + pair;
      rope_pair(table + 2 * pair, first, first + half);
    }
}

void LANES_NAME(rope_f32, LANES_ISA)(martlet_rope_layout layout, size_t rows, size_t heads,
                                     size_t head_dimensions, size_t rotary_dimensions,
                                     const float *table, float *values, size_t stride) {
  for (size_t row = 0; row < rows; ++row) {
    const float *angles = table + row * rotary_dimensions;
    if (layout == MARTLET_ROPE_ADJACENT)
      rope_row_adjacent(heads, head_dimensions, rotary_dimensions, angles, values + row * stride);
    else
      rope_row_halves(heads, head_dimensions, rotary_dimensions, angles, values + row * stride);
  }
}

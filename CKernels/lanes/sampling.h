/// The sampling family over the 16-lane vocabulary. Two passes over the row, which L2 keeps: the
/// maximum of each block (a load and a comparison per 16 logits), then exponentials with their sum
/// and moment (about 18 operations per 16; a temperature other than 1 has exponentials of its own,
/// 16 more). A block's folds are a tenth of that, and what is done in float64 runs beside it. On a
/// core with two 512-bit pipes the second pass takes 9 cycles per 16 logits, or 17.

/// 16 logits, or the last n of a row with -inf after them.
LANES lanes sampling_load(const float *logits, size_t n) {
  if (n >= 16) return lanes_load(logits);
  return lanes_within(lanes_load_first(logits, n), 0, n, lanes_set(-INFINITY));
}

/// The largest of a block, NaN passed over.
LANES float sampling_largest(const float *logits, size_t count) {
  lanes a = lanes_set(-INFINITY), b = a;
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    a = lanes_larger(lanes_load(logits + i), a);
    b = lanes_larger(lanes_load(logits + i + 16), b);
  }
  for (; i < count; i += 16) a = lanes_larger(sampling_load(logits + i, count - i), a);
  return lanes_fold_larger(lanes_larger(a, b));
}

/// Begins a shape: the maximum of a row and, if it is finite, where it first stands.
LANES float sampling_maximum(size_t width, const float *logits, martlet_logits_shape *shape) {
  float maximum = -INFINITY;
  size_t best = 0;
  for (size_t start = 0; start < width; start += MARTLET_LOGITS_BLOCK) {
    const size_t left = width - start;
    const float largest = left < MARTLET_LOGITS_BLOCK
                              ? sampling_largest(logits + start, left)
                              : sampling_largest(logits + start, MARTLET_LOGITS_BLOCK);
    if (largest > maximum) {
      maximum = largest;
      best = start;
    }
  }
  maximum = maximum + 0.0f;
  *shape = (martlet_logits_shape){.size = shape->size, .maximum = (double)maximum};
  if (maximum != -INFINITY && maximum != INFINITY)
    shape->most_likely =
        (uint32_t)best + martlet_sampling_first(logits + best, width - best, maximum);
  return maximum;
}

/// A block's sums: four sets of lanes each, 16 logits to the sets in turn.
typedef struct sampling_sums {
  lanes weights[4], exponentials[4], moments[4];
} sampling_sums;

/// Adds 16 logits to set `k`. `tempered` is a constant: without it there are no weights.
LANES void sampling_add(sampling_sums *sums, int k, lanes logits, lanes maximum, lanes inverse,
                        int tempered) {
  const lanes x = lanes_subtract(logits, maximum), e = lanes_exp(x);
  sums->exponentials[k] = lanes_add(sums->exponentials[k], e);
  sums->moments[k] = lanes_fma(e, lanes_larger(x, lanes_set(-128.0f)), sums->moments[k]);
  if (tempered)
    sums->weights[k] = lanes_add(sums->weights[k], lanes_exp(lanes_multiply(x, inverse)));
}

LANES float sampling_fold(const lanes sets[4]) {
  return lanes_fold_sum(lanes_add(lanes_add(sets[0], sets[1]), lanes_add(sets[2], sets[3])));
}

/// The second pass: completes the shape, and stores each block's weight if there is to be a draw.
LANES void sampling_shape(size_t width, const float *logits, float maximum, float inverse,
                          int tempered, float *scratch, martlet_logits_shape *shape) {
  const lanes shift = lanes_set(maximum), factor = lanes_set(inverse);
  double sum = 0, moment = 0;
  for (size_t start = 0; start < width; start += MARTLET_LOGITS_BLOCK) {
    const float *block = logits + start;
    const size_t left = width - start;
    sampling_sums sums;
    for (int k = 0; k < 4; ++k)
      sums.weights[k] = sums.exponentials[k] = sums.moments[k] = lanes_zero();
    const size_t whole = left >= MARTLET_LOGITS_BLOCK ? MARTLET_LOGITS_BLOCK : left / 64 * 64;
    for (size_t i = 0; i < whole; i += 64)
      for (int k = 0; k < 4; ++k)
        sampling_add(&sums, k, lanes_load(block + i + 16 * k), shift, factor, tempered);
    if (whole < MARTLET_LOGITS_BLOCK)
      for (int k = 0; k < 4 && whole + 16 * (size_t)k < left; ++k) {
        const size_t i = whole + 16 * (size_t)k;
        sampling_add(&sums, k, sampling_load(block + i, left - i), shift, factor, tempered);
      }
    const float exponentials = sampling_fold(sums.exponentials);
    sum += (double)exponentials;
    moment += (double)sampling_fold(sums.moments);
    if (inverse > 0)
      scratch[start / MARTLET_LOGITS_BLOCK] =
          tempered ? sampling_fold(sums.weights) : exponentials;
  }
  martlet_sampling_finish(shape, sum, moment);
}

void LANES_NAME(logits_weigh_f32, LANES_ISA)(size_t count, const float *logits, float maximum,
                                             float inverse, float *weights) {
  const size_t whole = count / 16 * 16, rest = count - whole;
  const lanes shift = lanes_set(maximum), factor = lanes_set(inverse);
  for (size_t i = 0; i < whole; i += 16) {
    lanes x = lanes_multiply(lanes_subtract(lanes_load(logits + i), shift), factor);
    lanes_store(weights + i, lanes_exp(x));
  }
  if (rest) {
    lanes x = lanes_subtract(lanes_load_first(logits + whole, rest), shift);
    lanes_store_first(weights + whole, rest, lanes_exp(lanes_multiply(x, factor)));
  }
}

void LANES_NAME(logits_draw_f32, LANES_ISA)(size_t width, const float *logits, float inverse,
                                            double uniform, float *scratch,
                                            martlet_logits_shape *shape) {
  const float maximum = sampling_maximum(width, logits, shape);
  if (maximum == -INFINITY || maximum == INFINITY) return;
  if (inverse == 0 || inverse == 1)
    sampling_shape(width, logits, maximum, inverse, 0, scratch, shape);
  else
    sampling_shape(width, logits, maximum, inverse, 1, scratch, shape);
  if (inverse == 0 || !shape->clean) return;
  double target;
  const size_t blocks = martlet_logits_blocks(width);
  const size_t start =
      MARTLET_LOGITS_BLOCK * martlet_sampling_block(scratch, blocks, uniform, &target);
  const size_t left = width - start;
  const size_t count = left < MARTLET_LOGITS_BLOCK ? left : MARTLET_LOGITS_BLOCK;
  float weights[MARTLET_LOGITS_BLOCK];
  LANES_NAME(logits_weigh_f32, LANES_ISA)(count, logits + start, maximum, inverse, weights);
  shape->drawn = (uint32_t)start + martlet_sampling_pick(weights, count, target);
}

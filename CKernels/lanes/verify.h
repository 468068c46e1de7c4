/// The verify family's passes over the 16-lane vocabulary. A residual is two loads, a fused
/// multiply-add, a maximum, three sums and two comparisons per 16 tokens: 4 cycles on a core with two
/// 512-bit pipes, about what reading two rows from L2 or L3 takes. Levels are seven comparisons with
/// two masked additions each on top: 14 cycles. What the vocabulary has no word for (choosing by
/// comparison, the bits of a float) is said with the compiler's own vectors, of any ISA.

typedef float verify_floats __attribute__((vector_size(64)));
typedef int32_t verify_integers __attribute__((vector_size(64)));
typedef uint32_t verify_words __attribute__((vector_size(64)));

/// The same 64 bytes as each of them.
typedef union verify_view {
  lanes lanes;
  verify_floats floats;
  verify_integers integers;
  verify_words words;
} verify_view;

/// a ≥ b ? x : y in each lane.
LANES lanes verify_choose(lanes a, lanes b, lanes x, lanes y) {
  const verify_view left = {a}, right = {b}, yes = {x}, no = {y};
  const verify_integers mask = left.floats >= right.floats;
  const verify_view chosen = {.integers = (yes.integers & mask) | (no.integers & ~mask)};
  return chosen.lanes;
}

LANES lanes verify_logarithm(lanes x) {
  const verify_view bits = {x};
  const verify_integers exponent = (verify_integers)(bits.words - MARTLET_LOG_ORIGIN) >> 23;
  const verify_view mantissa = {.words = bits.words - ((verify_words)exponent << 23)};
  const verify_view power = {.floats = __builtin_convertvector(exponent, verify_floats)};
  const lanes f = lanes_subtract(mantissa.lanes, lanes_set(1.0f));
  lanes series = lanes_set(MARTLET_LOG_C9);
  series = lanes_fma(series, f, lanes_set(MARTLET_LOG_C8));
  series = lanes_fma(series, f, lanes_set(MARTLET_LOG_C7));
  series = lanes_fma(series, f, lanes_set(MARTLET_LOG_C6));
  series = lanes_fma(series, f, lanes_set(MARTLET_LOG_C5));
  series = lanes_fma(series, f, lanes_set(MARTLET_LOG_C4));
  series = lanes_fma(series, f, lanes_set(MARTLET_LOG_C3));
  series = lanes_fma(series, f, lanes_set(-0.5f));
  series = lanes_fma(lanes_multiply(f, f), series, f);
  return lanes_fma(power.lanes, lanes_set(MARTLET_LOG_LN2), series);
}

/// 16 values, or the last n of a row and zeros.
LANES lanes verify_load(const float *row, size_t n) {
  return n >= 16 ? lanes_load(row) : lanes_load_first(row, n);
}
LANES void verify_store(float *row, size_t n, lanes v) {
  if (n >= 16)
    lanes_store(row, v);
  else
    lanes_store_first(row, n, v);
}

/// The larger of `worst` and -x.
LANES lanes verify_worse(lanes x, lanes worst) {
  return lanes_larger(lanes_subtract(lanes_zero(), x), worst);
}

LANES float verify_fold(const lanes sets[4]) {
  return lanes_fold_sum(lanes_add(lanes_add(sets[0], sets[1]), lanes_add(sets[2], sets[3])));
}

/// max(b - factor · q, 0) that keeps NaN.
LANES lanes verify_left(lanes b, lanes negative_factor, lanes q) {
  return lanes_larger(lanes_zero(), lanes_fma(negative_factor, q, b));
}

/// A block's sums: of the residual in four sets, to which 16 tokens go in turn.
typedef struct verify_block {
  lanes left[4], whole, drawn, worst;
} verify_block;

/// 16 tokens, or the last n. `drafted` is a constant.
LANES void verify_tokens(verify_block *block, int k, size_t n, const float *base,
                         const float *draft, float *output, lanes negative_times, int drafted) {
  const lanes b = verify_load(base, n);
  lanes r = b;
  block->worst = verify_worse(b, block->worst);
  if (drafted) {
    const lanes q = verify_load(draft, n);
    r = verify_left(b, negative_times, q);
    block->whole = lanes_add(block->whole, b);
    block->drawn = lanes_add(block->drawn, q);
    block->worst = verify_worse(q, block->worst);
  }
  block->left[k] = lanes_add(block->left[k], r);
  if (output) verify_store(output, n, r);
}

/// `drafted` is a constant, and so is `output` where it is null.
LANES void verify_row(size_t width, const float *base, float times, const float *draft,
                      float *output, float *block_sums, float *draft_block_sums,
                      martlet_verify_sums *sums, int drafted) {
  const lanes negative_times = lanes_set(-times);
  double residual = 0, bases = 0, drafts = 0;
  verify_block block = {.worst = lanes_zero()};
  for (size_t start = 0, index = 0; start < width; start += MARTLET_LOGITS_BLOCK, ++index) {
    const size_t left = width - start;
    const size_t count = left < MARTLET_LOGITS_BLOCK ? left : MARTLET_LOGITS_BLOCK;
    for (int k = 0; k < 4; ++k) block.left[k] = lanes_zero();
    block.whole = block.drawn = lanes_zero();
    size_t i = start;
    for (; i + 64 <= start + count; i += 64)
      for (int k = 0; k < 4; ++k) {
        const size_t at = i + 16 * (size_t)k;
        verify_tokens(&block, k, 16, base + at, drafted ? draft + at : draft,
                      output ? output + at : output, negative_times, drafted);
      }
    for (int k = 0; k < 4; ++k, i += 16) {
      if (i >= start + count) break;
      verify_tokens(&block, k, start + count - i, base + i, drafted ? draft + i : draft,
                    output ? output + i : output, negative_times, drafted);
    }
    block_sums[index] = verify_fold(block.left);
    residual += (double)block_sums[index];
    bases += (double)(drafted ? lanes_fold_sum(block.whole) : block_sums[index]);
    if (!drafted) continue;
    const float sum = lanes_fold_sum(block.drawn);
    if (draft_block_sums) draft_block_sums[index] = sum;
    drafts += (double)sum;
  }
  *sums = (martlet_verify_sums){residual, bases, drafts, 0.0f - lanes_fold_larger(block.worst)};
}

void LANES_NAME(verify_residual_f32, LANES_ISA)(size_t width, const float *base, float times,
                                                const float *draft, float *output,
                                                float *block_sums, float *draft_block_sums,
                                                martlet_verify_sums *sums) {
  if (!draft)
    verify_row(width, base, 0, NULL, output, block_sums, NULL, sums, 0);
  else if (output)
    verify_row(width, base, times, draft, output, block_sums, draft_block_sums, sums, 1);
  else
    verify_row(width, base, times, draft, NULL, block_sums, draft_block_sums, sums, 1);
}

/// One factor for each level of base/draft.
typedef struct verify_factors {
  lanes bounds[MARTLET_VERIFY_LEVELS - 1], negative[MARTLET_VERIFY_LEVELS];
} verify_factors;

LANES lanes verify_weigh(const verify_factors *factors, size_t n, const float *base,
                         const float *draft, float *output) {
  const lanes b = verify_load(base, n), q = verify_load(draft, n);
  lanes factor = factors->negative[0];
  for (int level = 1; level < MARTLET_VERIFY_LEVELS; ++level)
    factor = verify_choose(b, lanes_multiply(factors->bounds[level - 1], q),
                           factors->negative[level], factor);
  const lanes r = verify_left(b, factor, q);
  if (output) verify_store(output, n, r);
  return r;
}

void LANES_NAME(verify_weighted_f32, LANES_ISA)(size_t width, const float *base,
                                                const float *draft,
                                                const martlet_verify_bounds *bounds,
                                                const float weights[MARTLET_VERIFY_LEVELS],
                                                float *output, float *block_sums) {
  verify_factors factors;
  for (int level = 0; level < MARTLET_VERIFY_LEVELS; ++level)
    factors.negative[level] = lanes_set(-weights[level]);
  for (int level = 1; level < MARTLET_VERIFY_LEVELS; ++level)
    factors.bounds[level - 1] = lanes_set(bounds->bounds[level - 1]);
  for (size_t start = 0, index = 0; start < width; start += MARTLET_LOGITS_BLOCK, ++index) {
    const size_t end =
        width - start < MARTLET_LOGITS_BLOCK ? width : start + MARTLET_LOGITS_BLOCK;
    lanes sets[4];
    for (int k = 0; k < 4; ++k) sets[k] = lanes_zero();
    size_t i = start;
    for (; i + 64 <= end; i += 64)
      for (int k = 0; k < 4; ++k) {
        const size_t at = i + 16 * (size_t)k;
        sets[k] = lanes_add(sets[k], verify_weigh(&factors, 16, base + at, draft + at,
                                                  output ? output + at : output));
      }
    for (int k = 0; k < 4; ++k, i += 16) {
      if (i >= end) break;
      sets[k] = lanes_add(sets[k], verify_weigh(&factors, end - i, base + i, draft + i,
                                                output ? output + i : output));
    }
    block_sums[index] = verify_fold(sets);
  }
}

/// Sums of one block per level and above.
typedef struct verify_level_sums {
  lanes bases[MARTLET_VERIFY_LEVELS], drafts[MARTLET_VERIFY_LEVELS], whole;
} verify_level_sums;

LANES void verify_level(verify_level_sums *sums, lanes *worst, const lanes *bounds, lanes cap,
                        lanes b, lanes q) {
  const lanes most = lanes_multiply(cap, q), useful = verify_choose(b, most, most, b);
  *worst = verify_worse(q, verify_worse(b, *worst));
  sums->whole = lanes_add(sums->whole, b);
  sums->bases[0] = lanes_add(sums->bases[0], useful);
  sums->drafts[0] = lanes_add(sums->drafts[0], q);
  for (int level = 1; level < MARTLET_VERIFY_LEVELS; ++level) {
    const lanes bound = lanes_multiply(bounds[level - 1], q);
    sums->bases[level] =
        lanes_add(sums->bases[level], verify_choose(b, bound, useful, lanes_zero()));
    sums->drafts[level] =
        lanes_add(sums->drafts[level], verify_choose(b, bound, q, lanes_zero()));
  }
}

void LANES_NAME(verify_levels_f32, LANES_ISA)(size_t width, const float *base, const float *draft,
                                              const martlet_verify_bounds *limits,
                                              martlet_verify_shares *shares) {
  memset(shares, 0, sizeof *shares);
  lanes worst = lanes_zero(), bounds[MARTLET_VERIFY_LEVELS - 1];
  const lanes cap = lanes_set(limits->cap);
  for (int i = 0; i < MARTLET_VERIFY_LEVELS - 1; ++i) bounds[i] = lanes_set(limits->bounds[i]);
  for (size_t start = 0; start < width; start += MARTLET_LOGITS_BLOCK) {
    const size_t left = width - start;
    const size_t count = left < MARTLET_LOGITS_BLOCK ? left : MARTLET_LOGITS_BLOCK;
    const size_t whole = count / 16 * 16, rest = count - whole;
    verify_level_sums sums = {.whole = lanes_zero()};
    for (int i = 0; i < MARTLET_VERIFY_LEVELS; ++i)
      sums.bases[i] = sums.drafts[i] = lanes_zero();
    for (size_t i = 0; i < whole; i += 16)
      verify_level(&sums, &worst, bounds, cap, lanes_load(base + start + i),
                   lanes_load(draft + start + i));
    if (rest)
      verify_level(&sums, &worst, bounds, cap, lanes_load_first(base + start + whole, rest),
                   lanes_load_first(draft + start + whole, rest));
    float bases[16], drafts[16];
    lanes_store(bases, lanes_fold_sums(sums.bases, MARTLET_VERIFY_LEVELS));
    lanes_store(drafts, lanes_fold_sums(sums.drafts, MARTLET_VERIFY_LEVELS));
    for (int i = 0; i < MARTLET_VERIFY_LEVELS; ++i) {
      shares->base[i] += (double)bases[i];
      shares->draft[i] += (double)drafts[i];
    }
    shares->whole += (double)lanes_fold_sum(sums.whole);
  }
  shares->lowest = 0.0f - lanes_fold_larger(worst);
}

/// Four sets of largest values, and lanes that become NaN when a NaN or +inf passes.
typedef struct verify_peaks {
  lanes largest[4], dirt[4];
} verify_peaks;

LANES void verify_peak(verify_peaks *peaks, int k, lanes x) {
  peaks->largest[k] = lanes_larger(x, peaks->largest[k]);
  // -inf becomes finite, +inf times 0 a NaN.
  const lanes bounded = lanes_larger(lanes_set(-0x1p127f), x);
  peaks->dirt[k] = lanes_fma(bounded, lanes_zero(), peaks->dirt[k]);
}

void LANES_NAME(verify_largest_f32, LANES_ISA)(size_t width, const float *row, uint32_t *place) {
  lanes dirt = lanes_zero();
  float largest = -INFINITY;
  size_t best = 0;
  for (size_t start = 0; start < width; start += MARTLET_LOGITS_BLOCK) {
    const size_t left = width - start;
    const size_t count = left < MARTLET_LOGITS_BLOCK ? left : MARTLET_LOGITS_BLOCK;
    const size_t whole = count / 16 * 16, rest = count - whole;
    verify_peaks peaks;
    for (int k = 0; k < 4; ++k) {
      peaks.largest[k] = lanes_set(-INFINITY);
      peaks.dirt[k] = lanes_zero();
    }
    size_t i = 0;
    for (; i + 64 <= whole; i += 64)
      for (int k = 0; k < 4; ++k)
        verify_peak(&peaks, k, lanes_load(row + start + i + 16 * (size_t)k));
    for (; i < whole; i += 16) verify_peak(&peaks, 0, lanes_load(row + start + i));
    if (rest)
      verify_peak(&peaks, 1,
                  lanes_within(lanes_load_first(row + start + whole, rest), 0, rest,
                               lanes_set(-INFINITY)));
    const float found = lanes_fold_larger(
        lanes_larger(lanes_larger(peaks.largest[0], peaks.largest[1]),
                     lanes_larger(peaks.largest[2], peaks.largest[3])));
    if (found > largest) {
      largest = found;
      best = start;
    }
    for (int k = 0; k < 4; ++k) dirt = lanes_add(dirt, peaks.dirt[k]);
  }
  const float sum = lanes_fold_sum(dirt);
  *place = MARTLET_VERIFY_NONE;
  if (sum != sum || largest == -INFINITY) return;
  while (row[best] != largest) ++best;
  *place = (uint32_t)best;
}

LANES void verify_entropy_add(lanes *term, lanes *whole, lanes *worst, lanes p) {
  const lanes product = lanes_multiply(p, verify_logarithm(p));
  *worst = verify_worse(p, *worst);
  *whole = lanes_add(*whole, p);
  *term = lanes_add(*term, verify_choose(p, lanes_set(MARTLET_LOG_LEAST), product, lanes_zero()));
}

void LANES_NAME(verify_entropy_f32, LANES_ISA)(size_t width, const float *row,
                                               martlet_verify_sums *sums) {
  double entropy = 0, total = 0;
  lanes worst = lanes_zero();
  for (size_t start = 0; start < width; start += MARTLET_LOGITS_BLOCK) {
    const size_t left = width - start;
    const size_t count = left < MARTLET_LOGITS_BLOCK ? left : MARTLET_LOGITS_BLOCK;
    lanes terms[4], whole[4];
    for (int k = 0; k < 4; ++k) terms[k] = whole[k] = lanes_zero();
    size_t i = 0;
    for (; i + 64 <= count; i += 64)
      for (int k = 0; k < 4; ++k)
        verify_entropy_add(&terms[k], &whole[k], &worst,
                           lanes_load(row + start + i + 16 * (size_t)k));
    for (int k = 0; k < 4; ++k, i += 16) {
      if (i >= count) break;
      verify_entropy_add(&terms[k], &whole[k], &worst, verify_load(row + start + i, count - i));
    }
    entropy -= (double)verify_fold(terms);
    total += (double)verify_fold(whole);
  }
  *sums = (martlet_verify_sums){entropy, total, 0, 0.0f - lanes_fold_larger(worst)};
}

/// The softmax family over the 16-lane vocabulary. Three passes: the largest value, exponentials
/// with their sum (about 12 operations per 16 elements), the scaling. Rows stay in cache between
/// passes up to the size of L2; one row of logits (150,000 × 4 bytes) does.

/// The largest of input·scale, NaN passed over; -inf when there is nothing else.
LANES float softmax_largest(const float *in, size_t width, lanes scale) {
  const size_t whole = width / 16 * 16, rest = width - whole;
  const lanes lowest = lanes_set(-INFINITY);
  lanes a = lowest, b = lowest;
  size_t i = 0;
  for (; i + 32 <= whole; i += 32) {
    a = lanes_larger(lanes_multiply(lanes_load(in + i), scale), a);
    b = lanes_larger(lanes_multiply(lanes_load(in + i + 16), scale), b);
  }
  if (i < whole) a = lanes_larger(lanes_multiply(lanes_load(in + i), scale), a);
  if (rest) {
    lanes last = lanes_multiply(lanes_load_first(in + whole, rest), scale);
    b = lanes_larger(lanes_within(last, 0, rest, lowest), b);
  }
  return lanes_fold_larger(lanes_larger(a, b)) + 0.0f;
}

void LANES_NAME(softmax_f32, LANES_ISA)(size_t rows, size_t width, float scale,
                                        const float *input, size_t input_stride, float *output,
                                        size_t output_stride) {
  const size_t whole = width / 16 * 16, rest = width - whole;
  const lanes factor = lanes_set(scale);
  for (size_t row = 0; row < rows; ++row) {
    const float *in = input + row * input_stride;
    float *out = output + row * output_stride;
    float largest = softmax_largest(in, width, factor);
    if (largest == INFINITY) {
      martlet_softmax_infinite_row(width, scale, in, out, 0);
      continue;
    }
    lanes shift = lanes_set(largest), sums = lanes_zero();
    for (size_t i = 0; i < whole; i += 16) {
      lanes e = lanes_exp(lanes_subtract(lanes_multiply(lanes_load(in + i), factor), shift));
      sums = lanes_add(sums, e);
      lanes_store(out + i, e);
    }
    lanes last = lanes_zero();
    if (rest) {
      last = lanes_multiply(lanes_load_first(in + whole, rest), factor);
      last = lanes_within(lanes_exp(lanes_subtract(last, shift)), 0, rest, lanes_zero());
      sums = lanes_add(sums, last);
    }
    lanes inverse = lanes_set(1.0f / lanes_fold_sum(sums));
    for (size_t i = 0; i < whole; i += 16)
      lanes_store(out + i, lanes_multiply(lanes_load(out + i), inverse));
    if (rest) lanes_store_first(out + whole, rest, lanes_multiply(last, inverse));
  }
}

void LANES_NAME(log_softmax_f32, LANES_ISA)(size_t rows, size_t width, const float *input,
                                            size_t input_stride, float *output,
                                            size_t output_stride) {
  const size_t whole = width / 16 * 16, rest = width - whole;
  for (size_t row = 0; row < rows; ++row) {
    const float *in = input + row * input_stride;
    float *out = output + row * output_stride;
    float largest = softmax_largest(in, width, lanes_set(1.0f));
    if (largest == INFINITY) {
      martlet_softmax_infinite_row(width, 1.0f, in, out, 1);
      continue;
    }
    lanes shift = lanes_set(largest), sums = lanes_zero();
    for (size_t i = 0; i < whole; i += 16)
      sums = lanes_add(sums, lanes_exp(lanes_subtract(lanes_load(in + i), shift)));
    lanes last = lanes_load_first(in + whole, rest);
    if (rest) {
      lanes e = lanes_exp(lanes_subtract(last, shift));
      sums = lanes_add(sums, lanes_within(e, 0, rest, lanes_zero()));
    }
    lanes log_sum = lanes_set(martlet_softmax_log(lanes_fold_sum(sums)));
    for (size_t i = 0; i < whole; i += 16)
      lanes_store(out + i, lanes_subtract(lanes_subtract(lanes_load(in + i), shift), log_sum));
    if (rest)
      lanes_store_first(out + whole, rest,
                        lanes_subtract(lanes_subtract(last, shift), log_sum));
  }
}

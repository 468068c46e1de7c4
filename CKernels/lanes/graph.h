/// Distances between rows of small numbers and masks of scores, on the 64-byte vocabulary and two
/// functions of the file that includes this: `graph_squares` a, b (64 bytes each) adds squares of
/// differences to a wide_sum.
///
/// Differences of -63 ... 63 fit a byte, squares of two of them a signed word: so 64 dimensions take a
/// subtraction, a magnitude, a product of bytes, a widening sum and an addition. Rows come from
/// anywhere; the next ones are called for.

enum { graph_ahead = 8 };

void LANES_NAME(graph_distances, LANES_ISA)(size_t bytes, const int8_t *row, const int8_t *rows,
                                            size_t count, const uint32_t *ids,
                                            int32_t *distances) {
  for (size_t i = 0; i < count; ++i) {
    const int8_t *other = rows + ids[i] * bytes;
    if (i + graph_ahead < count) {
      const int8_t *next = rows + ids[i + graph_ahead] * bytes;
      for (size_t d = 0; d < bytes; d += 64) __builtin_prefetch(next + d, 0, 3);
    }
    wide_sum sum = wide_sum_zero();
    for (size_t d = 0; d < bytes; d += 64) sum = graph_squares(sum, row + d, other + d);
    distances[i] = wide_fold_sum(sum);
  }
}

void LANES_NAME(graph_pass, LANES_ISA)(size_t blocks, const uint16_t *scores, uint16_t least,
                                       uint32_t *masks) {
  for (size_t b = 0; b < blocks; ++b) masks[b] = wide_words_at_least(scores + 32 * b, least);
}

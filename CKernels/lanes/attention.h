/// Attention over pages on the 16-lane vocabulary.
///
/// Tile: LANES_HEADS query heads of one group × the 32 positions of a page. Scores stay in
/// registers while the dimensions go by: per dimension two key vectors are loaded once for all
/// heads, one query value is broadcast per head, and two fused multiply-adds are done per head.
/// Values go the other way: per position two value vectors (32 dimensions) serve all heads. A head
/// that has no tile to share takes LANES_HEADS pages at once instead, which gives as many
/// independent chains, and 64 dimensions of the values.
///
/// A page is read once per tile, from memory for the first and from L1 for the rest, and a
/// key-value head is finished for all rows before the next begins, so that rows which share pages
/// find them in cache. Per page, head and dimension: 64 + 64 operations on 2 × 32 elements.

enum { attention_positions = MARTLET_KV_PAGE_TOKENS, attention_group = 16, attention_vectors = 4 };

LANES size_t kv_element_bytes(martlet_kv_type type) { return type == MARTLET_KV_F32 ? 4 : 2; }

/// 16 elements from `index` on; `type` is a constant wherever this is inlined.
LANES lanes kv_load(martlet_kv_type type, const void *base, size_t index) {
  if (type == MARTLET_KV_F32) return lanes_load((const float *)base + index);
  const uint16_t *words = (const uint16_t *)base + index;
  return type == MARTLET_KV_F16 ? lanes_load_f16(words) : lanes_load_bf16(words);
}

LANES lanes kv_load_first(martlet_kv_type type, const void *base, size_t index, size_t n) {
  if (type == MARTLET_KV_F32) return lanes_load_first((const float *)base + index, n);
  const uint16_t *words = (const uint16_t *)base + index;
  return type == MARTLET_KV_F16 ? lanes_load_f16_first(words, n) : lanes_load_bf16_first(words, n);
}

/// Where a tile of heads stands after the pages so far; the weighted values are in the output.
typedef struct attention_state {
  float largest, sum;
} attention_state;

/// What one page contributes to one head.
typedef struct attention_page {
  float exponentials[attention_positions];
  float old_factor, page_factor;
} attention_page;

/// Merges a page's maximum and sum into the state and leaves the factors for the values.
LANES void attention_merge(attention_state *state, int opening, float largest, float sum,
                           attention_page *page) {
  if (opening) {
    *state = (attention_state){largest, sum};
    return;
  }
  float merged = largest > state->largest ? largest : state->largest;
  page->old_factor = martlet_exp_f32(state->largest - merged);
  page->page_factor = martlet_exp_f32(largest - merged);
  float kept = state->sum * page->old_factor;
  *state = (attention_state){merged, __builtin_fmaf(sum, page->page_factor, kept)};
}

/// Scaled and masked scores become exponentials, and the page merges into the state.
LANES void attention_weights(lanes low, lanes high, float scale, size_t begin, size_t end,
                             int opening, attention_state *state, attention_page *page) {
  const size_t low_begin = begin < 16 ? begin : 16, low_end = end < 16 ? end : 16;
  const size_t high_begin = begin > 16 ? begin - 16 : 0, high_end = end > 16 ? end - 16 : 0;
  const lanes lowest = lanes_set(-INFINITY), factor = lanes_set(scale);
  lanes a = lanes_within(lanes_multiply(low, factor), low_begin, low_end, lowest);
  lanes b = lanes_within(lanes_multiply(high, factor), high_begin, high_end, lowest);
  float largest = lanes_fold_larger(lanes_larger(b, lanes_larger(a, lowest)));
  lanes shift = lanes_set(largest);
  a = lanes_within(lanes_exp(lanes_subtract(a, shift)), low_begin, low_end, lanes_zero());
  b = lanes_within(lanes_exp(lanes_subtract(b, shift)), high_begin, high_end, lanes_zero());
  lanes_store(page->exponentials, a);
  lanes_store(page->exponentials + 16, b);
  attention_merge(state, opening, largest, lanes_fold_sum(lanes_add(a, b)), page);
}

/// The 32 dot products of `heads` query heads with one page.
LANES void attention_dots(martlet_kv_type type, int heads, size_t dimensions, const void *keys,
                          const float *query, lanes *low, lanes *high) {
  for (int h = 0; h < heads; ++h) low[h] = high[h] = lanes_zero();
  for (size_t d = 0; d < dimensions; ++d) {
    lanes first = kv_load(type, keys, d * attention_positions);
    lanes second = kv_load(type, keys, d * attention_positions + 16);
    for (int h = 0; h < heads; ++h) {
      lanes q = lanes_set(query[h * dimensions + d]);
      low[h] = lanes_fma(q, first, low[h]);
      high[h] = lanes_fma(q, second, high[h]);
    }
  }
}

/// The 32 dot products of one query head with each of LANES_HEADS pages: as many independent
/// chains as a full tile of heads has.
LANES void attention_page_dots(martlet_kv_type type, size_t dimensions, const void *const *pages,
                               size_t key_offset, const float *query, lanes *low, lanes *high) {
  const char *keys[LANES_HEADS];
  for (int p = 0; p < LANES_HEADS; ++p) {
    keys[p] = (const char *)pages[p] + key_offset;
    low[p] = high[p] = lanes_zero();
  }
  for (size_t d = 0; d < dimensions; ++d) {
    lanes q = lanes_set(query[d]);
    for (int p = 0; p < LANES_HEADS; ++p) {
      low[p] = lanes_fma(q, kv_load(type, keys[p], d * attention_positions), low[p]);
      high[p] = lanes_fma(q, kv_load(type, keys[p], d * attention_positions + 16), high[p]);
    }
  }
}

/// Adds a page's weighted values for dimensions [d, d + 16·vectors) or, with n < 16, d + n.
LANES void attention_values(martlet_kv_type type, int heads, int vectors, size_t n,
                            size_t dimensions, const void *values, size_t d, size_t begin,
                            size_t end, int opening, const attention_page *pages, float *output) {
  lanes sums[LANES_HEADS][attention_vectors];
  for (int h = 0; h < heads; ++h)
    for (int v = 0; v < vectors; ++v) sums[h][v] = lanes_zero();
  for (size_t position = begin; position < end; ++position) {
    const size_t index = position * dimensions + d;
    lanes loaded[attention_vectors];
    for (int v = 0; v < vectors; ++v)
      loaded[v] = n == 16 ? kv_load(type, values, index + 16 * (size_t)v)
                          : kv_load_first(type, values, index, n);
    for (int h = 0; h < heads; ++h) {
      lanes e = lanes_set(pages[h].exponentials[position]);
      for (int v = 0; v < vectors; ++v) sums[h][v] = lanes_fma(e, loaded[v], sums[h][v]);
    }
  }
  for (int h = 0; h < heads; ++h)
    for (int v = 0; v < vectors; ++v) {
      float *out = output + (size_t)h * dimensions + d + 16 * (size_t)v;
      lanes merged = sums[h][v];
      if (!opening) {
        lanes old = n == 16 ? lanes_load(out) : lanes_load_first(out, n);
        old = lanes_multiply(old, lanes_set(pages[h].old_factor));
        merged = lanes_fma(merged, lanes_set(pages[h].page_factor), old);
      }
      if (n == 16) lanes_store(out, merged);
      else lanes_store_first(out, n, merged);
    }
}

/// A page's weighted values for all dimensions of `heads` heads, in pieces of 64 for one head (four
/// chains), else of 32.
LANES void attention_all_values(martlet_kv_type type, int heads, size_t dimensions,
                                const void *values, size_t begin, size_t end, int opening,
                                const attention_page *pages, float *output) {
  size_t d = 0;
  if (heads == 1)
    for (; d + 64 <= dimensions; d += 64)
      attention_values(type, 1, 4, 16, dimensions, values, d, begin, end, opening, pages, output);
  for (; d + 32 <= dimensions; d += 32)
    attention_values(type, heads, 2, 16, dimensions, values, d, begin, end, opening, pages, output);
  if (d + 16 <= dimensions) {
    attention_values(type, heads, 1, 16, dimensions, values, d, begin, end, opening, pages, output);
    d += 16;
  }
  if (d < dimensions)
    attention_values(type, heads, 1, dimensions - d, dimensions, values, d, begin, end, opening,
                     pages, output);
}

/// What is the same for all heads of one row and one key-value head.
typedef struct attention_span {
  const void *const *pages;
  size_t key_offset, value_offset, dimensions;
  size_t first_page, last_page, begin, end;  ///< `begin` in the first page, `end` in the last.
  float scale;
} attention_span;

LANES size_t attention_begin(const attention_span *span, size_t page) {
  return page == span->first_page ? span->begin : 0;
}
LANES size_t attention_end(const attention_span *span, size_t page) {
  return page == span->last_page ? span->end : (size_t)attention_positions;
}

/// All pages for a tile of `heads` heads.
LANES void attention_tile(martlet_kv_type type, int heads, const attention_span *span,
                          const float *query, attention_state *states, float *output) {
  for (size_t page = span->first_page; page <= span->last_page; ++page) {
    const char *base = (const char *)span->pages[page];
    const size_t begin = attention_begin(span, page), end = attention_end(span, page);
    const int opening = page == span->first_page;
    lanes low[LANES_HEADS], high[LANES_HEADS];
    attention_page pages[LANES_HEADS];
    attention_dots(type, heads, span->dimensions, base + span->key_offset, query, low, high);
    for (int h = 0; h < heads; ++h)
      attention_weights(low[h], high[h], span->scale, begin, end, opening, &states[h], &pages[h]);
    attention_all_values(type, heads, span->dimensions, base + span->value_offset, begin, end,
                         opening, pages, output);
  }
}

/// All pages for one head, LANES_HEADS pages at a time while there are as many.
LANES void attention_single(martlet_kv_type type, const attention_span *span, const float *query,
                            attention_state *state, float *output) {
  size_t page = span->first_page;
  for (size_t left = span->last_page - page + 1; left > 0;) {
    const size_t taken = left >= LANES_HEADS ? LANES_HEADS : 1;
    lanes low[LANES_HEADS], high[LANES_HEADS];
    if (taken > 1)
      attention_page_dots(type, span->dimensions, span->pages + page, span->key_offset, query, low,
                          high);
    else
      attention_dots(type, 1, span->dimensions,
                     (const char *)span->pages[page] + span->key_offset, query, low, high);
    for (size_t i = 0; i < taken; ++i, ++page) {
      const size_t begin = attention_begin(span, page), end = attention_end(span, page);
      const int opening = page == span->first_page;
      attention_page weights;
      attention_weights(low[i], high[i], span->scale, begin, end, opening, state, &weights);
      attention_all_values(type, 1, span->dimensions,
                           (const char *)span->pages[page] + span->value_offset, begin, end,
                           opening, &weights, output);
    }
    left -= taken;
  }
}

/// All pages of one row for up to attention_group heads of one key-value head.
LANES void attention_heads(martlet_kv_type type, const attention_span *span, size_t heads,
                           const float *query, float *output) {
  attention_state states[attention_group];
  const size_t dimensions = span->dimensions;
  size_t h = 0;
  for (; h + LANES_HEADS <= heads; h += LANES_HEADS)
    attention_tile(type, LANES_HEADS, span, query + h * dimensions, states + h,
                   output + h * dimensions);
#if LANES_HEADS > 2
  if (heads - h == 3) {
    attention_tile(type, 3, span, query + h * dimensions, states + h, output + h * dimensions);
    h += 3;
  } else if (heads - h == 2) {
    attention_tile(type, 2, span, query + h * dimensions, states + h, output + h * dimensions);
    h += 2;
  }
#endif
  for (; h < heads; ++h)
    attention_single(type, span, query + h * dimensions, states + h, output + h * dimensions);
  for (h = 0; h < heads; ++h) {
    lanes inverse = lanes_set(1.0f / states[h].sum);
    float *out = output + h * dimensions;
    size_t d = 0;
    for (; d + 16 <= dimensions; d += 16)
      lanes_store(out + d, lanes_multiply(lanes_load(out + d), inverse));
    if (d < dimensions)
      lanes_store_first(out + d, dimensions - d,
                        lanes_multiply(lanes_load_first(out + d, dimensions - d), inverse));
  }
}

LANES void attention_typed(martlet_kv_type type, const martlet_kv_layout *layout,
                           uint32_t query_heads, float scale, const martlet_attention_row *rows,
                           size_t row_count, uint32_t kv_head_begin, uint32_t kv_head_end) {
  const size_t dimensions = layout->head_dimensions, group = query_heads / layout->kv_heads;
  const size_t head_bytes = dimensions * attention_positions * kv_element_bytes(type);
  for (size_t kv_head = kv_head_begin; kv_head < kv_head_end; ++kv_head)
    for (size_t r = 0; r < row_count; ++r) {
      const martlet_attention_row *row = &rows[r];
      const attention_span span = {
          .pages = row->pages,
          .key_offset = kv_head * head_bytes,
          .value_offset = (layout->kv_heads + kv_head) * head_bytes,
          .dimensions = dimensions,
          .first_page = row->first / attention_positions,
          .last_page = (row->end - 1) / attention_positions,
          .begin = row->first % attention_positions,
          .end = (row->end - 1) % attention_positions + 1,
          .scale = scale};
      for (size_t h = 0; h < group; h += attention_group) {
        const size_t heads = group - h < attention_group ? group - h : (size_t)attention_group;
        const size_t start = (kv_head * group + h) * dimensions;
        attention_heads(type, &span, heads, row->query + start, row->output + start);
      }
    }
}

void LANES_NAME(attention_f32, LANES_ISA)(const martlet_kv_layout *layout, uint32_t query_heads,
                                          float scale, const martlet_attention_row *rows,
                                          size_t row_count, uint32_t kv_head_begin,
                                          uint32_t kv_head_end) {
  switch (layout->type) {
    case MARTLET_KV_F32:
      attention_typed(MARTLET_KV_F32, layout, query_heads, scale, rows, row_count, kv_head_begin,
                      kv_head_end);
      break;
    case MARTLET_KV_F16:
      attention_typed(MARTLET_KV_F16, layout, query_heads, scale, rows, row_count, kv_head_begin,
                      kv_head_end);
      break;
    case MARTLET_KV_BF16:
      attention_typed(MARTLET_KV_BF16, layout, query_heads, scale, rows, row_count, kv_head_begin,
                      kv_head_end);
      break;
  }
}

/// Rounds up to 16 elements to the page's type.
LANES void kv_store_first(martlet_kv_type type, void *target, size_t n, lanes v) {
  if (type == MARTLET_KV_F32) lanes_store_first((float *)target, n, v);
  else if (type == MARTLET_KV_F16) lanes_store_f16_first(target, n, v);
  else lanes_store_bf16_first(target, n, v);
}

LANES void kv_write_typed(martlet_kv_type type, const martlet_kv_layout *layout, void *page,
                          uint32_t slot, const float *keys, const float *values) {
  const size_t dimensions = layout->head_dimensions, heads = layout->kv_heads;
  const size_t bytes_each = kv_element_bytes(type);
  char *key_page = (char *)page;
  char *value_page = key_page + heads * dimensions * attention_positions * bytes_each;
  for (size_t head = 0; head < heads; ++head)
    for (size_t d = 0; d < dimensions; d += 16) {
      const size_t n = dimensions - d < 16 ? dimensions - d : 16;
      const size_t from = head * dimensions + d;
      const size_t row = (head * attention_positions + slot) * dimensions + d;
      kv_store_first(type, value_page + row * bytes_each, n, lanes_load_first(values + from, n));
      _Alignas(64) char rounded[64];
      kv_store_first(type, rounded, 16, lanes_load_first(keys + from, n));
      char *column = key_page + (from * attention_positions + slot) * bytes_each;
      for (size_t i = 0; i < n; ++i)
        memcpy(column + i * attention_positions * bytes_each, rounded + i * bytes_each, bytes_each);
    }
}

void LANES_NAME(kv_write, LANES_ISA)(const martlet_kv_layout *layout, void *page, uint32_t slot,
                                     const float *keys, const float *values) {
  switch (layout->type) {
    case MARTLET_KV_F32: kv_write_typed(MARTLET_KV_F32, layout, page, slot, keys, values); break;
    case MARTLET_KV_F16: kv_write_typed(MARTLET_KV_F16, layout, page, slot, keys, values); break;
    case MARTLET_KV_BF16: kv_write_typed(MARTLET_KV_BF16, layout, page, slot, keys, values); break;
  }
}

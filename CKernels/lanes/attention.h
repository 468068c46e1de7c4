/// Attention over pages on the 16-lane vocabulary.
///
/// Tile: LANES_HEADS query heads of one group × the 32 positions of a page. Scores stay in
/// registers while the dimensions go by: per dimension two key vectors are loaded once for all
/// heads, one query value is broadcast per head, and two fused multiply-adds are done per head.
/// Values go the other way: per position two value vectors (32 dimensions) serve all heads. Each
/// page is read once per tile of heads, from memory for the first and from L1 for the rest, and a
/// key-value head is finished for all rows before the next begins, so that rows which share pages
/// find them in cache. Per page, head and dimension: 64 + 64 operations, 2 × 32 elements.

enum { attention_positions = MARTLET_KV_PAGE_TOKENS, attention_group = 16 };

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

/// Scores of positions [begin, end), their exponentials and the merged state, for `heads` heads.
LANES void attention_scores(martlet_kv_type type, int heads, size_t dimensions, const void *keys,
                            const float *query, float scale, size_t begin, size_t end, int opening,
                            attention_state *states, attention_page *pages) {
  lanes low[LANES_HEADS], high[LANES_HEADS];
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
  const size_t low_begin = begin < 16 ? begin : 16, low_end = end < 16 ? end : 16;
  const size_t high_begin = begin > 16 ? begin - 16 : 0, high_end = end > 16 ? end - 16 : 0;
  const lanes lowest = lanes_set(-INFINITY), factor = lanes_set(scale);
  for (int h = 0; h < heads; ++h) {
    lanes a = lanes_within(lanes_multiply(low[h], factor), low_begin, low_end, lowest);
    lanes b = lanes_within(lanes_multiply(high[h], factor), high_begin, high_end, lowest);
    float largest = lanes_fold_larger(lanes_larger(b, lanes_larger(a, lowest)));
    lanes shift = lanes_set(largest);
    a = lanes_exp(lanes_subtract(a, shift));
    b = lanes_exp(lanes_subtract(b, shift));
    a = lanes_within(a, low_begin, low_end, lanes_zero());
    b = lanes_within(b, high_begin, high_end, lanes_zero());
    lanes_store(pages[h].exponentials, a);
    lanes_store(pages[h].exponentials + 16, b);
    attention_merge(&states[h], opening, largest, lanes_fold_sum(lanes_add(a, b)), &pages[h]);
  }
}

/// Adds a page's weighted values for dimensions [d, d + 16·vectors) or, with n < 16, d + n.
LANES void attention_values(martlet_kv_type type, int heads, int vectors, size_t n,
                            size_t dimensions, const void *values, size_t d, size_t begin,
                            size_t end, int opening, const attention_page *pages, float *output) {
  lanes sums[LANES_HEADS][2];
  for (int h = 0; h < heads; ++h)
    for (int v = 0; v < vectors; ++v) sums[h][v] = lanes_zero();
  for (size_t position = begin; position < end; ++position) {
    const size_t index = position * dimensions + d;
    lanes loaded[2];
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

/// One page for a tile of `heads` heads.
LANES void attention_tile(martlet_kv_type type, int heads, size_t dimensions, const void *keys,
                          const void *values, const float *query, float scale, size_t begin,
                          size_t end, int opening, attention_state *states, float *output) {
  attention_page pages[LANES_HEADS];
  attention_scores(type, heads, dimensions, keys, query, scale, begin, end, opening, states, pages);
  size_t d = 0;
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

/// All pages of one row for up to attention_group heads of one key-value head.
LANES void attention_heads(martlet_kv_type type, const martlet_attention_row *row,
                           size_t key_offset, size_t value_offset, size_t dimensions, size_t heads,
                           const float *query, float scale, float *output) {
  attention_state states[attention_group];
  const size_t first_page = row->first / attention_positions;
  const size_t last_page = (row->end - 1) / attention_positions;
  for (size_t page = first_page; page <= last_page; ++page) {
    const char *base = (const char *)row->pages[page];
    const size_t begin = page == first_page ? row->first % attention_positions : 0;
    const size_t end = page == last_page ? (row->end - 1) % attention_positions + 1
                                         : (size_t)attention_positions;
    size_t h = 0;
    for (; h + LANES_HEADS <= heads; h += LANES_HEADS)
      attention_tile(type, LANES_HEADS, dimensions, base + key_offset, base + value_offset,
                     query + h * dimensions, scale, begin, end, page == first_page, states + h,
                     output + h * dimensions);
    for (; h < heads; ++h)
      attention_tile(type, 1, dimensions, base + key_offset, base + value_offset,
                     query + h * dimensions, scale, begin, end, page == first_page, states + h,
                     output + h * dimensions);
  }
  for (size_t h = 0; h < heads; ++h) {
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
    for (size_t r = 0; r < row_count; ++r)
      for (size_t h = 0; h < group; h += attention_group) {
        const size_t heads = group - h < attention_group ? group - h : (size_t)attention_group;
        const size_t start = (kv_head * group + h) * dimensions;
        attention_heads(type, &rows[r], kv_head * head_bytes,
                        (layout->kv_heads + kv_head) * head_bytes, dimensions, heads,
                        rows[r].query + start, scale, rows[r].output + start);
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

/// Attention over pages on the 16-lane vocabulary.
///
/// A query vector is one query head of one row. A call's rows go through in blocks of up to 64
/// query vectors of one key-value head; per page, neighbouring rows whose page lists hold the same
/// address form a run, and a run's query vectors (rows × heads of the group) meet the page in tiles
/// of LANES_TILE: a page comes from memory once per block, and every loaded and widened key or
/// value vector feeds a multiply-add of each query vector of a tile.
///
/// Tile: LANES_TILE query vectors × the 32 positions of a page. Scores: per dimension two key
/// vectors, LANES_TILE broadcasts (queries are packed dimension-major per tile, so these are
/// neighbours), 2 · LANES_TILE multiply-adds into 2 · LANES_TILE accumulators. Values: per position
/// LANES_CHAINS / LANES_TILE value vectors and as many chains. Registers on AVX-512: 16 sums, 8
/// broadcasts, 2 keys of 32; AVX2 (two registers a vector): 8, 1, 4 of 16; NEON (four): 16, 1, 8 of
/// 32. Smaller tiles take 2 or 4 pages at once for the scores and more value vectors, so that there
/// are always about LANES_CHAINS chains to hide the latency of a multiply-add.
///
/// Per page, query vector and d dimensions: 128·d operations (4·d multiply-adds of 16 lanes), two
/// exponentials of 16 lanes, two folds. Memory: 64·d elements per page and block, fetched ahead
/// while the page before is worked on, line by line where the same line of the present page is
/// used. Positions listed one by one come together as kv_gather.h says, once for a run's query
/// vectors.
///
/// Measured on a Zen 5 core against the limits of the same runs (250 GFLOP/s of multiply-adds, 37
/// GB/s of reads): 16 rows × 4 heads on 4,096 shared positions at 79% of the multiply-adds with
/// heads of 128 and 71% with heads of 64 (the two exponentials and the folds are the rest); one row
/// × 4 heads over 32,768 positions of f16 at 75 to 80% of the reads, for the price of one head.
/// More in docs/kernels.md.
#include "lanes/attention_tile.h"

// ---- rows ---------------------------------------------------------------------------------------

LANES int attention_meets(const martlet_attention_row *row, size_t page) {
  return row->first < (page + 1) * kv_positions && row->end > page * kv_positions;
}
/// Whether positions of this page come from the row's path.
LANES int attention_gathers(const martlet_attention_row *row, size_t page) {
  return row->path_count && kv_path_begin(row) < (page + 1) * kv_positions;
}
/// Whether the row sees all of `pages` pages where its list says and as they lie there.
LANES int attention_covers(const martlet_attention_row *row, size_t page, size_t pages) {
  if (row->first > page * kv_positions || row->end < (page + pages) * kv_positions ||
      attention_gathers(row, page + pages - 1))
    return 0;
  for (size_t i = 0; row->turned && i < pages; ++i)
    if (row->turned[page + i]) return 0;
  return 1;
}
LANES int attention_shares(const martlet_attention_row *a, const martlet_attention_row *b,
                           size_t page, size_t pages) {
  for (size_t i = 0; i < pages; ++i)
    if (a->pages[page + i] != b->pages[page + i]) return 0;
  return 1;
}

/// Whether two rows gather the same positions of a page: branches that searched together.
LANES int attention_shares_path(const martlet_attention_row *a, const martlet_attention_row *b,
                                size_t page) {
  if (a->path != b->path || a->path_count != b->path_count || a->end != b->end) return 0;
  if (a->pages == b->pages) return 1;
  const size_t path_begin = kv_path_begin(a), begin = page * kv_positions;
  if (path_begin > begin && a->pages[page] != b->pages[page]) return 0;
  const size_t end = a->end < begin + kv_positions ? a->end : begin + kv_positions;
  for (size_t p = path_begin > begin ? path_begin : begin; p < end; ++p) {
    const size_t stored = a->path[p - path_begin] / kv_positions;
    if (a->pages[stored] != b->pages[stored]) return 0;
  }
  return 1;
}

/// A page's part of the row's path, with the number of positions in `count`; null where the path does
/// not have it all or the page is not this call's.
LANES const uint32_t *attention_listed(const attention_work *work,
                                       const martlet_attention_row *row, size_t page,
                                       size_t *count) {
  const size_t path_begin = kv_path_begin(row), begin = page * kv_positions;
  if (!row->path_count || path_begin > begin || page >= work->page_end ||
      !attention_meets(row, page))
    return NULL;
  *count = row->end - begin < kv_positions ? row->end - begin : (size_t)kv_positions;
  return row->path + (begin - path_begin);
}
/// Whether listed positions are a page in order, which is read in place.
LANES int attention_in_place(const uint32_t *path, size_t count) {
  return path[0] % kv_positions == 0 && path[count - 1] == path[0] + count - 1 &&
         kv_path_run(path, count) == count;
}

/// The page to bring nearer while `present` is worked on.
LANES kv_head attention_ahead(const attention_work *work, const martlet_attention_row *row,
                              size_t page, kv_head present) {
  if (page >= work->page_end || !attention_meets(row, page)) return present;
  size_t stored = page;
  if (attention_gathers(row, page)) {
    size_t count;
    const uint32_t *path = attention_listed(work, row, page, &count);
    if (!path || !attention_in_place(path, count)) return present;
    stored = path[0] / kv_positions;
  }
  return kv_head_of(&work->shape, (const char *)row->pages[stored] + work->call->page_offset,
                    work->kv_head);
}

/// Page `page` of a row's list; turned keys become columns in `gathered`.
LANES kv_head attention_stored(attention_work *work, const martlet_attention_row *row, size_t page) {
  kv_head part = kv_head_of(&work->shape, (const char *)row->pages[page] + work->call->page_offset,
                            work->kv_head);
  if (row->turned[page]) {
    kv_turn_page(&work->shape, part.keys, work->gathered.keys);
    part.keys = work->gathered.keys;
  }
  return part;
}

/// A row's page. Where pages are turned, what the next page gathers is called for.
static kv_head attention_page(attention_work *work, const martlet_attention_row *row,
                              size_t page) {
  const martlet_attention_arguments *call = work->call;
  size_t count, next_count = 0;
  const uint32_t *path = row->turned ? attention_listed(work, row, page, &count) : NULL;
  if (!path && row->turned && !attention_gathers(row, page))
    return attention_stored(work, row, page);
  if (!path)
    return kv_row_page(&work->shape, row, call->page_offset, page, work->kv_head,
                       &work->gathered);
  const kv_source from = {&work->shape, row, call->page_offset, work->kv_head};
  const uint32_t *next = attention_listed(work, row, page + 1, &next_count);
  if (!next || attention_in_place(next, next_count)) next_count = 0;
  const int in_place = attention_in_place(path, count);
  if (!in_place && work->called != path)
    for (size_t i = 0; i < count; ++i) kv_call(&from, path[i]);
  if (next_count) work->called = next;
  if (!in_place) return kv_gather(&from, path, count, next, next_count, &work->gathered);
  for (size_t i = 0; i < next_count; ++i) kv_call(&from, next[i]);
  return attention_stored(work, row, path[0] / kv_positions);
}

/// Rows [r, r + rows) of the block, which share `pages` pages from `page` on. Several pages are
/// visible to the rows as a whole.
static void attention_run(attention_work *work, size_t r, size_t rows, size_t page, size_t pages) {
  const martlet_attention_row *row = &work->rows[r];
  const size_t begin = r * work->heads, end = (r + rows) * work->heads;
  const int few = end - begin < LANES_TILE;
  const size_t ahead = few ? (size_t)ATTENTION_PAGES(attention_power(end - begin)) : 1;
  kv_head present[attention_step], next[attention_step];
  for (size_t i = 0; i < pages; ++i) {
    present[i] = attention_page(work, row, page + i);
    next[i] = attention_ahead(work, row, page + i + ahead, present[i]);
  }
  int full = 1;
  if (pages == 1)
    for (size_t i = r; i < r + rows; ++i) {
      const size_t start = page * kv_positions, first = work->rows[i].first;
      const size_t past = work->rows[i].end - start;
      work->begin[i] = (uint8_t)(first > start ? first - start : 0);
      work->end[i] = (uint8_t)(past < kv_positions ? past : kv_positions);
      full &= work->begin[i] == 0 && work->end[i] == kv_positions;
    }
  // Few query vectors: their chains come from several pages. Many: a page is done with them all
  // while it is in L1. Only the first piece of a page has to call for the next page.
  const size_t each = few ? pages : 1;
  for (size_t p = 0; p < pages; p += each)
    for (size_t query = begin; query < end;) {
      const size_t tile_end = (query / LANES_TILE + 1) * LANES_TILE;
      const size_t power = attention_power((tile_end < end ? tile_end : end) - query);
      attention_piece(work, power, query, each, present + p,
                      query == begin ? next + p : present + p, full);
      query += (size_t)1 << power;
    }
}

/// Finds the runs among rows [r, past) for `pages` pages from `page` on.
static void attention_sweep(attention_work *work, size_t r, size_t past, size_t page,
                            size_t pages) {
  while (r < past) {
    const martlet_attention_row *row = &work->rows[r];
    size_t run = 1;
    if (pages > 1) {
      const int covers = attention_covers(row, page, pages);
      while (r + run < past && attention_covers(row + run, page, pages) == covers &&
             (!covers || attention_shares(row, row + run, page, pages)))
        ++run;
      if (covers) attention_run(work, r, run, page, pages);
      else
        for (size_t i = 0; i < pages; ++i) attention_sweep(work, r, r + run, page + i, 1);
    } else if (attention_meets(row, page)) {
      if (!attention_gathers(row, page))
        while (r + run < past && attention_meets(row + run, page) &&
               !attention_gathers(row + run, page) && attention_shares(row, row + run, page, 1))
          ++run;
      else
        while (r + run < past && attention_meets(row + run, page) &&
               attention_gathers(row + run, page) && attention_shares_path(row, row + run, page))
          ++run;
      attention_run(work, r, run, page, 1);
    }
    r += run;
  }
}

// ---- chunks -------------------------------------------------------------------------------------

/// What a merge has come to; the values are where they go in the end.
typedef struct attention_total {
  float *largest, *sum, *values;
} attention_total;

/// Merges a part into a total; the first one opens it.
LANES void attention_merge(size_t dimensions, int opening, attention_total total, float largest,
                           float sum, const float *values) {
  const float old = opening ? -INFINITY : *total.largest;
  const float merged = largest > old ? largest : old;
  const float old_factor = martlet_exp_f32(old - merged);
  const float factor = martlet_exp_f32(largest - merged);
  const float kept = opening ? 0.0f * old_factor : *total.sum * old_factor;
  *total.largest = merged;
  *total.sum = __builtin_fmaf(sum, factor, kept);
  const lanes old_lanes = lanes_set(old_factor), factor_lanes = lanes_set(factor);
  for (size_t d = 0; d < dimensions; d += 16) {
    const size_t n = dimensions - d < 16 ? dimensions - d : 16;
    lanes so_far = opening ? lanes_zero()
                           : n == 16 ? lanes_load(total.values + d)
                                     : lanes_load_first(total.values + d, n);
    lanes result = lanes_fma(lanes_load(values + d), factor_lanes,
                             lanes_multiply(so_far, old_lanes));
    if (n == 16) lanes_store(total.values + d, result);
    else lanes_store_first(total.values + d, n, result);
  }
}

LANES void attention_finish(size_t dimensions, float sum, float *output) {
  const lanes inverse = lanes_set(1.0f / sum);
  for (size_t d = 0; d < dimensions; d += 16) {
    const size_t n = dimensions - d < 16 ? dimensions - d : 16;
    if (n == 16) lanes_store(output + d, lanes_multiply(lanes_load(output + d), inverse));
    else lanes_store_first(output + d, n, lanes_multiply(lanes_load_first(output + d, n), inverse));
  }
}

/// A single part's merge and finish in one: both factors of its merge are known, 0 and 1. (Where
/// they would be NaN, so are the part's sum and values.) Adding zero is what is left of the merge.
LANES void attention_finish_only(size_t dimensions, float sum, const float *values, float *output) {
  const lanes inverse = lanes_set(1.0f / sum);
  for (size_t d = 0; d < dimensions; d += 16) {
    const size_t n = dimensions - d < 16 ? dimensions - d : 16;
    lanes result = lanes_multiply(lanes_add(lanes_load(values + d), lanes_zero()), inverse);
    if (n == 16) lanes_store(output + d, result);
    else lanes_store_first(output + d, n, result);
  }
}

LANES const float *attention_query(const attention_work *work, size_t query) {
  const size_t head = work->head_begin + query % work->heads;
  return work->rows[query / work->heads].query + head * work->shape.dimensions;
}

/// Queries times the scale, dimension-major per tile.
LANES void attention_pack(attention_work *work) {
  const size_t dimensions = work->shape.dimensions, queries = work->row_count * work->heads;
  const float scale = work->call->scale;
  for (size_t tile = 0; tile < queries; tile += LANES_TILE) {
    const size_t n = queries - tile < LANES_TILE ? queries - tile : LANES_TILE;
    float *to = work->packed + tile * dimensions;
    const float *from[LANES_TILE];
    for (size_t i = 0; i < n; ++i) from[i] = attention_query(work, tile + i);
    size_t d = 0;
#if LANES_TILE == 8
    if (n == LANES_TILE)
      for (; d + 16 <= dimensions; d += 16) {
        lanes v[LANES_TILE];
        for (int i = 0; i < LANES_TILE; ++i)
          v[i] = lanes_multiply(lanes_load(from[i] + d), lanes_set(scale));
        lanes_store_transposed(v, to + d * LANES_TILE);
      }
#endif
    for (; d < dimensions; ++d)
      for (size_t i = 0; i < n; ++i) to[d * LANES_TILE + i] = from[i][d] * scale;
  }
}

/// One chunk's pages for all rows of the block.
LANES void attention_chunk(attention_work *work, size_t chunk) {
  const size_t queries = work->row_count * work->heads;
  for (size_t query = 0; query < queries; ++query) {
    work->largest[query] = -INFINITY;
    work->sum[query] = 0;
  }
  memset(work->values, 0, queries * work->padded * sizeof(float));
  const size_t end = (chunk + 1) * attention_chunk_pages;
  for (size_t page = chunk * attention_chunk_pages; page < end; page += attention_step)
    attention_sweep(work, 0, work->row_count, page, attention_step);
}

/// Hands on what a chunk gave: to its record, or into the totals.
LANES void attention_deliver(attention_work *work, size_t chunk) {
  const martlet_attention_arguments *call = work->call;
  const size_t dimensions = work->shape.dimensions;
  for (size_t r = 0, query = 0; r < work->row_count; ++r)
    for (size_t h = 0; h < work->heads; ++h, ++query) {
      const martlet_attention_row *row = &work->rows[r];
      const size_t first = row->first / MARTLET_ATTENTION_CHUNK_TOKENS;
      const size_t last = (row->end - 1) / MARTLET_ATTENTION_CHUNK_TOKENS;
      if (chunk < first || chunk > last) continue;
      const float *values = work->values + query * work->padded;
      if (call->partials) {
        float *record = attention_record(call, chunk, work->row_begin + r, work->head_begin + h);
        memcpy(record, values, work->padded * sizeof(float));
        record[work->padded] = work->largest[query];
        record[work->padded + 1] = work->sum[query];
        continue;
      }
      float *output = row->output + (work->head_begin + h) * dimensions;
      if (first == last) {
        attention_finish_only(dimensions, work->sum[query], values, output);
        continue;
      }
      const attention_total total = {work->all_largest + query, work->all_sum + query, output};
      attention_merge(dimensions, chunk == first, total, work->largest[query], work->sum[query],
                      values);
      if (chunk == last) attention_finish(dimensions, work->all_sum[query], output);
    }
}

/// The work struct's block from its first page to its last.
static void attention_run_block(attention_work *work) {
  size_t begin = SIZE_MAX, end = 0;
  for (size_t r = 0; r < work->row_count; ++r) {
    const martlet_attention_row *row = &work->rows[r];
    begin = row->first < begin ? row->first : begin;
    end = row->end > end ? row->end : end;
  }
  size_t first = begin / MARTLET_ATTENTION_CHUNK_TOKENS;
  size_t past = (end - 1) / MARTLET_ATTENTION_CHUNK_TOKENS + 1;
  if (work->call->partials) {
    first = first > work->call->chunk_begin ? first : work->call->chunk_begin;
    past = past < work->call->chunk_end ? past : work->call->chunk_end;
  }
  work->page_end = past * attention_chunk_pages;
  work->called = NULL;
  if (first < past) attention_pack(work);
  for (size_t chunk = first; chunk < past; ++chunk) {
    attention_chunk(work, chunk);
    attention_deliver(work, chunk);
  }
}

void LANES_NAME(attention_f32, LANES_ISA)(const martlet_attention_arguments *call) {
  const size_t group = call->query_heads / call->layout->kv_heads;
  attention_work work;
  work.call = call;
  work.shape = kv_shape_of(call->layout);
  work.padded = kv_round_up(work.shape.dimensions, 16);
  for (size_t kv_head = call->kv_head_begin; kv_head < call->kv_head_end; ++kv_head)
    for (size_t h = 0; h < group; h += attention_block) {
      work.kv_head = kv_head;
      work.head_begin = kv_head * group + h;
      work.heads = group - h < attention_block ? group - h : (size_t)attention_block;
      const size_t rows = attention_block / work.heads;
      for (size_t r = 0; r < call->row_count; r += rows) {
        work.rows = call->rows + r;
        work.row_begin = r;
        work.row_count = call->row_count - r < rows ? call->row_count - r : rows;
        attention_run_block(&work);
      }
    }
}

void LANES_NAME(attention_merge_f32, LANES_ISA)(const martlet_attention_arguments *call) {
  const size_t dimensions = call->layout->head_dimensions, padded = kv_round_up(dimensions, 16);
  const size_t group = call->query_heads / call->layout->kv_heads;
  for (size_t r = 0; r < call->row_count; ++r)
    for (size_t head = call->kv_head_begin * group; head < call->kv_head_end * group; ++head) {
      const martlet_attention_row *row = &call->rows[r];
      const size_t first = row->first / MARTLET_ATTENTION_CHUNK_TOKENS;
      const size_t last = (row->end - 1) / MARTLET_ATTENTION_CHUNK_TOKENS;
      float largest, sum, *output = row->output + head * dimensions;
      for (size_t chunk = first; chunk <= last; ++chunk) {
        const float *record = attention_record(call, chunk, r, head);
        attention_merge(dimensions, chunk == first, (attention_total){&largest, &sum, output},
                        record[padded], record[padded + 1], record);
      }
      attention_finish(dimensions, sum, output);
    }
}

// ---- weights alone ------------------------------------------------------------------------------

/// Raw scores of a page's visible slots, of 1 << power query vectors.
static void attention_score_page(attention_work *work, size_t power, size_t query, size_t page,
                                 const kv_head *part, const kv_head *next, float *scores,
                                 size_t stride) {
  const martlet_attention_row *row = work->rows;
  const size_t start = page * kv_positions;
  const size_t begin = row->first > start ? row->first - start : 0;
  const size_t end = row->end - start < kv_positions ? row->end - start : (size_t)kv_positions;
  lanes low[LANES_CHAINS], high[LANES_CHAINS];
  attention_reading[work->call->layout->type][power].one(work, query, part, next, low, high);
  for (size_t i = 0; i < (size_t)1 << power; ++i) {
    float *to = scores + (query + i) * stride + start, all[kv_positions];
    if (begin == 0 && end == kv_positions) {
      lanes_store(to, low[i]);
      lanes_store(to + 16, high[i]);
      continue;
    }
    lanes_store(all, low[i]);
    lanes_store(all + 16, high[i]);
    memcpy(to + begin, all + begin, (end - begin) * sizeof(float));
  }
}

/// Scores of positions [first, end) become weights.
static void attention_normalize(float *scores, size_t first, size_t end) {
  float largest = -INFINITY;
  size_t p = first;
  if (end - first >= 16) {
    lanes most = lanes_set(-INFINITY);
    for (; p + 16 <= end; p += 16) most = lanes_larger(lanes_load(scores + p), most);
    largest = lanes_fold_larger(most);
  }
  for (; p < end; ++p) largest = scores[p] > largest ? scores[p] : largest;
  const lanes shift = lanes_set(largest);
  lanes sum = lanes_zero();
  // Lane i takes positions i modulo 16, wherever the row begins.
  for (p = first / 16 * 16; p < end; p += 16) {
    const size_t begin = p < first ? first - p : 0, count = end - p < 16 ? end - p : 16;
    if (begin == 0 && count == 16) {
      const lanes weight = lanes_exp(lanes_subtract(lanes_load(scores + p), shift));
      lanes_store(scores + p, weight);
      sum = lanes_add(sum, weight);
      continue;
    }
    float some[16] = {0};
    memcpy(some + begin, scores + p + begin, (count - begin) * sizeof(float));
    lanes weight = lanes_exp(lanes_subtract(lanes_load(some), shift));
    weight = lanes_within(weight, begin, count, lanes_zero());
    lanes_store(some, weight);
    memcpy(scores + p + begin, some + begin, (count - begin) * sizeof(float));
    sum = lanes_add(sum, weight);
  }
  const float inverse = 1.0f / lanes_fold_sum(sum);
  for (p = first; p + 16 <= end; p += 16)
    lanes_store(scores + p, lanes_multiply(lanes_load(scores + p), lanes_set(inverse)));
  for (; p < end; ++p) scores[p] = scores[p] * inverse;
}

void LANES_NAME(attention_weights_f32, LANES_ISA)(const martlet_attention_arguments *call,
                                                  float *weights, size_t stride) {
  const size_t group = call->query_heads / call->layout->kv_heads;
  attention_work work;
  work.call = call;
  work.shape = kv_shape_of(call->layout);
  work.padded = kv_round_up(work.shape.dimensions, 16);
  for (size_t r = 0; r < call->row_count; ++r) {
    const martlet_attention_row *row = call->rows + r;
    for (size_t kv_head = call->kv_head_begin; kv_head < call->kv_head_end; ++kv_head)
      for (size_t h = 0; h < group; h += attention_block) {
        work.kv_head = kv_head;
        work.head_begin = kv_head * group + h;
        work.heads = group - h < attention_block ? group - h : (size_t)attention_block;
        work.rows = row;
        work.row_begin = r;
        work.row_count = 1;
        work.page_end = (row->end + kv_positions - 1) / kv_positions;
        work.called = NULL;
        attention_pack(&work);
        for (size_t page = row->first / kv_positions; page < work.page_end; ++page) {
          const struct kv_head part = attention_page(&work, row, page);
          const struct kv_head next = attention_ahead(&work, row, page + 1, part);
          for (size_t query = 0; query < work.heads;) {
            const size_t power = attention_power(work.heads - query);
            attention_score_page(&work, power, query, page, &part, &next, weights, stride);
            query += (size_t)1 << power;
          }
        }
        for (size_t query = 0; query < work.heads; ++query, weights += stride)
          attention_normalize(weights, row->first, row->end);
      }
  }
}

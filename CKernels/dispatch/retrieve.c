/// The public doors of the index of retrieval attention, and whole searches made of its kernels.
#include <martlet/retrieve.h>

#include "dispatch/families.h"
#include "dispatch/retrieve_layout.h"

#include <string.h>

static int valid(const martlet_retrieve_shape *shape) {
  return shape && shape->size >= sizeof *shape && shape->head_dimensions > 0 &&
         shape->head_dimensions <= kv_most_dimensions && shape->nibbles > 0 &&
         shape->nibbles <= retrieve_most_nibbles && shape->nibbles % 8 == 0;
}

size_t martlet_retrieve_codebook_bytes(const martlet_retrieve_shape *shape) {
  return valid(shape) ? retrieve_book_bytes(shape->head_dimensions, shape->nibbles) : 0;
}
size_t martlet_retrieve_query_bytes(const martlet_retrieve_shape *shape) {
  return valid(shape) ? retrieve_query_size(shape->head_dimensions, shape->nibbles) : 0;
}
size_t martlet_retrieve_codes_bytes(const martlet_retrieve_shape *shape) {
  return valid(shape) ? kv_positions * (size_t)shape->nibbles / 2 : 0;
}
size_t martlet_retrieve_bounds_bytes(const martlet_retrieve_shape *shape) {
  return valid(shape) ? 2 * retrieve_side_bytes(shape->head_dimensions) : 0;
}

static int aligned(const void *p) { return (uintptr_t)p % 64 == 0; }

martlet_status martlet_retrieve_encode(const void *codebook, const martlet_kv_layout *layout,
                                       const void *page, int turned, uint32_t kv_head,
                                       uint32_t slots, void *codes, void *bounds) {
  if (!retrieve_is_codebook(codebook) || !page || martlet_kv_page_bytes(layout) == 0)
    return MARTLET_E_ARGUMENT;
  if (layout->head_dimensions != ((const retrieve_header *)codebook)->dimensions ||
      kv_head >= layout->kv_heads || slots == 0 || slots > kv_positions)
    return MARTLET_E_ARGUMENT;
  if (!aligned(codes) || !aligned(bounds)) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(retrieve_encode, MARTLET_NUMERIC_PORTABLE)
  (codebook, layout, page, turned, kv_head, slots, codes, bounds);
  return MARTLET_OK;
}

martlet_status martlet_retrieve_query(const void *codebook, const float *query, void *prepared) {
  if (!retrieve_is_codebook(codebook) || !query || !prepared || !aligned(prepared))
    return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(retrieve_query, MARTLET_NUMERIC_PORTABLE)(codebook, query, prepared);
  return MARTLET_OK;
}

martlet_status martlet_retrieve_query_scale(const void *prepared, martlet_retrieve_scale *scale) {
  if (!retrieve_is_prepared(prepared) || !scale || scale->size < sizeof *scale)
    return MARTLET_E_ARGUMENT;
  const retrieve_prepared *p = prepared;
  scale->scan_base = p->scan_base;
  scale->scan_step = p->scan_step;
  scale->bound_base = p->bound_base;
  scale->bound_step = p->bound_step;
  return MARTLET_OK;
}

/// Whether all queries were prepared with codebooks of one shape.
static int valid_queries(const void *const *queries, uint32_t count) {
  if (count && !queries) return 0;
  for (uint32_t q = 0; q < count; ++q) {
    if (!retrieve_is_prepared(queries[q])) return 0;
    const retrieve_prepared *a = queries[0], *b = queries[q];
    if (a->dimensions != b->dimensions || a->nibbles != b->nibbles) return 0;
  }
  return 1;
}

static int valid_pages(const void *const *pages, size_t begin, size_t end) {
  // Positions are 32 bits.
  if (begin > end || end > UINT32_MAX / kv_positions || (begin < end && !pages)) return 0;
  // Without a branch per page.
  size_t missing = 0;
  for (size_t page = begin; page < end; ++page) missing += !pages[page];
  return missing == 0;
}

static int valid_scan(const martlet_retrieve_scan_arguments *a, size_t each) {
  if (!a || a->size < sizeof *a || !valid_queries(a->queries, a->query_count)) return 0;
  if (!valid_pages(a->pages, a->page_begin, a->page_end)) return 0;
  if (a->query_count == 0 || a->page_begin == a->page_end) return 1;
  return a->scores && (a->query_count == 1 || a->stride >= (a->page_end - a->page_begin) * each);
}

martlet_status martlet_retrieve_scan(const martlet_retrieve_scan_arguments *arguments) {
  if (!valid_scan(arguments, kv_positions)) return MARTLET_E_ARGUMENT;
  if (arguments->query_count == 0 || arguments->page_begin == arguments->page_end)
    return MARTLET_OK;
  MARTLET_CHOSEN(retrieve_scan, MARTLET_NUMERIC_PORTABLE)(arguments);
  return MARTLET_OK;
}

martlet_status martlet_retrieve_scan_bounds(const martlet_retrieve_scan_arguments *arguments) {
  if (!valid_scan(arguments, 1)) return MARTLET_E_ARGUMENT;
  if (arguments->query_count == 0 || arguments->page_begin == arguments->page_end)
    return MARTLET_OK;
  MARTLET_CHOSEN(retrieve_scan_bounds, MARTLET_NUMERIC_PORTABLE)(arguments);
  return MARTLET_OK;
}

size_t martlet_retrieve_select_scratch(size_t count) { return kv_round_up(6 * count, 64) + 128; }

martlet_status martlet_retrieve_select(size_t count, const uint16_t *scores, size_t k,
                                       void *scratch, uint32_t *places, size_t *selected) {
  if (!selected || count > UINT32_MAX || (count && k && (!scores || !places)))
    return MARTLET_E_ARGUMENT;
  if (k >= count) {
    for (size_t i = 0; i < count; ++i) places[i] = (uint32_t)i;
    *selected = count;
    return MARTLET_OK;
  }
  *selected = k;
  if (k == 0) return MARTLET_OK;
  if (!scratch || !aligned(scratch)) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(retrieve_select, MARTLET_NUMERIC_PORTABLE)(count, scores, k, scratch, places);
  return MARTLET_OK;
}

/// Whether keys of a query's dimensions can be ranked in pages of a layout.
static int valid_layout(const martlet_kv_layout *layout, uint32_t kv_head, const void *prepared) {
  return martlet_kv_page_bytes(layout) > 0 && kv_head < layout->kv_heads &&
         layout->head_dimensions == ((const retrieve_prepared *)prepared)->dimensions;
}

martlet_status martlet_retrieve_rank(const void *prepared, const martlet_kv_layout *layout,
                                     uint32_t kv_head, const void *const *pages,
                                     size_t page_offset, size_t count, const uint32_t *positions,
                                     float *scores) {
  if (!retrieve_is_prepared(prepared) || !valid_layout(layout, kv_head, prepared) ||
      (count && (!pages || !positions || !scores)))
    return MARTLET_E_ARGUMENT;
  for (size_t i = 0; i < count; ++i)
    if (!pages[positions[i] / kv_positions]) return MARTLET_E_ARGUMENT;
  if (count == 0) return MARTLET_OK;
  MARTLET_CHOSEN(retrieve_rank, MARTLET_NUMERIC_PORTABLE)
  (prepared, layout, kv_head, pages, page_offset, count, positions, scores);
  return MARTLET_OK;
}

// ---- whole searches -----------------------------------------------------------------------------

typedef martlet_retrieve_search_arguments search_arguments;
typedef martlet_retrieve_search_row search_row;

/// What a search keeps between its steps.
typedef struct search_scratch {
  const void **queries;   ///< Of all rows, row by row.
  uint16_t *scores;       ///< Of all queries; of a sieve, of a row's sample or of one query.
  uint16_t *least;        ///< Of a sieve, by query.
  size_t *counts;
  uint32_t *sifted;       ///< Its lists, `room` and slack per query.
  uint16_t *kept;
  const void **sample;    ///< Pages of a row's sample.
  void *select;
  uint32_t *places;       ///< Of one query, from the scan.
  uint32_t *best;         ///< Of those, from the ranking.
  float *ranks;
  uint16_t *ranked;
  uint64_t *seen;         ///< A bit per position or page.
  size_t stride, room, bytes;
} search_scratch;

static size_t each_page(const search_arguments *a) { return a->by_bounds ? 1 : kv_positions; }
static size_t pages_of(const search_row *row) { return row->page_end - row->page_begin; }
static size_t scores_of(const search_arguments *a, const search_row *row) {
  return pages_of(row) * each_page(a);
}
static int is_ranking(const search_arguments *a, const search_row *row) {
  return !a->by_bounds && row->key_pages && row->candidates > row->wanted;
}
static int is_searching(const search_row *row) {
  return row->query_count && row->wanted && row->page_begin < row->page_end;
}
/// Positions that a query's scan is to find.
static size_t scan_finds(const search_arguments *a, const search_row *row) {
  if (a->by_bounds) return (row->wanted + kv_positions - 1) / kv_positions;
  return is_ranking(a, row) ? row->candidates : row->wanted;
}

// ---- what a scan need not keep --------------------------------------------------------------------
//
// Scores of all positions would go to memory and back. Where there are many positions, some pages are
// scored first, and what they say is likely a bound of a query's k-th best score makes the scan keep only
// what is above. It is a guess that changes no result: with fewer than k above it the query is scanned
// again and all its scores are kept.


/// Pages of a row that are scored first; 0 where keeping all scores is cheaper.
static size_t sample_pages(const search_arguments *a, const search_row *row) {
  return a->by_bounds ? 0 : retrieve_sample_pages(pages_of(row), scan_finds(a, row));
}

/// Whether all rows are sieved.
static int is_sieving(const search_arguments *a) {
  for (size_t r = 0; r < a->row_count; ++r)
    if (is_searching(&a->rows[r]) && sample_pages(a, &a->rows[r]) == 0) return 0;
  return 1;
}

static search_scratch lay_out(const search_arguments *a, void *memory) {
  size_t queries = 0, count = 0, most = 0, sampled = 0, scored = 0;
  for (size_t r = 0; r < a->row_count; ++r) {
    const search_row *row = &a->rows[r];
    if (!is_searching(row)) continue;
    const size_t own = scores_of(a, row), finds = scan_finds(a, row);
    const size_t sample = sample_pages(a, row), scores = sample * kv_positions * row->query_count;
    queries += row->query_count;
    count = own > count ? own : count;
    most = finds > most ? finds : most;
    sampled = sample > sampled ? sample : sampled;
    scored = scores > scored ? scores : scored;
  }
  most = most < count ? most : count;
  const int sieving = is_sieving(a);
  char *at = memory;
  search_scratch s = {.stride = kv_round_up(count, 32), .room = sieving ? 4 * most : 0};
  const size_t lists = sieving ? queries * (s.room + retrieve_sieve_slack) : 0;
  const size_t scores = sieving ? (scored > s.stride ? scored : s.stride) : s.stride * queries;
  size_t offset = 0;
#define TAKE(field, type, n)                                    \
  s.field = memory ? (type *)(void *)(at + offset) : (type *)0; \
  offset += kv_round_up((n) * sizeof *s.field, 64)
  TAKE(queries, const void *, queries);
  TAKE(scores, uint16_t, scores);
  TAKE(least, uint16_t, queries);
  TAKE(counts, size_t, queries);
  TAKE(sifted, uint32_t, lists);
  TAKE(kept, uint16_t, lists);
  TAKE(sample, const void *, sampled);
  TAKE(places, uint32_t, most);
  TAKE(best, uint32_t, most);
  TAKE(ranks, float, most);
  TAKE(ranked, uint16_t, most);
  TAKE(seen, uint64_t, (count + 63) / 64);
#undef TAKE
  s.select = memory ? at + offset : (char *)0;
  s.bytes = offset + martlet_retrieve_select_scratch(count > s.room ? count : s.room);
  return s;
}

/// The part of `valid_search` that the size of scratch depends on.
static int sized_search(const search_arguments *a) {
  if (!a || a->size < sizeof *a || (a->row_count && !a->rows)) return 0;
  for (size_t r = 0; r < a->row_count; ++r)
    if (a->rows[r].page_begin > a->rows[r].page_end ||
        a->rows[r].page_end > UINT32_MAX / kv_positions)
      return 0;
  return 1;
}

static int valid_search(const search_arguments *a) {
  if (!sized_search(a)) return 0;
  const void *one = NULL;
  for (size_t r = 0; r < a->row_count; ++r) {
    const search_row *row = &a->rows[r];
    if (!valid_queries(row->queries, row->query_count) ||
        !valid_pages(row->pages, row->page_begin, row->page_end))
      return 0;
    if (!is_searching(row)) continue;
    if (!row->positions) return 0;
    const void *pair[2] = {one ? one : row->queries[0], row->queries[0]};
    if (!valid_queries(pair, 2)) return 0;
    one = pair[0];
    if (is_ranking(a, row) && (!valid_pages(row->key_pages, row->page_begin, row->page_end) ||
                               !valid_layout(a->layout, a->kv_head, one)))
      return 0;
  }
  return 1;
}

size_t martlet_retrieve_search_scratch(const search_arguments *arguments) {
  return sized_search(arguments) ? lay_out(arguments, NULL).bytes : 0;
}

/// Scans or sieves pages [begin, end) for queries [first, first + count) of the scratch, whose rows
/// search from `origin` on.
static void scan_pages(const search_arguments *a, const search_scratch *s, size_t first,
                       size_t count, const void *const *pages, size_t origin, size_t begin,
                       size_t end) {
  if (begin >= end) return;
  const martlet_retrieve_scan_arguments scan = {
      .size = sizeof scan,
      .query_count = (uint32_t)count,
      .queries = s->queries + first,
      .pages = pages,
      .offset = a->offset,
      .page_begin = begin,
      .page_end = end,
      .scores = s->room ? NULL : s->scores + first * s->stride + (begin - origin) * each_page(a),
      .stride = s->stride};
  const size_t list = s->room ? first * (s->room + retrieve_sieve_slack) : 0;
  const retrieve_sieve sieve = {.scan = &scan,
                                .least = s->least + first,
                                .first_place = (uint32_t)((begin - origin) * kv_positions),
                                .room = s->room,
                                .places = s->sifted + list,
                                .kept = s->kept + list,
                                .counts = s->counts + first};
  if (a->by_bounds) MARTLET_CHOSEN(retrieve_scan_bounds, MARTLET_NUMERIC_PORTABLE)(&scan);
  else if (s->room) MARTLET_CHOSEN(retrieve_sieve, MARTLET_NUMERIC_PORTABLE)(&sieve);
  else MARTLET_CHOSEN(retrieve_scan, MARTLET_NUMERIC_PORTABLE)(&scan);
}

/// Guesses bounds of a row's queries, the first of which is query `first` of the scratch.
static void guess_bounds(const search_arguments *a, const search_row *row, const search_scratch *s,
                         size_t first) {
  const size_t sample = sample_pages(a, row), pages = pages_of(row);
  for (size_t i = 0; i < sample; ++i)
    s->sample[i] = row->pages[row->page_begin + retrieve_sample_page(i, sample, pages)];
  const size_t count = sample * kv_positions;
  const martlet_retrieve_scan_arguments scan = {.size = sizeof scan,
                                                .query_count = row->query_count,
                                                .queries = s->queries + first,
                                                .pages = s->sample,
                                                .offset = a->offset,
                                                .page_end = sample,
                                                .scores = s->scores,
                                                .stride = count};
  MARTLET_CHOSEN(retrieve_scan, MARTLET_NUMERIC_PORTABLE)(&scan);
  // Of as many hits as are expected, four deviations more.
  const float expected = (float)scan_finds(a, row) * (float)sample / (float)pages;
  const size_t rank = (size_t)(expected + 4 * __builtin_sqrtf(expected));
  for (size_t q = 0; q < row->query_count; ++q) {
    const uint16_t *scores = s->scores + q * count;
    size_t found = 0;
    martlet_retrieve_select(count, scores, rank, s->select, s->places, &found);
    uint16_t least = UINT16_MAX;
    for (size_t i = 0; i < found; ++i)
      least = scores[s->places[i]] < least ? scores[s->places[i]] : least;
    s->least[first + q] = least;
    s->counts[first + q] = 0;
  }
}

/// One past the last of the first pages that all rows which search have in common; 0 where they begin
/// apart.
static size_t common_end(const search_arguments *a, const search_row *first) {
  size_t end = first->page_end;
  for (size_t r = 0; r < a->row_count; ++r) {
    const search_row *row = &a->rows[r];
    if (!is_searching(row) || row == first) continue;
    if (row->page_begin != first->page_begin) return 0;
    if (row->page_end < end) end = row->page_end;
    if (row->pages == first->pages) continue;
    size_t page = first->page_begin;
    while (page < end && row->pages[page] == first->pages[page]) ++page;
    end = page;
  }
  return end;
}

/// Scores of all rows, or what is left of them: of the pages that they have in common together, of others
/// row by row.
static void scan_rows(const search_arguments *a, const search_scratch *s) {
  const search_row *first = NULL;
  size_t queries = 0;
  for (size_t r = 0; r < a->row_count; ++r) {
    if (!is_searching(&a->rows[r])) continue;
    if (!first) first = &a->rows[r];
    const size_t own = queries;
    for (size_t q = 0; q < a->rows[r].query_count; ++q)
      s->queries[queries++] = a->rows[r].queries[q];
    if (s->room) guess_bounds(a, &a->rows[r], s, own);
  }
  if (!first) return;
  const size_t common = common_end(a, first);
  scan_pages(a, s, 0, queries, first->pages, first->page_begin, first->page_begin, common);
  queries = 0;
  for (size_t r = 0; r < a->row_count; ++r) {
    const search_row *row = &a->rows[r];
    if (!is_searching(row)) continue;
    const size_t begin = common > row->page_begin ? common : row->page_begin;
    scan_pages(a, s, queries, row->query_count, row->pages, row->page_begin, begin, row->page_end);
    queries += row->query_count;
  }
}

/// Finite scores as words in the same order, as fine as words can be.
static void narrow(size_t count, const float *from, uint16_t *to) {
  // Sixteen of each, so that a comparison need not wait for the one before.
  enum { ways = 16 };
  float low[ways], high[ways];
  for (size_t w = 0; w < ways; ++w) low[w] = high[w] = from[0];
  size_t i = 0;
  for (; i + ways <= count; i += ways)
    for (size_t w = 0; w < ways; ++w) {
      low[w] = from[i + w] < low[w] ? from[i + w] : low[w];
      high[w] = from[i + w] > high[w] ? from[i + w] : high[w];
    }
  for (; i < count; ++i) {
    low[0] = from[i] < low[0] ? from[i] : low[0];
    high[0] = from[i] > high[0] ? from[i] : high[0];
  }
  for (size_t w = 1; w < ways; ++w) {
    low[0] = low[w] < low[0] ? low[w] : low[0];
    high[0] = high[w] > high[0] ? high[w] : high[0];
  }
  const float least = low[0], ratio = high[0] > least ? 65535.0f / (high[0] - least) : 0;
  const float used = ratio < 1e30f ? ratio : 0;
  for (i = 0; i < count; ++i) {
    const float t = (from[i] - least) * used;
    to[i] = (uint16_t)(int32_t)(t < 65535.0f ? t : 65535.0f);
  }
}

/// Places of the best scores of query `number` of the scratch; returns how many.
static size_t scanned(const search_arguments *a, const search_row *row, const search_scratch *s,
                      size_t number) {
  const size_t finds = scan_finds(a, row), count = scores_of(a, row);
  size_t found = 0;
  if (!s->room) {
    martlet_retrieve_select(count, s->scores + number * s->stride, finds, s->select, s->places, &found);
    return found;
  }
  const size_t list = number * (s->room + retrieve_sieve_slack), n = s->counts[number];
  if (n <= s->room && n >= finds) {
    martlet_retrieve_select(n, s->kept + list, finds, s->select, s->places, &found);
    for (size_t i = 0; i < found; ++i) s->places[i] = s->sifted[list + s->places[i]];
    return found;
  }
  // The guess was wrong.
  const martlet_retrieve_scan_arguments scan = {.size = sizeof scan,
                                                .query_count = 1,
                                                .queries = s->queries + number,
                                                .pages = row->pages,
                                                .offset = a->offset,
                                                .page_begin = row->page_begin,
                                                .page_end = row->page_end,
                                                .scores = s->scores};
  MARTLET_CHOSEN(retrieve_scan, MARTLET_NUMERIC_PORTABLE)(&scan);
  martlet_retrieve_select(count, s->scores, finds, s->select, s->places, &found);
  return found;
}

/// Marks what a row's query finds, which is query `number` of the scratch.
static void search_one(const search_arguments *a, const search_row *row, const search_scratch *s,
                       size_t number) {
  const void *query = s->queries[number];
  const size_t wanted = a->by_bounds ? scan_finds(a, row) : row->wanted;
  const size_t found = scanned(a, row, s, number);
  if (is_ranking(a, row) && found > wanted) {
    const uint32_t first = (uint32_t)(row->page_begin * kv_positions);
    for (size_t i = 0; i < found; ++i) s->places[i] += first;
    MARTLET_CHOSEN(retrieve_rank, MARTLET_NUMERIC_PORTABLE)
    (query, a->layout, a->kv_head, row->key_pages, a->page_offset, found, s->places, s->ranks);
    narrow(found, s->ranks, s->ranked);
    size_t kept = 0;
    martlet_retrieve_select(found, s->ranked, wanted, s->select, s->best, &kept);
    for (size_t i = 0; i < kept; ++i) {
      const uint32_t place = s->places[s->best[i]] - first;
      s->seen[place / 64] |= 1ull << place % 64;
    }
    return;
  }
  for (size_t i = 0; i < found; ++i) s->seen[s->places[i] / 64] |= 1ull << s->places[i] % 64;
}

/// What all queries of a row found.
static void collect(const search_arguments *a, search_row *row, const uint64_t *seen) {
  const size_t words = (scores_of(a, row) + 63) / 64;
  const uint32_t first = (uint32_t)(row->page_begin * kv_positions);
  size_t n = 0;
  for (size_t i = 0; i < words; ++i)
    for (uint64_t bits = seen[i]; bits; bits &= bits - 1) {
      const uint32_t place = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(bits);
      if (!a->by_bounds) row->positions[n++] = first + place;
      else
        for (uint32_t p = 0; p < kv_positions; ++p)
          row->positions[n++] = first + place * kv_positions + p;
    }
  row->found = n;
}

martlet_status martlet_retrieve_search(const search_arguments *a, void *scratch) {
  if (!valid_search(a)) return MARTLET_E_ARGUMENT;
  if (a->row_count == 0) return MARTLET_OK;
  if (!scratch || !aligned(scratch)) return MARTLET_E_ARGUMENT;
  const search_scratch s = lay_out(a, scratch);
  scan_rows(a, &s);
  size_t query = 0;
  for (size_t r = 0; r < a->row_count; ++r) {
    search_row *row = &a->rows[r];
    row->found = 0;
    if (!is_searching(row)) continue;
    memset(s.seen, 0, (scores_of(a, row) + 63) / 64 * sizeof *s.seen);
    for (size_t q = 0; q < row->query_count; ++q) search_one(a, row, &s, query++);
    collect(a, row, s.seen);
  }
  return MARTLET_OK;
}

// ---- what attention reads -----------------------------------------------------------------------

/// What a row sees, ascending: the sinks, what was found between, the recent positions.
typedef struct seen_positions {
  const uint32_t *found;
  size_t sinks, found_count, count;
  uint32_t recent;
} seen_positions;

static uint32_t seen_at(const seen_positions *s, size_t i) {
  if (i < s->sinks) return (uint32_t)i;
  i -= s->sinks;
  return i < s->found_count ? s->found[i] : s->recent + (uint32_t)(i - s->found_count);
}
/// Whether the next 32 are a page.
static int seen_page(const seen_positions *s, size_t i) {
  const uint32_t position = seen_at(s, i);
  return position % kv_positions == 0 && i + kv_positions <= s->count &&
         seen_at(s, i + kv_positions - 1) == position + kv_positions - 1;
}

martlet_status martlet_retrieve_path(const uint32_t *found, size_t found_count, uint32_t sinks,
                                     uint32_t recent, uint32_t end, uint32_t *path,
                                     uint32_t *count) {
  if (sinks > recent || recent > end || !count || (found_count && !found) || (end && !path))
    return MARTLET_E_ARGUMENT;
  for (size_t i = 0; i < found_count; ++i)
    if (found[i] >= end || (i && found[i] <= found[i - 1])) return MARTLET_E_ARGUMENT;
  size_t from = 0, past = found_count, n = 0;
  while (from < past && found[from] < sinks) ++from;
  while (past > from && found[past - 1] >= recent) --past;
  const size_t between = past - from;
  const seen_positions seen = {.found = found_count ? found + from : found,
                               .sinks = sinks,
                               .found_count = between,
                               .count = sinks + between + (end - recent),
                               .recent = recent};
  for (int whole = 1; whole >= 0; --whole)
    for (size_t i = 0; i < seen.count;) {
      const int page = seen_page(&seen, i);
      const size_t step = page ? kv_positions : 1;
      if (page == whole)
        for (size_t p = 0; p < step; ++p) path[n++] = seen_at(&seen, i + p);
      i += step;
    }
  *count = (uint32_t)n;
  return MARTLET_OK;
}

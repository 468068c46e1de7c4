/// The public doors of the index of retrieval attention, and whole searches made of its kernels.
#include <martlet/retrieve.h>

#include "dispatch/families.h"
#include "dispatch/retrieve_layout.h"

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
size_t martlet_retrieve_rows_bytes(const martlet_retrieve_shape *shape) {
  return valid(shape) ? kv_positions * retrieve_row_bytes(shape->head_dimensions) : 0;
}
size_t martlet_retrieve_bounds_bytes(const martlet_retrieve_shape *shape) {
  return valid(shape) ? 2 * retrieve_row_bytes(shape->head_dimensions) : 0;
}

static int aligned(const void *p) { return (uintptr_t)p % 64 == 0; }

/// Whether memory begins as a codebook does.
static int is_codebook(const void *codebook) {
  if (!codebook || !aligned(codebook)) return 0;
  const retrieve_header *header = codebook;
  return header->magic == retrieve_magic && header->dimensions > 0 &&
         header->dimensions <= kv_most_dimensions && header->nibbles > 0 &&
         header->nibbles <= retrieve_most_nibbles && header->nibbles % 8 == 0 &&
         header->kept <= header->padded &&
         header->padded <= kv_round_up(header->dimensions, 16);
}

static int is_prepared(const void *prepared) {
  if (!prepared || !aligned(prepared)) return 0;
  const retrieve_prepared *p = prepared;
  return p->dimensions > 0 && p->dimensions <= kv_most_dimensions && p->nibbles > 0 &&
         p->nibbles <= retrieve_most_nibbles && p->nibbles % 8 == 0;
}

martlet_status martlet_retrieve_encode(const void *codebook, const martlet_kv_layout *layout,
                                       const void *page, uint32_t kv_head, uint32_t slots,
                                       void *codes, void *rows, void *bounds) {
  if (!is_codebook(codebook) || !page || martlet_kv_page_bytes(layout) == 0)
    return MARTLET_E_ARGUMENT;
  if (layout->head_dimensions != ((const retrieve_header *)codebook)->dimensions ||
      kv_head >= layout->kv_heads || slots == 0 || slots > kv_positions)
    return MARTLET_E_ARGUMENT;
  if (!aligned(codes) || !aligned(rows) || !aligned(bounds)) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(retrieve_encode, MARTLET_NUMERIC_PORTABLE)
  (codebook, layout, page, kv_head, slots, codes, rows, bounds);
  return MARTLET_OK;
}

martlet_status martlet_retrieve_query(const void *codebook, const float *query, void *prepared) {
  if (!is_codebook(codebook) || !query || !prepared || !aligned(prepared))
    return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(retrieve_query, MARTLET_NUMERIC_PORTABLE)(codebook, query, prepared);
  return MARTLET_OK;
}

martlet_status martlet_retrieve_query_scale(const void *prepared, martlet_retrieve_scale *scale) {
  if (!is_prepared(prepared) || !scale || scale->size < sizeof *scale) return MARTLET_E_ARGUMENT;
  const retrieve_prepared *p = prepared;
  scale->scan_base = p->scan_base;
  scale->scan_step = p->scan_step;
  scale->row_step = p->row_step;
  scale->bound_base = p->bound_base;
  scale->bound_step = p->bound_step;
  return MARTLET_OK;
}

/// Whether all queries were prepared with codebooks of one shape.
static int valid_queries(const void *const *queries, uint32_t count) {
  if (count && !queries) return 0;
  for (uint32_t q = 0; q < count; ++q) {
    if (!is_prepared(queries[q])) return 0;
    const retrieve_prepared *a = queries[0], *b = queries[q];
    if (a->dimensions != b->dimensions || a->nibbles != b->nibbles) return 0;
  }
  return 1;
}

static int valid_pages(const void *const *pages, size_t begin, size_t end) {
  // Positions are 32 bits.
  if (begin > end || end > UINT32_MAX / kv_positions || (begin < end && !pages)) return 0;
  for (size_t page = begin; page < end; ++page)
    if (!pages[page]) return 0;
  return 1;
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

martlet_status martlet_retrieve_rank(const void *prepared, const void *const *pages, size_t offset,
                                     size_t count, const uint32_t *positions, int32_t *scores) {
  if (!is_prepared(prepared) || (count && (!pages || !positions || !scores)))
    return MARTLET_E_ARGUMENT;
  for (size_t i = 0; i < count; ++i)
    if (!pages[positions[i] / kv_positions]) return MARTLET_E_ARGUMENT;
  MARTLET_CHOSEN(retrieve_rank, MARTLET_NUMERIC_PORTABLE)
  (prepared, pages, offset, count, positions, scores);
  return MARTLET_OK;
}

// ---- whole searches -----------------------------------------------------------------------------

/// What a search keeps between its steps.
typedef struct search_scratch {
  uint16_t *scores;       ///< Of all queries.
  void *select;
  uint32_t *places;       ///< Of one query, from the scan.
  uint32_t *best;         ///< Of those, from rows.
  int32_t *ranks;
  uint16_t *ranked;
  uint64_t *seen;         ///< A bit per position or page.
  size_t stride, bytes;
} search_scratch;

static search_scratch lay_out(const martlet_retrieve_search_arguments *a, void *memory) {
  const size_t pages = a->page_end - a->page_begin;
  const size_t count = a->code_pages ? pages * kv_positions : pages;
  const size_t candidates = a->row_pages && a->candidates > a->wanted ? a->candidates : a->wanted;
  const size_t most = candidates < count ? candidates : count;
  char *at = memory;
  search_scratch s = {.stride = kv_round_up(count, 32)};
  size_t offset = 0;
#define TAKE(field, type, n)                                    \
  s.field = memory ? (type *)(void *)(at + offset) : (type *)0; \
  offset += kv_round_up((n) * sizeof *s.field, 64)
  TAKE(scores, uint16_t, s.stride * a->query_count);
  TAKE(places, uint32_t, most);
  TAKE(best, uint32_t, most);
  TAKE(ranks, int32_t, most);
  TAKE(ranked, uint16_t, most);
  TAKE(seen, uint64_t, (count + 63) / 64);
#undef TAKE
  s.select = memory ? at + offset : (char *)0;
  s.bytes = offset + martlet_retrieve_select_scratch(count);
  return s;
}

/// The part of `valid_search` that the size of scratch depends on.
static int sized_search(const martlet_retrieve_search_arguments *a) {
  return a && a->size >= sizeof *a && a->page_begin <= a->page_end &&
         a->page_end <= UINT32_MAX / kv_positions && (a->code_pages || a->bound_pages);
}

static int valid_search(const martlet_retrieve_search_arguments *a) {
  if (!sized_search(a) || !valid_queries(a->queries, a->query_count)) return 0;
  if (!valid_pages(a->code_pages ? a->code_pages : a->bound_pages, a->page_begin, a->page_end))
    return 0;
  return !a->code_pages || !a->row_pages ||
         valid_pages(a->row_pages, a->page_begin, a->page_end);
}

size_t martlet_retrieve_search_scratch(const martlet_retrieve_search_arguments *arguments) {
  return sized_search(arguments) ? lay_out(arguments, NULL).bytes : 0;
}

/// Scores of 32 bits as words in the same order, as fine as words can be.
static void narrow(size_t count, const int32_t *from, uint16_t *to) {
  int32_t low = from[0], high = from[0];
  for (size_t i = 1; i < count; ++i) {
    low = from[i] < low ? from[i] : low;
    high = from[i] > high ? from[i] : high;
  }
  const uint32_t range = (uint32_t)high - (uint32_t)low;
  uint32_t shift = 0;
  while (range >> shift > 65535) ++shift;
  for (size_t i = 0; i < count; ++i)
    to[i] = (uint16_t)(((uint32_t)from[i] - (uint32_t)low) >> shift);
}

/// Marks what query q finds.
static void search_one(const martlet_retrieve_search_arguments *a, const search_scratch *s,
                       size_t q, size_t count) {
  const int ranking = a->code_pages && a->row_pages && a->candidates > a->wanted;
  const size_t wanted = a->code_pages ? a->wanted : (a->wanted + kv_positions - 1) / kv_positions;
  size_t found = 0;
  martlet_retrieve_select(count, s->scores + q * s->stride, ranking ? a->candidates : wanted,
                          s->select, s->places, &found);
  if (ranking && found > wanted) {
    const size_t first = a->page_begin * kv_positions;
    for (size_t i = 0; i < found; ++i) s->places[i] += (uint32_t)first;
    MARTLET_CHOSEN(retrieve_rank, MARTLET_NUMERIC_PORTABLE)
    (a->queries[q], a->row_pages, a->row_offset, found, s->places, s->ranks);
    narrow(found, s->ranks, s->ranked);
    size_t kept = 0;
    martlet_retrieve_select(found, s->ranked, wanted, s->select, s->best, &kept);
    for (size_t i = 0; i < kept; ++i) s->best[i] = s->places[s->best[i]] - (uint32_t)first;
    for (size_t i = 0; i < kept; ++i) s->seen[s->best[i] / 64] |= 1ull << s->best[i] % 64;
    return;
  }
  for (size_t i = 0; i < found; ++i) s->seen[s->places[i] / 64] |= 1ull << s->places[i] % 64;
}

martlet_status martlet_retrieve_search(const martlet_retrieve_search_arguments *a, void *scratch,
                                       uint32_t *positions, size_t *found) {
  if (!valid_search(a) || !found) return MARTLET_E_ARGUMENT;
  *found = 0;
  const size_t pages = a->page_end - a->page_begin;
  if (a->query_count == 0 || pages == 0 || a->wanted == 0) return MARTLET_OK;
  if (!scratch || !aligned(scratch) || !positions) return MARTLET_E_ARGUMENT;
  const search_scratch s = lay_out(a, scratch);
  const size_t count = a->code_pages ? pages * kv_positions : pages;
  const martlet_retrieve_scan_arguments scan = {
      .size = sizeof scan,
      .query_count = a->query_count,
      .queries = a->queries,
      .pages = a->code_pages ? a->code_pages : a->bound_pages,
      .offset = a->code_pages ? a->code_offset : a->bound_offset,
      .page_begin = a->page_begin,
      .page_end = a->page_end,
      .scores = s.scores,
      .stride = s.stride};
  if (a->code_pages) MARTLET_CHOSEN(retrieve_scan, MARTLET_NUMERIC_PORTABLE)(&scan);
  else MARTLET_CHOSEN(retrieve_scan_bounds, MARTLET_NUMERIC_PORTABLE)(&scan);
  const size_t words = (count + 63) / 64;
  for (size_t i = 0; i < words; ++i) s.seen[i] = 0;
  for (size_t q = 0; q < a->query_count; ++q) search_one(a, &s, q, count);
  size_t n = 0;
  const uint32_t first = (uint32_t)(a->page_begin * kv_positions);
  for (size_t i = 0; i < words; ++i)
    for (uint64_t bits = s.seen[i]; bits; bits &= bits - 1) {
      const uint32_t place = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(bits);
      if (a->code_pages) positions[n++] = first + place;
      else
        for (uint32_t p = 0; p < kv_positions; ++p)
          positions[n++] = first + place * kv_positions + p;
    }
  *found = n;
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

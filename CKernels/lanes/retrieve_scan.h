/// Scanning codes and bounds, on the 64-byte vocabulary.
///
/// A scan adds, for each position and nibble, one byte of a table of 16: a byte shuffle looks up 64
/// at a time. A load brings the codes of four nibbles of 32 positions; four lookups (entries at most
/// 63) add up in bytes, and their sum goes to two sums of words, even and odd positions. Tile:
/// one query × four pages, two × two or four × two, so that tables are loaded once for some pages and
/// codes once for some queries. Registers of four × two on AVX-512: 16 sums, 8 nibbles, 4 tables of
/// 32. Per 64 bytes of codes and query: 2 lookups, 1.5 additions of bytes, 1.5 of words and shifts;
/// and per 64 bytes 4 to take nibbles apart. With one query that is 9 operations on four ports, 2.3
/// cycles per 64 bytes: less than memory takes to bring them. Further queries cost 1.3 cycles each.
///
/// Pages lie anywhere, so the lines of a page a few steps ahead are called for by hand.
///
/// A sieve is a scan whose scores stay in L1: what is below a query's bound goes no further.
#include "dispatch/retrieve_layout.h"

enum {
  retrieve_block = 16,  ///< Pages that all queries go through while their codes are in L1.
  retrieve_ahead = 8,   ///< Pages between a page and the one called for.
};

// ---- scanning -----------------------------------------------------------------------------------

/// `queries` queries × `pages` pages of codes; scores[q] are query q's, 32 for each page in turn.
LANES void retrieve_scan_tile(int queries, int pages, size_t bytes, const uint8_t *const *tables,
                              const uint8_t *const *codes, const uint8_t *const *next,
                              uint16_t *const *scores) {
  wide all[WIDE_CHAINS], odd[WIDE_CHAINS];
  for (int i = 0; i < queries * pages; ++i) all[i] = odd[i] = wide_zero();
  for (size_t at = 0; at < bytes; at += 128) {
    wide nibbles[4][WIDE_CHAINS];
    for (int p = 0; p < pages; ++p) {
      const wide a = wide_load(codes[p] + at), b = wide_load(codes[p] + at + 64);
      __builtin_prefetch(next[p] + at, 0, 3);
      __builtin_prefetch(next[p] + at + 64, 0, 3);
      nibbles[0][p] = wide_low(a), nibbles[1][p] = wide_high(a);
      nibbles[2][p] = wide_low(b), nibbles[3][p] = wide_high(b);
    }
    for (int q = 0; q < queries; ++q) {
      const uint8_t *from = tables[q] + 2 * at;
      wide table[4];
      for (int i = 0; i < 4; ++i) table[i] = wide_load(from + 64 * i);
      for (int p = 0; p < pages; ++p) {
        const wide first = wide_add_bytes(wide_lookup(table[0], nibbles[0][p]),
                                          wide_lookup(table[1], nibbles[1][p]));
        const wide second = wide_add_bytes(wide_lookup(table[2], nibbles[2][p]),
                                           wide_lookup(table[3], nibbles[3][p]));
        const wide sum = wide_add_bytes(first, second);
        const int i = q * pages + p;
        all[i] = wide_add_words(all[i], sum);
        odd[i] = wide_add_words(odd[i], wide_odd(sum));
      }
    }
  }
  for (int q = 0; q < queries; ++q) {
    const wide *a = all + q * pages, *o = odd + q * pages;
    int p = 0;
#if WIDE_CHAINS == 8
    for (; p + 2 <= pages; p += 2) wide_store_two_sums(scores[q] + p * kv_positions, a + p, o + p);
#endif
    for (; p < pages; ++p) wide_store_sums(scores[q] + p * kv_positions, a[p], o[p]);
  }
}

typedef void retrieve_scan_piece(size_t bytes, const uint8_t *const *tables,
                                 const uint8_t *const *codes, const uint8_t *const *next,
                                 uint16_t *const *scores);
#define RETRIEVE_SCAN(queries, pages)                                                            \
  static __attribute__((noinline)) void retrieve_scan_##queries##_##pages(                       \
      size_t bytes, const uint8_t *const *tables, const uint8_t *const *codes,                   \
      const uint8_t *const *next, uint16_t *const *scores) {                                     \
    retrieve_scan_tile(queries, pages, bytes, tables, codes, next, scores);                      \
  }
RETRIEVE_SCAN(1, 1)
#if WIDE_CHAINS == 8
RETRIEVE_SCAN(1, 4)
RETRIEVE_SCAN(2, 1)
RETRIEVE_SCAN(2, 2)
RETRIEVE_SCAN(4, 1)
RETRIEVE_SCAN(4, 2)
#endif
#undef RETRIEVE_SCAN

/// Pieces of 1, 2 and 4 queries over `pages` pages and over one.
static const struct {
  size_t pages;
  retrieve_scan_piece *many, *one;
} retrieve_scan_pieces[] = {
#if WIDE_CHAINS == 8
    {4, retrieve_scan_1_4, retrieve_scan_1_1},
    {2, retrieve_scan_2_2, retrieve_scan_2_1},
    {2, retrieve_scan_4_2, retrieve_scan_4_1},
#else
    {1, retrieve_scan_1_1, retrieve_scan_1_1},
#endif
};
enum { retrieve_scan_powers = sizeof retrieve_scan_pieces / sizeof retrieve_scan_pieces[0] };

/// Pages of one block for 1 << power queries, whose scores are `stride` apart.
static void retrieve_scan_block(const void *const *prepared, size_t power, size_t bytes, size_t pages,
                                const uint8_t *const *codes, const uint8_t *const *next,
                                uint16_t *first, size_t stride) {
  const uint8_t *tables[4] = {NULL};
  uint16_t *scores[4] = {NULL};
  const size_t queries = (size_t)1 << power, step = retrieve_scan_pieces[power].pages;
  for (size_t i = 0; i < queries; ++i) {
    tables[i] = retrieve_tables(prepared[i]);
    scores[i] = first + i * stride;
  }
#ifdef WIDE_QUADS
  if (queries == 4) {
    retrieve_scan_quads(bytes, tables, pages, codes, next, scores);
    return;
  }
#endif
  for (size_t p = 0; p < pages;) {
    const int many = p + step <= pages;
    (many ? retrieve_scan_pieces[power].many : retrieve_scan_pieces[power].one)(
        bytes, tables, codes + p, next + p, scores);
    p += many ? step : 1;
    for (size_t i = 0; i < queries; ++i) scores[i] += (many ? step : 1) * kv_positions;
  }
}

/// A block of pages, its codes and those of the pages that follow.
typedef struct retrieve_codes {
  const uint8_t *codes[retrieve_block + retrieve_ahead];
  size_t pages;
} retrieve_codes;

static retrieve_codes retrieve_codes_from(const martlet_retrieve_scan_arguments *a, size_t page) {
  const size_t left = a->page_end - page;
  retrieve_codes block = {.pages = left < retrieve_block ? left : (size_t)retrieve_block};
  const size_t there = left < retrieve_block + retrieve_ahead ? left : retrieve_block + retrieve_ahead;
  // One by one: gathering the addresses at once is slower.
#pragma clang loop vectorize(disable)
  for (size_t i = 0; i < there; ++i) block.codes[i] = (const uint8_t *)a->pages[page + i] + a->offset;
  for (size_t i = there; i < retrieve_block + retrieve_ahead; ++i)
    block.codes[i] = block.codes[there - 1];
  return block;
}

/// As many queries from q on as go together, as a power of two.
static size_t retrieve_scan_power(const martlet_retrieve_scan_arguments *a, size_t q) {
  size_t power = retrieve_scan_powers - 1;
  while ((size_t)1 << power > a->query_count - q) --power;
  return power;
}

void LANES_NAME(retrieve_scan, LANES_ISA)(const martlet_retrieve_scan_arguments *a) {
  const retrieve_prepared *prepared = a->queries[0];
  const size_t bytes = kv_positions * prepared->nibbles / 2;
  for (size_t page = a->page_begin; page < a->page_end; page += retrieve_block) {
    const retrieve_codes block = retrieve_codes_from(a, page);
    uint16_t *scores = a->scores + (page - a->page_begin) * kv_positions;
    for (size_t q = 0; q < a->query_count;) {
      const size_t power = retrieve_scan_power(a, q);
      // Only the first queries find a page not yet called for.
      retrieve_scan_block(a->queries + q, power, bytes, block.pages, block.codes,
                          q == 0 ? block.codes + retrieve_ahead : block.codes,
                          scores + q * a->stride, a->stride);
      q += (size_t)1 << power;
    }
  }
}

// ---- sieving ------------------------------------------------------------------------------------

/// Appends those of some scores that are at least `least`; lists have room for as many more, and two.
LANES size_t retrieve_sift(size_t count, const uint16_t *scores, uint16_t least, uint32_t place,
                           uint32_t *places, uint16_t *kept) {
  size_t n = 0;
  for (size_t i = 0; i < count; i += 64) {
    uint64_t mask = wide_words_at_least(scores + i, least);
    if (count - i >= 64) mask |= (uint64_t)wide_words_at_least(scores + i + 32, least) << 32;
    const size_t hits = (size_t)__builtin_popcountll(mask);
    // Two are written whether they are there or not: more are rare, how many cannot be predicted.
    for (size_t h = 0; h < 2; ++h, mask &= mask - 1) {
      const size_t at = i + (size_t)__builtin_ctzll(mask | 1ull << 63);
      places[n + h] = place + (uint32_t)at;
      kept[n + h] = scores[at];
    }
    for (size_t h = 2; h < hits; ++h, mask &= mask - 1) {
      const size_t at = i + (size_t)__builtin_ctzll(mask);
      places[n + h] = place + (uint32_t)at;
      kept[n + h] = scores[at];
    }
    n += hits;
  }
  return n;
}

void LANES_NAME(retrieve_sieve, LANES_ISA)(const retrieve_sieve *s) {
  const martlet_retrieve_scan_arguments *a = s->scan;
  const retrieve_prepared *prepared = a->queries[0];
  const size_t bytes = kv_positions * prepared->nibbles / 2;
  enum { stride = retrieve_block * kv_positions };
  _Static_assert(stride + 2 <= retrieve_sieve_slack, "a block fits behind a full list");
  // A place that is written in vain may lie behind the last score.
  _Alignas(64) uint16_t scores[4 * stride + 64] = {0};
  uint32_t place = s->first_place;
  for (size_t page = a->page_begin; page < a->page_end; page += retrieve_block) {
    const retrieve_codes block = retrieve_codes_from(a, page);
    for (size_t q = 0; q < a->query_count;) {
      const size_t power = retrieve_scan_power(a, q), queries = (size_t)1 << power;
      retrieve_scan_block(a->queries + q, power, bytes, block.pages, block.codes,
                          q == 0 ? block.codes + retrieve_ahead : block.codes, scores, stride);
      for (size_t i = 0; i < queries; ++i) {
        size_t *n = s->counts + q + i;
        if (*n > s->room) continue;
        const size_t at = (q + i) * (s->room + retrieve_sieve_slack) + *n;
        *n += retrieve_sift(block.pages * kv_positions, scores + i * stride, s->least[q + i], place,
                            s->places + at, s->kept + at);
        if (*n > s->room) *n = retrieve_sieve_full;
      }
      q += queries;
    }
    place += (uint32_t)(block.pages * kv_positions);
  }
}

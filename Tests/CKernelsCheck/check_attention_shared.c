/// Checks of attention over pages that rows share: forks, a neighbour's NaN, token trees.
#include "attention_case.h"

#include <math.h>
#include <string.h>

/// Random forks: each row takes over another's pages up to some page and has its own from there, as
/// branches do; some rows are windows, some are a prefill chunk's. Neighbours share pages in every
/// way. Together, alone and head by head the bits are the same, and those of the reference.
static void random_sharing(martlet_check *check, attention_case *a, uint32_t most_end) {
  const size_t rows = 2 + check_below(check, attention_most_rows - 2);
  const size_t page_bytes = martlet_kv_page_bytes(&a->layout);
  attention_allocate(check, a, CHECK_NORMAL, rows, rows * attention_most_pages);
  size_t next = 0;
  for (size_t r = 0; r < rows; ++r) {
    const uint32_t end = 1 + (uint32_t)check_below(check, most_end);
    const uint32_t first = check_below(check, 3) ? 0 : (uint32_t)check_below(check, end);
    const size_t parent = r ? check_below(check, r) : 0;
    // Three in four share; half of those as a chunk of one sequence does, to the last page.
    const size_t kept = !r || !check_below(check, 4) ? 0
                        : check_below(check, 2)      ? attention_most_pages
                                                     : check_below(check, attention_most_pages);
    for (size_t page = 0; page <= (end - 1) / page_tokens; ++page) {
      if (page < kept && a->pages[parent][page]) {
        a->pages[r][page] = a->pages[parent][page];
        continue;
      }
      char *memory = a->slab + next++ * page_bytes;
      // A few positions stay NaN at the end of the last page.
      attention_write_positions(check, a, CHECK_NORMAL, memory, 0, page_tokens);
      a->pages[r][page] = memory;
    }
    attention_set_row(a, r, first, end);
  }
  check_seal(check, a->slab);
  check_seal(check, a->queries);
}

void check_attention_sharing(martlet_check *check) {
  for (int round = 0; round < 30; ++round) {
    const uint32_t group = 1 + (uint32_t)check_below(check, 9);
    const uint32_t dimensions = 1 + (uint32_t)check_below(check, 40);
    const int type = round % 5;
    check_describe(check, "%s, group of %u, %u dimensions, random forks (%d)",
                   attention_type_names[type], group, dimensions, round);
    attention_case a = attention_shape((martlet_kv_type)type, 2, group, dimensions);
    random_sharing(check, &a, 330);
    attention_compare(check, &a);
    CHECK_CALL(check, for (size_t row = 0; row < a.rows; ++row)
                          for (uint32_t head = 0; head < 2; ++head)
                              attention_call(check->entry->function, &a, row, 1, head, head + 1,
                                             a.expected));
    check_same_bits(check, a.expected, a.actual, a.rows, a.width, a.width);
    check_poison(check);
  }
}

/// NaN and infinities that one row sees reach no other row of the same page.
void check_attention_isolation(martlet_check *check) {
  for (int type = MARTLET_KV_F32; type <= MARTLET_KV_I4; ++type) {
    check_describe(check, "%s, a neighbour's NaN", attention_type_names[type]);
    attention_case a = attention_shape((martlet_kv_type)type, 1, 2, 24);
    attention_allocate(check, &a, CHECK_NORMAL, 8, 2);
    for (int page = 0; page < 2; ++page)
      attention_write_positions(check, &a, CHECK_NORMAL,
                                a.slab + (size_t)page * martlet_kv_page_bytes(&a.layout), 0,
                                page_tokens);
    char *second = a.slab + martlet_kv_page_bytes(&a.layout);
    attention_write_positions(check, &a, CHECK_ONE_NAN, second, 4, 5);
    attention_write_positions(check, &a, CHECK_INFINITIES, second, 5, 6);
    for (size_t r = 0; r < 8; ++r) {
      a.pages[r][0] = a.slab;
      a.pages[r][1] = second;
      attention_set_row(&a, r, 0, 33 + (uint32_t)r);
    }
    check_seal(check, a.slab);
    attention_compare(check, &a);
    for (size_t i = 0; i < 4 * a.width && !check->failures; ++i)
      if (isnan(a.actual[i])) check_fail(check, "NaN came from a position past the row's own");
    for (size_t i = 5 * a.width; i < 6 * a.width && !check->failures; ++i)
      if (type >= MARTLET_KV_I8 && !isnan(a.actual[i]))
        check_fail(check, "a quantised position hides its NaN");
  }
}

/// Rows of token trees: an ancestor path in any slots gives the bits of the same positions laid out
/// in order, and those of the reference.
void check_attention_trees(martlet_check *check) {
  for (int round = 0; round < 20; ++round) {
    const int type = round % 5;
    const uint32_t prefix = (uint32_t)check_below(check, 100), rows = 8;
    const uint32_t group = 1 + (uint32_t)check_below(check, 5);
    check_describe(check, "%s, a tree after %u positions", attention_type_names[type], prefix);
    attention_case a = attention_shape((martlet_kv_type)type, 2, group, 21);
    const size_t page_bytes = martlet_kv_page_bytes(&a.layout);
    const size_t shared = (prefix + rows - 1) / page_tokens + 1, apart = shared;
    attention_allocate(check, &a, CHECK_NORMAL, 2 * rows, shared + rows * apart);
    for (uint32_t p = 0; p < prefix + rows; ++p)
      attention_write_positions(check, &a, CHECK_NORMAL, a.slab + p / page_tokens * page_bytes,
                                p % page_tokens, p % page_tokens + 1);
    for (uint32_t r = 0; r < rows; ++r) {
      for (size_t page = 0; page < shared; ++page) a.pages[r][page] = a.slab + page * page_bytes;
      // Row r's parent is a random earlier row; its path is its parent's and its own slot.
      const uint32_t parent = (uint32_t)check_below(check, r + 1);
      const uint32_t above = parent < r ? a.row[parent].path_count : 0;
      memcpy(a.path[r], a.path[parent], above * sizeof(uint32_t));
      a.path[r][above] = prefix + r;
      const uint32_t end = prefix + above + 1;
      attention_set_row(&a, r, end > 40 && r % 3 == 0 ? end - 40 : 0, end);
      a.row[r].path = a.path[r];
      a.row[r].path_count = above + 1;
      // The same positions in order, in pages of their own.
      for (uint32_t p = 0; p < end; ++p) {
        char *page = a.slab + (shared + r * apart + p / page_tokens) * page_bytes;
        const uint32_t from = p < prefix ? p : a.path[r][p - prefix];
        a.pages[rows + r][p / page_tokens] = page;
        martlet_kv_copy_reference(&a.layout, a.slab + from / page_tokens * page_bytes,
                                  from % page_tokens, page, p % page_tokens, 1);
      }
      attention_set_row(&a, rows + r, a.row[r].first, end);
    }
    memcpy(a.queries + rows * a.width, a.queries, rows * a.width * sizeof(float));
    check_seal(check, a.slab);
    check_seal(check, a.queries);
    attention_compare(check, &a);
    check_same_bits(check, a.actual, a.actual + rows * a.width, rows, a.width, a.width);
  }
}

/// Turns the keys of some of `count` pages, of all heads, and notes which.
static void turn_pages(martlet_check *check, attention_case *a, char *pages, size_t count,
                       size_t one_in, uint8_t *turned) {
  const size_t bytes = martlet_kv_page_bytes(&a->layout);
  for (size_t page = 0; page < count; ++page) {
    turned[page] = check_below(check, one_in) == 0;
    for (uint32_t head = 0; turned[page] && head < a->layout.kv_heads; ++head)
      martlet_kv_turn_keys_reference(&a->layout, pages + page * bytes, head, 1);
  }
}

/// Rows whose pages are turned, all, some or none, have the bits of the same pages as written.
void check_attention_turned(martlet_check *check) {
  static const uint32_t sizes[] = {21, 128, 64, 1, 40, 100, 256};
  for (int round = 0; round < 35; ++round) {
    enum { pages = 20, rows = 5 };
    const int type = round % 5;
    const uint32_t group = 1 + (uint32_t)check_below(check, 5);
    attention_case a = attention_shape((martlet_kv_type)type, 2, group, sizes[round / 5]);
    const size_t page_bytes = martlet_kv_page_bytes(&a.layout);
    attention_allocate(check, &a, CHECK_NORMAL, 2 * rows, 2 * pages);
    for (size_t page = 0; page < pages; ++page)
      attention_write_positions(check, &a, CHECK_NORMAL, a.slab + page * page_bytes, 0,
                                page_tokens);
    memcpy(a.slab + pages * page_bytes, a.slab, pages * page_bytes);
    uint8_t turned[pages];
    turn_pages(check, &a, a.slab, pages, 1 + check_below(check, 3), turned);
    check_describe(check, "%s, group of %u, %u dimensions, turned pages (%d)",
                   attention_type_names[type], group, a.layout.head_dimensions, round);
    uint32_t *path = check_buffer(check, "path", 2 * page_tokens * sizeof *path, 4);
    for (uint32_t r = 0; r < rows; ++r) {
      const uint32_t end = 1 + (uint32_t)check_below(check, (pages - 2) * page_tokens);
      // The last row is one of a tree whose path lies somewhere in the pages.
      const uint32_t listed = r + 1 < rows ? 0 : 1 + (uint32_t)check_below(check, 40);
      for (int copy = 0; copy < 2; ++copy) {
        const size_t own = r + (size_t)copy * rows;
        for (size_t page = 0; page < pages; ++page)
          a.pages[own][page] = a.slab + (page + (size_t)copy * pages) * page_bytes;
        attention_set_row(&a, own, r % 2 ? 0 : end / 3, end);
        a.row[own].turned = copy ? NULL : turned;
        a.row[own].path = listed ? path : NULL;
        a.row[own].path_count = listed < end ? listed : end;
      }
    }
    for (uint32_t i = 0; i < 2 * page_tokens; ++i)
      path[i] = (uint32_t)check_below(check, pages * page_tokens);
    check_seal(check, path);
    memcpy(a.queries + rows * a.width, a.queries, rows * a.width * sizeof(float));
    check_seal(check, a.slab);
    check_seal(check, a.queries);
    attention_compare(check, &a);
    check_same_bits(check, a.actual, a.actual + rows * a.width, rows, a.width, a.width);
  }
}

/// Rows that see some positions of a sequence, whole pages and single ones, have the bits of a
/// sequence of these alone; so do rows that share the list, and those that have all, some or no pages
/// turned.
void check_attention_selections(martlet_check *check) {
  static const uint32_t sizes[] = {21, 128, 64, 1, 40, 100, 256};
  for (int round = 0; round < 70; ++round) {
    enum { pages = 12, most = pages * page_tokens };
    const int type = round % 5;
    const uint32_t group = 1 + (uint32_t)check_below(check, 5), rows = 3;
    attention_case a = attention_shape((martlet_kv_type)type, 2, group, sizes[round / 5 % 7]);
    const size_t page_bytes = martlet_kv_page_bytes(&a.layout);
    attention_allocate(check, &a, CHECK_NORMAL, rows + 1, 2 * pages);
    for (size_t page = 0; page < pages; ++page)
      attention_write_positions(check, &a, CHECK_NORMAL, a.slab + page * page_bytes, 0,
                                page_tokens);
    // Single positions, runs, whole pages in and out of place, in any order.
    uint32_t list[most], count = 0;
    while (count < 40 || (count < 280 && check_below(check, 8))) {
      uint32_t from = (uint32_t)check_below(check, most), run = 1 + (uint32_t)check_below(check, 6);
      if (check_below(check, 3) == 0) from = from / page_tokens * page_tokens, run = page_tokens;
      for (uint32_t i = 0; i < run && from + i < most && count < most; ++i)
        list[count++] = from + i;
      if (check_below(check, 2)) {
        // To the next page's start, so that whole pages are in place.
        for (uint32_t p = 7; count % page_tokens; p += 3) list[count++] = p;
      }
    }
    check_describe(check, "%s, group of %u, %u dimensions, %u selected positions (%d)",
                   attention_type_names[type], group, a.layout.head_dimensions, count, round);
    uint32_t *path = check_buffer(check, "path", count * sizeof *path, 4);
    memcpy(path, list, count * sizeof *path);
    check_seal(check, path);
    for (uint32_t r = 0; r < rows; ++r) {
      for (size_t page = 0; page < pages; ++page) a.pages[r][page] = a.slab + page * page_bytes;
      // The last row's table differs from that of the others in one page.
      if (r == 2) {
        char *copy = a.slab + (2 * pages - 1) * page_bytes;
        const size_t own = list[0] / page_tokens;
        attention_write_positions(check, &a, CHECK_NORMAL, copy, 0, page_tokens);
        a.pages[r][own] = copy;
      }
      attention_set_row(&a, r, 0, count);
      a.row[r].path = path;
      a.row[r].path_count = count;
    }
    for (uint32_t i = 0; i < count && count <= (pages - 1) * page_tokens; ++i) {
      char *page = a.slab + (pages + i / page_tokens) * page_bytes;
      martlet_kv_copy_reference(&a.layout, a.slab + list[i] / page_tokens * page_bytes,
                                list[i] % page_tokens, page, i % page_tokens, 1);
      a.pages[rows][i / page_tokens] = page;
    }
    attention_set_row(&a, rows, 0, count);
    memcpy(a.queries + rows * a.width, a.queries, a.width * sizeof(float));
    // The last row's own page stays as it was written.
    uint8_t turned[2][pages] = {{0}};
    if (check_below(check, 4)) {
      turn_pages(check, &a, a.slab, pages, 1 + check_below(check, 2), turned[0]);
      memcpy(turned[1], turned[0], pages);
      turned[1][list[0] / page_tokens] = 0;
      for (uint32_t r = 0; r < rows; ++r) a.row[r].turned = turned[r == 2];
    }
    check_seal(check, a.slab);
    check_seal(check, a.queries);
    attention_compare(check, &a);
    check_same_bits(check, a.actual, a.actual + rows * a.width, 1, a.width, a.width);
    if (round >= 35) continue;
    // Chunk by chunk, as threads may do it.
    martlet_attention_row row[attention_most_rows];
    martlet_attention_arguments arguments = attention_arguments_of(&a, 0, rows, row, a.expected);
    const size_t floats = martlet_attention_partial_floats(&a.layout);
    arguments.partials =
        check_buffer(check, "records", rows * (size_t)a.query_heads * floats * sizeof(float), 0);
    arguments.chunk_end = 1;
    CHECK_CALL(check, ((martlet_attention_f32_function *)check->entry->function)(&arguments));
    martlet_attention_merge_f32_reference(&arguments);
    check_same_bits(check, a.expected, a.actual, rows, a.width, a.width);
    check_poison(check);
  }
}

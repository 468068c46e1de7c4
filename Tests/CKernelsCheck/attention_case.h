/// Operands of attention's checks: rows over a slab of pages, calls of a variant on them, and what
/// pages hold by an own reading of their layout.
#ifndef MARTLET_TESTS_ATTENTION_CASE_H
#define MARTLET_TESTS_ATTENTION_CASE_H

#include "check.h"

enum {
  page_tokens = MARTLET_KV_PAGE_TOKENS,
  chunk_tokens = MARTLET_ATTENTION_CHUNK_TOKENS,
  attention_most_rows = 24,
  attention_most_pages = 40,
  attention_most_path = 12,
};

/// Of the types of keys and values, by martlet_kv_type.
extern const char *const attention_type_names[];

/// One call: rows over a slab of pages in a shuffled order. Slots that no row may see hold NaN.
typedef struct attention_case {
  martlet_kv_layout layout;
  uint32_t query_heads;
  float scale;
  size_t rows, width;
  char *slab;
  const void *pages[attention_most_rows][attention_most_pages];
  float *queries, *expected, *actual;
  martlet_attention_row row[attention_most_rows];
  uint32_t path[attention_most_rows][attention_most_path];
} attention_case;

/// A case of nothing yet but its layout and query heads.
attention_case attention_shape(martlet_kv_type type, uint32_t kv_heads, uint32_t group,
                               uint32_t dimensions);

/// Memory of `a` for `rows` rows over `pages` pages of nothing but NaN; its layout and query heads
/// are set.
void attention_allocate(martlet_check *check, attention_case *a, check_kind kind, size_t rows,
                        size_t pages);

/// Fills `a` with rows that have pages of their own. Row r sees positions [first[r], end[r]).
void attention_prepare(martlet_check *check, attention_case *a, check_kind kind, size_t rows,
                       const uint32_t *first, const uint32_t *end);

/// Writes random keys and values to the slots [begin, end) of a page.
void attention_write_positions(martlet_check *check, attention_case *a, check_kind kind, char *page,
                               uint32_t begin, uint32_t end);

/// Makes row r see positions [first, end) of its pages.
void attention_set_row(attention_case *a, size_t r, uint32_t first, uint32_t end);

/// The arguments of a call on some rows of `a`, which are copied to `row`.
martlet_attention_arguments attention_arguments_of(attention_case *a, size_t first_row, size_t rows,
                                                   martlet_attention_row *row, float *output);

/// Calls an attention variant on some rows and KV heads.
void attention_call(martlet_any_function function, attention_case *a, size_t first_row, size_t rows,
                    uint32_t head_begin, uint32_t head_end, float *output);

/// The variant gives the bits of the reference.
void attention_compare(martlet_check *check, attention_case *a);

/// What dimension d of a head's key (or value) in a slot is worth, scale included.
double attention_stored(const martlet_kv_layout *layout, const char *page, int value, size_t head,
                        size_t d, size_t slot);

/// Cases over pages that rows share; see check_attention_shared.c.
void check_attention_sharing(martlet_check *check);
void check_attention_isolation(martlet_check *check);
void check_attention_trees(martlet_check *check);
void check_attention_turned(martlet_check *check);
void check_attention_selections(martlet_check *check);

#endif

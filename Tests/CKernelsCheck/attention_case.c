#include "attention_case.h"

#include <math.h>
#include <string.h>

const char *const attention_type_names[] = {"f32", "f16", "bf16", "i8", "i4"};

attention_case attention_shape(martlet_kv_type type, uint32_t kv_heads, uint32_t group,
                               uint32_t dimensions) {
  return (attention_case){.layout = {sizeof(martlet_kv_layout), type, kv_heads, dimensions},
                          .query_heads = kv_heads * group};
}

void attention_allocate(martlet_check *check, attention_case *a, check_kind kind, size_t rows,
                        size_t pages) {
  check_new_run(check);
  const size_t page_bytes = martlet_kv_page_bytes(&a->layout);
  a->rows = rows;
  a->width = (size_t)a->query_heads * a->layout.head_dimensions;
  a->scale = 1.0f / sqrtf((float)a->layout.head_dimensions);
  a->slab = check_aligned_buffer(check, "pages", pages * page_bytes);
  memset(a->slab, 0xff, pages * page_bytes);
  const size_t bytes = rows * a->width * sizeof(float);
  a->queries = check_buffer(check, "queries", bytes, 4);
  a->expected = check_buffer(check, "expected", bytes, 0);
  a->actual = check_buffer(check, "output", bytes, 8);
  check_fill(check, kind, a->queries, rows * a->width);
  memset(a->pages, 0, sizeof a->pages);
}

void attention_prepare(martlet_check *check, attention_case *a, check_kind kind, size_t rows,
                       const uint32_t *first, const uint32_t *end) {
  const size_t page_bytes = martlet_kv_page_bytes(&a->layout);
  size_t pages = 0;
  for (size_t r = 0; r < rows; ++r)
    pages += (end[r] - 1) / page_tokens - first[r] / page_tokens + 1;
  attention_allocate(check, a, kind, rows, pages);
  size_t next = pages;
  for (size_t r = 0; r < rows; ++r) {
    for (uint32_t page = first[r] / page_tokens; page <= (end[r] - 1) / page_tokens; ++page) {
      char *memory = a->slab + --next * page_bytes;
      const uint32_t begin = page * page_tokens, past = begin + page_tokens;
      attention_write_positions(check, a, kind, memory,
                                (first[r] > begin ? first[r] : begin) - begin,
                                (end[r] < past ? end[r] : past) - begin);
      a->pages[r][page] = memory;
    }
    attention_set_row(a, r, first[r], end[r]);
  }
  check_seal(check, a->slab);
  check_seal(check, a->queries);
}

void attention_write_positions(martlet_check *check, attention_case *a, check_kind kind, char *page,
                               uint32_t begin, uint32_t end) {
  float keys[8 * 256], values[8 * 256];
  const size_t count = (size_t)a->layout.kv_heads * a->layout.head_dimensions;
  for (uint32_t slot = begin; slot < end; ++slot) {
    check_fill(check, kind, keys, count);
    check_fill(check, kind, values, count);
    martlet_kv_write_reference(&a->layout, page, slot, keys, values);
  }
}

void attention_set_row(attention_case *a, size_t r, uint32_t first, uint32_t end) {
  a->row[r] = (martlet_attention_row){.pages = a->pages[r], .first = first, .end = end,
                                      .query = a->queries + r * a->width};
}

martlet_attention_arguments attention_arguments_of(attention_case *a, size_t first_row, size_t rows,
                                                   martlet_attention_row *row, float *output) {
  for (size_t r = 0; r < rows; ++r) {
    row[r] = a->row[first_row + r];
    row[r].output = output + (first_row + r) * a->width;
  }
  return (martlet_attention_arguments){.size = sizeof(martlet_attention_arguments),
                                       .query_heads = a->query_heads,
                                       .layout = &a->layout,
                                       .rows = row,
                                       .row_count = rows,
                                       .scale = a->scale,
                                       .kv_head_end = a->layout.kv_heads};
}

void attention_call(martlet_any_function function, attention_case *a, size_t first_row, size_t rows,
                    uint32_t head_begin, uint32_t head_end, float *output) {
  martlet_attention_row row[attention_most_rows];
  martlet_attention_arguments arguments = attention_arguments_of(a, first_row, rows, row, output);
  arguments.kv_head_begin = head_begin;
  arguments.kv_head_end = head_end;
  ((martlet_attention_f32_function *)function)(&arguments);
}

void attention_compare(martlet_check *check, attention_case *a) {
  attention_call(check->reference->function, a, 0, a->rows, 0, a->layout.kv_heads, a->expected);
  CHECK_CALL(check, attention_call(check->entry->function, a, 0, a->rows, 0, a->layout.kv_heads,
                                   a->actual));
  check_same_bits(check, a->expected, a->actual, a->rows, a->width, a->width);
  check_poison(check);
}

// ---- reading pages ------------------------------------------------------------------------------

static double float_at(martlet_kv_type type, const void *base, size_t index) {
  float value = 0;
  if (type == MARTLET_KV_F32) return (double)((const float *)base)[index];
  if (type == MARTLET_KV_I8) return ((const int8_t *)base)[index];
  const uint16_t *word = (const uint16_t *)base + index;
  if (type == MARTLET_KV_BF16) martlet_dequantize_bf16_reference(1, word, &value);
  else martlet_dequantize_f16_reference(1, word, &value);
  return (double)value;
}

double attention_stored(const martlet_kv_layout *layout, const char *page, int value, size_t head,
                        size_t d, size_t slot) {
  const size_t heads = layout->kv_heads, dimensions = layout->head_dimensions;
  const size_t padded = (dimensions + 15) / 16 * 16;
  if (layout->type == MARTLET_KV_I4) {
    const size_t pairs = (dimensions + 1) / 2, row = (dimensions + 31) / 32 * 16;
    const size_t groups = (dimensions + 31) / 32;
    const char *values = page + (heads * pairs * 32 + 63) / 64 * 64;
    const char *scales = values + heads * row * 32;
    const unsigned char code =
        (unsigned char)(value ? values[(head * 32 + slot) * row + d / 32 * 16 + d % 16]
                              : page[(head * pairs + d / 2) * 32 + slot]);
    const int high = value ? d % 32 >= 16 : d % 2;
    const size_t scale = ((value ? heads : 0) + head) * groups * 32 + d / 32 * 32 + slot;
    return ((high ? code >> 4 : code & 15) - 8) * float_at(MARTLET_KV_F16, scales, scale);
  }
  const size_t each = layout->type == MARTLET_KV_F32 ? 4 : layout->type == MARTLET_KV_I8 ? 1 : 2;
  const char *values = page + (heads * dimensions * 32 * each + 63) / 64 * 64;
  const char *scales = values + heads * 32 * padded * each;
  const double number = value ? float_at(layout->type, values, (head * 32 + slot) * padded + d)
                              : float_at(layout->type, page, (head * dimensions + d) * 32 + slot);
  if (layout->type != MARTLET_KV_I8) return number;
  return number * float_at(MARTLET_KV_F16, scales, ((value ? heads : 0) + head) * 32 + slot);
}

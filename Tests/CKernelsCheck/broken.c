/// One variant per kind of mistake a kernel can make. The harness must fail each of them.
#include "broken.h"

#include "dispatch/families.h"

#include <math.h>
#include <string.h>

/// The last element is one unit in the last place off, at lengths of 31 alone.
static void add_one_ulp_off(size_t count, const float *addend, float *target) {
  martlet_add_f32_reference(count, addend, target);
  if (count == 31) target[30] = nextafterf(target[30], INFINITY);
}

/// Reads a whole vector where the tail is shorter.
static void add_reads_past_the_end(size_t count, const float *addend, float *target) {
  const volatile float *peek = addend;
  if (count % 16) (void)peek[(count + 15) / 16 * 16 - 1];
  martlet_add_f32_reference(count, addend, target);
}

/// Reads the vector before the first.
static void add_reads_before_the_start(size_t count, const float *addend, float *target) {
  const volatile float *peek = addend;
  if (count) (void)peek[-16];
  martlet_add_f32_reference(count, addend, target);
}

/// Writes one element too many and so stays within the last page at the start placement.
static void add_writes_past_the_end(size_t count, const float *addend, float *target) {
  martlet_add_f32_reference(count, addend, target);
  if (count % 16 == 7) target[count] = 0;
}

/// Uses its input as scratch memory.
static void add_writes_to_its_input(size_t count, const float *addend, float *target) {
  martlet_add_f32_reference(count, addend, target);
  if (count) *(float *)(uintptr_t)addend = 0;
}

/// Sums in element order instead of the 16 lanes.
static void norm_sums_in_another_order(size_t rows, size_t width, const float *input,
                                       size_t input_stride, const float *weight, float epsilon,
                                       float *output, size_t output_stride) {
  for (size_t row = 0; row < rows; ++row) {
    float sum = 0;
    for (size_t i = 0; i < width; ++i) {
      float x = input[row * input_stride + i];
      sum = fmaf(x, x, sum);
    }
    float inverse = 1.0f / sqrtf(sum / (float)width + epsilon);
    for (size_t i = 0; i < width; ++i)
      output[row * output_stride + i] = (input[row * input_stride + i] * inverse) * weight[i];
  }
}

/// A row's result depends on whether another row came before it.
static void norm_mixes_rows(size_t rows, size_t width, const float *input, size_t input_stride,
                            const float *weight, float epsilon, float *output,
                            size_t output_stride) {
  martlet_rms_norm_f32_reference(rows, width, input, input_stride, weight, epsilon, output,
                                 output_stride);
  if (rows > 2 && width > 40) output[2 * output_stride] = nextafterf(output[2 * output_stride], 0);
}

/// Writes into the gap between rows.
static void norm_writes_between_rows(size_t rows, size_t width, const float *input,
                                     size_t input_stride, const float *weight, float epsilon,
                                     float *output, size_t output_stride) {
  martlet_rms_norm_f32_reference(rows, width, input, input_stride, weight, epsilon, output,
                                 output_stride);
  if (rows > 1 && output_stride > width) output[width] = 0;
}

/// Stops at an instruction that is not there.
static void add_is_illegal(size_t count, const float *addend, float *target) {
  (void)addend;
  (void)target;
  if (count == 5) {
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#else
    __asm__ volatile(".inst 0");
#endif
  }
  martlet_add_f32_reference(count, addend, target);
}

#define BROKEN(broken_operation, broken_isa, broken_function, id)                          \
  {"norm",                                                                                 \
   #broken_operation,                                                                      \
   "broken_" #broken_isa,                                                                  \
   #broken_operation "_broken_" #broken_isa,                                               \
   "",                                                                                     \
   (martlet_any_function)broken_function,                                                  \
   id,                                                                                     \
   MARTLET_NUMERIC_PORTABLE,                                                               \
   0}

const martlet_entry martlet_broken_entries[] = {
    BROKEN(add_f32, one_ulp_off, add_one_ulp_off, MARTLET_OPERATION_add_f32),
    BROKEN(add_f32, reads_past_the_end, add_reads_past_the_end, MARTLET_OPERATION_add_f32),
    BROKEN(add_f32, reads_before_the_start, add_reads_before_the_start, MARTLET_OPERATION_add_f32),
    BROKEN(add_f32, writes_past_the_end, add_writes_past_the_end, MARTLET_OPERATION_add_f32),
    BROKEN(add_f32, writes_to_its_input, add_writes_to_its_input, MARTLET_OPERATION_add_f32),
    BROKEN(add_f32, is_illegal, add_is_illegal, MARTLET_OPERATION_add_f32),
    BROKEN(rms_norm_f32, another_order, norm_sums_in_another_order,
           MARTLET_OPERATION_rms_norm_f32),
    BROKEN(rms_norm_f32, mixes_rows, norm_mixes_rows, MARTLET_OPERATION_rms_norm_f32),
    BROKEN(rms_norm_f32, writes_between_rows, norm_writes_between_rows,
           MARTLET_OPERATION_rms_norm_f32),
    BROKEN(unchecked_f32, has_no_check, add_one_ulp_off, MARTLET_OPERATION_COUNT),
};
const size_t martlet_broken_entry_count =
    sizeof(martlet_broken_entries) / sizeof(martlet_broken_entries[0]);

/// Failures and comparisons.
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void check_describe(martlet_check *check, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(check->description, sizeof check->description, format, arguments);
  va_end(arguments);
}

void check_fail(martlet_check *check, const char *format, ...) {
  if (check->failures++ > 0) return;
  int used = snprintf(check->message, sizeof check->message, "%s%s: ", check->description,
                      check->placement == CHECK_AT_END ? "" : ", buffers at the start of a page");
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(check->message + used, sizeof check->message - (size_t)used, format, arguments);
  va_end(arguments);
}

static int same_bits(float a, float b) { return memcmp(&a, &b, 4) == 0 || (a != a && b != b); }

void check_same_bits(martlet_check *check, const float *expected, const float *actual, size_t rows,
                     size_t width, size_t stride) {
  for (size_t row = 0; row < rows; ++row) {
    const float *want = expected + row * stride, *got = actual + row * stride;
    for (size_t i = 0; i < width; ++i) {
      if (same_bits(want[i], got[i])) continue;
      check_fail(check, "row %zu element %zu is %a, expected %a", row, i,
                 (double)got[i], (double)want[i]);
      return;
    }
    if (row + 1 < rows && !check_untouched(got + width, (stride - width) * sizeof(float))) {
      check_fail(check, "wrote between row %zu and the next", row);
      return;
    }
  }
}

void check_same_bytes(martlet_check *check, const void *expected, const void *actual,
                      size_t bytes) {
  const unsigned char *want = expected, *got = actual;
  for (size_t i = 0; i < bytes; ++i) {
    if (want[i] == got[i]) continue;
    check_fail(check, "byte %zu is 0x%02x, expected 0x%02x", i, got[i], want[i]);
    return;
  }
}

void check_close(martlet_check *check, const char *tolerance_name, double expected, float actual,
                 double tolerance) {
  const double got = (double)actual;
  if (isnan(expected) ? isnan(got) : got == expected || fabs(got - expected) <= tolerance) return;
  check_fail(check, "%.9g is not within %.3g (%s) of %.17g", got, tolerance, tolerance_name,
             expected);
}

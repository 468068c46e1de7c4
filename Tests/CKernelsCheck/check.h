/// How a family's checks are written.
///
/// One file per family, check_<family>.c, defines
///
///     const martlet_check_operation martlet_check_<family>_operations[] = {
///         {"rms_norm_f32", cases, case_count, time_rms_norm}, …
///     };
///     const size_t martlet_check_<family>_operation_count = …;
///
/// and is named in families.c. The names must be those of the family's list; the variants come from
/// the list. The harness calls each case once per runnable variant. A case is a function that
///   - draws shapes and inputs with check_random… and check_fill (all follow from the seed),
///   - takes memory from check_buffer: guard pages on both sides, its end (or start) against the
///     guard by `check->placement`, poison outside; seals inputs with check_seal_inputs,
///   - describes what it is about to do with check_describe (this becomes the failure message),
///   - calls check->reference->function and check->entry->function, each on its own output, inside
///     CHECK_CALL, and
///   - compares with check_same_bits (portable class) or check_close (a named tolerance), which
///     count runs and failures; check_poison looks at what surrounds a buffer.
/// Case functions run twice, once for each placement. A case marked `reference_only` runs for the
/// reference alone: it compares it with float64. A timing function prepares inputs with
/// check_buffer, fills in `martlet_check_timing` and hands one call to check_time.
#ifndef MARTLET_TESTS_CHECK_H
#define MARTLET_TESTS_CHECK_H

// mmap, sigaction and sigsetjmp under -std=c17. So this header comes first in every file.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "dispatch/families.h"

#include "martlet_check.h"

#include <setjmp.h>
#include <stdarg.h>

/// Where a buffer touches its guard pages.
typedef enum check_placement { CHECK_AT_END, CHECK_AT_START } check_placement;

enum { CHECK_MESSAGE = 320, CHECK_DESCRIPTION = 160, CHECK_BUFFERS = 24 };

/// One buffer between guard pages.
typedef struct check_guarded {
  unsigned char *area;    ///< The writable pages.
  size_t area_bytes;
  unsigned char *start;   ///< The buffer inside them.
  size_t bytes;
  const char *name;
  int sealed;
} check_guarded;

/// One case of one variant.
typedef struct martlet_check {
  const martlet_entry *entry;
  const martlet_entry *reference;  ///< Of the same operation; equal to `entry` when it is the one.
  check_placement placement;
  uint64_t random;                 ///< State of the generator.
  uint64_t runs, failures;
  char description[CHECK_DESCRIPTION];
  char message[CHECK_MESSAGE];
  check_guarded buffers[CHECK_BUFFERS];
  int buffer_count;                ///< In use by the present run.
  sigjmp_buf escape;               ///< Where a fault inside CHECK_CALL goes.
  sigjmp_buf out_of_memory;
  double timing_seconds;
} martlet_check;

typedef struct martlet_check_case {
  const char *name;
  void (*run)(martlet_check *check);
  int reference_only;
} martlet_check_case;

/// What a timing measures.
typedef struct martlet_check_timing {
  char shape[64];
  double bytes;       ///< Read and written per call.
  double operations;  ///< Floating-point operations per call.
  int compute_bound;  ///< Which limit is meant: multiply-adds (1) or a copy (0).
  double nanoseconds, reference_nanoseconds;
} martlet_check_timing;

typedef struct martlet_check_operation {
  const char *operation;
  const martlet_check_case *cases;
  size_t case_count;
  void (*time)(martlet_check *check, martlet_check_timing *timing);
} martlet_check_operation;

/// Checks of one family.
typedef struct martlet_check_family {
  const martlet_check_operation *operations;
  const size_t *count;
} martlet_check_family;
extern const martlet_check_family martlet_check_families[];
extern const size_t martlet_check_family_count;

// ---- random inputs ------------------------------------------------------------------------------

/// Uniform 64 bits.
uint64_t check_random(martlet_check *check);
/// Uniform in 0 ..< bound; bound > 0.
size_t check_below(martlet_check *check, size_t bound);
/// Uniform in [-1, 1).
float check_uniform(martlet_check *check);
/// About normal: mean 0, variance 1.
float check_normal(martlet_check *check);

/// Kinds of float32 inputs.
typedef enum check_kind {
  CHECK_NORMAL,       ///< About N(0, 1).
  CHECK_WIDE,         ///< Magnitudes from 2⁻⁴⁰ to 2⁴⁰, both signs.
  CHECK_EQUAL,        ///< One value everywhere.
  CHECK_ZEROS,        ///< +0 and -0.
  CHECK_SUBNORMAL,    ///< Subnormal numbers and zeros.
  CHECK_HUGE,         ///< Near the largest finite number.
  CHECK_CANCELLING,   ///< Large pairs of opposite sign among small numbers.
  CHECK_ONE_NAN,      ///< Normal with one NaN.
  CHECK_ONE_INFINITY, ///< Normal with one +inf or -inf.
  CHECK_INFINITIES,   ///< Many infinities of both signs.
  CHECK_ALL_LOWEST,   ///< -inf everywhere.
  CHECK_BITS,         ///< Any bit pattern.
  CHECK_KIND_COUNT
} check_kind;
const char *check_kind_name(check_kind kind);
void check_fill(martlet_check *check, check_kind kind, float *values, size_t count);

/// The lengths every kernel is tried with: 0 to 33 (twice 16 lanes plus one) and some larger.
extern const size_t check_lengths[];
extern const size_t check_length_count;

// ---- memory -------------------------------------------------------------------------------------

/// Forgets the run's buffers, so that check_buffer hands their memory out again.
void check_new_run(martlet_check *check);
/// `bytes` between guard pages, surrounded and filled with poison. At the end placement the last
/// byte touches the guard, so starts are misaligned as lengths will have it. At the start placement
/// the first byte lies `offset` bytes from the guard.
void *check_buffer(martlet_check *check, const char *name, size_t bytes, size_t offset);
/// As check_buffer, aligned to 64 bytes at both placements, as packed data is promised to be: at
/// the end placement up to 63 bytes lie between it and the guard and are watched as poison.
void *check_aligned_buffer(martlet_check *check, const char *name, size_t bytes);
/// Makes a buffer read-only, so that a kernel which writes to it faults.
void check_seal(martlet_check *check, const void *buffer);
/// Fails unless all poison around all buffers of the run is as it was.
void check_poison(martlet_check *check);
/// Whether `bytes` bytes from `p` on are still as check_buffer left them.
int check_untouched(const void *p, size_t bytes);

// ---- running and comparing ----------------------------------------------------------------------

/// Says what is about to run, for the message of a failure.
void check_describe(martlet_check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/// Counts a failure and keeps the first one's words.
void check_fail(martlet_check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void check_guarded_begin(martlet_check *check);
void check_guarded_end(martlet_check *check);
/// Runs a statement; a fault in it is a failure. Evaluates to nothing; the variant is counted.
#define CHECK_CALL(check, statement)                       \
  do {                                                     \
    ++(check)->runs;                                       \
    if (sigsetjmp((check)->escape, 0) == 0) {              \
      check_guarded_begin(check);                          \
      statement;                                           \
    }                                                      \
    check_guarded_end(check);                              \
  } while (0)

/// `rows` rows of `width` floats, `stride` apart: bit-identical (any NaN equals any NaN), and the
/// gaps between rows untouched in `actual`.
void check_same_bits(martlet_check *check, const float *expected, const float *actual, size_t rows,
                     size_t width, size_t stride);
/// Bytes identical.
void check_same_bytes(martlet_check *check, const void *expected, const void *actual, size_t bytes);
/// |actual - expected| ≤ tolerance, and NaN exactly where expected is NaN, infinities equal.
/// `tolerance_name` says where the bound comes from.
void check_close(martlet_check *check, const char *tolerance_name, double expected, float actual,
                 double tolerance);

/// Times `call(context, function)` for the variant and for the reference, in turns.
void check_time(martlet_check *check, martlet_check_timing *timing,
                void (*call)(void *context, martlet_any_function function), void *context);

/// Nanoseconds to copy `bytes / 2` bytes (so `bytes` are read and written) within cache.
double check_copy_nanoseconds(double bytes);
/// Peak fused multiply-adds of one core, counted as two operations each, per second.
double check_peak_operations(void);

/// Half a unit in the last place of 1, the rounding error of one float32 operation.
#define CHECK_EPSILON 0x1p-24

#endif

/// Checks every kernel variant that this CPU can run against the reference, and the reference
/// against float64. The library prints nothing: results come through a callback.
///
/// The checks come from the same lists that dispatch uses, so a listed variant is checked and timed
/// without further registration, and a listed operation that has no check is a failure.
///
/// Runs in one process wait for each other. While one runs it catches SIGSEGV, SIGBUS and SIGILL on
/// its own thread, so that a kernel which leaves its buffers is a reported failure; faults of other
/// threads go to the handler that was there before. Do not start a run from a callback.
#ifndef MARTLET_CHECK_H
#define MARTLET_CHECK_H

#include <martlet/common.h>

typedef enum martlet_check_outcome {
  MARTLET_CHECK_PASSED = 0,
  MARTLET_CHECK_FAILED = 1,
  /// The CPU, or MARTLET_ISA, does not let this variant run; `message` says why.
  MARTLET_CHECK_SKIPPED = 2,
} martlet_check_outcome;

/// What one check case, or the timing, of one variant gave. Strings live forever, except `message`
/// and `timing_case`, which live during the callback.
typedef struct martlet_check_result {
  uint32_t size;             ///< sizeof(martlet_check_result).
  int32_t outcome;           ///< martlet_check_outcome.
  const char *family;        ///< `norm`, …
  const char *operation;     ///< `rms_norm_f32`, …
  const char *isa;           ///< `avx512`, …
  const char *variant;       ///< `rms_norm_f32_avx512`, …
  const char *check_case;    ///< `lengths`, `special values`, …; `timing` for a timing.
  int32_t numeric_class;     ///< martlet_numeric_class.
  int32_t serving;           ///< 1 if dispatch chose this variant.
  uint64_t seed;             ///< Replays the case: same seed and a filter that names the variant.
  uint64_t runs;             ///< Calls of the variant that were compared.
  uint64_t failures;         ///< How many of them were wrong.
  const char *message;       ///< The first failure in words, or the reason for a skip; else empty.

  // Timings, zero in other cases.
  const char *timing_case;   ///< Shape, as `1 × 4096`.
  double nanoseconds;        ///< Per call, best of several batches.
  double reference_nanoseconds;
  double speedup;            ///< reference_nanoseconds / nanoseconds.
  double gigabytes_per_second;
  double gigaflops;
  /// Part of a limit measured in this run: of a memory copy of as many bytes for kernels bound by
  /// loads and stores, of the peak of fused multiply-adds for the others.
  double fraction_of_limit;
} martlet_check_result;

/// Set `size` to sizeof(martlet_check_options); zero elsewhere means the default.
typedef struct martlet_check_options {
  uint32_t size;
  uint32_t flags;            ///< martlet_check_flags.
  uint64_t seed;             ///< All random inputs follow from it.
  /// Only variants whose family, operation, isa or name contains one of these parts, separated by
  /// commas; null or empty for all.
  const char *filter;
  double timing_seconds;     ///< Per timed variant, 0.01 by default.
} martlet_check_options;

typedef enum martlet_check_flags {
  MARTLET_CHECK_SKIP_TIMINGS = 1u << 0,
  MARTLET_CHECK_ONLY_TIMINGS = 1u << 1,
  /// Adds variants that are wrong on purpose, one per kind of mistake, and an operation that has no
  /// check. Each must fail: this is the check of the checks. Their isa starts with `broken_`.
  MARTLET_CHECK_INCLUDE_BROKEN = 1u << 2,
} martlet_check_flags;

/// What a run came to.
typedef struct martlet_check_summary {
  uint32_t size;             ///< sizeof(martlet_check_summary).
  uint32_t variants;         ///< Variants that the filter matched.
  uint32_t skipped;          ///< Of those, not runnable here.
  uint32_t failed;           ///< Of those, with at least one failed case.
  uint64_t runs;
} martlet_check_summary;

/// Called for each result, on the calling thread.
typedef void (*martlet_check_callback)(void *context, const martlet_check_result *result);

/// Runs the checks. MARTLET_OK when all ran (see `summary->failed` for whether they passed),
/// MARTLET_E_ARGUMENT for null or mis-sized arguments, MARTLET_E_NOT_FOUND when the filter matches
/// nothing, MARTLET_E_MEMORY. `summary` may be null. Blocks for some seconds.
MARTLET_EXTERN martlet_status martlet_check_run(const martlet_check_options *options,
                                                martlet_check_callback callback, void *context,
                                                martlet_check_summary *summary);

#endif

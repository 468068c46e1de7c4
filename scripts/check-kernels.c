/// Runs the kernel checks and prints one line per result: check-kernels [filter [seed]].
#include <martlet_check.h>
#include <stdio.h>
#include <stdlib.h>

static void print(void *context, const martlet_check_result *result) {
  (void)context;
  if (result->outcome == MARTLET_CHECK_SKIPPED) {
    printf("skip  %-32s %s\n", result->variant, result->message);
  } else if (result->outcome == MARTLET_CHECK_FAILED) {
    printf("FAIL  %-32s %-18s %llu of %llu: %s\n", result->variant, result->check_case,
           (unsigned long long)result->failures, (unsigned long long)result->runs,
           result->message);
  } else if (result->nanoseconds > 0) {
    printf("time  %-32s %-30s %11.0f ns %7.2f×\n", result->variant, result->timing_case,
           result->nanoseconds, result->speedup);
  } else {
    printf("ok    %-32s %-18s %llu\n", result->variant, result->check_case,
           (unsigned long long)result->runs);
  }
}

int main(int count, char **arguments) {
  martlet_check_options options = {.size = sizeof options};
  options.filter = count > 1 ? arguments[1] : NULL;
  options.seed = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
  // Timings under an emulator say nothing about the processor.
  options.flags = getenv("MARTLET_CHECK_TIMINGS") ? 0 : MARTLET_CHECK_SKIP_TIMINGS;
  martlet_check_summary summary = {.size = sizeof summary};
  martlet_status status = martlet_check_run(&options, print, NULL, &summary);
  printf("%u variants, %u skipped, %u failed, %llu runs, seed %llu: %s\n", summary.variants,
         summary.skipped, summary.failed, (unsigned long long)summary.runs,
         (unsigned long long)options.seed, martlet_status_name(status));
  return status != MARTLET_OK || summary.failed > 0;
}

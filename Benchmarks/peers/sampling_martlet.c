/// Martlet's sampling kernel on rows of logits, for sampling.py, in the manner of sampling_llama.c.
/// Uses the public C header alone.
#include <martlet/sampling.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(void) {
  char path[1024], text[256];
  int vocabulary, calls;
  while (scanf("%1023s %d %255s %d", path, &vocabulary, text, &calls) == 4) {
    const size_t width = (size_t)vocabulary;
    float *logits = aligned_alloc(64, (width * sizeof *logits + 63) / 64 * 64);
    void *scratch = aligned_alloc(64, (martlet_sampling_scratch(width) + 63) / 64 * 64);
    FILE *file = fopen(path, "rb");
    if (!logits || !scratch || !file || fread(logits, sizeof *logits, width, file) != width) {
      fprintf(stderr, "sampling_martlet: cannot read %d logits from %s\n", vocabulary, path);
      return 1;
    }
    fclose(file);
    memset(scratch, 0, martlet_sampling_scratch(width));
    martlet_sampling_rules rules = martlet_sampling_rules_plain();
    martlet_token_penalty penalties[64];
    for (char *step = strtok(text, "+"); step; step = strtok(NULL, "+")) {
      const float value = strtof(step + 1, NULL);
      if (!strcmp(step, "penalties")) {
        for (uint32_t i = 0; i < 64; ++i)
          penalties[i] = (martlet_token_penalty){(i * 1999 + 3) % (uint32_t)vocabulary, 1, 0};
        rules.penalties = penalties;
        rules.penalty_count = 64;
        rules.repetition = 1.1f;
        rules.frequency = 0.1f;
      } else if (*step == 'k') {
        rules.top_k = (uint32_t)value;
      } else if (*step == 'p') {
        rules.top_p = value;
      } else if (*step == 'm') {
        rules.min_p = value;
      } else if (*step == 't') {
        rules.temperature = value;
      } else if (*step == 's') {
        rules.top_n_sigma = value;
      } else {
        fprintf(stderr, "sampling_martlet: step '%s' is not known\n", step);
        return 2;
      }
    }
    double *samples = malloc((size_t)calls * sizeof *samples);
    for (int i = 0; i < calls; ++i) {
      const double start = now();
      const double uniform = (double)(i * 7919 % 10007) / 10007;
      uint32_t token;
      martlet_sampling_draw draw = {.size = sizeof draw, .count = 1};
      draw.uniforms = &uniform;
      draw.tokens = &token;
      martlet_sampled sampled = {.size = sizeof sampled};
      const martlet_status status =
          martlet_logits_sample_f32(width, logits, &rules, &draw, scratch, &sampled);
      samples[i] = now() - start;
      if (status != MARTLET_OK || sampled.clean != 1) {
        fprintf(stderr, "sampling_martlet: %s, clean %u\n", martlet_status_name(status),
                sampled.clean);
        return 1;
      }
    }
    for (int i = 1; i < calls; ++i)
      for (int j = i; j > 0 && samples[j - 1] > samples[j]; --j) {
        const double swap = samples[j];
        samples[j] = samples[j - 1];
        samples[j - 1] = swap;
      }
    printf("%.0f\n", samples[calls / 2]);
    fflush(stdout);
    free(samples);
    free(scratch);
    free(logits);
  }
  return 0;
}

/// llama.cpp's samplers on rows of logits, for sampling.py. Reads lines "ROWS.f32 VOCAB CHAIN CALLS"
/// from standard input, CHAIN a word of sampling.py's; answers each with nanoseconds per token.
/// A token's time is what llama_sampler_sample spends after the model: filling the candidates from
/// the logits, the chain, the draw, and accepting the token.
#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/// Steps separated by '+': k40 p0.95 m0.05 t0.8 s1 (top-nσ) penalties.
static struct llama_sampler *chain_of(char *text, int vocabulary) {
  struct llama_sampler *chain =
      llama_sampler_chain_init(llama_sampler_chain_default_params());
  for (char *step = strtok(text, "+"); step; step = strtok(NULL, "+")) {
    const float value = strtof(step + 1, NULL);
    struct llama_sampler *sampler = NULL;
    if (!strcmp(step, "penalties"))
      sampler = llama_sampler_init_penalties(vocabulary, 64, 1.1f, 0.1f, 0.0f);
    else if (*step == 'k') sampler = llama_sampler_init_top_k((int)value);
    else if (*step == 'p') sampler = llama_sampler_init_top_p(value, 1);
    else if (*step == 'm') sampler = llama_sampler_init_min_p(value, 1);
    else if (*step == 't') sampler = llama_sampler_init_temp(value);
    else if (*step == 's') sampler = llama_sampler_init_top_n_sigma(value);
    if (!sampler) {
      fprintf(stderr, "sampling_llama: step '%s' is not known\n", step);
      exit(2);
    }
    llama_sampler_chain_add(chain, sampler);
  }
  llama_sampler_chain_add(chain, llama_sampler_init_dist(1));
  return chain;
}

int main(void) {
  char path[1024], text[256];
  int vocabulary, calls;
  while (scanf("%1023s %d %255s %d", path, &vocabulary, text, &calls) == 4) {
    float *logits = malloc((size_t)vocabulary * sizeof *logits);
    llama_token_data *data = malloc((size_t)vocabulary * sizeof *data);
    FILE *file = fopen(path, "rb");
    if (!logits || !data || !file ||
        fread(logits, sizeof *logits, (size_t)vocabulary, file) != (size_t)vocabulary) {
      fprintf(stderr, "sampling_llama: cannot read %d logits from %s\n", vocabulary, path);
      return 1;
    }
    fclose(file);
    struct llama_sampler *chain = chain_of(text, vocabulary);
    // The penalties' window is full of distinct tokens.
    for (int i = 0; i < 64; ++i) llama_sampler_accept(chain, (i * 1999 + 3) % vocabulary);
    double *samples = malloc((size_t)calls * sizeof *samples);
    for (int i = 0; i < calls; ++i) {
      const double start = now();
      for (int token = 0; token < vocabulary; ++token)
        data[token] = (llama_token_data){token, logits[token], 0.0f};
      llama_token_data_array array = {data, (size_t)vocabulary, -1, false};
      llama_sampler_apply(chain, &array);
      llama_sampler_accept(chain, array.data[array.selected].id);
      samples[i] = now() - start;
    }
    for (int i = 1; i < calls; ++i)
      for (int j = i; j > 0 && samples[j - 1] > samples[j]; --j) {
        const double swap = samples[j];
        samples[j] = samples[j - 1];
        samples[j - 1] = swap;
      }
    printf("%.0f\n", samples[calls / 2]);
    fflush(stdout);
    llama_sampler_free(chain);
    free(samples);
    free(data);
    free(logits);
  }
  return 0;
}

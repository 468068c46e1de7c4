/// What the peers' C programs share: a clock, samples in turns, and rows as `martlet bench` prints them.
#ifndef MARTLET_PEERS_TIMING_H
#define MARTLET_PEERS_TIMING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { most_samples = 1000 };

static inline double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static inline int ascending(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/// Prints the keys of times, without braces.
static inline void print_samples(const double *samples, int count) {
  double sorted[most_samples];
  memcpy(sorted, samples, sizeof(double) * (size_t)count);
  qsort(sorted, (size_t)count, sizeof(double), ascending);
  double median =
      count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
  printf("\"median_ns\": %.0f, \"min_ns\": %.0f, \"samples_ns\": [", median, sorted[0]);
  for (int i = 0; i < count; ++i) printf("%s%.0f", i ? ", " : "", samples[i]);
  printf("]");
}

/// Positive numbers separated by commas; returns how many, or exits with 64.
static inline int parse_list(const char *program, const char *list, long *values, int most) {
  int count = 0;
  for (char *end; *list && count < most; list = *end == ',' ? end + 1 : end) {
    values[count] = strtol(list, &end, 10);
    if (end == list || values[count] < 1) {
      fprintf(stderr, "%s: '%s' is no list of positive numbers\n", program, list);
      exit(64);
    }
    ++count;
  }
  return count;
}

#endif

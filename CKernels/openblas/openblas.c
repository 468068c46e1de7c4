#define _GNU_SOURCE  // setenv(3) under -std=c17.
#include "openblas/openblas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static martlet_sgemm *sgemm;

/// The first name is the ABI this file is written for; the second is a build from source.
static const char *const names[] = {"libopenblas.so.0", "libopenblas.so"};

static void load(void) {
  // Read when the library is loaded, and then alone: later calls can only lower the number of
  // threads in use, not undo the pool. Martlet's own threads split the columns.
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
    void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) continue;
    // POSIX lets an object pointer from dlsym be a function; ISO C has no cast for it.
    union {
      void *object;
      martlet_sgemm *sgemm;
      void (*set_threads)(int);
    } product = {dlsym(library, "cblas_sgemm")},
      threads = {dlsym(library, "openblas_set_num_threads")};
    if (product.object && threads.object) {
      // The program may have loaded it before us, with a pool of its own.
      threads.set_threads(1);
      sgemm = product.sgemm;
      return;
    }
    dlclose(library);
  }
}

martlet_sgemm *martlet_openblas_sgemm(void) {
  pthread_once(&once, load);
  return sgemm;
}

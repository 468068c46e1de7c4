#include <hwloc.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/// Tells the core that this is a spin loop. Swift has no public spelling for the instruction.
static inline void martlet_spin_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

/// A GNU extension that Swift's Glibc module leaves out; declared as pthread.h does.
extern int pthread_setname_np(pthread_t thread, const char *name);

/// As sched.h declares it, likewise left out.
extern int sched_getcpu(void);

/// Swift imports no variadic functions, so system calls without a wrapper in glibc come from here.
static inline int32_t martlet_thread_id(void) { return (int32_t)syscall(SYS_gettid); }

/// Sleeps while `*word` is `expected`, at most `nanoseconds` (0: no limit), or until woken. Returns
/// early for signals; the caller looks at its condition again in any case.
static inline void martlet_futex_wait(uint32_t *word, uint32_t expected, uint64_t nanoseconds) {
  enum { FUTEX_WAIT_PRIVATE_OPERATION = 0 | 128 };
  struct timespec limit = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE_OPERATION, expected, nanoseconds ? &limit : 0, 0, 0);
}

/// Wakes everybody who sleeps on `word`.
static inline void martlet_futex_wake_all(uint32_t *word) {
  enum { FUTEX_WAKE_PRIVATE_OPERATION = 1 | 128 };
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE_OPERATION, INT32_MAX, 0, 0, 0);
}

static inline uint32_t martlet_atomic_load(const uint32_t *word) {
  return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline void martlet_atomic_store(uint32_t *word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static inline uint32_t martlet_atomic_exchange(uint32_t *word, uint32_t value) {
  return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}

static inline void martlet_atomic_increment(uint32_t *word) {
  __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
}

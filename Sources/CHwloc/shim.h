#include <hwloc.h>
#include <pthread.h>

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

// Turns on a lane: seen at once while both sides are awake, by a futex when one sleeps.
#define _GNU_SOURCE
#include "channel.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/// How long a side looks on without giving its CPU to others that want it: several short calls.
static const uint64_t own_nanoseconds = 10000;

uint64_t martlet_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void rest(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

void martlet_lane_give(lane *lane, uint32_t to) {
  // Sequentially consistent on both sides: either the waiter sees the turn or we see it sleeping.
  atomic_store(&lane->turn, to);
  _Atomic uint32_t *sleeps = to == TURN_HOST ? &lane->host_sleeps : &lane->plugin_sleeps;
  if (atomic_load(sleeps)) syscall(SYS_futex, &lane->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

bool martlet_lane_wait(lane *lane, uint32_t for_whom, uint64_t look, uint64_t nanoseconds) {
  uint64_t began = 0;
  for (uint32_t looks = 1;; ++looks) {
    if (atomic_load_explicit(&lane->turn, memory_order_acquire) == for_whom) return true;
    rest();
    if (looks % 64 != 0) continue;
    uint64_t now = martlet_clock();
    if (began == 0) began = now;
    if (now - began >= look) break;
    if (now - began > own_nanoseconds) sched_yield();
  }
  _Atomic uint32_t *sleeps = for_whom == TURN_HOST ? &lane->host_sleeps : &lane->plugin_sleeps;
  bool came = false;
  atomic_store(sleeps, 1);
  for (;;) {
    uint32_t turn = atomic_load(&lane->turn);
    if (turn == for_whom) {
      came = true;
      break;
    }
    struct timespec left, *limit = NULL;
    if (nanoseconds > 0) {
      uint64_t gone = martlet_clock() - began;
      if (gone >= nanoseconds) break;
      left.tv_sec = (time_t)((nanoseconds - gone) / 1000000000u);
      left.tv_nsec = (long)((nanoseconds - gone) % 1000000000u);
      limit = &left;
    }
    syscall(SYS_futex, &lane->turn, FUTEX_WAIT, turn, limit, NULL, 0);
  }
  atomic_store(sleeps, 0);
  return came;
}

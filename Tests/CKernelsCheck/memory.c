/// Guarded, poisoned buffers, and faults turned into failures.
#include "check.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { poison = 0xa5, poison_window = 256 };

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

void check_new_run(martlet_check *check) { check->buffer_count = 0; }

/// Gives the slot at least `bytes` writable bytes between two inaccessible pages.
static void reserve(martlet_check *check, check_guarded *slot, size_t bytes) {
  const size_t page = page_bytes();
  if (slot->area && slot->area_bytes >= bytes) {
    if (slot->sealed) mprotect(slot->area, slot->area_bytes, PROT_READ | PROT_WRITE);
    slot->sealed = 0;
    return;
  }
  if (slot->area) munmap(slot->area - page, slot->area_bytes + 2 * page);
  slot->area = NULL;
  slot->sealed = 0;
  const size_t usable = (bytes + page - 1) / page * page;
  unsigned char *all =
      mmap(NULL, usable + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) siglongjmp(check->out_of_memory, 1);
  if (mprotect(all + page, usable, PROT_READ | PROT_WRITE)) {
    munmap(all, usable + 2 * page);
    siglongjmp(check->out_of_memory, 1);
  }
  slot->area = all + page;
  slot->area_bytes = usable;
}

/// The poisoned stretch around a buffer that check_poison looks at.
static void window(const check_guarded *slot, unsigned char **low, unsigned char **high) {
  const size_t before = (size_t)(slot->start - slot->area);
  const size_t after = (size_t)(slot->area + slot->area_bytes - slot->start) - slot->bytes;
  *low = slot->start - (before < poison_window ? before : poison_window);
  *high = slot->start + slot->bytes + (after < poison_window ? after : poison_window);
}

static void *place(martlet_check *check, const char *name, size_t bytes, size_t before,
                   size_t after) {
  if (check->buffer_count == CHECK_BUFFERS) siglongjmp(check->out_of_memory, 1);
  check_guarded *slot = &check->buffers[check->buffer_count++];
  reserve(check, slot, bytes + before + after + 1);
  slot->start = check->placement == CHECK_AT_END ? slot->area + slot->area_bytes - bytes - after
                                                 : slot->area + before;
  slot->bytes = bytes;
  slot->name = name;
  unsigned char *low, *high;
  window(slot, &low, &high);
  memset(low, poison, (size_t)(high - low));
  return slot->start;
}

void *check_buffer(martlet_check *check, const char *name, size_t bytes, size_t offset) {
  return place(check, name, bytes, offset, 0);
}

void *check_aligned_buffer(martlet_check *check, const char *name, size_t bytes) {
  // The area's end is page-aligned, so this keeps the start a multiple of 64.
  return place(check, name, bytes, 0, (64 - bytes % 64) % 64);
}

void check_seal(martlet_check *check, const void *buffer) {
  for (int i = 0; i < check->buffer_count; ++i) {
    check_guarded *slot = &check->buffers[i];
    if (slot->start != buffer) continue;
    mprotect(slot->area, slot->area_bytes, PROT_READ);
    slot->sealed = 1;
  }
}

int check_untouched(const void *p, size_t bytes) {
  const unsigned char *at = p;
  for (size_t i = 0; i < bytes; ++i)
    if (at[i] != poison) return 0;
  return 1;
}

void check_poison(martlet_check *check) {
  for (int i = 0; i < check->buffer_count; ++i) {
    const check_guarded *slot = &check->buffers[i];
    unsigned char *low, *high;
    window(slot, &low, &high);
    for (unsigned char *p = low; p < high; ++p) {
      if (p == slot->start) p += slot->bytes;
      if (p >= high) break;
      if (*p == poison) continue;
      check_fail(check, "wrote %td bytes %s '%s'",
                 p < slot->start ? slot->start - p : p - slot->start - (ptrdiff_t)slot->bytes,
                 p < slot->start ? "before" : "past the end of", slot->name);
      return;
    }
  }
}

// ---- faults -------------------------------------------------------------------------------------

static _Thread_local martlet_check *running;
static _Thread_local volatile uintptr_t fault_address;
static _Thread_local volatile int fault_signal;
static struct sigaction previous[3];
static const int caught[3] = {SIGSEGV, SIGBUS, SIGILL};

static void on_fault(int number, siginfo_t *information, void *context) {
  (void)context;
  if (running) {
    fault_address = (uintptr_t)information->si_addr;
    fault_signal = number;
    siglongjmp(running->escape, 1);
  }
  // Not ours: put the earlier handler back and let the instruction fault again.
  for (int i = 0; i < 3; ++i)
    if (caught[i] == number) sigaction(number, &previous[i], NULL);
}

void martlet_check_catch_faults(void);
void martlet_check_release_faults(void);

void martlet_check_catch_faults(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  // Not deferred: the handler leaves by a jump that does not restore the signal mask, which would
  // cost a system call for every kernel call.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int i = 0; i < 3; ++i) sigaction(caught[i], &action, &previous[i]);
}

void martlet_check_release_faults(void) {
  for (int i = 0; i < 3; ++i) sigaction(caught[i], &previous[i], NULL);
}

void check_guarded_begin(martlet_check *check) {
  fault_signal = 0;
  running = check;
}

void check_guarded_end(martlet_check *check) {
  running = NULL;
  if (!fault_signal) return;
  const int number = fault_signal;
  fault_signal = 0;
  if (number == SIGILL) {
    check_fail(check, "illegal instruction");
    return;
  }
  const uintptr_t page = page_bytes(), address = fault_address;
  for (int i = 0; i < check->buffer_count; ++i) {
    const check_guarded *slot = &check->buffers[i];
    uintptr_t area = (uintptr_t)slot->area, start = (uintptr_t)slot->start;
    if (address < area - page || address >= area + slot->area_bytes + page) continue;
    if (address < start)
      check_fail(check, "touched memory %zu bytes before '%s'", (size_t)(start - address),
                 slot->name);
    else if (address < start + slot->bytes)
      check_fail(check, "wrote to input '%s' at byte %zu", slot->name, (size_t)(address - start));
    else
      check_fail(check, "touched memory %zu bytes past the end of '%s'",
                 (size_t)(address - start - slot->bytes), slot->name);
    return;
  }
  check_fail(check, "touched memory outside all buffers");
}

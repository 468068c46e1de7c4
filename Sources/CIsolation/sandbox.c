// Landlock for files, seccomp for system calls, limits for memory.
//
// Writing to files, making processes and making sockets are single system calls, so seccomp stops
// them, notes them and lets them fail with EPERM; a plugin that goes on after that is ended at its
// next call of the host. Which files may be read depends on paths, which only landlock sees; those
// that may not be read fail with EACCES and are not noted, because libraries look for files that
// are not there all the time. Landlock also stops writing a second time, where seccomp sees no
// path.
#define _GNU_SOURCE
#include "sandbox.h"

#include "martlet_isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

// MARK: What is forbidden without which permission

typedef struct named_call {
  int number;
  const char *name;
} named_call;

#define CALL(name) {__NR_##name, #name},

static const named_call file_calls[] = {
    CALL(mkdirat) CALL(mknodat) CALL(unlinkat) CALL(renameat2) CALL(linkat) CALL(symlinkat)
    CALL(truncate) CALL(fchmod) CALL(fchmodat) CALL(fchown) CALL(fchownat) CALL(utimensat)
    CALL(setxattr) CALL(lsetxattr) CALL(fsetxattr) CALL(removexattr) CALL(lremovexattr)
    CALL(fremovexattr)
#ifdef __NR_fchmodat2
    CALL(fchmodat2)
#endif
#ifdef __NR_renameat
    CALL(renameat)
#endif
#if defined(__x86_64__)
    CALL(mkdir) CALL(rmdir) CALL(mknod) CALL(unlink) CALL(rename) CALL(link) CALL(symlink)
    CALL(chmod) CALL(chown) CALL(lchown) CALL(utime) CALL(utimes) CALL(futimesat) CALL(creat)
#endif
};

static const named_call process_calls[] = {
    CALL(execve) CALL(execveat)
#if defined(__x86_64__)
    CALL(fork) CALL(vfork)
#endif
};

/// What no plugin may: to reach into other processes, or to change the system.
static const named_call never_calls[] = {
    CALL(ptrace) CALL(process_vm_readv) CALL(process_vm_writev) CALL(kcmp) CALL(mount)
    CALL(umount2) CALL(pivot_root) CALL(chroot) CALL(setns) CALL(unshare) CALL(bpf)
    CALL(perf_event_open) CALL(userfaultfd) CALL(keyctl) CALL(add_key) CALL(request_key)
    CALL(init_module) CALL(finit_module) CALL(delete_module) CALL(kexec_load) CALL(reboot)
    CALL(swapon) CALL(swapoff) CALL(open_by_handle_at) CALL(quotactl) CALL(acct)
    CALL(settimeofday) CALL(clock_settime) CALL(clock_adjtime) CALL(adjtimex)
    CALL(sethostname) CALL(setdomainname) CALL(shmget) CALL(shmat) CALL(semget) CALL(msgget)
    CALL(mq_open) CALL(mq_unlink) CALL(tkill) CALL(rt_sigqueueinfo) CALL(rt_tgsigqueueinfo)
    CALL(io_uring_setup) CALL(io_uring_enter) CALL(io_uring_register) CALL(pidfd_send_signal)
#ifdef __NR_pidfd_getfd
    CALL(pidfd_getfd)
#endif
#ifdef __NR_process_madvise
    CALL(process_madvise)
#endif
#ifdef __NR_open_tree
    CALL(open_tree) CALL(move_mount) CALL(fsopen) CALL(fsconfig) CALL(fsmount) CALL(fspick)
#endif
#ifdef __NR_mount_setattr
    CALL(mount_setattr)
#endif
#if defined(__x86_64__)
    CALL(iopl) CALL(ioperm) CALL(modify_ldt)
#endif
};

/// Those whose arguments decide.
static const named_call other_calls[] = {
    CALL(socket) CALL(openat) CALL(clone) CALL(kill) CALL(tgkill) CALL(prlimit64) CALL(ioctl)
#if defined(__x86_64__)
    CALL(open)
#endif
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const char *name_among(const named_call *list, size_t count, uint32_t number) {
  for (size_t i = 0; i < count; ++i) {
    if ((uint32_t)list[i].number == number) return list[i].name;
  }
  return NULL;
}

void martlet_sandbox_describe(uint32_t lacks, uint32_t call, const char *plugin, char *message,
                              size_t capacity) {
  const char *name = name_among(file_calls, COUNT(file_calls), call);
  if (name == NULL) name = name_among(process_calls, COUNT(process_calls), call);
  if (name == NULL) name = name_among(never_calls, COUNT(never_calls), call);
  if (name == NULL) name = name_among(other_calls, COUNT(other_calls), call);
  static const struct { const char *what, *permission; } needs[] = {
      [LACKS_NETWORK] = {"use the network", "network"},
      [LACKS_FILES] = {"write a file", "files"},
      [LACKS_SUBPROCESSES] = {"start a process", "subprocesses"},
  };
  if (name == NULL) name = "?";
  if (lacks >= LACKS_NETWORK && lacks <= LACKS_SUBPROCESSES) {
    snprintf(message, capacity,
             "plugin '%s' tried to %s (system call '%s'), and its manifest does not ask for the "
             "permission \"%s\"", plugin, needs[lacks].what, name, needs[lacks].permission);
  } else {
    snprintf(message, capacity,
             "plugin '%s' tried the system call '%s', which an isolated plugin may not make",
             plugin, name);
  }
}

// MARK: Calls that are stopped

static channel *noted;
/// An open /dev/null, given to those who want to write there.
static int null_file = -1;

#ifdef ARCHITECTURE
static void set_result(void *context, long result) {
  ucontext_t *at = context;
#if defined(__x86_64__)
  at->uc_mcontext.gregs[REG_RAX] = result;
#else
  at->uc_mcontext.regs[0] = (unsigned long long)result;
#endif
}

static const char *opened_path(const siginfo_t *info, void *context) {
  ucontext_t *at = context;
#if defined(__x86_64__)
  if (info->si_syscall == __NR_open) return (const char *)at->uc_mcontext.gregs[REG_RDI];
  if (info->si_syscall == __NR_openat) return (const char *)at->uc_mcontext.gregs[REG_RSI];
#else
  if (info->si_syscall == __NR_openat) return (const char *)at->uc_mcontext.regs[1];
#endif
  return NULL;
}

/// Notes the call, which then fails with EPERM.
static void on_forbidden_call(int signal, siginfo_t *info, void *context) {
  (void)signal;
  const char *path = opened_path(info, context);
  if (path != NULL && strcmp(path, "/dev/null") == 0) {
    int file = fcntl(null_file, F_DUPFD_CLOEXEC, 0);
    set_result(context, file >= 0 ? file : -EMFILE);
    return;
  }
  uint32_t nothing = 0;
  // The kind first: who sees the number sees it too.
  if (atomic_load(&noted->forbidden_call) == 0) {
    atomic_store(&noted->forbidden_kind, (uint32_t)info->si_errno);
    atomic_compare_exchange_strong(&noted->forbidden_call, &nothing,
                                   (uint32_t)info->si_syscall + 1);
  }
  set_result(context, -EPERM);
}

typedef struct program {
  struct sock_filter code[512];
  size_t count;
} program;

static void emit(program *to, uint16_t code, uint32_t k, uint8_t yes, uint8_t no) {
  if (to->count < COUNT(to->code)) {
    to->code[to->count++] = (struct sock_filter){.code = code, .jt = yes, .jf = no, .k = k};
  }
}
static void load_word(program *to, size_t offset) {
  emit(to, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}
/// The low half of an argument; both machines served are little-endian.
static void load_argument(program *to, unsigned index) {
  load_word(to, offsetof(struct seccomp_data, args) + index * 8);
}
static void give(program *to, uint32_t action) { emit(to, BPF_RET | BPF_K, action, 0, 0); }
static void if_equal_give(program *to, uint32_t value, uint32_t action) {
  emit(to, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
  give(to, action);
}
static uint32_t stop(uint32_t lacks) { return SECCOMP_RET_TRAP | lacks; }
static void stop_all(program *to, const named_call *list, size_t count, uint32_t lacks) {
  for (size_t i = 0; i < count; ++i) if_equal_give(to, (uint32_t)list[i].number, stop(lacks));
}

/// Instructions for one call, skipped for others. The number is in the register before and after.
#define FOR_CALL(program, name)                                                                    \
  for (size_t at = (emit(program, BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 0),                  \
                   (program)->count);                                                              \
       at != 0; load_word(program, offsetof(struct seccomp_data, nr)),                             \
       (program)->code[at - 1].jf = (uint8_t)((program)->count - at), at = 0)

static void stop_writing(program *to, unsigned flags_argument) {
  load_argument(to, flags_argument);
  emit(to, BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 0, 1);
  give(to, stop(LACKS_FILES));
}

static void write_filter(program *to, uint32_t permissions) {
  uint32_t self = (uint32_t)getpid();
  load_word(to, offsetof(struct seccomp_data, arch));
  emit(to, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
  give(to, SECCOMP_RET_KILL_PROCESS);
  load_word(to, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
  // The second set of numbers for the same calls.
  emit(to, BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1);
  give(to, SECCOMP_RET_KILL_PROCESS);
#endif
  stop_all(to, never_calls, COUNT(never_calls), LACKS_EVERYTHING);
  if (permissions & MARTLET_PERMIT_NETWORK) {
    // Others than the internet's reach programs of this machine. Their absence is nothing unusual.
    FOR_CALL(to, socket) {
      load_argument(to, 0);
      emit(to, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0);
      emit(to, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0);
      give(to, SECCOMP_RET_ERRNO | EACCES);
    }
  } else {
    FOR_CALL(to, socket) give(to, stop(LACKS_NETWORK));
  }
  if (!(permissions & MARTLET_PERMIT_FILES)) {
    stop_all(to, file_calls, COUNT(file_calls), LACKS_FILES);
    FOR_CALL(to, openat) stop_writing(to, 2);
#if defined(__x86_64__)
    FOR_CALL(to, open) stop_writing(to, 1);
#endif
    // Its flags are in memory; the C library does without it.
    if_equal_give(to, __NR_openat2, SECCOMP_RET_ERRNO | ENOSYS);
  }
  if (!(permissions & MARTLET_PERMIT_SUBPROCESSES)) {
    stop_all(to, process_calls, COUNT(process_calls), LACKS_SUBPROCESSES);
    FOR_CALL(to, clone) {
      load_argument(to, 0);
      emit(to, BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0);
      give(to, stop(LACKS_SUBPROCESSES));
    }
    // Its flags are in memory too; the C library then uses clone.
    if_equal_give(to, __NR_clone3, SECCOMP_RET_ERRNO | ENOSYS);
    FOR_CALL(to, kill) {
      load_argument(to, 0);
      emit(to, BPF_JMP | BPF_JEQ | BPF_K, self, 1, 0);
      give(to, stop(LACKS_EVERYTHING));
    }
    FOR_CALL(to, tgkill) {
      load_argument(to, 0);
      emit(to, BPF_JMP | BPF_JEQ | BPF_K, self, 1, 0);
      give(to, stop(LACKS_EVERYTHING));
    }
    FOR_CALL(to, prlimit64) {
      load_argument(to, 0);
      emit(to, BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0);
      emit(to, BPF_JMP | BPF_JEQ | BPF_K, self, 1, 0);
      give(to, stop(LACKS_EVERYTHING));
    }
  }
  // Typing into the terminal that its messages go to.
  FOR_CALL(to, ioctl) {
    load_argument(to, 1);
    if_equal_give(to, TIOCSTI, stop(LACKS_EVERYTHING));
    if_equal_give(to, 0x541C /* TIOCLINUX */, stop(LACKS_EVERYTHING));
  }
  give(to, SECCOMP_RET_ALLOW);
}

static bool stop_calls(uint32_t permissions) {
  struct sigaction action = {.sa_sigaction = on_forbidden_call,
                             .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGSYS, &action, NULL) != 0) return false;
  static program filter;
  write_filter(&filter, permissions);
  // One that was cut off would allow nothing at its end.
  if (filter.count == COUNT(filter.code)) return false;
  struct sock_fprog loaded = {.len = (unsigned short)filter.count, .filter = filter.code};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &loaded) == 0;
}
#endif

// MARK: Files

// The header of an older system may lack the later ones.
enum {
  MAY_EXECUTE = 1 << 0,
  MAY_READ_FILE = 1 << 2,
  MAY_READ_FOLDER = 1 << 3,
  ALL_FIRST = (1 << 13) - 1,
  MAY_REFER = 1 << 13,
  MAY_TRUNCATE = 1 << 14,
  MAY_CONTROL_DEVICE = 1 << 15,
};

typedef struct ruleset {
  uint64_t files, network, scoped;
} ruleset;

static void allow(int rules, const char *path, uint64_t access) {
  int file = open(path, O_PATH | O_CLOEXEC);
  struct stat status;
  if (file < 0) return;  // What is not there needs no rule.
  if (fstat(file, &status) == 0 && !S_ISDIR(status.st_mode)) access &= ~(uint64_t)MAY_READ_FOLDER;
  struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = file};
  syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  close(file);
}

static void allow_all(int rules, const char *const *paths, size_t count, uint64_t access) {
  for (size_t i = 0; i < count; ++i) allow(rules, paths[i], access);
}

static bool hide_files(const sandbox *sandbox) {
  long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
  bool hides = !(sandbox->permissions & MARTLET_PERMIT_FILES);
  if (version < 1) return !hides;
  ruleset attributes = {0};
  if (hides) {
    attributes.files = ALL_FIRST;
    if (version >= 2) attributes.files |= MAY_REFER;
    if (version >= 3) attributes.files |= MAY_TRUNCATE;
    if (version >= 5) attributes.files |= MAY_CONTROL_DEVICE;
  }
  // Connecting and listening by TCP; signals and sockets of other programs.
  if (version >= 4 && !(sandbox->permissions & MARTLET_PERMIT_NETWORK)) attributes.network = 3;
  if (version >= 6) attributes.scoped = 3;
  if (attributes.files == 0 && attributes.network == 0 && attributes.scoped == 0) return true;
  size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
  int rules = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
  if (rules < 0) return false;
  if (hides) {
    const uint64_t read = MAY_READ_FILE | MAY_READ_FOLDER;
    static const char *const system[] = {
        "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache",
        "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/usr/share/zoneinfo",
        "/etc/localtime", "/sys/devices/system/cpu"};
    static const char *const network[] = {
        "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
        "/etc/services", "/etc/protocols", "/etc/ssl", "/usr/share/ca-certificates"};
    static const char *const programs[] = {"/bin", "/sbin", "/usr", "/lib", "/lib64"};
    allow_all(rules, system, COUNT(system), read);
    if (sandbox->permissions & MARTLET_PERMIT_NETWORK) {
      allow_all(rules, network, COUNT(network), read);
    }
    if (sandbox->permissions & MARTLET_PERMIT_SUBPROCESSES) {
      allow_all(rules, programs, COUNT(programs), read | MAY_EXECUTE);
    }
    char *folder = strdup(sandbox->library);
    char *slash = folder == NULL ? NULL : strrchr(folder, '/');
    if (slash != NULL) {
      *slash = '\0';
      allow(rules, folder[0] == '\0' ? "/" : folder, read);
    }
    free(folder);
    // Where the library is a link, the file it names too.
    allow(rules, sandbox->library, read);
    for (size_t at = 0; at < sandbox->readable_length;) {
      allow(rules, sandbox->readable + at, read);
      at += strlen(sandbox->readable + at) + 1;
    }
  }
  bool holds = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
  close(rules);
  return holds;
}

// MARK: Entering

static void limit(int resource, uint64_t most) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0) return;
  if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > most) limit.rlim_max = most;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(resource, &limit);
}

bool martlet_sandbox_enter(const sandbox *sandbox, channel *shared, char *message,
                           size_t capacity) {
  noted = shared;
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, 1024);
  if (sandbox->memory_bytes > 0) limit(RLIMIT_DATA, sandbox->memory_bytes);
  null_file = open("/dev/null", O_RDWR | O_CLOEXEC);
  bool binds = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  const char *missing = NULL;
  if (!binds || (sandbox->missing & 1) || !hide_files(sandbox)) missing = "landlock";
#ifdef ARCHITECTURE
  if (!binds || (sandbox->missing & 2) || !stop_calls(sandbox->permissions)) missing = "seccomp";
#else
  missing = "filters of system calls for this processor";
#endif
  if (missing == NULL || sandbox->allow_unconfined) return true;
  snprintf(message, capacity,
           "this kernel has no %s, so the plugin cannot be held to its permissions; allow that "
           "with --unconfined (PluginIsolation.allowsUnconfined), or run without isolation",
           missing);
  return false;
}

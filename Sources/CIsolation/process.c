// Starting, watching and ending plugins' processes, and the exchange of frames with one.
#define _GNU_SOURCE
#include "process.h"

#include "sandbox.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/// How often a waiting host asks whether anybody still wants the answer.
static const uint64_t check_nanoseconds = 100000000;

static _Atomic uint32_t processes;

uint32_t martlet_isolated_processes(void) { return atomic_load(&processes); }

const char *martlet_isolated_image(const char *symbol) {
  Dl_info information;
  void *address =
      symbol == NULL ? (void *)(uintptr_t)martlet_isolated_image : dlsym(RTLD_DEFAULT, symbol);
  return address != NULL && dladdr(address, &information) != 0 ? information.dli_fname : NULL;
}

// MARK: Starting

/// What of the host's environment a plugin's process gets.
static bool is_passed_on(const char *variable) {
  static const char *const names[] = {"LANG=", "LC_", "TZ="};
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
    if (strncmp(variable, names[i], strlen(names[i])) == 0) return true;
  }
  return false;
}

static int start(process *process, int memory, int control) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  // Its standard output would mix with the host's.
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, 2, 1);
  posix_spawn_file_actions_adddup2(&actions, memory, 3);
  posix_spawn_file_actions_adddup2(&actions, control, 4);
  int sealed = process->plugin->options.library_file;
  if (sealed > 0) posix_spawn_file_actions_adddup2(&actions, sealed, library_file);
  posix_spawn_file_actions_addclosefrom_np(&actions, library_file + (sealed > 0));
  // A group of its own, so that an interrupted host can still ask it for its best answer.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  char *environment[65];
  size_t count = 0;
  for (char **variable = environ; *variable != NULL && count < 62; ++variable) {
    if (is_passed_on(*variable)) environment[count++] = *variable;
  }
  // A crash report of the Swift runtime's would be a process of its own.
  environment[count++] = "SWIFT_BACKTRACE=enable=no";
  // A plugin names the toolchain that it was built with, which it may not read; it gets the host's runtime, as in
  // the host.
  char libraries[4 * PATH_MAX];
  const martlet_isolated_options *options = &process->plugin->options;
  const char *runtime = options->readable_length > 1 ? options->readable : "";
  const char *others = getenv("LD_LIBRARY_PATH");
  if (others == NULL) others = "";
  bool both = *runtime != '\0' && *others != '\0';
  int length = snprintf(libraries, sizeof libraries, "LD_LIBRARY_PATH=%s%s%s", runtime,
                        both ? ":" : "", others);
  bool any = *runtime != '\0' || *others != '\0';
  if (any && length > 0 && (size_t)length < sizeof libraries) environment[count++] = libraries;
  environment[count] = NULL;
  char *arguments[] = {"martlet-plugin-host", (char *)process->plugin->options.plugin_id, NULL};
  int status = posix_spawn(&process->pid, process->plugin->options.helper, &actions, &attributes,
                           arguments, environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return status;
}

/// A descriptor out of the way of those that the process gets.
static int moved(int file) {
  if (file < 0) return file;
  int other = fcntl(file, F_DUPFD_CLOEXEC, 16);
  close(file);
  return other;
}

int martlet_isolated_sealed(const void *bytes, size_t count) {
  // Said where the kernel knows it, so that one that forbids running such files can tell.
  int file = memfd_create("martlet-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x10u);
  if (file < 0) file = memfd_create("martlet-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return -1;
  size_t written = 0;
  while (written < count) {
    ssize_t more = write(file, (const char *)bytes + written, count - written);
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) break;
    written += (size_t)more;
  }
  int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (written == count && fcntl(file, F_ADD_SEALS, seals) == 0) return moved(file);
  close(file);
  return -1;
}

static void *listen_to(void *argument) {
  process *process = argument;
  char byte;
  pthread_setname_np(pthread_self(), "martlet-plugin");
  for (;;) {
    ssize_t count = read(process->control, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    lane *side = &process->shared->lanes[LANE_SIDE];
    if (atomic_load(&side->turn) == TURN_HOST && side->kind == FRAME_HOST) {
      martlet_serve(process, LANE_SIDE);
    }
  }
  // Also one that only closed its end.
  kill(process->pid, SIGKILL);
  while (waitpid(process->pid, &process->status, 0) < 0 && errno == EINTR) continue;
  atomic_store(&process->ended, 1);
  martlet_lane_give(&process->shared->lanes[LANE_MAIN], TURN_HOST);
  return NULL;
}

static void put_load(writer *frame, const martlet_isolated_options *options) {
  put_text(frame, options->library, strlen(options->library) + 1);
  put_text(frame, options->plugin_id, strlen(options->plugin_id) + 1);
  put_text(frame, options->version, strlen(options->version) + 1);
  put_text(frame, options->readable, options->readable_length);
  put_word(frame, options->permissions);
  put_word(frame, options->allow_unconfined);
  put_word(frame, options->memory_bytes);
  put_word(frame, options->missing);
  put_word(frame, options->library_file > 0);
}

static void end(process *process);

/// Starts a process and has it load the library.
static process *started(martlet_isolated_plugin *plugin, char *message, size_t capacity) {
  process *made = calloc(1, sizeof *made);
  if (made == NULL) return NULL;
  made->plugin = plugin;
  pthread_mutex_init(&made->calls, NULL);
  int pair[2] = {-1, -1};
  int memory = moved(memfd_create("martlet", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  made->shared = MAP_FAILED;
  // Sealed: memory that the process cut short would end us.
  if (memory >= 0 && ftruncate(memory, (off_t)channel_bytes) == 0 &&
      fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
    made->shared = mmap(NULL, channel_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  }
  int problem = errno;
  if (made->shared != MAP_FAILED && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
    pair[1] = moved(pair[1]);
    made->control = moved(pair[0]);
    problem = start(made, memory, pair[1]);
  }
  if (memory >= 0) close(memory);
  if (pair[1] >= 0) close(pair[1]);
  if (made->pid == 0 ||
      (problem = pthread_create(&made->listener, NULL, listen_to, made)) != 0) {
    snprintf(message, capacity, "%s does not start: %s", plugin->options.helper,
             strerror(problem));
    if (made->pid != 0) {
      kill(made->pid, SIGKILL);
      waitpid(made->pid, NULL, 0);
    }
    if (made->control > 0) close(made->control);
    if (made->shared != MAP_FAILED) munmap(made->shared, channel_bytes);
    pthread_mutex_destroy(&made->calls);
    free(made);
    return NULL;
  }
  atomic_fetch_add(&processes, 1);

  writer frame = martlet_process_writer(made);
  put_load(&frame, &plugin->options);
  reader answer;
  if (martlet_process_exchange(made, FRAME_CALL, CALL_LOAD, &frame, &answer)) {
    martlet_status status = (martlet_status)(int64_t)take_word(&answer);
    size_t length;
    const char *text = take_text(&answer, &length);
    if (status != MARTLET_OK) snprintf(message, capacity, "%.*s", (int)length, text);
    free(answer.start);
    if (status == MARTLET_OK) return made;
  } else {
    martlet_process_fate(made, message, capacity);
  }
  end(made);
  return NULL;
}

// MARK: Ending

static void end(process *process) {
  // The listener sees the end of the connection and does the rest.
  shutdown(process->control, SHUT_RDWR);
  pthread_join(process->listener, NULL);
  close(process->control);
  munmap(process->shared, channel_bytes);
  pthread_mutex_destroy(&process->calls);
  free(process);
  atomic_fetch_sub(&processes, 1);
}

/// Ends a process from the thread that waits for it.
static void end_because(process *process, const char *reason) {
  if (process->reason[0] == '\0') {
    snprintf(process->reason, sizeof process->reason, "%s", reason);
  }
  kill(process->pid, SIGKILL);
  while (!atomic_load(&process->ended)) {
    martlet_lane_wait(&process->shared->lanes[LANE_MAIN], TURN_HOST, look_long, check_nanoseconds);
    // It may have given us the turn before it died.
    if (!atomic_load(&process->ended)) usleep(200);
  }
}

void martlet_process_fate(process *process, char *message, size_t capacity) {
  const char *id = process->plugin->options.plugin_id;
  uint32_t call = atomic_load(&process->shared->forbidden_call);
  if (call != 0) {
    martlet_sandbox_describe(atomic_load(&process->shared->forbidden_kind), call - 1, id, message,
                             capacity);
  } else if (process->reason[0] != '\0') {
    snprintf(message, capacity, "plugin '%s' %s", id, process->reason);
  } else if (WIFSIGNALED(process->status)) {
    int signal = WTERMSIG(process->status);
    const char *name = sigabbrev_np(signal), *what = sigdescr_np(signal);
    snprintf(message, capacity, "the process of plugin '%s' was ended by signal %d (SIG%s, %s)%s",
             id, signal, name == NULL ? "?" : name, what == NULL ? "unknown" : what,
             signal == SIGSYS ? ": a system call that it may not make" : "");
  } else {
    snprintf(message, capacity, "the process of plugin '%s' ended by itself with status %d", id,
             WEXITSTATUS(process->status));
  }
}

// MARK: Frames

writer martlet_process_writer(process *process) {
  return (writer){.start = frame_of(process->shared, LANE_MAIN), .room = lane_bytes};
}

/// Processor time that a process has taken, seconds.
static double processor_seconds(const process *process) {
  clockid_t clock;
  struct timespec time;
  if (clock_getcpuclockid(process->pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void martlet_process_limit(process *process, double seconds) {
  process->processor_limit = seconds;
  process->processor_began = processor_seconds(process);
}

bool martlet_process_within_limit(process *process, char *message, size_t capacity) {
  double taken = processor_seconds(process) - process->processor_began;
  double limit = process->processor_limit;
  process->processor_limit = 0;
  if (taken <= limit) return true;
  snprintf(message, capacity,
           "it took %.3g s of processor time for one row, where nobody decodes meanwhile; %g s is "
           "the most",
           taken, limit);
  return false;
}

/// Waits until the plugin has given back the turn. False when its process is gone.
static bool await_turn(process *process) {
  const martlet_isolated_options *options = &process->plugin->options;
  lane *lane = &process->shared->lanes[LANE_MAIN];
  uint64_t began = 0;
  while (!martlet_lane_wait(lane, TURN_HOST, look_long, check_nanoseconds)) {
    if (atomic_load(&process->ended)) return false;
    uint64_t now = martlet_clock();
    if (began == 0) began = now;
    if (process->run != NULL && options->abandoned != NULL && options->abandoned(process->run)) {
      end_because(process, "did not return in time after its run had ended");
    } else if (process->processor_limit > 0 &&
               processor_seconds(process) - process->processor_began > process->processor_limit) {
      char reason[160];
      snprintf(reason, sizeof reason,
               "took more than %g s of processor time for one row, where nobody decodes meanwhile",
               process->processor_limit);
      end_because(process, reason);
    } else if (options->stall_seconds > 0 &&
               (double)(now - began) * 1e-9 > options->stall_seconds) {
      char reason[96];
      snprintf(reason, sizeof reason, "hangs: it made no call for %g s", options->stall_seconds);
      end_because(process, reason);
    }
  }
  if (atomic_load(&process->ended)) return false;
  if (atomic_load_explicit(&process->shared->forbidden_call, memory_order_acquire) != 0) {
    end_because(process, "tried what it may not do");
    return false;
  }
  return true;
}

/// Ends a plugin that goes on calling after its run was given up. Asked ten times a second at most.
static bool is_given_up(process *process, uint64_t *asked) {
  const martlet_isolated_options *options = &process->plugin->options;
  uint64_t now = martlet_clock();
  if (now - *asked < check_nanoseconds) return false;
  *asked = now;
  if (process->run == NULL || options->abandoned == NULL || !options->abandoned(process->run)) {
    return false;
  }
  end_because(process, "did not return in time after its run had ended");
  return true;
}

bool martlet_process_exchange(process *process, uint32_t kind, uint32_t operation, writer *frame,
                              reader *answer) {
  lane *lane = &process->shared->lanes[LANE_MAIN];
  if (frame->failed || atomic_load(&process->ended)) return false;
  lane->kind = kind;
  lane->operation = operation;
  lane->size = frame->used;
  martlet_lane_give(lane, TURN_PLUGIN);
  uint64_t asked = martlet_clock();
  for (;;) {
    if (!await_turn(process)) return false;
    uint32_t came = lane->kind;
    uint64_t size = lane->size;
    if (came == FRAME_HOST) {
      martlet_serve(process, LANE_MAIN);
      if (is_given_up(process, &asked)) return false;
      continue;
    }
    if (came != FRAME_RETURN || size > lane_bytes) {
      end_because(process, "broke the rules of its channel");
      return false;
    }
    uint8_t *copy = malloc(size + 8);
    if (copy == NULL) {
      end_because(process, "was ended, because memory for its answer is short");
      return false;
    }
    memcpy(copy, frame_of(process->shared, LANE_MAIN), size);
    *answer = (reader){.start = copy, .size = size};
    return true;
  }
}

// MARK: Those that wait

process *martlet_process_take(martlet_isolated_plugin *plugin, char *message, size_t capacity) {
  snprintf(message, capacity, "memory is short");
  for (;;) {
    pthread_mutex_lock(&plugin->lock);
    process *idle = plugin->idle;
    if (idle != NULL) {
      plugin->idle = idle->next;
      plugin->idle_count -= 1;
    }
    pthread_mutex_unlock(&plugin->lock);
    if (idle == NULL) return started(plugin, message, capacity);
    // One that died while it waited is no loss.
    if (!atomic_load(&idle->ended) && atomic_load(&idle->shared->forbidden_call) == 0) return idle;
    end(idle);
  }
}

void martlet_process_give(process *process) {
  martlet_isolated_plugin *plugin = process->plugin;
  process->run = NULL;
  pthread_mutex_lock(&plugin->lock);
  bool is_kept = !atomic_load(&process->ended) && !plugin->closed &&
                 plugin->idle_count < plugin->options.idle_processes &&
                 atomic_load(&process->shared->forbidden_call) == 0;
  if (is_kept) {
    process->next = plugin->idle;
    plugin->idle = process;
    plugin->idle_count += 1;
  }
  pthread_mutex_unlock(&plugin->lock);
  if (!is_kept) end(process);
}

// MARK: The plugin

static char *copied(const char *bytes, size_t count) {
  char *copy = malloc(count + 1);
  if (copy == NULL) return NULL;
  if (count > 0) memcpy(copy, bytes, count);
  copy[count] = '\0';
  return copy;
}

static void free_plugin(martlet_isolated_plugin *plugin) {
  while (plugin->components != NULL) {
    isolated_component *next = plugin->components->next;
    free(plugin->components);
    plugin->components = next;
  }
  free((char *)plugin->options.helper);
  free((char *)plugin->options.library);
  free((char *)plugin->options.plugin_id);
  free((char *)plugin->options.version);
  free((char *)plugin->options.readable);
  if (plugin->options.library_file > 0) close(plugin->options.library_file);
  pthread_mutex_destroy(&plugin->lock);
  free(plugin);
}

martlet_isolated_plugin *martlet_isolated_open(const martlet_isolated_options *options) {
  martlet_isolated_plugin *plugin = calloc(1, sizeof *plugin);
  if (plugin == NULL) return NULL;
  pthread_mutex_init(&plugin->lock, NULL);
  plugin->references = 1;
  plugin->options = *options;
  plugin->options.helper = copied(options->helper, strlen(options->helper));
  plugin->options.library = copied(options->library, strlen(options->library));
  plugin->options.plugin_id = copied(options->plugin_id, strlen(options->plugin_id));
  plugin->options.version = copied(options->version, strlen(options->version));
  plugin->options.readable = copied(options->readable, options->readable_length);
  bool has_file = options->library_file > 0;
  if (has_file) {
    plugin->options.library_file = fcntl(options->library_file, F_DUPFD_CLOEXEC, 16);
    has_file = plugin->options.library_file > 0;
  }
  if (has_file == (options->library_file > 0) && plugin->options.helper != NULL && plugin->options.library != NULL &&
      plugin->options.plugin_id != NULL && plugin->options.version != NULL &&
      plugin->options.readable != NULL) {
    return plugin;
  }
  free_plugin(plugin);
  return NULL;
}

void martlet_isolated_retain(martlet_isolated_plugin *plugin) {
  pthread_mutex_lock(&plugin->lock);
  plugin->references += 1;
  pthread_mutex_unlock(&plugin->lock);
}

void martlet_isolated_release(martlet_isolated_plugin *plugin) {
  pthread_mutex_lock(&plugin->lock);
  bool is_last = --plugin->references == 0;
  pthread_mutex_unlock(&plugin->lock);
  if (is_last) free_plugin(plugin);
}

void martlet_isolated_close(martlet_isolated_plugin *plugin) {
  pthread_mutex_lock(&plugin->lock);
  process *idle = plugin->idle;
  plugin->idle = NULL;
  plugin->idle_count = 0;
  plugin->closed = true;
  pthread_mutex_unlock(&plugin->lock);
  while (idle != NULL) {
    process *next = idle->next;
    end(idle);
    idle = next;
  }
  martlet_isolated_release(plugin);
}

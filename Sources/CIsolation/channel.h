/// Shared memory between a host and a plugin's process, and whose turn it is.
///
/// Two lanes: one for the plugin's main thread, one that its other threads share. On a lane the two
/// sides take turns; the one whose turn it is writes a frame into the lane's bytes and gives the
/// turn away. The host copies a frame before it looks at it and believes no number in it, since the
/// other side can write there at any time; it never reads back what it wrote.
#ifndef MARTLET_CHANNEL_H
#define MARTLET_CHANNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>

/// The descriptor of a sealed copy of the library in the plugin's process, where there is one.
enum { library_file = 5 };

enum { TURN_HOST = 0, TURN_PLUGIN = 1 };
enum { LANE_MAIN = 0, LANE_SIDE = 1, LANES = 2 };

/// What a frame is.
enum {
  FRAME_CALL = 1,     ///< To the plugin: call a function of the component.
  FRAME_RETURN = 2,   ///< To the host: what that gave.
  FRAME_HOST = 3,     ///< To the host: call a host function.
  FRAME_REPLY = 4,    ///< To the plugin: what that gave.
  FRAME_CALLBACK = 5, ///< To the plugin, within a host function: ask the callback.
};

/// What is asked of the plugin.
enum {
  CALL_LOAD, CALL_FIND, CALL_CREATE, CALL_RUN, CALL_DESTROY, CALL_SCORE, CALL_SCORE_BRANCHES,
  CALL_EXTRACT, CALL_PROPOSE, CALL_PROCESS, CALL_STORE, CALL_RECALL, CALL_READ
};

typedef struct lane {
  _Atomic uint32_t turn;
  /// Whether the side sleeps and wants to be woken when it gets the turn.
  _Atomic uint32_t host_sleeps, plugin_sleeps;
  uint32_t kind, operation;
  uint32_t reserved;
  uint64_t size;
  uint8_t padding[32];
} lane;
_Static_assert(sizeof(lane) == 64, "one cache line each");

typedef struct channel {
  lane lanes[LANES];
  /// The first forbidden system call that was tried: its number + 1, and what it lacks, see
  /// sandbox.h.
  _Atomic uint32_t forbidden_call, forbidden_kind;
  uint8_t padding[4096 - LANES * 64 - 8];
} channel;
_Static_assert(sizeof(channel) == 4096, "frames begin at a page");

/// How long to look on for what takes a moment: waking takes some 50 µs, and calls come in bursts.
static const uint64_t look_long = 200000;
/// How long for what takes a pass of the model or more, and wants the CPUs for it.
static const uint64_t look_briefly = 3000;

/// The most bytes of a frame; memory that is not written to takes none.
static const size_t lane_bytes = 64u << 20;
/// The most bytes of one array in a call.
static const size_t most_array_bytes = 16u << 20;
/// The most bytes of a row of logits, and of the tokens before it. They lie behind the lanes, where the
/// plugin works on them in place: what it calls meanwhile writes over lanes, not over them.
static const size_t row_bytes = 64u << 20;
static const size_t channel_bytes = sizeof(channel) + (LANES + 2) * ((size_t)64 << 20);

static inline uint8_t *frame_of(channel *shared, unsigned which) {
  return (uint8_t *)(shared + 1) + which * lane_bytes;
}

static inline float *row_of(channel *shared) {
  return (float *)(void *)((uint8_t *)(shared + 1) + LANES * lane_bytes);
}

static inline int32_t *row_tokens_of(channel *shared) {
  return (int32_t *)(void *)((uint8_t *)row_of(shared) + row_bytes);
}

/// Gives the turn to the other side.
void martlet_lane_give(lane *lane, uint32_t to);
/// Waits for a turn for at most so many nanoseconds (0: for ever), the first `look` of them awake.
/// False when the time is over.
bool martlet_lane_wait(lane *lane, uint32_t for_whom, uint64_t look, uint64_t nanoseconds);
uint64_t martlet_clock(void);

/// Writes a frame, in units of 8 bytes.
typedef struct writer {
  uint8_t *start;
  size_t used, room;
  bool failed;
} writer;

static inline void put_bytes(writer *to, const void *bytes, size_t count) {
  if (to->failed || count > to->room - to->used) {
    to->failed = true;
    return;
  }
  if (count > 0) memcpy(to->start + to->used, bytes, count);
  to->used += (count + 7) & ~(size_t)7;
  if (to->used > to->room) to->used = to->room;
}
static inline void put_word(writer *to, uint64_t word) { put_bytes(to, &word, sizeof word); }
/// A text with its length.
static inline void put_text(writer *to, const char *text, size_t count) {
  put_word(to, count);
  put_bytes(to, text, count);
}

/// Reads a frame that nobody else writes to.
typedef struct reader {
  uint8_t *start;
  size_t used, size;
  bool failed;
} reader;

/// The next bytes where they lie, aligned to 8; null when there are fewer.
static inline void *take_bytes(reader *from, size_t count) {
  if (from->failed || count > from->size - from->used) {
    from->failed = true;
    return NULL;
  }
  void *bytes = from->start + from->used;
  from->used += (count + 7) & ~(size_t)7;
  if (from->used > from->size) from->used = from->size;
  return bytes;
}
static inline uint64_t take_word(reader *from) {
  uint64_t word = 0;
  const void *bytes = take_bytes(from, sizeof word);
  if (bytes != NULL) memcpy(&word, bytes, sizeof word);
  return word;
}
/// A text with its length; never null, empty when there is none.
static inline char *take_text(reader *from, size_t *count) {
  *count = take_word(from);
  char *text = take_bytes(from, *count);
  if (text == NULL) {
    *count = 0;
    return (char *)"";
  }
  return text;
}

#endif

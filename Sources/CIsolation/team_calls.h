/// The functions of `martlet_team_extension`, which are passed on behind those of `martlet_host`.
#ifndef MARTLET_TEAM_CALLS_H
#define MARTLET_TEAM_CALLS_H

#include "calls.h"
#include "martlet/extensions/team.h"

/// F2, F5: functions of so many arguments, by their place in the table.
#define MARTLET_TEAM_CALLS(F2, F5)                                                                 \
  F2(0, available, RUN, OUT(uint32_t))                                                             \
  F5(1, make, RUN, BRANCH, IN(martlet_branch, 3), V(uint32_t), V(uint32_t))                        \
  F2(2, end_step, RUN, BRANCH)                                                                     \
  F2(3, leave, RUN, BRANCH)                                                                        \
  F5(4, context, RUN, BRANCH, BUF(int32_t), V(size_t), OUT(size_t))

enum {
  TEAM_FUNCTIONS = (sizeof(martlet_team_extension) - 8) / sizeof(void *),
  /// All that are passed on; the place of a function of teams is behind HOST_FUNCTIONS.
  ALL_FUNCTIONS = HOST_FUNCTIONS + TEAM_FUNCTIONS
};

extern const signature martlet_team_signatures[];

/// What a function's arguments are; `function` is below ALL_FUNCTIONS.
static inline const signature *signature_of(uint32_t function) {
  return function < HOST_FUNCTIONS ? &martlet_signatures[function]
                                   : &martlet_team_signatures[function - HOST_FUNCTIONS];
}

#endif

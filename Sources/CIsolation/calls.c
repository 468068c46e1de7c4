// The table of calls as data.
#include "team_calls.h"

_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "words are pointers");

// Each row stands at its function's place, and there are as many rows as places.
#define PLACE(index, name, ...)                                                                    \
  _Static_assert(offsetof(martlet_host, name) == 8 + (index) * sizeof(void *), #name);
MARTLET_HOST_CALLS(PLACE, PLACE, PLACE, PLACE, PLACE, PLACE, PLACE, PLACE, PLACE)
#define ONE(...) +1
_Static_assert(0 MARTLET_HOST_CALLS(ONE, ONE, ONE, ONE, ONE, ONE, ONE, ONE, ONE) == HOST_FUNCTIONS,
               "a function of martlet_host has no row");

#define LIST_(...)                                                                                 \
  LIST__(__VA_ARGS__, END, END, END, END, END, END, END, END, END, END, END, END, END, END, END,   \
         END, END)
#define END (VALUE, char, 0)
#define LIST__(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, ...)                             \
  {DESCRIPTION(a), DESCRIPTION(b), DESCRIPTION(c), DESCRIPTION(d), DESCRIPTION(e), DESCRIPTION(f), \
   DESCRIPTION(g), DESCRIPTION(h), DESCRIPTION(i), DESCRIPTION(j), DESCRIPTION(k), DESCRIPTION(l), \
   DESCRIPTION(m), DESCRIPTION(n), DESCRIPTION(o), DESCRIPTION(p), DESCRIPTION(q)}
#define ROW(index, length, title, ...)                                                             \
  [index] = {.name = #title, .count = length, .arguments = LIST_(__VA_ARGS__)},

#define ROW_1(index, name, ...) ROW(index, 1, name, __VA_ARGS__)
#define ROW_2(index, name, ...) ROW(index, 2, name, __VA_ARGS__)
#define ROW_3(index, name, ...) ROW(index, 3, name, __VA_ARGS__)
#define ROW_4(index, name, ...) ROW(index, 4, name, __VA_ARGS__)
#define ROW_5(index, name, ...) ROW(index, 5, name, __VA_ARGS__)
#define ROW_6(index, name, ...) ROW(index, 6, name, __VA_ARGS__)
#define ROW_LOCAL(index, title) [index] = {.name = #title},
#define ROW_BY_HAND(index, name) ROW_##name(index, name)
#define ROW_advance(index, name) ROW(index, ADVANCE_WORDS, name, FLAT_ADVANCE)
#define ROW_submit(index, name) ROW(index, ADVANCE_WORDS, name, FLAT_ADVANCE)
#define ROW_next_token(index, name) ROW(index, NEXT_WORDS, name, FLAT_NEXT_TOKEN)
#define ROW_run_child(index, name) ROW(index, CHILD_WORDS, name, FLAT_RUN_CHILD)

const signature martlet_signatures[HOST_FUNCTIONS] = {MARTLET_HOST_CALLS(
    ROW_1, ROW_2, ROW_3, ROW_4, ROW_5, ROW_6, ROW_LOCAL, ROW_4, ROW_BY_HAND)};

#define TEAM_PLACE(index, name, ...)                                                               \
  _Static_assert(offsetof(martlet_team_extension, name) == 8 + (index) * sizeof(void *), #name);
MARTLET_TEAM_CALLS(TEAM_PLACE, TEAM_PLACE)
_Static_assert(0 MARTLET_TEAM_CALLS(ONE, ONE) == TEAM_FUNCTIONS,
               "a function of martlet_team_extension has no row");

const signature martlet_team_signatures[TEAM_FUNCTIONS] = {MARTLET_TEAM_CALLS(ROW_2, ROW_5)};

const char *martlet_isolated_function(uint32_t function) {
  return function < HOST_FUNCTIONS ? martlet_signatures[function].name : NULL;
}

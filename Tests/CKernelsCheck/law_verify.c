/// The laws of verification: for every verifier and many pairs of target and draft, tokens follow
/// the target exactly; over trees, so do whole texts; and as many drafts are kept as the method
/// promises.
#include "martlet_law.h"

#include <stdint.h>

/// The copy of the walk that mistakes are seeded in.
static _Thread_local uint32_t law_mistake;
#define MARTLET_VERIFY_MUTANT law_mistake
#include "dispatch/verify_walk.h"

#include <stdio.h>

enum { WIDTH = 600, NODES = 24, SMALL = 8 };

// ---- drawing ------------------------------------------------------------------------------------

typedef struct generator {
  uint64_t state;
} generator;

static uint64_t next(generator *g) {
  uint64_t z = g->state += 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

static double uniform(generator *g) { return (double)(next(g) >> 11) * 0x1p-53; }

/// A token by weight, `gone` left out; `width` if there is none.
static uint32_t draw(generator *g, const float *weights, uint32_t width, const uint32_t *gone,
                     uint32_t gone_count) {
  double values[WIDTH], total = 0;
  for (uint32_t i = 0; i < width; ++i) values[i] = (double)weights[i];
  for (uint32_t i = 0; i < gone_count; ++i) values[gone[i]] = 0;
  for (uint32_t i = 0; i < width; ++i) total += values[i];
  if (!(total > 0)) return width;
  double left = uniform(g) * total;
  uint32_t found = width;
  for (uint32_t i = 0; i < width && left >= 0; ++i) {
    if (values[i] == 0) continue;
    left -= values[i];
    found = i;
  }
  return found;
}

static void normalise(float *weights, uint32_t width) {
  double total = 0;
  for (uint32_t i = 0; i < width; ++i) total += (double)weights[i];
  for (uint32_t i = 0; i < width; ++i) weights[i] = (float)((double)weights[i] / total);
}

// ---- pairs of target and draft ------------------------------------------------------------------

typedef struct law_pair {
  const char *name;
  uint32_t width;
  float target[WIDTH], draft[WIDTH], other[WIDTH];
} law_pair;

enum { PAIRS = 13 };

static void make_pair(law_pair *pair, int index) {
  static const char *const names[PAIRS] = {
      "ties",     "one-hot target", "flat",           "heavy tail",           "zero mass",
      "disjoint", "identical",      "one-hot draft",  "peaked both",          "near",
      "opposite", "600 tokens",     "nearly one-hot draft"};
  generator g = {77 + (uint64_t)index};
  memset(pair, 0, sizeof *pair);
  pair->name = names[index];
  pair->width = index == 11 ? WIDTH : SMALL;
  for (uint32_t i = 0; i < pair->width; ++i) {
    float *p = &pair->target[i], *q = &pair->draft[i];
    const float rank = (float)(i + 1);
    pair->other[i] = 1 + (float)(i % 3);
    *p = *q = 1;
    switch (index) {
      case 0: *p = i / 2 % 2 ? 3 : 1, *q = i % 2 ? 3 : 1; break;
      case 1: *p = i == 5; break;
      case 2: break;
      case 3: *p = powf(rank, -1.1f), *q = powf((float)pair->width - (float)i, -0.5f); break;
      case 4: *p = i % 3 ? rank : 0, *q = i % 2 ? 0 : 1; break;
      case 5: *p = i < 4 ? rank : 0, *q = i < 4 ? 0 : rank; break;
      case 6: *p = *q = powf(rank, -2); break;
      case 7: *q = i == 2; break;
      case 8: *p = i == 3 ? 40 : rank, *q = i == 3 ? 20 : 9 - rank; break;
      case 9: *p = 10 + rank, *q = 18 - rank; break;
      case 10: *p = expf(-rank), *q = expf(rank - 9); break;
      case 11:
        *p = powf((float)uniform(&g), 4);
        *q = *p * (0.2f + 3 * (float)uniform(&g));
        if (next(&g) % 5 == 0) *p = 0;
        break;
      default: *q = i == 6 ? 1 : 1e-8f * rank; break;
    }
  }
  normalise(pair->target, pair->width);
  normalise(pair->draft, pair->width);
  normalise(pair->other, pair->width);
}

// ---- ways of drafting ---------------------------------------------------------------------------

/// Children of one position in order: `d` drawn from the draft, `o` from another law, a digit a
/// token that is always the same.
typedef struct law_method {
  const char *name, *children;
  uint32_t rule;
} law_method;

static const law_method methods[] = {
    {"chain", "d", MARTLET_VERIFY_RECURSIVE},
    {"recursive, two", "dd", MARTLET_VERIFY_RECURSIVE},
    {"recursive, four", "dddd", MARTLET_VERIFY_RECURSIVE},
    {"recursive, two laws", "dodo", MARTLET_VERIFY_RECURSIVE},
    {"distinct, two", "dd", MARTLET_VERIFY_DISTINCT},
    {"distinct, four", "dddd", MARTLET_VERIFY_DISTINCT},
    {"distinct, two laws", "ddoo", MARTLET_VERIFY_DISTINCT},
    {"weighted, one", "d", MARTLET_VERIFY_WEIGHTED},
    {"weighted, two", "dd", MARTLET_VERIFY_WEIGHTED},
    {"weighted, five", "ddddd", MARTLET_VERIFY_WEIGHTED},
    {"deterministic, one", "2", MARTLET_VERIFY_RECURSIVE},
    {"deterministic, four", "0727", MARTLET_VERIFY_DISTINCT},
    {"deterministic and recursive", "3d2do5", MARTLET_VERIFY_RECURSIVE},
    {"deterministic and distinct", "d3d1o2", MARTLET_VERIFY_DISTINCT},
    {"deterministic and weighted", "d4d7d", MARTLET_VERIFY_WEIGHTED},
    {"none", "", MARTLET_VERIFY_WEIGHTED},
};
enum { METHODS = sizeof(methods) / sizeof(methods[0]) };

/// A tree with room for its parts.
typedef struct law_tree {
  martlet_verify_tree tree;
  uint32_t parents[NODES], tokens[NODES], path[NODES];
  int32_t draft_rows[NODES];
  double uniforms[NODES];
  float targets[NODES * SMALL], drafts[2 * WIDTH];
  float scratch[WIDTH + 8];
} law_tree;

static void prepare(law_tree *t, uint32_t rule, uint32_t width) {
  t->tree = (martlet_verify_tree){
      .size = sizeof t->tree, .rule = rule, .nodes = 1, .width = width,
      .parents = t->parents, .tokens = t->tokens, .targets = t->targets, .target_stride = width,
      .drafts = t->drafts, .draft_stride = WIDTH, .draft_row_count = 2,
      .draft_rows = t->draft_rows, .uniforms = t->uniforms, .scratch = t->scratch};
}

static uint32_t add_node(law_tree *t, uint32_t parent, uint32_t token, int32_t row) {
  const uint32_t node = t->tree.nodes++;
  t->parents[node] = parent;
  t->tokens[node] = token;
  t->draft_rows[node] = row;
  return node;
}

static int verify(law_tree *t, martlet_verify_result *result) {
  *result = (martlet_verify_result){.size = sizeof *result};
  if (law_mistake) return verify_walk(&t->tree, t->path, result);
  return martlet_verify_tree_f32(&t->tree, t->path, result) == MARTLET_OK;
}

/// Adds drafts of one position below `parent`, as `children` says. Distinct ones exhaust a law
/// that is too narrow.
static void add_children(law_tree *t, generator *g, uint32_t parent, const char *children,
                         const float *laws[2]) {
  uint32_t drawn[2][NODES], counts[2] = {0};
  for (; *children; ++children) {
    const int row = *children == 'd' ? 0 : *children == 'o' ? 1 : -1;
    if (row < 0) {
      add_node(t, parent, (uint32_t)(*children - '0') % (uint32_t)t->tree.width, -1);
      continue;
    }
    const int distinct = t->tree.rule == MARTLET_VERIFY_DISTINCT;
    const uint32_t token = draw(g, laws[row], (uint32_t)t->tree.width, drawn[row],
                                distinct ? counts[row] : 0);
    if (token == t->tree.width) continue;
    drawn[row][counts[row]++] = token;
    add_node(t, parent, token, row);
  }
}

// ---- one position -------------------------------------------------------------------------------

/// What law_verify hands through.
typedef struct law_run {
  generator random;
  uint32_t draws;
  martlet_law_callback callback;
  void *context;
} law_run;

static void report(const law_run *run, const char *kind, const char *method, const char *pair,
                   double probability) {
  char name[120];
  snprintf(name, sizeof name, "%s: %s, %s", kind, method, pair);
  run->callback(run->context, name, probability);
}

/// The part of drafts kept that the recursive rule promises for `count` of one law.
static double kept_by_recursion(const law_pair *pair, uint32_t count) {
  double left[WIDTH], rejected = 1;
  for (uint32_t i = 0; i < pair->width; ++i) left[i] = (double)pair->target[i];
  while (count--) {
    double kept = 0, mass = 0;
    for (uint32_t i = 0; i < pair->width; ++i) {
      const double q = (double)pair->draft[i];
      kept += fmin(left[i], q);
      left[i] = fmax(left[i] - q, 0);
      mass += left[i];
    }
    rejected *= 1 - kept;
    if (mass < 1e-6) return 1 - rejected;
    for (uint32_t i = 0; i < pair->width; ++i) left[i] /= mass;
  }
  return 1 - rejected;
}

/// The most that any selection among `count` independent drafts keeps: the least of
/// p(S) + 1 - (1 - q(not S))^count over sets S that hold the tokens with the smallest ratios p/q.
/// (Hu et al., Towards Optimal Multi-draft Speculative Decoding.)
static double kept_at_best(const law_pair *pair, uint32_t count) {
  double best = 1;
  for (uint32_t bound = 0; bound < pair->width; ++bound) {
    double target = 0, draft = 0;
    for (uint32_t i = 0; i < pair->width; ++i) {
      const double mine = (double)pair->target[i] * (double)pair->draft[bound];
      const int above = mine >= (double)pair->target[bound] * (double)pair->draft[i];
      if (above)
        draft += (double)pair->draft[i];
      else
        target += (double)pair->target[i];
    }
    best = fmin(best, target + 1 - pow(fmax(1 - draft, 0), count));
  }
  return best;
}

static int test_position(law_run *run, const law_pair *pair, const law_method *method) {
  static _Thread_local law_tree t;
  static _Thread_local uint64_t counts[WIDTH];
  memset(counts, 0, sizeof counts);
  prepare(&t, method->rule, pair->width);
  const uint32_t width = pair->width;
  uint64_t kept[2] = {0};
  memcpy(t.drafts, pair->draft, sizeof pair->draft);
  memcpy(t.drafts + WIDTH, pair->other, sizeof pair->other);
  // One row is all that the root's children need; leaves end in a position of their own.
  t.tree.targets = pair->target;
  const float *laws[2] = {pair->draft, pair->other};
  for (uint32_t i = 0; i < run->draws; ++i) {
    t.tree.nodes = 1;
    add_children(&t, &run->random, 0, method->children, laws);
    for (uint32_t n = 0; n < t.tree.nodes; ++n) t.uniforms[n] = uniform(&run->random);
    martlet_verify_result result = {.size = sizeof result};
    const int done = law_mistake
                         ? verify_position(&t.tree, 0, &result)
                         : martlet_verify_position_f32(&t.tree, 0, &result) == MARTLET_OK;
    if (!done) return 0;
    const uint32_t token = result.accepted ? t.tokens[result.node] : result.token;
    if (token >= width) return 0;
    ++counts[token];
    ++kept[result.accepted];
  }
  double weights[WIDTH];
  for (uint32_t i = 0; i < width; ++i) weights[i] = (double)pair->target[i];
  report(run, "token", method->name, pair->name, martlet_law_fits(counts, weights, width));
  const uint32_t drafts = (uint32_t)strspn(method->children, "d");
  if (drafts == 0 || method->children[drafts] != 0 || (drafts > 1 && method->rule == 1)) return 1;
  const double recursion = fmax(kept_by_recursion(pair, drafts), 0);
  if (method->rule == MARTLET_VERIFY_RECURSIVE || drafts == 1) {
    const double expected[2] = {fmax(1 - recursion, 0), recursion};
    // Rounding may reject, or keep, once in some millions.
    if (recursion > 1e-5 && recursion < 1 - 1e-5)
      report(run, "kept", method->name, pair->name, martlet_law_fits(kept, expected, 2));
  } else {
    // Not below recursion nor 9 of 10 of the best, and not above the best, but for 6 deviations.
    const double share = (double)kept[1] / (double)run->draws, best = kept_at_best(pair, drafts);
    const double slack = 6 * sqrt(0.25 / (double)run->draws);
    const int fine = share >= recursion - slack && share >= 0.9 * best - slack &&
                     share <= best + slack;
    report(run, "kept", method->name, pair->name, fine ? 1 : 0);
  }
  return 1;
}

// ---- texts --------------------------------------------------------------------------------------

enum { ALPHABET = 4, LENGTH = 3, TEXTS = ALPHABET * ALPHABET * ALPHABET };

/// A token's successors in the target and in two drafters, one row per token.
typedef struct law_chain {
  float target[ALPHABET][ALPHABET], drafts[2][ALPHABET][ALPHABET];
} law_chain;

static void make_chain(law_chain *chain) {
  for (uint32_t i = 0; i < ALPHABET; ++i) {
    for (uint32_t j = 0; j < ALPHABET; ++j) {
      chain->target[i][j] = i == 1 && j == 2 ? 0 : 1 + (float)((3 * i + 5 * j) % 7);
      chain->drafts[0][i][j] = 1 + (float)((2 * i + j) % 4);
      chain->drafts[1][i][j] = j == i ? 4 : 1;
    }
    normalise(chain->target[i], ALPHABET);
    normalise(chain->drafts[0][i], ALPHABET);
    normalise(chain->drafts[1][i], ALPHABET);
  }
}

/// Drafts of `node`'s position. Rows of laws are as many as there are tokens, per drafter.
static void grow(law_tree *t, generator *g, const law_chain *chain, uint32_t node,
                 const char *children) {
  const uint32_t token = t->tokens[node], first = t->tree.nodes;
  const float *laws[2] = {chain->drafts[0][token], chain->drafts[1][token]};
  add_children(t, g, node, children, laws);
  for (uint32_t i = first; i < t->tree.nodes; ++i)
    if (t->draft_rows[i] >= 0)
      t->draft_rows[i] = t->draft_rows[i] * ALPHABET + (int32_t)token;
}

static int is_repeated(const law_tree *t, uint32_t node) {
  for (uint32_t i = 1; i < node; ++i)
    if (t->parents[i] == t->parents[node] && t->tokens[i] == t->tokens[node]) return 1;
  return 0;
}

static int test_texts(law_run *run, const law_method *method) {
  static _Thread_local law_tree t;
  static _Thread_local law_chain chain;
  uint64_t counts[TEXTS] = {0};
  double weights[TEXTS];
  make_chain(&chain);
  prepare(&t, method->rule, ALPHABET);
  t.tree.drafts = chain.drafts[0][0];
  t.tree.draft_stride = ALPHABET;
  t.tree.draft_row_count = 2 * ALPHABET;
  t.tokens[0] = 0;
  const int is_chain = method->children[0] && !method->children[1];
  for (uint32_t round = 0; round < run->draws; ++round) {
    t.tree.nodes = 1;
    grow(&t, &run->random, &chain, 0, method->children);
    for (uint32_t i = 1, end = t.tree.nodes; i < end; ++i)
      if (!is_repeated(&t, i) && t.tree.nodes + strlen(method->children) <= NODES)
        grow(&t, &run->random, &chain, i, method->children);
    t.tree.parents = is_chain ? NULL : t.parents;
    for (uint32_t i = 0; i < t.tree.nodes; ++i) {
      t.uniforms[i] = uniform(&run->random);
      memcpy(t.targets + i * ALPHABET, chain.target[t.tokens[i]], sizeof chain.target[0]);
    }
    martlet_verify_result result;
    if (!verify(&t, &result)) return 0;
    uint32_t text[NODES + 1], length = 0;
    for (uint32_t i = 0; i < result.accepted; ++i) text[length++] = t.tokens[t.path[i]];
    text[length++] = result.token;
    for (; length < LENGTH; ++length)
      text[length] = draw(&run->random, chain.target[text[length - 1]], ALPHABET, NULL, 0);
    ++counts[(text[0] * ALPHABET + text[1]) * ALPHABET + text[2]];
  }
  for (uint32_t i = 0; i < TEXTS; ++i) {
    const uint32_t a = i / ALPHABET / ALPHABET, b = i / ALPHABET % ALPHABET, c = i % ALPHABET;
    weights[i] = (double)chain.target[0][a] * (double)chain.target[a][b] *
                 (double)chain.target[b][c];
  }
  report(run, "text", method->name, "Markov chain", martlet_law_fits(counts, weights, TEXTS));
  return 1;
}

// ---- the door -----------------------------------------------------------------------------------

uint32_t martlet_law_verify_mistakes(void) { return VERIFY_MUTANTS; }

const char *martlet_law_verify_mistake_name(uint32_t mistake) {
  static const char *const names[VERIFY_MUTANTS] = {
      [0] = "none",
      [VERIFY_UNNORMALISED_TEST] = "a residual is tested against unnormalised",
      [VERIFY_UNNORMALISED_DRAW] = "a residual is drawn from unnormalised",
      [VERIFY_TARGET_FOR_RESIDUAL] = "p in place of max(p - q, 0)",
      [VERIFY_REUSED_UNIFORM] = "a uniform number used twice",
      [VERIFY_TRIED_DRAFT_STAYS] = "a tried draft stays in q",
      [VERIFY_CUT_OFF_BY_ONE] = "a cut off by one",
      [VERIFY_TRIED_TOKEN_STAYS] = "a rejected deterministic draft can be drawn",
      [VERIFY_SELECTION_IGNORED] = "a selected draft is tested against q",
      [VERIFY_PARENT_ROW] = "the last draw is from the parent's row",
      [VERIFY_DUPLICATE_DROPPED] = "a repeated draft does not count",
  };
  return mistake < VERIFY_MUTANTS ? names[mistake] : "unknown";
}

martlet_status martlet_law_verify(uint32_t mistake, uint64_t seed, uint32_t draws,
                                  martlet_law_callback callback, void *context) {
  if (mistake >= VERIFY_MUTANTS || draws == 0 || !callback) return MARTLET_E_ARGUMENT;
  law_run run = {{seed}, draws, callback, context};
  law_mistake = mistake;
  int fine = 1;
  for (int m = 0; m < METHODS && fine; ++m) {
    for (int i = 0; i < PAIRS && fine; ++i) {
      static _Thread_local law_pair pair;
      make_pair(&pair, i);
      fine = test_position(&run, &pair, &methods[m]);
    }
    fine = fine && test_texts(&run, &methods[m]);
  }
  law_mistake = 0;
  return fine ? MARTLET_OK : MARTLET_E_INTERNAL;
}

/// The walk over a draft tree: which passes over rows are made when, and all arithmetic between
/// them. Included by verify.c, and by the statistical tests, which define MARTLET_VERIFY_MUTANT to
/// break it in one place at a time and expect to notice.
#ifndef MARTLET_DISPATCH_VERIFY_WALK_H
#define MARTLET_DISPATCH_VERIFY_WALK_H

#include "dispatch/families.h"
#include "reference/sampling.h"

#include <martlet/verify.h>
#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

/// Mistakes that the tests seed; 0 is none.
enum {
  VERIFY_UNNORMALISED_TEST = 1,  ///< A residual is tested against as if its mass were 1.
  VERIFY_UNNORMALISED_DRAW,      ///< The last draw takes its mass to be 1.
  VERIFY_TARGET_FOR_RESIDUAL,    ///< p in place of max(p - q, 0).
  VERIFY_REUSED_UNIFORM,         ///< The number that rejected a draft also makes the draw.
  VERIFY_TRIED_DRAFT_STAYS,      ///< Distinct drafts are tested against q with the tried ones.
  VERIFY_CUT_OFF_BY_ONE,         ///< The last token of the vocabulary is left out.
  VERIFY_TRIED_TOKEN_STAYS,      ///< A rejected deterministic draft can be drawn.
  VERIFY_SELECTION_IGNORED,      ///< A selected draft is tested against q, not its own law.
  VERIFY_PARENT_ROW,             ///< The draw at a leaf is from its parent's row.
  VERIFY_DUPLICATE_DROPPED,      ///< A repeated draft does not count as one more.
  VERIFY_MUTANTS
};
#ifndef MARTLET_VERIFY_MUTANT
#define MARTLET_VERIFY_MUTANT 0
#endif
#define VERIFY_MUTANT(mistake) (MARTLET_VERIFY_MUTANT == (mistake))

/// By how much an entry or a sum may pass 1.
#define VERIFY_TOLERANCE 0x1p-8

/// The bounds of p/q between levels, for `count` drafts: below 1 a draft is plentiful, at `count` and
/// above no selection can give too much of it.
static double verify_ratio(int bound, uint32_t count) {
  static const double plentiful[] = {1.0 / 3, 2.0 / 3, 1}, scarce[] = {0.125, 0.25, 0.5, 0.8};
  return bound < 3 ? plentiful[bound] : 1 + ((double)count - 1) * scarce[bound - 3];
}

// ---- trees --------------------------------------------------------------------------------------

static inline uint32_t verify_parent(const martlet_verify_tree *tree, uint32_t node) {
  return tree->parents ? tree->parents[node] : node - 1;
}

/// The first child of `node` after `previous`, or MARTLET_VERIFY_NONE. Start with previous = node.
static uint32_t verify_next_child(const martlet_verify_tree *tree, uint32_t node,
                                  uint32_t previous) {
  if (!tree->parents)
    return previous == node && node + 1 < tree->nodes ? node + 1 : MARTLET_VERIFY_NONE;
  for (uint32_t i = previous + 1; i < tree->nodes; ++i)
    if (tree->parents[i] == node) return i;
  return MARTLET_VERIFY_NONE;
}

/// Every child of `node` in turn as `child`.
#define VERIFY_CHILDREN(tree, node, child)                              \
  for (uint32_t child = verify_next_child(tree, node, node);            \
       child != MARTLET_VERIFY_NONE; child = verify_next_child(tree, node, child))

/// The law that a node was drawn from; null for none.
static const float *verify_law(const martlet_verify_tree *tree, uint32_t node) {
  if (!tree->draft_rows || tree->draft_rows[node] < 0) return NULL;
  return tree->drafts + (size_t)tree->draft_rows[node] * tree->draft_stride;
}

// ---- residuals ----------------------------------------------------------------------------------

/// What the tests so far have left of a node's target, not normalised:
///   residual[y] = max(base[y] - factor · draft[y], 0), and 0 for rejected deterministic drafts,
/// where the factor is `times`, or one for each level of base/draft if `weighted`.
typedef struct verify_residual {
  const martlet_verify_tree *tree;
  uint32_t node;
  uint32_t tested;      ///< The last child tested; `node` for none.
  const float *base, *draft;
  float times;
  int weighted;
  martlet_verify_bounds bounds;
  float factors[MARTLET_VERIFY_LEVELS];
  int any_removed, forget_removed;
  double mass;          ///< 1 at first.
  int summed;           ///< Whether `sums` are those of the residual.
  const float *summed_draft;  ///< The law whose sums `draft_sums` are.
  float *row, *sums, *draft_sums;
} verify_residual;

static int verify_is_probability(double x) { return x >= 0 && x <= 1 + VERIFY_TOLERANCE; }
static int verify_is_whole(double sum) { return fabs(sum - 1) <= VERIFY_TOLERANCE; }

/// Whether a child is deterministic and was rejected, so that its token is gone.
static int verify_is_removed(const verify_residual *left, uint32_t child) {
  return child <= left->tested && !verify_law(left->tree, child);
}

/// The factor of the level of base/draft.
static float verify_factor(const verify_residual *left, float base, float draft) {
  if (!left->weighted) return left->times;
  float factor = left->factors[0];
  for (int level = 1; level < MARTLET_VERIFY_LEVELS; ++level)
    if (base >= left->bounds.bounds[level - 1] * draft) factor = left->factors[level];
  return factor;
}

/// residual[token].
static float verify_value(const verify_residual *left, uint32_t token) {
  const float base = left->base[token];
  float value = base;
  if (left->draft) {
    const float q = left->draft[token];
    value = fmaf(-verify_factor(left, base, q), q, base);
    if (value < 0) value = 0;
  }
  if (!left->any_removed || left->forget_removed) return value;
  VERIFY_CHILDREN(left->tree, left->node, child) {
    if (child > left->tested) break;
    if (verify_is_removed(left, child) && left->tree->tokens[child] == token) return 0;
  }
  return value;
}

static double verify_total(const float *sums, size_t width) {
  double total = 0;
  for (size_t i = 0; i < martlet_logits_blocks(width); ++i) total += (double)sums[i];
  return total;
}

/// One pass for tokens start ..< start + count.
static void verify_pass(const verify_residual *left, size_t start, size_t count, float *output,
                        float *sums, float *draft_sums, martlet_verify_sums *totals) {
  const float *base = left->base + start, *draft = left->draft ? left->draft + start : NULL;
  if (left->weighted) {
    MARTLET_CHOSEN(verify_weighted_f32, MARTLET_NUMERIC_PORTABLE)
    (count, base, draft, &left->bounds, left->factors, output, sums);
    // Both rows were looked at when their levels were.
    *totals = (martlet_verify_sums){verify_total(sums, count), 1, 1, 0};
  } else {
    MARTLET_CHOSEN(verify_residual_f32, MARTLET_NUMERIC_PORTABLE)
    (count, base, left->times, draft, output, sums, draft_sums, totals);
  }
}

static float verify_sum(const float *values, size_t count) {
  float sum = 0;
  martlet_verify_sums totals;
  MARTLET_CHOSEN(verify_residual_f32, MARTLET_NUMERIC_PORTABLE)
  (count, values, 0, NULL, NULL, &sum, NULL, &totals);
  return sum;
}

static size_t verify_block_count(const martlet_verify_tree *tree, size_t block) {
  const size_t rest = tree->width - block * MARTLET_LOGITS_BLOCK;
  return rest < MARTLET_LOGITS_BLOCK ? rest : MARTLET_LOGITS_BLOCK;
}

/// The residual of one block.
static void verify_block_values(const verify_residual *left, size_t block, float *values) {
  float sum;
  martlet_verify_sums totals;
  verify_pass(left, block * MARTLET_LOGITS_BLOCK, verify_block_count(left->tree, block), values,
              &sum, NULL, &totals);
  if (!left->any_removed || left->forget_removed) return;
  VERIFY_CHILDREN(left->tree, left->node, child) {
    const uint32_t token = left->tree->tokens[child];
    if (VERIFY_MUTANT(VERIFY_TRIED_TOKEN_STAYS)) break;
    if (verify_is_removed(left, child) && token / MARTLET_LOGITS_BLOCK == block)
      values[token % MARTLET_LOGITS_BLOCK] = 0;
  }
}

/// Makes the residual's sums and mass, with one pass over the row, stored in `output` unless that is
/// null. False if a row is refused.
static int verify_sum_up(verify_residual *left, float *output) {
  const martlet_verify_tree *tree = left->tree;
  martlet_verify_sums totals;
  verify_pass(left, 0, tree->width, output, left->sums, left->draft_sums, &totals);
  if (!(totals.lowest >= 0) || totals.residual != totals.residual) return 0;
  if (left->base != left->row && !verify_is_whole(totals.base)) return 0;
  if (left->draft && !verify_is_whole(totals.draft)) return 0;
  if (left->draft && !left->weighted) left->summed_draft = left->draft;
  if (left->any_removed && !left->forget_removed)
    VERIFY_CHILDREN(tree, left->node, child) {
      if (!verify_is_removed(left, child)) continue;
      float own[MARTLET_LOGITS_BLOCK];
      const size_t block = tree->tokens[child] / MARTLET_LOGITS_BLOCK;
      const float *values = output ? output + block * MARTLET_LOGITS_BLOCK : own;
      // What was stored may be the base itself, which is then no longer there to start from.
      if (!output)
        verify_block_values(left, block, own);
      else if (!VERIFY_MUTANT(VERIFY_TRIED_TOKEN_STAYS))
        output[tree->tokens[child]] = 0;
      left->sums[block] = verify_sum(values, verify_block_count(tree, block));
    }
  left->mass = left->any_removed ? verify_total(left->sums, tree->width) : totals.residual;
  left->summed = 1;
  return 1;
}

/// Puts the residual itself into scratch memory, as the base of what follows.
static int verify_materialise(verify_residual *left) {
  if (!left->draft && !left->any_removed) return 1;
  if (!verify_sum_up(left, left->row)) return 0;
  left->base = left->row;
  left->draft = NULL;
  left->times = 0;
  return 1;
}

// ---- tests --------------------------------------------------------------------------------------

typedef enum verify_outcome { VERIFY_KEPT, VERIFY_REJECTED, VERIFY_REFUSED } verify_outcome;

static int verify_passes(double u, double proposal, float value) {
  return value > 0 && u * proposal < (double)value;
}

static verify_outcome verify_test_deterministic(verify_residual *left, uint32_t child) {
  const uint32_t token = left->tree->tokens[child];
  const float value = verify_value(left, token);
  if (!verify_is_probability((double)value)) return VERIFY_REFUSED;
  if (verify_passes(left->tree->uniforms[child], left->mass, value)) return VERIFY_KEPT;
  left->tested = child;
  left->any_removed = 1;
  left->mass -= (double)value;
  left->summed = 0;
  return VERIFY_REJECTED;
}

/// Σ law over what the earlier drafts of it have left; 0 if a draft is repeated.
static double verify_untried(verify_residual *left, uint32_t child) {
  const martlet_verify_tree *tree = left->tree;
  const float *law = verify_law(tree, child);
  if (left->summed_draft != law) {
    martlet_verify_sums totals;
    MARTLET_CHOSEN(verify_residual_f32, MARTLET_NUMERIC_PORTABLE)
    (tree->width, law, 0, NULL, NULL, left->draft_sums, NULL, &totals);
    if (!(totals.lowest >= 0) || !verify_is_whole(totals.base)) return 0;
    left->summed_draft = law;
  }
  double total = verify_total(left->draft_sums, tree->width);
  VERIFY_CHILDREN(tree, left->node, tried) {
    if (tried >= child) break;
    if (verify_law(tree, tried) != law) continue;
    if (tree->tokens[tried] == tree->tokens[child]) return 0;
    // The block of each tried token once, with all of them gone.
    const size_t block = tree->tokens[tried] / MARTLET_LOGITS_BLOCK;
    const size_t count = verify_block_count(tree, block);
    float values[MARTLET_LOGITS_BLOCK];
    memcpy(values, law + block * MARTLET_LOGITS_BLOCK, count * sizeof(float));
    int seen = 0;
    VERIFY_CHILDREN(tree, left->node, other) {
      if (other >= child) break;
      const uint32_t token = tree->tokens[other];
      if (verify_law(tree, other) != law || token / MARTLET_LOGITS_BLOCK != block) continue;
      if (other < tried) seen = 1;
      values[token % MARTLET_LOGITS_BLOCK] = 0;
    }
    if (!seen) total += (double)verify_sum(values, count) - (double)left->draft_sums[block];
  }
  return total;
}

/// Goes back to the residual before a rejection, where rounding has left none after it.
static void verify_go_back(verify_residual *left, float times, double mass) {
  left->times = times;
  if (times == 0) left->draft = NULL;
  left->mass = mass;
  left->summed = 0;
}

static int verify_is_tried_before(const martlet_verify_tree *tree, uint32_t node, uint32_t child) {
  VERIFY_CHILDREN(tree, node, other)
    if (other < child && verify_law(tree, other) == verify_law(tree, child)) return 1;
  return 0;
}

/// `*ends` becomes 1 where no further test makes sense.
static verify_outcome verify_test_drawn(verify_residual *left, uint32_t child, int *ends) {
  const martlet_verify_tree *tree = left->tree;
  const float *law = verify_law(tree, child);
  const uint32_t token = tree->tokens[child];
  const float value = verify_value(left, token), q = law[token];
  if (!verify_is_probability((double)value)) return VERIFY_REFUSED;
  if (!verify_is_probability((double)q) || q == 0) return VERIFY_REFUSED;
  double scale = left->mass;
  if (VERIFY_MUTANT(VERIFY_UNNORMALISED_TEST)) scale = 1;
  if (tree->rule == MARTLET_VERIFY_DISTINCT && !VERIFY_MUTANT(VERIFY_TRIED_DRAFT_STAYS) &&
      verify_is_tried_before(tree, left->node, child)) {
    const double untried = verify_untried(left, child);
    if (!(untried > 0)) return VERIFY_REFUSED;
    scale = scale / untried;
  }
  if (verify_passes(tree->uniforms[child], scale * (double)q, value)) return VERIFY_KEPT;
  if (left->draft && left->draft != law && !verify_materialise(left)) return VERIFY_REFUSED;
  // Where drafts are weighted, deterministic ones behind this one were tested before it.
  if (left->tested < child) left->tested = child;
  const float times = left->times;
  const double mass = left->mass;
  left->draft = law;
  left->times = VERIFY_MUTANT(VERIFY_TARGET_FOR_RESIDUAL) ? 0 : (float)((double)times + scale);
  if (!verify_sum_up(left, NULL)) return VERIFY_REFUSED;
  if (!(left->mass > 0)) {
    verify_go_back(left, times, mass);
    *ends = 1;
  }
  return VERIFY_REJECTED;
}

/// Shares out each pair of levels between its two: from the highest level down, each takes what it
/// can use, from its pair with the lowest level first. `selected` and `drawn` are what each
/// level has of the draft selected so far and of the next; share[high][low] becomes the part of
/// that pair that goes to `high`, and `selected` what levels have after it.
static void verify_share_out(double selected[MARTLET_VERIFY_LEVELS],
                             const double drawn[MARTLET_VERIFY_LEVELS],
                             const double useful[MARTLET_VERIFY_LEVELS],
                             double share[MARTLET_VERIFY_LEVELS][MARTLET_VERIFY_LEVELS]) {
  double after[MARTLET_VERIFY_LEVELS];
  for (int i = 0; i < MARTLET_VERIFY_LEVELS; ++i) after[i] = selected[i] * drawn[i];
  for (int high = MARTLET_VERIFY_LEVELS - 1; high > 0; --high)
    for (int low = 0; low < high; ++low) {
      const double pair = selected[high] * drawn[low] + selected[low] * drawn[high];
      const double wanted = useful[high] - after[high];
      share[high][low] = pair <= wanted ? 1 : wanted > 0 ? wanted / pair : 0;
      after[high] += share[high][low] * pair;
      after[low] += (1 - share[high][low]) * pair;
    }
  memcpy(selected, after, sizeof after);
}

static int verify_level(const martlet_verify_bounds *bounds, float base, float draft) {
  int level = 0;
  while (level < MARTLET_VERIFY_LEVELS - 1 && base >= bounds->bounds[level] * draft) ++level;
  return level;
}

/// Reduces the drawn children of a node, all of one law, to one; false if a row is refused. With
/// more than one, the residual becomes `weighted`, factors[level] · q being the law of the selection
/// times the residual's mass.
static int verify_select(verify_residual *left, uint32_t first, uint32_t *chosen) {
  const martlet_verify_tree *tree = left->tree;
  const float *law = verify_law(tree, first);
  uint32_t count = 0;
  VERIFY_CHILDREN(tree, left->node, child) {
    const float *own = verify_law(tree, child);
    if (own && own != law) return 0;
    if (!own) continue;
    const float q = law[tree->tokens[child]], p = left->base[tree->tokens[child]];
    if (!verify_is_probability((double)q) || q == 0) return 0;
    if (!verify_is_probability((double)p)) return 0;
    ++count;
  }
  *chosen = first;
  if (count == 1) return 1;
  if (!verify_materialise(left)) return 0;
  for (int i = 0; i < MARTLET_VERIFY_LEVELS - 1; ++i)
    left->bounds.bounds[i] = (float)(verify_ratio(i, count) * left->mass);
  left->bounds.cap = (float)((double)count * left->mass);
  martlet_verify_shares shares;
  MARTLET_CHOSEN(verify_levels_f32, MARTLET_NUMERIC_PORTABLE)
  (tree->width, left->base, law, &left->bounds, &shares);
  if (!(shares.lowest >= 0) || !verify_is_whole(shares.draft[0])) return 0;
  if (left->base != left->row && !verify_is_whole(shares.whole)) return 0;
  double drawn[MARTLET_VERIFY_LEVELS], useful[MARTLET_VERIFY_LEVELS];
  for (int i = 0; i < MARTLET_VERIFY_LEVELS; ++i) {
    const int last = i == MARTLET_VERIFY_LEVELS - 1;
    const double draft = shares.draft[i] - (last ? 0 : shares.draft[i + 1]);
    const double base = shares.base[i] - (last ? 0 : shares.base[i + 1]);
    drawn[i] = (draft > 0 ? draft : 0) / shares.draft[0];
    useful[i] = (base > 0 ? base : 0) / left->mass;
  }
  double selected[MARTLET_VERIFY_LEVELS];
  memcpy(selected, drawn, sizeof drawn);
  uint32_t token = tree->tokens[first];
  int level = verify_level(&left->bounds, left->base[token], law[token]);
  VERIFY_CHILDREN(tree, left->node, child) {
    if (child <= first || !verify_law(tree, child)) continue;
    const uint32_t next = tree->tokens[child];
    if (VERIFY_MUTANT(VERIFY_DUPLICATE_DROPPED) && next == token) continue;
    double share[MARTLET_VERIFY_LEVELS][MARTLET_VERIFY_LEVELS];
    verify_share_out(selected, drawn, useful, share);
    const int other = verify_level(&left->bounds, left->base[next], law[next]);
    if (other == level) continue;
    const int high = other > level ? other : level, low = other > level ? level : other;
    const int to_high = tree->uniforms[child] < share[high][low];
    if (to_high == (other > level)) {
      token = next;
      level = other;
      *chosen = child;
    }
  }
  for (int i = 0; i < MARTLET_VERIFY_LEVELS; ++i)
    left->factors[i] = drawn[i] > 0 ? (float)(left->mass * selected[i] / drawn[i]) : 0;
  if (VERIFY_MUTANT(VERIFY_SELECTION_IGNORED))
    for (int i = 0; i < MARTLET_VERIFY_LEVELS; ++i) left->factors[i] = (float)left->mass;
  left->draft = law;
  left->weighted = 1;
  // The continuation of repeated drafts hangs on the first.
  VERIFY_CHILDREN(tree, left->node, child)
    if (verify_law(tree, child) && tree->tokens[child] == token) {
      *chosen = child;
      break;
    }
  return 1;
}

/// The two steps over all drawn children, of which `first` is the first.
static verify_outcome verify_test_weighted(verify_residual *left, uint32_t first,
                                           uint32_t *chosen) {
  int ends = 0;
  if (!verify_select(left, first, chosen)) return VERIFY_REFUSED;
  if (!left->weighted) return verify_test_drawn(left, first, &ends);
  const uint32_t token = left->tree->tokens[*chosen];
  const float value = left->base[token], q = left->draft[token];
  const double proposal = (double)verify_factor(left, value, q) * (double)q;
  if (verify_passes(left->tree->uniforms[first], proposal, value)) return VERIFY_KEPT;
  if (!verify_sum_up(left, NULL)) return VERIFY_REFUSED;
  if (!(left->mass > 0)) {
    left->weighted = 0;
    verify_go_back(left, 0, 1);
  }
  return VERIFY_REJECTED;
}

// ---- the walk -----------------------------------------------------------------------------------

/// A token from the residual; false if a row is refused or holds nothing.
static int verify_draw(verify_residual *left, double u, uint32_t *token) {
  const martlet_verify_tree *tree = left->tree;
  if (!left->summed && !verify_sum_up(left, NULL)) return 0;
  if (!(left->mass > 0) && left->any_removed) {
    left->forget_removed = 1;
    if (!verify_sum_up(left, NULL)) return 0;
  }
  if (!(left->mass > 0)) return 0;
  if (VERIFY_MUTANT(VERIFY_UNNORMALISED_DRAW)) u = fmin(u / left->mass, 1 - 0x1p-53);
  double target;
  const size_t block =
      martlet_sampling_block(left->sums, martlet_logits_blocks(tree->width), u, &target);
  float values[MARTLET_LOGITS_BLOCK];
  verify_block_values(left, block, values);
  size_t count = verify_block_count(tree, block);
  if (VERIFY_MUTANT(VERIFY_CUT_OFF_BY_ONE) && block + 1 == martlet_logits_blocks(tree->width))
    --count;
  *token = (uint32_t)(block * MARTLET_LOGITS_BLOCK) + martlet_sampling_pick(values, count, target);
  return 1;
}

/// Tests the children of `node` and draws if none is kept.
static int verify_position(const martlet_verify_tree *tree, uint32_t node,
                           martlet_verify_result *result) {
  const size_t blocks = martlet_logits_blocks(tree->width);
  verify_residual left = {.tree = tree, .node = node, .tested = node, .mass = 1};
  left.base = tree->targets + (size_t)node * tree->target_stride;
  left.sums = tree->scratch;
  left.draft_sums = left.sums + blocks;
  left.row = left.draft_sums + blocks;
  result->accepted = 0;
  result->node = node;
  uint32_t drawn = MARTLET_VERIFY_NONE, last = node;
  int ends = 0;
  const int weighted = tree->rule == MARTLET_VERIFY_WEIGHTED;
  VERIFY_CHILDREN(tree, node, child) {
    verify_outcome outcome;
    if (ends) break;
    if (!verify_law(tree, child)) {
      outcome = verify_test_deterministic(&left, child);
    } else if (weighted) {
      // After the deterministic ones, all at once.
      if (drawn == MARTLET_VERIFY_NONE) drawn = child;
      continue;
    } else {
      outcome = verify_test_drawn(&left, child, &ends);
    }
    last = child;
    if (outcome == VERIFY_REFUSED) return 0;
    if (outcome == VERIFY_KEPT) {
      result->accepted = 1;
      result->node = child;
      return 1;
    }
  }
  if (drawn != MARTLET_VERIFY_NONE) {
    uint32_t chosen;
    const verify_outcome outcome = verify_test_weighted(&left, drawn, &chosen);
    last = drawn;
    if (outcome == VERIFY_REFUSED) return 0;
    if (outcome == VERIFY_KEPT) {
      result->accepted = 1;
      result->node = chosen;
      return 1;
    }
  }
  if (VERIFY_MUTANT(VERIFY_PARENT_ROW) && last == node && node > 0) {
    left.base = tree->targets + (size_t)verify_parent(tree, node) * tree->target_stride;
  }
  const double u = tree->uniforms[VERIFY_MUTANT(VERIFY_REUSED_UNIFORM) ? last : 0];
  return verify_draw(&left, u, &result->token);
}

static int verify_walk(const martlet_verify_tree *tree, uint32_t *path,
                       martlet_verify_result *result) {
  uint32_t node = 0, accepted = 0;
  while (verify_position(tree, node, result)) {
    if (!result->accepted) {
      result->accepted = accepted;
      return 1;
    }
    node = result->node;
    path[accepted++] = node;
  }
  result->accepted = 0;
  return 0;
}

#endif

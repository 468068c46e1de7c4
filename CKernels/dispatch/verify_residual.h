/// What is left of a target's distribution once drafts were rejected, and the trees that drafts stand
/// in: the arithmetic beneath verify_walk.h. The mistakes that statistical tests seed are named here,
/// since either file can be broken.
#ifndef MARTLET_DISPATCH_VERIFY_RESIDUAL_H
#define MARTLET_DISPATCH_VERIFY_RESIDUAL_H

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

#endif

/// The walk over a draft tree: which passes over rows are made when, and the tests between them, over
/// the arithmetic of verify_residual.h. Included by verify.c, and by the statistical tests, which define MARTLET_VERIFY_MUTANT to
/// break it in one place at a time and expect to notice.
#ifndef MARTLET_DISPATCH_VERIFY_WALK_H
#define MARTLET_DISPATCH_VERIFY_WALK_H

#include "dispatch/verify_residual.h"

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

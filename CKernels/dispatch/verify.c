/// The public doors of the verify family.
#include "dispatch/verify_walk.h"
#include "reference/exp.h"

#pragma STDC FP_CONTRACT OFF

/// Nodes, parents, tokens and the width.
static int shape_is_sound(const martlet_verify_tree *tree) {
  if (!tree || tree->size < sizeof *tree || tree->nodes == 0) return 0;
  if (tree->width == 0 || tree->width > UINT32_MAX) return 0;
  if (tree->nodes == 1) return 1;
  if (!tree->tokens) return 0;
  for (uint32_t i = 1; i < tree->nodes; ++i)
    if (verify_parent(tree, i) >= i || tree->tokens[i] >= tree->width) return 0;
  return 1;
}

static int targets_are_sound(const martlet_verify_tree *tree) {
  return tree->targets && tree->target_stride >= tree->width;
}

static int is_uniform(double u) { return u >= 0 && u < 1; }

/// All that a walk reads, but for rows.
static int is_sound(const martlet_verify_tree *tree) {
  if (!shape_is_sound(tree) || !targets_are_sound(tree)) return 0;
  if (tree->rule > MARTLET_VERIFY_WEIGHTED || !tree->uniforms || !tree->scratch) return 0;
  if (!is_uniform(tree->uniforms[0])) return 0;
  if (tree->draft_row_count > 0 && (!tree->drafts || tree->draft_stride < tree->width)) return 0;
  for (uint32_t i = 1; i < tree->nodes; ++i) {
    if (!is_uniform(tree->uniforms[i])) return 0;
    if (!tree->draft_rows) continue;
    const int32_t row = tree->draft_rows[i];
    if (row < -1 || (row >= 0 && (uint32_t)row >= tree->draft_row_count)) return 0;
  }
  return 1;
}

/// Whether a result can be written, emptied if so.
static int begin(const uint32_t *path, martlet_verify_result *result) {
  if (!path || !result || result->size < sizeof *result) return 0;
  *result = (martlet_verify_result){.size = result->size};
  return 1;
}

martlet_status martlet_verify_tree_f32(const martlet_verify_tree *tree, uint32_t *path,
                                       martlet_verify_result *result) {
  if (!begin(path, result) || !is_sound(tree)) return MARTLET_E_ARGUMENT;
  return verify_walk(tree, path, result) ? MARTLET_OK : MARTLET_E_ARGUMENT;
}

martlet_status martlet_verify_position_f32(const martlet_verify_tree *tree, uint32_t node,
                                           martlet_verify_result *result) {
  if (!begin(&node, result) || !is_sound(tree)) return MARTLET_E_ARGUMENT;
  if (node >= tree->nodes) return MARTLET_E_ARGUMENT;
  return verify_position(tree, node, result) ? MARTLET_OK : MARTLET_E_ARGUMENT;
}

/// The first child of `node` that holds `token`, or MARTLET_VERIFY_NONE.
static uint32_t child_with(const martlet_verify_tree *tree, uint32_t node, uint32_t token) {
  VERIFY_CHILDREN(tree, node, child)
    if (tree->tokens[child] == token) return child;
  return MARTLET_VERIFY_NONE;
}

martlet_status martlet_verify_greedy_f32(const martlet_verify_tree *tree, uint32_t *path,
                                         martlet_verify_result *result) {
  if (!begin(path, result) || !shape_is_sound(tree)) return MARTLET_E_ARGUMENT;
  if (!targets_are_sound(tree)) return MARTLET_E_ARGUMENT;
  uint32_t accepted = 0;
  for (;;) {
    uint32_t token;
    MARTLET_CHOSEN(verify_largest_f32, MARTLET_NUMERIC_PORTABLE)
    (tree->width, tree->targets + (size_t)result->node * tree->target_stride, &token);
    if (token == MARTLET_VERIFY_NONE) return MARTLET_E_ARGUMENT;
    const uint32_t child = child_with(tree, result->node, token);
    if (child == MARTLET_VERIFY_NONE) {
      result->accepted = accepted;
      result->token = token;
      return MARTLET_OK;
    }
    path[accepted++] = result->node = child;
  }
}

martlet_status martlet_verify_drawn(const martlet_verify_tree *tree, const uint32_t *drawn,
                                    uint32_t *path, martlet_verify_result *result) {
  if (!begin(path, result) || !shape_is_sound(tree) || !drawn) return MARTLET_E_ARGUMENT;
  for (uint32_t i = 0; i < tree->nodes; ++i)
    if (drawn[i] >= tree->width) return MARTLET_E_ARGUMENT;
  for (;;) {
    const uint32_t child = child_with(tree, result->node, drawn[result->node]);
    if (child == MARTLET_VERIFY_NONE) break;
    path[result->accepted++] = result->node = child;
  }
  result->token = drawn[result->node];
  return MARTLET_OK;
}

/// Marks in `depths` which children of `node` are typical; false if its row is refused.
static int mark_typical(const martlet_verify_tree *tree, uint32_t node, float epsilon, float delta,
                        uint32_t *depths) {
  if (verify_next_child(tree, node, node) == MARTLET_VERIFY_NONE) return 1;
  const float *row = tree->targets + (size_t)node * tree->target_stride;
  martlet_verify_sums sums;
  MARTLET_CHOSEN(verify_entropy_f32, MARTLET_NUMERIC_PORTABLE)(tree->width, row, &sums);
  if (!(sums.lowest >= 0) || !verify_is_whole(sums.base)) return 0;
  const float typical = delta * martlet_exp_f32((float)-sums.residual);
  const float bound = epsilon < typical ? epsilon : typical;
  VERIFY_CHILDREN(tree, node, child)
    depths[child] = row[tree->tokens[child]] > bound ? depths[node] + 1 : 0;
  return 1;
}

martlet_status martlet_verify_typical_f32(const martlet_verify_tree *tree, float epsilon,
                                          float delta, uint32_t *path,
                                          martlet_verify_result *result) {
  if (!begin(path, result) || !is_sound(tree)) return MARTLET_E_ARGUMENT;
  if (!(epsilon >= 0 && epsilon < INFINITY && delta >= 0 && delta < INFINITY))
    return MARTLET_E_ARGUMENT;
  // Depths of the nodes kept, 0 for the others, stand in `path` until the longest is known.
  uint32_t best = 0;
  for (uint32_t i = 0; i < tree->nodes; ++i) path[i] = 0;
  for (uint32_t i = 0; i < tree->nodes; ++i) {
    if (i > 0 && path[i] == 0) continue;
    if (path[i] > path[best]) best = i;
    if (!mark_typical(tree, i, epsilon, delta, path)) {
      result->node = i;
      return MARTLET_E_ARGUMENT;
    }
  }
  const uint32_t accepted = path[best];
  // A node's number is at least its depth, so nothing that is still to be read is overwritten.
  for (uint32_t node = best, depth = accepted; depth > 0; node = verify_parent(tree, node))
    path[--depth] = node;
  martlet_verify_tree leaf = *tree;
  leaf.nodes = 1;
  leaf.targets = tree->targets + (size_t)best * tree->target_stride;
  const int drawn = verify_position(&leaf, 0, result);
  result->accepted = drawn ? accepted : 0;
  result->node = best;
  return drawn ? MARTLET_OK : MARTLET_E_ARGUMENT;
}

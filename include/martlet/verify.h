/// Verifying drafted tokens: which of them are kept, and the token that follows them.
///
/// A draft is a tree of guessed tokens behind a text. One forward pass gives the target's
/// distribution after every node; verification then walks from the root. At a node it tests the
/// children, which are several drafts of one position, in order. The first that passes is kept and
/// the walk goes on from it; when none passes, the token is drawn from what the tests have left of
/// the target (the residual) and the walk ends. At a leaf the token is drawn from the target itself.
/// So every call gives between 1 and depth + 1 tokens.
///
/// With every rule but martlet_verify_typical_f32 the tokens have exactly the law of sampling from
/// the target one by one. p is the target's row at a node, q the law that a child was drawn from,
/// and u its uniform number.
///
///  - One draft: kept if u · q(x) < p(x), else drawn from max(p - q, 0). (Leviathan et al., Fast
///    Inference from Transformers via Speculative Decoding; Chen et al., Accelerating Large Language
///    Model Decoding with Speculative Sampling.)
///  - MARTLET_VERIFY_RECURSIVE: drafts drawn independently, each with its own law if need be. After
///    a rejection the normalised residual is the target of the next test. (Miao et al., SpecInfer.)
///  - MARTLET_VERIFY_DISTINCT: as before, for drafts drawn from one law without replacement: the
///    law of a draft is q without the earlier ones, normalised. (Jeon et al., Recursive Speculative
///    Decoding.)
///  - MARTLET_VERIFY_WEIGHTED: drafts drawn independently from one law. They are reduced to one in
///    pairs, in favour of the token with the larger ratio p/q, and that one is tested against the law
///    that the selection gave it. (Khisti et al., Multi-Draft Speculative Sampling: Canonical
///    Architectures and Theoretical Limits, whose two steps these are.) The published weights solve
///    a linear program over pairs of tokens. Here ratios fall in MARTLET_VERIFY_LEVELS levels, pairs of
///    levels are shared out in one pass from the highest level down, each taking what its tokens can
///    use from the lowest partner first, and nothing is solved or cut off. That keeps the law exact
///    for any number of drafts, and a draft is kept at least nine times where the best selection
///    keeps one ten times, in every case that is tested.
///  - A draft without a law (draft row -1) is a token that was chosen without chance: n-gram, trie,
///    a sibling's text. It is kept with its probability in the residual, else leaves the residual.
///
/// Rows are float32 probabilities that add up to 1 but for rounding, and are used as they are: a test
/// reads p(x) and q(x) and nothing else, and a draw is scaled by the sum of its residual. So where sums
/// miss 1 the law is that of p to within |Σp - 1| + |Σq - 1|. A residual that rounding leaves
/// empty is replaced by that before the last rejection. Tokens with p = 0 are never returned.
/// Refused with MARTLET_E_ARGUMENT, as far as they are read: entries that are NaN, negative or above
/// 1 + 2⁻⁸, sums further than 2⁻⁸ from 1, and drafts with q(x) = 0 or, where drafts are
/// distinct, repeated ones.
///
/// Sums run as in sampling.h, in float32 within blocks of 256 and in float64 across, so results are
/// the same on every ISA. A kept draft costs two loads (MARTLET_VERIFY_WEIGHTED with several drafts:
/// one pass over p and q), a rejected one with a law one pass over p and q, the last draw one pass over p
/// unless a rejection has done it.
#ifndef MARTLET_VERIFY_H
#define MARTLET_VERIFY_H

#include "sampling.h"

/// How the drafts of one position were drawn, and so how they are tested.
typedef enum martlet_verify_rule {
  MARTLET_VERIFY_RECURSIVE = 0,
  MARTLET_VERIFY_DISTINCT = 1,
  MARTLET_VERIFY_WEIGHTED = 2,
} martlet_verify_rule;

enum { MARTLET_VERIFY_LEVELS = 8 };

/// No node.
#define MARTLET_VERIFY_NONE UINT32_MAX

/// Floats of scratch memory that verifying rows of `width` needs.
static inline size_t martlet_verify_scratch(size_t width) {
  return width + 2 * martlet_logits_blocks(width);
}

/// A tree of drafts. Node 0 is the root, the last token of the text; it is not tested. Parents come
/// before their children, and children of one node are tested in order of their numbers. Where
/// drafts repeat, their continuation hangs on the first.
typedef struct martlet_verify_tree {
  uint32_t size;            ///< sizeof(martlet_verify_tree), set by the caller.
  uint32_t rule;            ///< martlet_verify_rule.
  uint32_t nodes;           ///< At least 1.
  uint32_t draft_row_count; ///< Rows of `drafts`.
  size_t width;             ///< Tokens of the vocabulary, at most 2³² - 1.
  /// [nodes]; parents[i] < i, parents[0] is not read. Null for a chain: the parent of i is i - 1.
  const uint32_t *parents;
  const uint32_t *tokens;   ///< [nodes], each below `width`; tokens[0] is not read.
  /// [nodes][width]: the target's distribution after node i.
  const float *targets;
  size_t target_stride;     ///< Floats from one row to the next, at least `width`.
  /// [draft_row_count][width]: laws that drafts were drawn from.
  const float *drafts;
  size_t draft_stride;
  /// [nodes]: the row of `drafts` that node i was drawn from, or -1 for none; draft_rows[0] is not
  /// read. Null for -1 everywhere.
  const int32_t *draft_rows;
  /// [nodes], in [0, 1), independent: uniforms[i] tests node i, uniforms[0] makes the last draw. No
  /// other random numbers are used, and none twice.
  const double *uniforms;
  float *scratch;           ///< martlet_verify_scratch(width) floats.
} martlet_verify_tree;

/// What a walk came to: path[0 ..< accepted] are the nodes kept, then comes `token`.
typedef struct martlet_verify_result {
  uint32_t size;            ///< sizeof(martlet_verify_result), set by the caller.
  uint32_t accepted;        ///< Nodes kept.
  uint32_t token;           ///< The token after them, drawn by the target.
  /// The last node kept, 0 for none. When a row was refused, the node whose test or draw read it.
  uint32_t node;
} martlet_verify_result;

/// Walks the tree. `path` has room for `nodes` numbers. Needs every field of the tree.
///
/// Returns MARTLET_E_ARGUMENT for an inconsistent tree or a refused row (`result->node` says
/// where; `accepted` is 0 and the path has no meaning).
MARTLET_API martlet_status martlet_verify_tree_f32(const martlet_verify_tree *tree, uint32_t *path,
                                                   martlet_verify_result *result);
/// One step of that walk: tests the children of `node` against its row alone, so that rows can be
/// made as the walk reaches them. `result->node` becomes the child that was kept, `accepted` 1; or
/// `accepted` 0 and `token` the token drawn (also at a leaf).
MARTLET_API martlet_status martlet_verify_position_f32(const martlet_verify_tree *tree,
                                                       uint32_t node,
                                                       martlet_verify_result *result);
/// Greedy decoding: keeps drafts that are the most likely token, the lowest id among equals.
/// `targets` may hold logits or probabilities: any numbers but NaN and +inf, one of them finite.
/// Reads the rows that the walk reaches, once. Uses nodes, width, parents, tokens and targets.
MARTLET_API martlet_status martlet_verify_greedy_f32(const martlet_verify_tree *tree,
                                                     uint32_t *path,
                                                     martlet_verify_result *result);
/// The same noise: keeps drafts that equal drawn[node], the token that plain sampling draws after a
/// node with the random number of its position, and ends with the drawn token of the last node.
/// The text is that of plain sampling, not only its law. Uses nodes, width, parents and tokens.
MARTLET_API martlet_status martlet_verify_drawn(const martlet_verify_tree *tree,
                                                const uint32_t *drawn, uint32_t *path,
                                                martlet_verify_result *result);
/// Typical acceptance, which changes the distribution: keeps a draft if p(x) > min(epsilon,
/// delta · exp(-H)), H = -Σ p ln p, takes the longest path of such drafts (the first in
/// order among equals) and draws the last token from the target there with uniforms[0]. `epsilon` and
/// `delta` are at least 0. One pass over the row of each inner node kept. (Cai et al., Medusa.)
MARTLET_API martlet_status martlet_verify_typical_f32(const martlet_verify_tree *tree,
                                                      float epsilon, float delta, uint32_t *path,
                                                      martlet_verify_result *result);

#endif

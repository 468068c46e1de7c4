/// Teams: branches that read one another as they write. An extension of the plugin interface.
///
/// `host->extension(MARTLET_TEAM_EXTENSION)` gives a martlet_team_extension, or null where the host has
/// none. Members of a team have what they share, the branch they were forked from, and a block of their
/// own each. To a member the text is the shared part, the others' blocks and its own, by `layout`; its
/// next token follows all of them. Keys and values stay where their writer stored them, and a reader's
/// queries are rotated to where it stands from there: pages are read in place, once for all members.
///
/// Members advance by `advance`, `submit` and `wait_any` of plugin.h, in step: each round of theirs is one
/// pass, in which each sees the others' tokens of that round. Appended text is read before it. Who has
/// stopped stays in view, who is released is gone from the next round on. While a run has a team, its
/// branches draw round by round and the team's passes run while the plugin waits, so that texts do not
/// depend on time. Together members fit the model's context; one that would pass it stops with
/// MARTLET_STOP_CONTEXT. While it is in a team a branch cannot be forked, truncated, reopened, resampled or
/// demoted: MARTLET_E_STATE.
///
/// Source: "Hogwild! Inference: Parallel LLM Generation via Concurrent Attention".
#ifndef MARTLET_EXTENSIONS_TEAM_H
#define MARTLET_EXTENSIONS_TEAM_H

#include "../plugin.h"

/// The id of this version. A later one that differs has another id.
#define MARTLET_TEAM_EXTENSION "martlet.team.1"

/// In which order a member sees what there is. The shared part comes first, its own text last.
typedef enum martlet_team_layout {
  /// The others' blocks in the order of members, then its own.
  MARTLET_TEAM_CONTIGUOUS = 0,
  /// Steps in the order in which `end_step` ended them, its own among them; nothing of the others'
  /// unfinished ones.
  MARTLET_TEAM_INTERLEAVED = 1,
  /// Steps in that order, then the others' unfinished ones in the order of members.
  MARTLET_TEAM_COMBINED = 2,
} martlet_team_layout;

/// The functions. Each gives MARTLET_E_HANDLE for a branch that is not the run's.
typedef struct martlet_team_extension {
  uint32_t size;      ///< sizeof(martlet_team_extension) of the host.
  uint32_t reserved;
  /// Whether branches of the run's model can be put in teams: 1 or 0. They cannot where the model attends to
  /// less than everything before a token (a sliding window, retrieval, eviction, pruning), or where the
  /// run is guided. [any thread]
  martlet_status (*available)(martlet_run run, uint32_t *available);
  /// Makes a team of forks of `shared`, in the order in which others see them; `shared` itself stays as it
  /// is. `layout` is a martlet_team_layout. A team ends with its last member.
  /// MARTLET_E_UNSUPPORTED where `available` gives 0; MARTLET_E_ARGUMENT for no member, one named twice, one
  /// that does not begin with what `shared` holds, more than a pass of the model takes, or an unknown
  /// layout; MARTLET_E_STATE for one that advances or is in a team; MARTLET_E_CONTEXT when together they
  /// exceed the context. [run thread]
  martlet_status (*make)(martlet_run run, martlet_branch shared, const martlet_branch *members,
                         uint32_t count, uint32_t layout);
  /// Ends a member's step: its text since the last one goes behind the finished steps of all. Nothing
  /// under MARTLET_TEAM_CONTIGUOUS. MARTLET_E_STATE while it advances, or outside a team. [run thread]
  martlet_status (*end_step)(martlet_run run, martlet_branch member);
  /// Takes a member out of its team. It goes on as an ordinary branch that sees the shared part and its own
  /// block; what that took from the others stays in its keys and values. MARTLET_E_STATE while it
  /// advances, or outside a team. [run thread]
  martlet_status (*leave)(martlet_run run, martlet_branch member);
  /// The tokens as a member sees them, its own last; `capacity` and `needed` count tokens.
  /// MARTLET_E_STATE outside a team. [any thread]
  martlet_status (*context)(martlet_run run, martlet_branch member, int32_t *buffer,
                            size_t capacity, size_t *needed);
} martlet_team_extension;
MARTLET_STATIC_ASSERT(sizeof(martlet_team_extension) == 8 + 5 * sizeof(void *), "martlet.team.1");

#endif

/// Every kernel family, and what follows from their lists taken together.
#ifndef MARTLET_DISPATCH_FAMILIES_H
#define MARTLET_DISPATCH_FAMILIES_H

#include "dispatch/activation_variants.h"
#include "dispatch/attention_variants.h"
#include "dispatch/gemm_variants.h"
#include "dispatch/graph_variants.h"
#include "dispatch/norm_variants.h"
#include "dispatch/retrieve_variants.h"
#include "dispatch/rope_variants.h"
#include "dispatch/rows_variants.h"
#include "dispatch/sampling_variants.h"
#include "dispatch/softmax_variants.h"
#include "dispatch/variant.h"
#include "dispatch/verify_variants.h"

#define MARTLET_ALL_OPERATIONS(O)  \
  MARTLET_NORM_OPERATIONS(O)       \
  MARTLET_ROPE_OPERATIONS(O)       \
  MARTLET_ACTIVATION_OPERATIONS(O) \
  MARTLET_SOFTMAX_OPERATIONS(O)    \
  MARTLET_SAMPLING_OPERATIONS(O)   \
  MARTLET_VERIFY_OPERATIONS(O)     \
  MARTLET_ATTENTION_OPERATIONS(O)  \
  MARTLET_RETRIEVE_OPERATIONS(O)   \
  MARTLET_GRAPH_OPERATIONS(O)      \
  MARTLET_ROWS_OPERATIONS(O)       \
  MARTLET_GEMM_OPERATIONS(O)

#define MARTLET_ALL_VARIANTS(X)  \
  MARTLET_NORM_VARIANTS(X)       \
  MARTLET_ROPE_VARIANTS(X)       \
  MARTLET_ACTIVATION_VARIANTS(X) \
  MARTLET_SOFTMAX_VARIANTS(X)    \
  MARTLET_SAMPLING_VARIANTS(X)   \
  MARTLET_VERIFY_VARIANTS(X)     \
  MARTLET_ATTENTION_VARIANTS(X)  \
  MARTLET_RETRIEVE_VARIANTS(X)   \
  MARTLET_GRAPH_VARIANTS(X)      \
  MARTLET_ROWS_VARIANTS(X)       \
  MARTLET_GEMM_VARIANTS(X)

/// A number for each operation: MARTLET_OPERATION_rms_norm_f32, …
enum {
#define MARTLET_OPERATION_ID(family, operation) MARTLET_OPERATION_##operation,
  MARTLET_ALL_OPERATIONS(MARTLET_OPERATION_ID)
#undef MARTLET_OPERATION_ID
      MARTLET_OPERATION_COUNT
};

/// Choices made so far; null until an operation is first used.
extern MARTLET_HIDDEN _Atomic(martlet_any_function)
    martlet_chosen[MARTLET_OPERATION_COUNT][MARTLET_NUMERIC_CLASS_COUNT];

/// The function that serves an operation in a class, or null when the class has none.
static inline martlet_any_function martlet_choose(uint32_t operation_id, uint32_t numeric_class) {
  martlet_any_function function = atomic_load_explicit(
      &martlet_chosen[operation_id][numeric_class], memory_order_relaxed);
  if (function) return function;
  const martlet_entry *entry = martlet_resolve(operation_id, numeric_class);
  return entry ? entry->function : (martlet_any_function)0;
}

/// The serving variant of `operation` with its own function type.
#define MARTLET_CHOSEN(operation, numeric_class) \
  ((martlet_##operation##_function *)martlet_choose(MARTLET_OPERATION_##operation, numeric_class))

#endif

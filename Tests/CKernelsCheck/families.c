/// The families that have checks. A family joins with one line here.
#include "check.h"

#define FAMILY(name)                                                        \
  extern const martlet_check_operation martlet_check_##name##_operations[]; \
  extern const size_t martlet_check_##name##_operation_count;
#define ALL_FAMILIES(F) \
  F(norm)               \
  F(rope)               \
  F(activation)         \
  F(softmax)            \
  F(sampling)           \
  F(choose)             \
  F(kv)                 \
  F(verify)             \
  F(attention)          \
  F(attention_merge)    \
  F(attention_weights)  \
  F(retrieve)           \
  F(graph)              \
  F(rows)               \
  F(gemm)               \
  F(gemm_prepare)

ALL_FAMILIES(FAMILY)

#define ROW(name) {martlet_check_##name##_operations, &martlet_check_##name##_operation_count},
const martlet_check_family martlet_check_families[] = {ALL_FAMILIES(ROW)};
const size_t martlet_check_family_count =
    sizeof(martlet_check_families) / sizeof(martlet_check_families[0]);

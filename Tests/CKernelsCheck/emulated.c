#include "emulated.h"

#include "dispatch/families.h"
#include "emulated_gemm.h"

#define ENTRY(family, operation, isa, numeric_class, requires) \
  {#family,                                                    \
   #operation,                                                 \
   #isa,                                                       \
   #operation "_" #isa,                                        \
   "",                                                         \
   (martlet_any_function)martlet_##operation##_##isa,          \
   MARTLET_OPERATION_##operation,                              \
   numeric_class,                                              \
   requires},

const martlet_entry martlet_emulated_entries[] = {MARTLET_EMULATED_VARIANTS(ENTRY)};
const size_t martlet_emulated_entry_count =
    sizeof(martlet_emulated_entries) / sizeof(martlet_emulated_entries[0]);

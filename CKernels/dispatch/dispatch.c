/// The table of all variants, the choice among them, and the introspection of both.
#include "dispatch/families.h"
#include "openblas/openblas.h"

#include <string.h>

static const martlet_entry entries[] = {
#define MARTLET_ENTRY(family, operation, isa, numeric_class, requires)                 \
  {#family,                                                                            \
   #operation,                                                                         \
   #isa,                                                                               \
   #operation "_" #isa,                                                                \
   "outranked by " #operation "_" #isa,                                                \
   (martlet_any_function)martlet_##operation##_##isa,                                  \
   MARTLET_OPERATION_##operation,                                                      \
   numeric_class,                                                                      \
   requires},
    MARTLET_ALL_VARIANTS(MARTLET_ENTRY)
#undef MARTLET_ENTRY
};
static const size_t entry_count = sizeof(entries) / sizeof(entries[0]);

_Atomic(martlet_any_function)
    martlet_chosen[MARTLET_OPERATION_COUNT][MARTLET_NUMERIC_CLASS_COUNT];

const martlet_entry *martlet_entries(size_t *count) {
  *count = entry_count;
  return entries;
}

int martlet_entry_available(const martlet_entry *entry) {
  if (entry->requires_isa & ~martlet_isa_features()) return 0;
  return entry->numeric_class != MARTLET_NUMERIC_OPENBLAS || martlet_openblas_sgemm();
}

const martlet_entry *martlet_resolve(uint32_t operation_id, uint32_t numeric_class) {
  if (operation_id >= MARTLET_OPERATION_COUNT || numeric_class >= MARTLET_NUMERIC_CLASS_COUNT)
    return NULL;
  const martlet_entry *best = NULL;
  for (size_t i = 0; i < entry_count; ++i) {
    const martlet_entry *entry = &entries[i];
    if (entry->operation_id == operation_id && entry->numeric_class == numeric_class &&
        martlet_entry_available(entry))
      best = entry;
  }
  if (best)
    atomic_store_explicit(&martlet_chosen[operation_id][numeric_class], best->function,
                          memory_order_relaxed);
  return best;
}

/// Why an entry is unavailable, as a string that lives forever: names the first missing capability.
static const char *missing_reason(uint32_t requires_isa) {
  if (!(requires_isa & ~martlet_isa_features())) return "needs libopenblas.so.0";
  static const char *const needs[] = {
      "needs avx2",        "needs avx512",   "needs avx512_vnni", "needs avx512_bf16",
      "needs avx512_vbmi", "needs avx_vnni", "needs amx_int8",    "needs amx_bf16",
      "needs neon",        "needs neon_dotprod", "needs neon_i8mm",
  };
  uint32_t absent = requires_isa & ~martlet_isa_detected();
  for (size_t bit = 0; bit < sizeof(needs) / sizeof(needs[0]); ++bit)
    if (absent & (1u << bit)) return needs[bit];
  if (martlet_isa_status() != MARTLET_OK)
    return "MARTLET_ISA names no known level, so only the reference serves";
  return "removed by MARTLET_ISA";
}

size_t martlet_variant_count(void) { return entry_count; }

martlet_status martlet_variant_at(size_t index, martlet_variant *variant) {
  if (!variant || index >= entry_count) return MARTLET_E_ARGUMENT;
  if (variant->size < sizeof(martlet_variant)) return MARTLET_E_ARGUMENT;
  const martlet_entry *entry = &entries[index];
  const martlet_entry *winner = martlet_resolve(entry->operation_id, entry->numeric_class);
  int available = martlet_entry_available(entry);
  variant->requires_isa = entry->requires_isa;
  variant->family = entry->family;
  variant->operation = entry->operation;
  variant->isa = entry->isa;
  variant->name = entry->name;
  variant->numeric_class = (int32_t)entry->numeric_class;
  variant->available = available;
  variant->serving = entry == winner;
  if (!available)
    variant->reason = missing_reason(entry->requires_isa);
  else if (entry == winner)
    variant->reason = "best available in its numeric class";
  else
    variant->reason = winner->outranks;
  return MARTLET_OK;
}

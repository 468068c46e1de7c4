/// The mechanism that turns a family's variant list into declarations, a table, dispatch,
/// introspection, checks and timings.
///
/// A family writes one header, dispatch/<family>_variants.h, that holds
///   - for each operation a function type, `typedef void martlet_<operation>_function(…);`
///   - MARTLET_<FAMILY>_OPERATIONS(O): every operation once, `O(family, operation)`
///   - MARTLET_<FAMILY>_VARIANTS(X): every variant compiled for this architecture, in rising order
///     of preference, `X(family, operation, isa, numeric class, required capabilities)`
///   - one MARTLET_DECLARE_VARIANTS line, which declares all variant functions
/// and is named in families.h. Everything else follows from the lists. The reference comes first in
/// each operation's list, needs nothing, and fills every slot that a faster variant may take later.
#ifndef MARTLET_DISPATCH_VARIANT_H
#define MARTLET_DISPATCH_VARIANT_H

#include <martlet/common.h>
#include <martlet/isa.h>
#include <stdatomic.h>

/// Internal symbols stay inside the image that links the kernels.
#define MARTLET_HIDDEN __attribute__((visibility("hidden")))

/// Declares `martlet_<operation>_<isa>` with the operation's function type.
#define MARTLET_DECLARE_VARIANT(family, operation, isa, numeric_class, requires) \
  extern MARTLET_HIDDEN martlet_##operation##_function martlet_##operation##_##isa;

/// Any function pointer; cast back to `martlet_<operation>_function *` before the call.
typedef void (*martlet_any_function)(void);

/// One row of the table that all lists generate.
typedef struct martlet_entry {
  const char *family;
  const char *operation;
  const char *isa;
  const char *name;
  const char *outranks;  ///< What the entries it beats give as their reason.
  martlet_any_function function;
  uint32_t operation_id;
  uint32_t numeric_class;
  uint32_t requires_isa;
} martlet_entry;

#define MARTLET_NUMERIC_CLASS_COUNT 4

/// All entries of all families, in list order.
MARTLET_HIDDEN const martlet_entry *martlet_entries(size_t *count);
/// Whether this process may run an entry.
MARTLET_HIDDEN int martlet_entry_available(const martlet_entry *entry);
/// The entry that serves an operation in a class: the last available one of its list, or null when
/// the class has none. Thread-safe and lock-free: every thread computes the same answer.
MARTLET_HIDDEN const martlet_entry *martlet_resolve(uint32_t operation_id, uint32_t numeric_class);

#endif

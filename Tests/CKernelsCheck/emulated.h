/// Variants whose body runs over an emulated instruction set, so that it is checked where the
/// instructions are missing. Dispatch never sees them.
#ifndef MARTLET_TESTS_EMULATED_H
#define MARTLET_TESTS_EMULATED_H

#include "dispatch/variant.h"

extern const martlet_entry martlet_emulated_entries[];
extern const size_t martlet_emulated_entry_count;

#endif

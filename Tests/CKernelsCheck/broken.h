/// Variants that are wrong on purpose: the check of the checks.
#ifndef MARTLET_TESTS_BROKEN_H
#define MARTLET_TESTS_BROKEN_H

#include "dispatch/variant.h"

extern const martlet_entry martlet_broken_entries[];
extern const size_t martlet_broken_entry_count;

#endif

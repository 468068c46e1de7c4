/// Writes its question into the branches that it is given.
#define SCORER_BODY                                                                    \
  for (uint32_t i = 0; i < count; ++i) {                                               \
    martlet_status status = self->host->append_text(self->run, branches[i], "a", 1);   \
    if (status != MARTLET_OK) return status;                                           \
  }
#include "scorer.h"

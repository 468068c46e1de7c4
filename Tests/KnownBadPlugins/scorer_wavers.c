/// Its verdict on a branch depends on how many it gave before.
#define SCORER_BODY scores[0] = calls;
#include "scorer.h"

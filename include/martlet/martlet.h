/// Everything Martlet offers to C: the engine, the kernels and the plugin interface.
#ifndef MARTLET_MARTLET_H
#define MARTLET_MARTLET_H

#include "engine.h"
#include "extensions/team.h"
#include "kernels.h"
#include "plugin.h"

#endif

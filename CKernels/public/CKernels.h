/// The kernels are declared in include/martlet; this target only defines them.
#include <martlet/kernels.h>

/// What names the packed layouts, for whoever keeps packed weights in a file.
#include "dispatch/gemm_layout.h"

uint32_t martlet_gemm_layout_version(void) { return MARTLET_GEMM_LAYOUT_VERSION; }

const char *martlet_gemm_layout_name(martlet_numeric_class numeric_class) {
  return numeric_class == MARTLET_NUMERIC_OPENBLAS ? "rows-f32" : "tiles-16";
}

/// Names and sizes behind common.h.
#include <martlet/common.h>

const char *martlet_status_name(martlet_status status) {
  switch (status) {
    case MARTLET_OK: return "ok";
    case MARTLET_E_ARGUMENT: return "invalid argument";
    case MARTLET_E_UNSUPPORTED: return "unsupported";
    case MARTLET_E_MEMORY: return "out of memory";
    case MARTLET_E_HANDLE: return "stale or foreign handle";
    case MARTLET_E_BUDGET: return "budget exhausted";
    case MARTLET_E_CANCELLED: return "cancelled";
    case MARTLET_E_TOO_SMALL: return "buffer too small";
    case MARTLET_E_STATE: return "not allowed in this state";
    case MARTLET_E_CONTEXT: return "context length exceeded";
    case MARTLET_E_NOT_FOUND: return "not found";
    case MARTLET_E_PLUGIN: return "plugin failed";
    case MARTLET_E_INTERNAL: return "internal failure";
    case MARTLET_E_FILE: return "file cannot be used";
    case MARTLET_E_DATA: return "invalid data";
  }
  return "unknown status";
}

size_t martlet_weight_block_elements(martlet_weight_type type) {
  switch (type) {
    case MARTLET_WEIGHT_F32:
    case MARTLET_WEIGHT_F16:
    case MARTLET_WEIGHT_BF16: return 1;
    case MARTLET_WEIGHT_Q4_0:
    case MARTLET_WEIGHT_Q4_1:
    case MARTLET_WEIGHT_Q5_0:
    case MARTLET_WEIGHT_Q5_1:
    case MARTLET_WEIGHT_Q8_0:
    case MARTLET_WEIGHT_IQ4_NL: return 32;
    case MARTLET_WEIGHT_Q4_K:
    case MARTLET_WEIGHT_Q5_K:
    case MARTLET_WEIGHT_Q6_K: return 256;
  }
  return 0;
}

size_t martlet_weight_block_bytes(martlet_weight_type type) {
  switch (type) {
    case MARTLET_WEIGHT_F32: return 4;
    case MARTLET_WEIGHT_F16:
    case MARTLET_WEIGHT_BF16: return 2;
    case MARTLET_WEIGHT_Q4_0: return 2 + 16;           // scale, nibbles
    case MARTLET_WEIGHT_Q4_1: return 2 + 2 + 16;       // scale, minimum, nibbles
    case MARTLET_WEIGHT_Q5_0: return 2 + 4 + 16;       // scale, fifth bits, nibbles
    case MARTLET_WEIGHT_Q5_1: return 2 + 2 + 4 + 16;   // scale, minimum, fifth bits, nibbles
    case MARTLET_WEIGHT_Q8_0: return 2 + 32;           // scale, int8
    case MARTLET_WEIGHT_IQ4_NL: return 2 + 16;         // scale, indices
    case MARTLET_WEIGHT_Q4_K: return 2 + 2 + 12 + 128; // scale, minimum, 6-bit scales, nibbles
    case MARTLET_WEIGHT_Q5_K: return 2 + 2 + 12 + 32 + 128;
    case MARTLET_WEIGHT_Q6_K: return 128 + 64 + 16 + 2; // low nibbles, high pairs, scales, scale
  }
  return 0;
}

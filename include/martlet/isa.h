/// What this CPU can do, what this process may use of it, and which kernel serves which operation.
#ifndef MARTLET_ISA_H
#define MARTLET_ISA_H

#include "common.h"

/// One bit per capability a kernel may require.
enum {
  MARTLET_ISA_AVX2 = 1u << 0,        ///< AVX2, FMA3 and F16C together.
  MARTLET_ISA_AVX512 = 1u << 1,      ///< AVX-512 F, BW, DQ, VL and CD together.
  MARTLET_ISA_AVX512_VNNI = 1u << 2,
  MARTLET_ISA_AVX512_BF16 = 1u << 3,
  MARTLET_ISA_AVX512_VBMI = 1u << 4,
  MARTLET_ISA_AVX_VNNI = 1u << 5,
  MARTLET_ISA_AMX_INT8 = 1u << 6,    ///< Only after the kernel granted tile data to the process.
  MARTLET_ISA_AMX_BF16 = 1u << 7,
  MARTLET_ISA_NEON = 1u << 8,
  MARTLET_ISA_NEON_DOTPROD = 1u << 9,
  MARTLET_ISA_NEON_I8MM = 1u << 10,
};

/// Capabilities in use: what CPUID and XGETBV report, less what `MARTLET_ISA` removes.
/// `MARTLET_ISA` holds a level: `reference`, `avx2`, `avx512` or `native`; each level removes all
/// capabilities above it and can add none. Read once, on the first call. Thread-safe.
MARTLET_API uint32_t martlet_isa_features(void);
/// What the CPU and the operating system offer, before `MARTLET_ISA`.
MARTLET_API uint32_t martlet_isa_detected(void);
/// MARTLET_OK, or MARTLET_E_ARGUMENT if `MARTLET_ISA` names no known level. While it is in error
/// every kernel is served by the reference.
MARTLET_API martlet_status martlet_isa_status(void);
/// The name of one capability bit (`avx2`, `avx512_vnni`, …), or null for an unknown bit.
MARTLET_API const char *martlet_isa_feature_name(uint32_t feature);

/// One entry of a family's variant list.
typedef struct martlet_variant {
  uint32_t size;            ///< sizeof(martlet_variant).
  uint32_t requires_isa;    ///< Capability bits this variant needs.
  const char *family;       ///< `gemm`, `norm`, …
  const char *operation;    ///< `gemm_q4_0_q8`, `rms_norm_f32`, …
  const char *isa;          ///< `reference`, `avx2`, `avx512`, `avx512_vnni`, `openblas`, …
  const char *name;         ///< operation and isa: `gemm_q4_0_q8_avx512_vnni`.
  int32_t numeric_class;    ///< martlet_numeric_class.
  int32_t available;        ///< 1 if this process may run it.
  int32_t serving;          ///< 1 if dispatch chose it for its operation and class.
  const char *reason;       ///< Why it serves or not: `needs avx512_vnni`, `outranked by …`.
} martlet_variant;

/// How many variants all families list.
MARTLET_API size_t martlet_variant_count(void);
/// Copies entry `index` into `*variant` (set `variant->size` first). Strings live forever.
MARTLET_API martlet_status martlet_variant_at(size_t index, martlet_variant *variant);

#endif

/// What this CPU and operating system offer, less what MARTLET_ISA removes.
#define _GNU_SOURCE  // syscall(2) under -std=c17.
#include <martlet/isa.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif
#endif

#if defined(__x86_64__)

/// The state components the operating system saves (XCR0), or 0 without XSAVE.
static uint64_t enabled_state(void) {
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & (1u << 27))) return 0;
  unsigned low, high;
  // XGETBV by its mnemonic needs the xsave target; the instruction itself is checked for above.
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return ((uint64_t)high << 32) | low;
}

/// Asks the kernel for AMX tile data. Linux keeps it off until a process asks.
static int tile_data_granted(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
  enum { request_permission = 0x1023, tile_data = 18 };
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return 0;
#endif
}

static uint32_t detect(void) {
  uint32_t features = 0;
  unsigned eax, ebx, ecx, edx;
  uint64_t state = enabled_state();
  const uint64_t vector256 = 0x6, vector512 = 0xe6, tiles = 3u << 17;
  if ((state & vector256) != vector256) return 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
  int fma = (ecx >> 12) & 1, avx = (ecx >> 28) & 1, f16c = (ecx >> 29) & 1;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return 0;
  unsigned leaf7_subleaves = eax, leaf7_ebx = ebx, leaf7_ecx = ecx, leaf7_edx = edx;
  unsigned leaf7_1_eax = 0;
  if (leaf7_subleaves >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) leaf7_1_eax = eax;

  if (!(avx && fma && f16c && ((leaf7_ebx >> 5) & 1))) return 0;
  features |= MARTLET_ISA_AVX2;
  if ((leaf7_1_eax >> 4) & 1) features |= MARTLET_ISA_AVX_VNNI;

  // F, DQ, CD, BW and VL.
  const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
  if ((state & vector512) == vector512 && (leaf7_ebx & avx512) == avx512) {
    features |= MARTLET_ISA_AVX512;
    if ((leaf7_ecx >> 11) & 1) features |= MARTLET_ISA_AVX512_VNNI;
    if ((leaf7_ecx >> 1) & 1) features |= MARTLET_ISA_AVX512_VBMI;
    if ((leaf7_1_eax >> 5) & 1) features |= MARTLET_ISA_AVX512_BF16;
    if ((state & tiles) == tiles && ((leaf7_edx >> 24) & 1) && tile_data_granted()) {
      if ((leaf7_edx >> 25) & 1) features |= MARTLET_ISA_AMX_INT8;
      if ((leaf7_edx >> 22) & 1) features |= MARTLET_ISA_AMX_BF16;
    }
  }
  return features;
}

#elif defined(__aarch64__)

static uint32_t detect(void) {
  uint32_t features = MARTLET_ISA_NEON;  // Part of the AArch64 baseline.
#if defined(__linux__)
  if (getauxval(AT_HWCAP) & (1ul << 20)) features |= MARTLET_ISA_NEON_DOTPROD;
  if (getauxval(AT_HWCAP2) & (1ul << 13)) features |= MARTLET_ISA_NEON_I8MM;
#endif
  return features;
}

#else

static uint32_t detect(void) { return 0; }

#endif

/// The capabilities a level of MARTLET_ISA leaves; returns 0 for an unknown level.
static int level_allows(const char *level, uint32_t *allowed) {
  const uint32_t avx2 = MARTLET_ISA_AVX2;
  const uint32_t avx512 = avx2 | MARTLET_ISA_AVX_VNNI | MARTLET_ISA_AVX512 |
                          MARTLET_ISA_AVX512_VNNI | MARTLET_ISA_AVX512_BF16 |
                          MARTLET_ISA_AVX512_VBMI;
  *allowed = 0;
  if (!level || !*level || !strcmp(level, "native")) *allowed = UINT32_MAX;
  else if (!strcmp(level, "avx512")) *allowed = avx512;
  else if (!strcmp(level, "avx2")) *allowed = avx2;
  else if (strcmp(level, "reference")) return 0;
  return 1;
}

/// Bit 63: known. Bit 62: MARTLET_ISA is in error. Bits 32…: detected. Bits 0…: in use.
static _Atomic uint64_t resolved;
static const uint64_t known_bit = 1ull << 63, error_bit = 1ull << 62;

static uint64_t resolve(void) {
  uint64_t state = atomic_load_explicit(&resolved, memory_order_relaxed);
  if (state) return state;
  uint32_t detected = detect(), allowed;
  int valid = level_allows(getenv("MARTLET_ISA"), &allowed);
  uint64_t made = known_bit | (valid ? 0 : error_bit) | (uint64_t)detected << 32 |
                  (detected & allowed);
  // The first thread to finish decides for all, so that a later setenv changes nothing.
  return atomic_compare_exchange_strong(&resolved, &state, made) ? made : state;
}

uint32_t martlet_isa_features(void) { return (uint32_t)resolve(); }

uint32_t martlet_isa_detected(void) {
  return (uint32_t)((resolve() & ~(known_bit | error_bit)) >> 32);
}

martlet_status martlet_isa_status(void) {
  return resolve() & error_bit ? MARTLET_E_ARGUMENT : MARTLET_OK;
}

const char *martlet_isa_feature_name(uint32_t feature) {
  switch (feature) {
    case MARTLET_ISA_AVX2: return "avx2";
    case MARTLET_ISA_AVX512: return "avx512";
    case MARTLET_ISA_AVX512_VNNI: return "avx512_vnni";
    case MARTLET_ISA_AVX512_BF16: return "avx512_bf16";
    case MARTLET_ISA_AVX512_VBMI: return "avx512_vbmi";
    case MARTLET_ISA_AVX_VNNI: return "avx_vnni";
    case MARTLET_ISA_AMX_INT8: return "amx_int8";
    case MARTLET_ISA_AMX_BF16: return "amx_bf16";
    case MARTLET_ISA_NEON: return "neon";
    case MARTLET_ISA_NEON_DOTPROD: return "neon_dotprod";
    case MARTLET_ISA_NEON_I8MM: return "neon_i8mm";
    default: return NULL;
  }
}

/// Arithmetic loops for x86: twelve independent chains of one instruction on two register operands,
/// so that nothing but the instruction's throughput counts. Operations per instruction: 2 per float32
/// lane, 4 per lane of a bf16 pair, 8 per lane of an int8 quadruple; 16 × 16 × 64 × 2 for an int8 tile.
#include "probes/probe.h"

#if defined(__x86_64__)
#include <immintrin.h>

/// One loop: `vector` accumulators from `zero`, `apply` once per chain and step.
#define PROBE_LOOP(name, attributes, vector, operand, zero, fill, apply, operations) \
  __attribute__(attributes) __attribute__((noinline)) static double name(uint64_t steps) { \
    vector sums[MARTLET_PROBE_CHAINS];                                               \
    operand left = fill, right = left;                                               \
    martlet_probe_opaque(&left);                                                     \
    martlet_probe_opaque(&right);                                                    \
    for (int chain = 0; chain < MARTLET_PROBE_CHAINS; ++chain) sums[chain] = zero;   \
    for (uint64_t step = 0; step < steps; ++step) {                                  \
      _Pragma("clang loop unroll(full)")                                             \
      for (int chain = 0; chain < MARTLET_PROBE_CHAINS; ++chain)                     \
        sums[chain] = apply(sums[chain], left, right);                               \
    }                                                                                \
    martlet_probe_opaque(sums);                                                      \
    return (double)steps * MARTLET_PROBE_CHAINS * (operations);                      \
  }

#define FMA256(sum, left, right) _mm256_fmadd_ps(sum, left, right)
#define FMA512(sum, left, right) _mm512_fmadd_ps(sum, left, right)
/// Without VNNI: bytes to pairs of int16, those to int32, and an add.
#define DOT_MADD256(sum, left, right) \
  _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(left, right), right))
#define DOT_MADD512(sum, left, right) \
  _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(left, right), right))

PROBE_LOOP(fma_avx2, (target("avx2,fma")), __m256, __m256, left, _mm256_set1_ps(0.999f), FMA256, 16)
PROBE_LOOP(fma_avx512, (target("avx512f"), min_vector_width(512)), __m512, __m512, left,
           _mm512_set1_ps(0.999f), FMA512, 32)
PROBE_LOOP(bf16_avx512, (target("avx512f,avx512bf16"), min_vector_width(512)), __m512, __m512bh,
           _mm512_setzero_ps(), (__m512bh)_mm512_set1_epi16(0x3f00), _mm512_dpbf16_ps, 64)
// maddubs sees different values each step through `sum`, or the compiler would compute it once.
#define DOT_MADD256_CHAINED(sum, left, right) DOT_MADD256(sum, _mm256_xor_si256(left, sum), right)
#define DOT_MADD512_CHAINED(sum, left, right) DOT_MADD512(sum, _mm512_xor_si512(left, sum), right)
PROBE_LOOP(int8_avx2, (target("avx2")), __m256i, __m256i, left, _mm256_set1_epi8(1),
           DOT_MADD256_CHAINED, 64)
PROBE_LOOP(int8_avx512, (target("avx512f,avx512bw"), min_vector_width(512)), __m512i, __m512i, left,
           _mm512_set1_epi8(1), DOT_MADD512_CHAINED, 128)
PROBE_LOOP(int8_avx_vnni, (target("avx2,avxvnni")), __m256i, __m256i, _mm256_setzero_si256(),
           _mm256_set1_epi8(1), _mm256_dpbusd_avx_epi32, 64)
PROBE_LOOP(int8_avx512_vnni, (target("avx512f,avx512vnni"), min_vector_width(512)), __m512i, __m512i,
           _mm512_setzero_si512(), _mm512_set1_epi8(1), _mm512_dpbusd_epi32, 128)

/// Eight tiles of 16 rows of 64 bytes, all zero.
__attribute__((target("amx-tile"))) static void configure_tiles(void) {
  struct {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } configuration = {.palette = 1};
  _Static_assert(sizeof configuration == 64, "the layout that ldtilecfg reads");
  for (int tile = 0; tile < 8; ++tile) configuration.row_bytes[tile] = 64, configuration.rows[tile] = 16;
  _tile_loadconfig(&configuration);
  _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
  _tile_zero(4), _tile_zero(5), _tile_zero(6), _tile_zero(7);
}

/// Four accumulators from two times two operand tiles, as a product kernel holds them. Not yet run
/// on a CPU that has tiles.
#define PROBE_TILES(name, features, apply, operations)                              \
  __attribute__((target(features), noinline)) static double name(uint64_t steps) {  \
    configure_tiles();                                                              \
    for (uint64_t step = 0; step < steps; ++step) {                                 \
      apply(0, 4, 6);                                                               \
      apply(1, 4, 7);                                                               \
      apply(2, 5, 6);                                                               \
      apply(3, 5, 7);                                                               \
    }                                                                               \
    _tile_release();                                                                \
    return (double)steps * 4 * (operations);                                        \
  }

PROBE_TILES(int8_amx, "amx-tile,amx-int8", _tile_dpbusd, 16 * 16 * 64 * 2)
PROBE_TILES(bf16_amx, "amx-tile,amx-bf16", _tile_dpbf16ps, 16 * 16 * 32 * 2)

static const martlet_probe_loop loops[] = {
    {MARTLET_PROBE_FMA_F32, MARTLET_ISA_AVX2, "vfmadd ymm", fma_avx2},
    {MARTLET_PROBE_FMA_F32, MARTLET_ISA_AVX512, "vfmadd zmm", fma_avx512},
    {MARTLET_PROBE_DOT_BF16, MARTLET_ISA_AVX512_BF16, "vdpbf16ps zmm", bf16_avx512},
    {MARTLET_PROBE_DOT_BF16, MARTLET_ISA_AMX_BF16, "tdpbf16ps", bf16_amx},
    {MARTLET_PROBE_DOT_INT8, MARTLET_ISA_AVX2, "vpmaddubsw ymm", int8_avx2},
    {MARTLET_PROBE_DOT_INT8, MARTLET_ISA_AVX_VNNI, "vpdpbusd ymm", int8_avx_vnni},
    {MARTLET_PROBE_DOT_INT8, MARTLET_ISA_AVX512, "vpmaddubsw zmm", int8_avx512},
    {MARTLET_PROBE_DOT_INT8, MARTLET_ISA_AVX512_VNNI, "vpdpbusd zmm", int8_avx512_vnni},
    {MARTLET_PROBE_DOT_INT8, MARTLET_ISA_AMX_INT8, "tdpbusd", int8_amx},
};

const martlet_probe_loop *martlet_probe_native_loops(size_t *count) {
  *count = sizeof loops / sizeof loops[0];
  return loops;
}

#elif !defined(__aarch64__)

const martlet_probe_loop *martlet_probe_native_loops(size_t *count) {
  *count = 0;
  return NULL;
}

#endif

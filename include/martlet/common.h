/// Shared vocabulary of every Martlet C header: export, annotations, status codes, weight types.
#ifndef MARTLET_COMMON_H
#define MARTLET_COMMON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define MARTLET_EXTERN extern "C"
/// A compile-time check that reads the same in C and C++.
#define MARTLET_STATIC_ASSERT(condition, message) static_assert(condition, message)
#else
#define MARTLET_EXTERN extern
#define MARTLET_STATIC_ASSERT(condition, message) _Static_assert(condition, message)
#endif

#define MARTLET_API MARTLET_EXTERN __attribute__((visibility("default")))

/// What every fallible Martlet C function returns. Zero is success, negative is failure.
/// The numbers never change meaning.
typedef enum martlet_status {
  MARTLET_OK = 0,
  /// An argument is null, out of range or inconsistent with another.
  MARTLET_E_ARGUMENT = -1,
  /// The operation is valid but this build, CPU or backend cannot do it.
  MARTLET_E_UNSUPPORTED = -2,
  MARTLET_E_MEMORY = -3,
  /// A handle was released, never existed, or belongs to another run.
  MARTLET_E_HANDLE = -4,
  /// The budget does not cover the request; nothing was done beyond what it covers.
  MARTLET_E_BUDGET = -5,
  /// The run was cancelled or its deadline passed. Return from the plugin soon.
  MARTLET_E_CANCELLED = -6,
  /// The caller's buffer is too small; the needed size was written and nothing else.
  MARTLET_E_TOO_SMALL = -7,
  /// The call is not allowed in this state or on this thread.
  MARTLET_E_STATE = -8,
  /// The sequence would exceed the model's context length.
  MARTLET_E_CONTEXT = -9,
  /// The named thing (option, scorer, extension) does not exist.
  MARTLET_E_NOT_FOUND = -10,
  /// A plugin reported a failure of its own.
  MARTLET_E_PLUGIN = -11,
  /// A failure inside Martlet or the system beneath it.
  MARTLET_E_INTERNAL = -12,
  /// A file or folder cannot be read or written.
  MARTLET_E_FILE = -13,
  /// A file was read and what it holds is not valid.
  MARTLET_E_DATA = -14,
} martlet_status;

/// A short lower-case English name for a status, never null; lives forever.
MARTLET_API const char *martlet_status_name(martlet_status status);

/// Element types of weights as GGUF stores them; the values are GGUF's tensor type ids.
typedef enum martlet_weight_type {
  MARTLET_WEIGHT_F32 = 0,
  MARTLET_WEIGHT_F16 = 1,
  MARTLET_WEIGHT_Q4_0 = 2,
  MARTLET_WEIGHT_Q4_1 = 3,
  MARTLET_WEIGHT_Q5_0 = 6,
  MARTLET_WEIGHT_Q5_1 = 7,
  MARTLET_WEIGHT_Q8_0 = 8,
  MARTLET_WEIGHT_Q4_K = 12,
  MARTLET_WEIGHT_Q5_K = 13,
  MARTLET_WEIGHT_Q6_K = 14,
  MARTLET_WEIGHT_IQ4_NL = 20,
  MARTLET_WEIGHT_BF16 = 30,
} martlet_weight_type;

/// Elements in one storage block of `type` (1 for f32, f16, bf16), or 0 for an unknown type.
MARTLET_API size_t martlet_weight_block_elements(martlet_weight_type type);
/// Bytes of one storage block of `type`, or 0 for an unknown type.
MARTLET_API size_t martlet_weight_block_bytes(martlet_weight_type type);

/// How a session rounds. Every kernel of a class gives the same bits on every ISA, for any
/// thread count and any other rows in the call, except where the class says otherwise.
typedef enum martlet_numeric_class {
  /// float32 activations: one fused multiply-add per element in depth order. Quantised weights:
  /// int8 activations in blocks of 32, exact int32 sums per block, one float32 fused
  /// multiply-add per block in depth order. Bit-identical on every ISA, reference included.
  MARTLET_NUMERIC_PORTABLE = 0,
  /// bf16 weights with bf16 activations through the CPU's bf16 dot product, in depth order.
  /// Other weight types as in the portable class. Identical only on one ISA level.
  MARTLET_NUMERIC_BF16_DOT = 1,
  /// Weights dequantised to float32 and multiplied by OpenBLAS. Not batch-invariant: OpenBLAS
  /// chooses its blocking by shape.
  MARTLET_NUMERIC_OPENBLAS = 2,
  /// bf16 weights with bf16 activations through AMX's bf16 tiles: of every 32 depths the even and
  /// the odd ones are summed apart, added, and added to the result. Other weight types as in the
  /// portable class. Only on CPUs with AMX, and not yet run on one.
  MARTLET_NUMERIC_BF16_AMX = 3,
} martlet_numeric_class;

#endif

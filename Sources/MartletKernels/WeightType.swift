import CMartlet

/// Element types of weights as GGUF stores them; raw values are GGUF's tensor type ids.
public enum WeightType: UInt32, CaseIterable, Sendable {
  case f32 = 0
  case f16 = 1
  case q4_0 = 2
  case q4_1 = 3
  case q5_0 = 6
  case q5_1 = 7
  case q8_0 = 8
  case q4_K = 12
  case q5_K = 13
  case q6_K = 14
  case iq4_nl = 20
  case bf16 = 30

  /// The name GGUF tools print: `F16`, `Q4_K`, `IQ4_NL`.
  public var name: String {
    switch self {
    case .f32: "F32"
    case .f16: "F16"
    case .q4_0: "Q4_0"
    case .q4_1: "Q4_1"
    case .q5_0: "Q5_0"
    case .q5_1: "Q5_1"
    case .q8_0: "Q8_0"
    case .q4_K: "Q4_K"
    case .q5_K: "Q5_K"
    case .q6_K: "Q6_K"
    case .iq4_nl: "IQ4_NL"
    case .bf16: "BF16"
    }
  }

  /// Elements of one storage block: 1 for the plain float types, 32 or 256 for the quantised ones.
  public var blockElements: Int { Int(martlet_weight_block_elements(cValue)) }

  /// Bytes of one storage block.
  public var blockBytes: Int { Int(martlet_weight_block_bytes(cValue)) }

  /// Bytes that `elements` elements take, or nil when that is no whole number of blocks, is
  /// negative, or overflows.
  public func byteCount(elements: Int) -> Int? {
    let block = blockElements
    guard elements >= 0, elements % block == 0 else { return nil }
    let (bytes, overflow) = (elements / block).multipliedReportingOverflow(by: blockBytes)
    return overflow ? nil : bytes
  }

  var cValue: martlet_weight_type { martlet_weight_type(rawValue: rawValue) }
}

/// How a session rounds: what is rounded where, and the order of every reduction. Dispatch, row
/// count and thread count never change it.
public enum NumericClass: String, CaseIterable, Sendable {
  /// Bit-identical on every ISA, the reference included. The default.
  case portable
  /// bf16 weights meet bf16 activations in the CPU's own dot product; other weights as portable.
  case bf16Dot = "bf16-dot"
  /// Weights held as float32 and multiplied by OpenBLAS; not batch-invariant.
  case openBLAS = "openblas"
  /// bf16 weights meet bf16 activations in AMX's tiles; other weights as portable.
  case bf16AMX = "bf16-amx"

  var cValue: martlet_numeric_class {
    switch self {
    case .portable: MARTLET_NUMERIC_PORTABLE
    case .bf16Dot: MARTLET_NUMERIC_BF16_DOT
    case .openBLAS: MARTLET_NUMERIC_OPENBLAS
    case .bf16AMX: MARTLET_NUMERIC_BF16_AMX
    }
  }

  init?(cValue: Int32) {
    guard let match = Self.allCases.first(where: { Int32($0.cValue.rawValue) == cValue }) else {
      return nil
    }
    self = match
  }
}

/// How activations are held for a product.
public enum ActivationType: Sendable, CaseIterable {
  case f32
  case bf16
  /// int8 in blocks of 32 with a float32 scale each.
  case q8

  /// The form that products with `weights` read in `numericClass`.
  public init(for weights: WeightType, numericClass: NumericClass) {
    switch martlet_gemm_activation_type(weights.cValue, numericClass.cValue) {
    case MARTLET_ACTIVATION_BF16: self = .bf16
    case MARTLET_ACTIVATION_Q8: self = .q8
    default: self = .f32
    }
  }

  var cValue: martlet_activation_type {
    switch self {
    case .f32: MARTLET_ACTIVATION_F32
    case .bf16: MARTLET_ACTIVATION_BF16
    case .q8: MARTLET_ACTIVATION_Q8
    }
  }
}

import CMartlet

/// Everything that decides the angles of rotary position embedding.
///
/// Source: "RoFormer: Enhanced Transformer with Rotary Position Embedding"; scaling from "YaRN:
/// Efficient Context Window Extension of Large Language Models" and Llama 3.1's frequency bands.
public struct RopeConfiguration: Sendable, Equatable {
  /// Which dimensions form a pair.
  public enum Layout: String, Sendable {
    /// (0, 1), (2, 3), …: GGUF's `llama`.
    case adjacent
    /// (i, i + rotary/2): `qwen2`, `qwen3`.
    case halves
  }

  /// How frequencies change for contexts beyond the trained one.
  public enum Scaling: String, Sendable {
    case none, linear, yarn, llama3
  }

  public var layout: Layout
  /// Rotated dimensions per head, even; the rest pass unchanged.
  public var rotaryDimensions: Int
  /// θ, 10,000 unless the model says otherwise.
  public var base: Double
  public var scaling: Scaling
  /// Context extension factor, 1 for none.
  public var factor: Double
  /// Training context in tokens, for YaRN and Llama 3.
  public var originalContext: Double
  public var yarnExtrapolation: Double
  public var yarnAttention: Double
  public var yarnBetaFast: Double
  public var yarnBetaSlow: Double
  public var lowFrequencyFactor: Double
  public var highFrequencyFactor: Double
  /// Divisors of the frequencies, one per pair (GGUF's `rope_freqs.weight`), or nil.
  public var frequencyFactors: [Float]?

  /// A configuration; everything past `base` has the value that means "plain".
  public init(
    layout: Layout, rotaryDimensions: Int, base: Double = 10_000, scaling: Scaling = .none,
    factor: Double = 1, originalContext: Double = 0, yarnExtrapolation: Double = 1,
    yarnAttention: Double = 1, yarnBetaFast: Double = 32, yarnBetaSlow: Double = 1,
    lowFrequencyFactor: Double = 1, highFrequencyFactor: Double = 4,
    frequencyFactors: [Float]? = nil
  ) {
    self.layout = layout
    self.rotaryDimensions = rotaryDimensions
    self.base = base
    self.scaling = scaling
    self.factor = factor
    self.originalContext = originalContext
    self.yarnExtrapolation = yarnExtrapolation
    self.yarnAttention = yarnAttention
    self.yarnBetaFast = yarnBetaFast
    self.yarnBetaSlow = yarnBetaSlow
    self.lowFrequencyFactor = lowFrequencyFactor
    self.highFrequencyFactor = highFrequencyFactor
    self.frequencyFactors = frequencyFactors
  }
}

/// Cosines and sines for the positions of one batch.
///
/// Use: `begin` on one thread, `fill` disjoint rows on any; then rotate. `@unchecked Sendable` by
/// that rule.
public final class RopeTable: @unchecked Sendable {
  public let configuration: RopeConfiguration
  private let rows: FloatMatrix

  /// Room for `rows` positions.
  /// - Throws: `KernelError` `.argument` when the configuration is impossible, `.memory`.
  public init(_ configuration: RopeConfiguration, rows: Int) throws(KernelError) {
    let dimensions = configuration.rotaryDimensions
    guard dimensions > 0, dimensions % 2 == 0, dimensions <= 65_536 else {
      throw KernelError(.argument, "\(dimensions) rotary dimensions: must be even and positive")
    }
    if let factors = configuration.frequencyFactors, factors.count != dimensions / 2 {
      throw KernelError(
        .argument, "\(factors.count) rope frequency factors for \(dimensions / 2) pairs")
    }
    self.configuration = configuration
    self.rows = try FloatMatrix(rows: rows, columns: dimensions)
    // One position shows whether the kernel takes the configuration at all.
    if rows > 0 { try compute([0], row: 0).throwing("rope configuration") }
  }

  /// Computes rows `range` for the same elements of `positions`. Disjoint ranges may run
  /// concurrently.
  public func fill(positions: [Int32], rows range: Range<Int>) {
    rows.checkRows(range)
    precondition(range.upperBound <= positions.count, "rows \(range) of \(positions.count)")
    for row in range {
      compute([positions[row]], row: row).expectSuccess("martlet_rope_table")
    }
  }

  /// Rotates every head of rows `range` of `values` in place by those rows' angles.
  public func rotate(_ values: FloatMatrix, headDimensions: Int, rows range: Range<Int>) {
    rows.checkRows(range)
    values.checkRows(range)
    precondition(
      headDimensions >= configuration.rotaryDimensions && values.columns % headDimensions == 0,
      "\(values.columns) columns, heads of \(headDimensions)")
    for row in range {
      martlet_rope_f32(
        layout, 1, values.columns / headDimensions, headDimensions,
        configuration.rotaryDimensions, rows.base + row * rows.stride,
        values.base + row * values.stride, values.stride
      ).expectSuccess("martlet_rope_f32")
    }
  }

  private var layout: martlet_rope_layout {
    configuration.layout == .adjacent ? MARTLET_ROPE_ADJACENT : MARTLET_ROPE_HALVES
  }

  private func compute(_ positions: [Int32], row: Int) -> martlet_status {
    var c = martlet_rope_configuration()
    c.size = UInt32(MemoryLayout<martlet_rope_configuration>.size)
    c.layout = layout
    switch configuration.scaling {
    case .none: c.scaling = MARTLET_ROPE_SCALING_NONE
    case .linear: c.scaling = MARTLET_ROPE_SCALING_LINEAR
    case .yarn: c.scaling = MARTLET_ROPE_SCALING_YARN
    case .llama3: c.scaling = MARTLET_ROPE_SCALING_LLAMA3
    }
    c.rotary_dimensions = UInt32(configuration.rotaryDimensions)
    c.base = configuration.base
    c.factor = configuration.factor
    c.original_context = configuration.originalContext
    c.yarn_extrapolation = configuration.yarnExtrapolation
    c.yarn_attention = configuration.yarnAttention
    c.yarn_beta_fast = configuration.yarnBetaFast
    c.yarn_beta_slow = configuration.yarnBetaSlow
    c.low_frequency_factor = configuration.lowFrequencyFactor
    c.high_frequency_factor = configuration.highFrequencyFactor
    var status = MARTLET_OK
    Kernels.withOptionalPointer(configuration.frequencyFactors) { factors in
      c.frequency_factors = factors
      status = martlet_rope_table(&c, positions.count, positions, rows.base + row * rows.stride)
    }
    return status
  }
}

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

/// Cosines and sines by position, each computed once, when it is first met.
///
/// Use: `compute` on any threads for disjoint positions, `markComputed` on one; then rotate.
/// `@unchecked Sendable` by that rule.
public final class RopeTable: @unchecked Sendable {
  public let configuration: RopeConfiguration
  /// Positions that can be met.
  public let positions: Int
  /// A row per position. Rows that were never met take no memory: the system gives pages when
  /// they are written.
  private let rows: FloatMatrix
  private var computed: [Bool]

  /// A table for positions 0 ..< `positions`.
  /// - Throws: `KernelError` `.argument` when the configuration is impossible, `.memory`.
  public init(_ configuration: RopeConfiguration, positions: Int) throws(KernelError) {
    let dimensions = configuration.rotaryDimensions
    guard dimensions > 0, dimensions % 2 == 0, dimensions <= 65_536 else {
      throw KernelError(.argument, "\(dimensions) rotary dimensions: must be even and positive")
    }
    if let factors = configuration.frequencyFactors, factors.count != dimensions / 2 {
      throw KernelError(
        .argument, "\(factors.count) rope frequency factors for \(dimensions / 2) pairs")
    }
    guard positions > 0, positions <= Int(Int32.max) else {
      throw KernelError(.argument, "a rope table of \(positions) positions")
    }
    self.configuration = configuration
    self.positions = positions
    rows = try FloatMatrix(rows: positions, columns: dimensions)
    computed = Array(repeating: false, count: positions)
    // One position shows whether the kernel takes the configuration at all.
    try evaluate(0).throwing("rope configuration")
  }

  /// Those of `positions` that are not in the table yet, ascending, each once.
  public func missing(_ positions: [Int32]) -> [Int32] {
    var found = positions.filter { !computed[Int($0)] }
    found.sort()
    return found.indices.filter { $0 == 0 || found[$0] != found[$0 - 1] }.map { found[$0] }
  }

  /// Computes `positions`, about 200 ns per pair. Disjoint positions may run concurrently.
  public func compute(_ positions: ArraySlice<Int32>) {
    for position in positions { evaluate(position).expectSuccess("martlet_rope_table") }
  }

  /// Notes that `positions` have been computed.
  public func markComputed(_ positions: [Int32]) {
    for position in positions { computed[Int(position)] = true }
  }

  /// Computes what is missing of `positions` on the calling thread.
  public func prepare(_ positions: [Int32]) {
    let missing = missing(positions)
    compute(missing[...])
    markComputed(missing)
  }

  /// Rotates every head of rows `range` of `values` in place, row i by positions[i].
  public func rotate(
    _ values: FloatMatrix, headDimensions: Int, positions: [Int32], rows range: Range<Int>
  ) {
    values.checkRows(range)
    precondition(
      headDimensions >= configuration.rotaryDimensions && values.columns % headDimensions == 0,
      "\(values.columns) columns, heads of \(headDimensions)")
    for row in range {
      let position = Int(positions[row])
      precondition(computed[position], "position \(position) was not computed")
      martlet_rope_f32(
        layout, 1, values.columns / headDimensions, headDimensions,
        configuration.rotaryDimensions, rows.base + position * rows.stride,
        values.base + row * values.stride, values.stride
      ).expectSuccess("martlet_rope_f32")
    }
  }

  /// Turns a head that was rotated for position `from` into what it would be at `to`, up to rounding: by
  /// the difference of the angles, and of what a scaling multiplies. Both were computed.
  public func rotate(_ head: inout [Float], from: Int, to: Int) {
    let dimensions = configuration.rotaryDimensions
    precondition(head.count >= dimensions, "a head of \(head.count) dimensions")
    precondition(computed[from] && computed[to], "positions \(from), \(to) were not computed")
    for pair in 0..<dimensions / 2 {
      let (c, s) = (Double(rows[from, 2 * pair]), Double(rows[from, 2 * pair + 1]))
      let (newC, newS) = (Double(rows[to, 2 * pair]), Double(rows[to, 2 * pair + 1]))
      let size = c * c + s * s
      let (cosine, sine) = ((newC * c + newS * s) / size, (newS * c - newC * s) / size)
      let first = configuration.layout == .adjacent ? 2 * pair : pair
      let second = configuration.layout == .adjacent ? first + 1 : first + dimensions / 2
      let (x, y) = (Double(head[first]), Double(head[second]))
      head[first] = Float(x * cosine - y * sine)
      head[second] = Float(x * sine + y * cosine)
    }
  }

  private var layout: martlet_rope_layout {
    configuration.layout == .adjacent ? MARTLET_ROPE_ADJACENT : MARTLET_ROPE_HALVES
  }

  private func evaluate(_ position: Int32) -> martlet_status {
    rows.checkRow(Int(position))
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
      status = martlet_rope_table(
        &c, 1, [position], rows.base + Int(position) * rows.stride)
    }
    return status
  }
}

import CMartlet

/// Memory that sampling by rules works in, sized as needed and used again.
public struct SamplingScratch: Sendable {
  private var memory: AlignedMemory?

  public init() {}

  /// At least what `width` logits need. A copy of this value gets memory of its own.
  mutating func base(width: Int) -> UnsafeMutableRawPointer {
    let bytes = martlet_sampling_scratch(width)
    // Asked first: a binding would be a second reference.
    if isKnownUniquelyReferenced(&memory), let memory, memory.byteCount >= bytes {
      return memory.base
    }
    do {
      let fresh = try AlignedMemory(byteCount: bytes)
      memory = fresh
      return fresh.base
    } catch {
      fatalError("sampling needs \(bytes) bytes of memory: \(error)")
    }
  }
}

/// How tokens are drawn from a distribution; see `martlet/sampling.h` for methods and sources.
public enum SamplingDraw: Sendable, Equatable {
  /// By inverse CDF in order of id, one token for each number in 0 ..< 1.
  case inverse([Double])
  /// The `count` largest of log weight + Gumbel noise, which key and token alone determine:
  /// without replacement, in falling order.
  case gumbel(key: (UInt64, UInt64), count: Int)
  /// The `count` most likely, in falling order.
  case priority(count: Int)

  public static func == (a: SamplingDraw, b: SamplingDraw) -> Bool {
    switch (a, b) {
    case (.inverse(let x), .inverse(let y)): x == y
    case (.gumbel(let k, let n), .gumbel(let l, let m)): k == l && n == m
    case (.priority(let n), .priority(let m)): n == m
    default: false
    }
  }
}

/// What a row says, before any rule and after all, and the tokens drawn.
public struct SampledRow: Sendable {
  /// What became of the row.
  public enum Outcome: UInt32, Sendable {
    /// It holds NaN or +∞, or nothing finite.
    case unsound = 0
    case sound = 1
    /// The rules leave nothing.
    case forbidden = 2
    /// The rules take logits beyond float32.
    case overflowed = 3
  }
  /// Only `.sound` has more to say.
  public let outcome: Outcome
  /// Drawn tokens; fewer than asked for where no more exist.
  public let tokens: [Int]
  /// Of the row itself, the first among equals.
  public let mostLikely: Int
  /// Tokens the rules left.
  public let kept: Int
  public let maximum: Double
  /// How far the second largest logit is below it; +∞ if there is none.
  public let gap: Double
  /// log Σ exp(l − maximum) of the row itself.
  public let logSum: Double
  /// Of the row itself, nats.
  public let entropy: Double
  /// Of the first token before any rule and after all, nats.
  public let logprob: Double
  public let keptLogprob: Double
  /// The temperature applied.
  public let temperature: Double
  /// For the next token.
  public let mirostatMu: Double
  /// The most likely tokens of the row itself, by rank.
  public let alternatives: [(token: Int, logprob: Float)]

  init(
    _ c: martlet_sampled, tokens: ArraySlice<UInt32>, alternatives: ArraySlice<martlet_ranked_token>
  ) {
    outcome = Outcome(rawValue: c.clean) ?? .unsound
    self.tokens = tokens.filter { $0 != .max }.map(Int.init)
    mostLikely = Int(c.most_likely)
    kept = Int(c.kept)
    maximum = c.maximum
    gap = c.gap
    logSum = c.log_sum
    entropy = c.entropy
    logprob = c.logprob
    keptLogprob = c.kept_logprob
    temperature = c.temperature
    mirostatMu = c.mirostat_mu
    self.alternatives = alternatives.map { (Int($0.token), $0.logprob) }
  }
}

extension Kernels {
  /// Applies rules to a row and draws. The same bits on every CPU.
  ///
  /// - Parameters:
  ///   - alternatives: how many of the row's most likely tokens to report.
  ///   - other: a second row for guidance (``SamplingRules/ownWeight``), read where rules ask for it.
  ///   - divergenceRow: a second row for KL-guided temperature, the same.
  /// - Complexity: two to four passes over the row; nothing is sorted but what tail-free sampling
  ///   looks at.
  public static func sample(
    _ logits: Span<Float>, rules: SamplingRules, draw: SamplingDraw, alternatives: Int = 0,
    other: Span<Float>? = nil, divergenceRow: Span<Float>? = nil, scratch: inout SamplingScratch
  ) -> SampledRow {
    check(rules, width: logits.count, other, divergenceRow)
    var call = martlet_sampling_draw()
    call.size = UInt32(MemoryLayout<martlet_sampling_draw>.size)
    var uniforms: [Double] = []
    switch draw {
    case .inverse(let numbers):
      uniforms = numbers
      call.kind = UInt32(MARTLET_DRAW_INVERSE)
      call.count = UInt32(numbers.count)
    case .gumbel(let key, let count):
      call.kind = UInt32(MARTLET_DRAW_GUMBEL)
      call.key = key
      call.count = UInt32(min(count, logits.count))
    case .priority(let count):
      call.kind = UInt32(MARTLET_DRAW_PRIORITY)
      call.count = UInt32(min(count, logits.count))
    }
    var tokens = [UInt32](repeating: 0, count: Int(call.count))
    var top = [martlet_ranked_token](repeating: .init(), count: min(alternatives, logits.count))
    var result = martlet_sampled()
    result.size = UInt32(MemoryLayout<martlet_sampled>.size)
    let base = scratch.base(width: logits.count)
    rules.withCRules { c in
      withRows(other, divergenceRow, &c) { c in
        logits.withUnsafeBufferPointer { row in
          uniforms.withUnsafeBufferPointer { uniforms in
            tokens.withUnsafeMutableBufferPointer { tokens in
              top.withUnsafeMutableBufferPointer { top in
                call.uniforms = uniforms.baseAddress
                call.tokens = tokens.baseAddress
                result.top = top.isEmpty ? nil : top.baseAddress
                result.top_count = UInt32(top.count)
                martlet_logits_sample_f32(row.count, row.baseAddress, &c, &call, base, &result)
                  .expectSuccess("martlet_logits_sample_f32")
              }
            }
          }
        }
      }
    }
    return SampledRow(
      result, tokens: tokens[...], alternatives: top.prefix(Int(result.top_count)))
  }

  /// Applies rules to a row and writes the distribution: one probability per token, 0 where it is
  /// out. Empty where the row or what the rules leave is unsound.
  public static func distribution(
    _ logits: Span<Float>, rules: SamplingRules, other: Span<Float>? = nil,
    divergenceRow: Span<Float>? = nil, scratch: inout SamplingScratch
  ) -> [Float] {
    check(rules, width: logits.count, other, divergenceRow)
    var probabilities = [Float](repeating: 0, count: logits.count)
    var result = martlet_sampled()
    result.size = UInt32(MemoryLayout<martlet_sampled>.size)
    let base = scratch.base(width: logits.count)
    rules.withCRules { c in
      withRows(other, divergenceRow, &c) { c in
        logits.withUnsafeBufferPointer { row in
          martlet_sampling_distribution_f32(
            row.count, row.baseAddress, &c, base, &probabilities, &result
          ).expectSuccess("martlet_sampling_distribution_f32")
        }
      }
    }
    return result.clean == 1 ? probabilities : []
  }

  /// DRY penalties of a history, one per token that would continue a repetition.
  ///
  /// - Parameters:
  ///   - allowed: repetitions of fewer tokens are free.
  ///   - breakers: tokens that no repetition crosses.
  /// - Complexity: O(history) and the repetitions found.
  public static func dryPenalties(
    _ history: [UInt32], multiplier: Float, base: Float, allowed: Int, breakers: [UInt32]
  ) -> [SamplingRules.Penalty] {
    var workspace = [UInt32](repeating: 0, count: history.count)
    var penalties = [martlet_token_penalty](repeating: .init(), count: history.count)
    var found = 0
    martlet_sampling_dry(
      history.count, history, multiplier, base, UInt32(clamping: allowed), breakers.count,
      breakers, &workspace, penalties.count, &penalties, &found
    ).expectSuccess("martlet_sampling_dry")
    return penalties.prefix(found).map {
      .init(token: $0.token, count: $0.count, subtracted: $0.subtracted)
    }
  }

  private static func check(
    _ rules: SamplingRules, width: Int, _ other: Span<Float>?, _ divergenceRow: Span<Float>?
  ) {
    precondition(
      rules.allowed.isEmpty || rules.allowed.count == (width + 31) / 32,
      "a mask of \(rules.allowed.count) words for \(width) tokens")
    precondition(other == nil || other?.count == width, "a second row of another length")
    precondition(
      divergenceRow == nil || divergenceRow?.count == width, "a second row of another length")
  }

  private static func withRows(
    _ other: Span<Float>?, _ divergenceRow: Span<Float>?, _ c: inout martlet_sampling_rules,
    _ body: (inout martlet_sampling_rules) -> Void
  ) {
    withRow(other) { other in
      withRow(divergenceRow) { divergenceRow in
        // A row that weighs nothing must not take tokens out.
        c.other = c.other_weight != 0 || c.own_weight != 1 || c.plausibility > 0 ? other : nil
        c.kl_other = divergenceRow
        body(&c)
      }
    }
  }

  private static func withRow(
    _ row: Span<Float>?, _ body: (UnsafePointer<Float>?) -> Void
  ) {
    guard let row else { return body(nil) }
    row.withUnsafeBufferPointer { body($0.baseAddress) }
  }
}

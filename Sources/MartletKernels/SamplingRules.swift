import CMartlet

/// How a row of logits becomes a distribution: `martlet_sampling_rules` of the C interface, whose
/// header (`martlet/sampling.h`) gives the order of the rules, their exact meaning and sources.
///
/// Every rule starts off. Ranges are those of the header; a value outside traps.
public struct SamplingRules: Sendable, Equatable {
  /// 0 takes the most likely token.
  public var temperature: Float = 1
  public var dynamicRange: Float = 0
  public var dynamicExponent: Float = 1
  /// Divergence from `divergenceRow` at which KL-guided temperature halves; 0 is off.
  public var divergenceScale: Float = 0
  public var topNSigma: Float = .infinity
  public var topK: Int = 0
  public var topP: Float = 1
  public var minP: Float = 0
  public var typical: Float = 1
  public var epsilon: Float = 0
  public var eta: Float = 0
  public var tailFree: Float = 1
  public var topA: Float = 0
  public var xtcProbability: Float = 0
  public var xtcThreshold: Float = 0.1
  /// In 0 ..< 1, independent of the draw.
  public var xtcUniform: Double = 0
  public var mirostatTau: Float = 0
  public var mirostatRate: Float = 0.1
  public var mirostatMu: Float = 0
  public var repetition: Float = 1
  public var presence: Float = 0
  public var frequency: Float = 0
  public var biases: [(token: UInt32, value: Float)] = []
  /// Each token at most once.
  public var penalties: [Penalty] = []
  public var suppressed: [UInt32] = []
  /// One bit per token, least significant first; empty allows all.
  public var allowed: [UInt32] = []
  /// Weights of the row itself and of the second row that guides it.
  public var ownWeight: Float = 1
  public var otherWeight: Float = 0
  public var plausibility: Float = 0

  /// A token that the penalties apply to.
  public struct Penalty: Sendable, Equatable {
    public var token: UInt32
    /// Occurrences in the window.
    public var count: UInt32
    /// Taken off besides, such as by DRY.
    public var subtracted: Float

    public init(token: UInt32, count: UInt32, subtracted: Float = 0) {
      self.token = token
      self.count = count
      self.subtracted = subtracted
    }
  }

  /// Temperature 1 and nothing else.
  public init() {}

  public static func == (a: SamplingRules, b: SamplingRules) -> Bool {
    var (left, right) = (a.numbers, b.numbers)
    left.size = 0
    right.size = 0
    return withUnsafeBytes(of: left) { l in withUnsafeBytes(of: right) { l.elementsEqual($0) } }
      && a.biases.elementsEqual(b.biases, by: ==) && a.penalties == b.penalties
      && a.suppressed == b.suppressed && a.allowed == b.allowed
  }

  private var numbers: martlet_sampling_rules {
    var c = martlet_sampling_rules_plain()
    c.temperature = temperature
    c.dynamic_range = dynamicRange
    c.dynamic_exponent = dynamicExponent
    c.kl_scale = divergenceScale
    c.top_n_sigma = topNSigma
    c.top_k = UInt32(clamping: topK)
    c.top_p = topP
    c.min_p = minP
    c.typical = typical
    c.epsilon = epsilon
    c.eta = eta
    c.tail_free = tailFree
    c.top_a = topA
    c.xtc_probability = xtcProbability
    c.xtc_threshold = xtcThreshold
    c.xtc_uniform = xtcUniform
    c.mirostat_tau = mirostatTau
    c.mirostat_rate = mirostatRate
    c.mirostat_mu = mirostatMu
    c.repetition = repetition
    c.presence = presence
    c.frequency = frequency
    c.own_weight = ownWeight
    c.other_weight = otherWeight
    c.plausibility = plausibility
    return c
  }

  /// The C rules; their pointers hold during `body`.
  func withCRules<R>(_ body: (inout martlet_sampling_rules) -> R) -> R {
    var c = numbers
    c.bias_count = UInt32(biases.count)
    c.penalty_count = UInt32(penalties.count)
    c.suppressed_count = UInt32(suppressed.count)
    let cBiases = biases.map { martlet_token_bias(token: $0.token, value: $0.value) }
    let cPenalties = penalties.map {
      martlet_token_penalty(token: $0.token, count: $0.count, subtracted: $0.subtracted)
    }
    return cBiases.withUnsafeBufferPointer { biases in
      cPenalties.withUnsafeBufferPointer { penalties in
        suppressed.withUnsafeBufferPointer { suppressed in
          allowed.withUnsafeBufferPointer { allowed in
            c.biases = biases.isEmpty ? nil : biases.baseAddress
            c.penalties = penalties.isEmpty ? nil : penalties.baseAddress
            c.suppressed = suppressed.isEmpty ? nil : suppressed.baseAddress
            c.allowed = allowed.isEmpty ? nil : allowed.baseAddress
            return body(&c)
          }
        }
      }
    }
  }
}

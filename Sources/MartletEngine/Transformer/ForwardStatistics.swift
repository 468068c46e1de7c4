import MartletMachine

/// Where the time of forward passes went, summed over all passes of a backend.
public struct ForwardStatistics: Sendable, Equatable, CustomStringConvertible {
  /// A part of a forward pass.
  public enum Phase: Int, CaseIterable, Sendable {
    /// Token embeddings and rotation tables.
    case embedding
    /// Norms and preparing activations for products.
    case preparing
    /// Query, key and value products.
    case projections
    /// Query and key norms, rotation, writing keys and values.
    case rotation
    case attention
    /// The product after attention.
    case attentionOutput
    /// Gate, up and down products and the activation between.
    case feedForward
    /// The final norm and the output product.
    case output

    /// For tables.
    public var name: String {
      switch self {
      case .embedding: "embedding"
      case .preparing: "norm and prepare"
      case .projections: "q, k, v products"
      case .rotation: "rotation and KV write"
      case .attention: "attention"
      case .attentionOutput: "attention output"
      case .feedForward: "feed-forward"
      case .output: "output"
      }
    }
  }

  /// Forward passes made.
  public internal(set) var forwards = 0
  /// Tokens processed.
  public internal(set) var tokens = 0
  /// Rows of logits produced.
  public internal(set) var logitsRows = 0
  private var nanoseconds = [UInt64](repeating: 0, count: Phase.allCases.count)

  /// Nothing yet.
  public init() {}

  /// Seconds spent in `phase`.
  public func seconds(_ phase: Phase) -> Double { Double(nanoseconds[phase.rawValue]) / 1e9 }

  /// Seconds of all phases.
  public var seconds: Double { nanoseconds.reduce(0) { $0 + Double($1) } / 1e9 }

  mutating func add(_ elapsed: UInt64, to phase: Phase) {
    nanoseconds[phase.rawValue] &+= elapsed
  }

  /// A line per phase with its share.
  public var description: String {
    let total = max(seconds, 1e-12)
    let lines = Phase.allCases.map { phase in
      let share = Int((100 * seconds(phase) / total).rounded())
      let milliseconds = (seconds(phase) * 1e6).rounded() / 1e3
      return "\(phase.name): \(milliseconds) ms (\(share) %)"
    }
    return "\(forwards) forwards, \(tokens) tokens, \(logitsRows) rows of logits\n"
      + lines.joined(separator: "\n")
  }
}

/// Times the phases of one forward pass: each `mark` closes the phase that has just been done.
struct PhaseClock {
  var statistics: ForwardStatistics
  private var last = monotonicNanoseconds()

  init(_ statistics: ForwardStatistics) { self.statistics = statistics }

  mutating func mark(_ phase: ForwardStatistics.Phase) {
    let now = monotonicNanoseconds()
    statistics.add(now - last, to: phase)
    last = now
  }
}

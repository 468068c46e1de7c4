import Martlet
import MartletKernels
import MartletMachine

/// Measures decoding at long contexts: every way of attending decodes the same tokens after the same
/// keys and values, in turns.
///
/// Contexts hold synthetic keys and values, since prefilling them would take minutes; only the last few
/// hundred positions are prefilled, so that an index can learn from the model's own queries. With
/// `prefill` the model prefills it all.
public enum ContextBench {
  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    public var methods: [AttentionMethod] = [.exact, .retrieve(.init())]
    public var positions = [8192, 32768]
    /// Branches that decode together, all on one context.
    public var branches = [1]
    public var kvType = KVType.bf16
    /// Tokens per sample, and samples.
    public var generate = 8
    public var repetitions = 5
    /// See `TransformerBackend.fillSynthetic`.
    public var sharpness = 4.0
    /// Whether the model prefills the whole context, which takes minutes.
    public var prefill = false
    /// A folder for files in which keys and values lie in place of memory, one per way of attending; and
    /// whether all of it leaves memory before each token, the worst that can come of too little.
    public var kvFile: String?
    public var isCold = false
    public var command = "martlet bench context"
    public var version = ""

    public init() {}

    func validate() throws(BenchError) {
      try BenchError.require("positions", positions, in: 1024...1 << 22)
      try BenchError.require("branches", branches, in: 1...256)
      try BenchError.require("generate", [generate], in: 1...32)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
      guard !isCold || kvFile != nil else {
        throw BenchError(.argument, "cold contexts need a file for keys and values (--kv-file)")
      }
      guard !methods.isEmpty, sharpness > 0, sharpness <= 64 else {
        throw BenchError(.argument, "no way of attending is named, or the sharpness is not in 0…64")
      }
    }
  }

  /// One way of attending at one length.
  public struct Row: BenchRow {
    public let attention: String
    public let positions: Int
    public let branches: Int
    public let kvType: String
    public let threads: Int
    public let tokensPerS: Double
    /// Times faster than exact attention: the median over samples of the ratio within one.
    public let speedup: Double
    /// Mean ‖o − exact‖ / ‖exact‖ of attention outputs of heads that search, where the index was tried;
    /// 0 for exact attention.
    public let outputError: Double
    /// Mean positions that a query head finds, exact heads aside; and the share of exact heads.
    public let wanted: Double
    public let exactHeads: Double
    /// Seconds of prefilling; 0 where the context is synthetic.
    public let prefillSeconds: Double
    /// Seconds of learning and coding the context, once, and of these of fitting codebooks and of trying
    /// how many positions each head needs.
    public let buildSeconds: Double
    public let fitSeconds: Double
    public let settleSeconds: Double
    /// Bytes of keys and values, and of the index beside them.
    public let kvBytes: Int
    public let indexBytes: Int
    /// Of the index, per key of one key-value head.
    public let indexBytesPerKey: Double
    /// Milliseconds of a step spent in attention.
    public let attentionMs: Double
    public let medianNs: Double
    public let minNs: Double
    public let samplesNs: [Double]
    public let command: String

    public static let header = [
      "attention", "positions", "branches", "kv", "tok/s", "× exact", "output error", "wanted",
      "exact heads", "prefill s", "build s", "KV MB", "index MB", "bytes/key", "attention ms",
    ]
    public var cells: [String] {
      [
        attention, "\(positions)", "\(branches)", kvType, short(tokensPerS), short(speedup),
        short(outputError), short(wanted), short(exactHeads), short(prefillSeconds),
        short(buildSeconds),
        "\(kvBytes >> 20)", "\(indexBytes >> 20)", short(indexBytesPerKey), short(attentionMs),
      ]
    }
  }

  /// Runs the benchmark on the model of `session`, blocking the calling thread.
  /// - Throws: `BenchError`, `EngineError`.
  public static func run(
    _ settings: Settings, session: Session, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try settings.validate()
    var context = BenchContext(
      bench: "context", version: settings.version, team: session.team,
      settings: [
        "model": session.model.path, "kv-type": settings.kvType.rawValue,
        "generate": "\(settings.generate)", "repetitions": "\(settings.repetitions)",
        "sharpness": "\(settings.sharpness)", "prefill": "\(settings.prefill)",
        "kv-file": settings.kvFile ?? "", "cold": "\(settings.isCold)",
      ])
    context.formula = "speedup = median over samples of exact step / step"
    var rows: [Row] = []
    for (index, positions) in settings.positions.enumerated() {
      progress(Double(index) / Double(settings.positions.count), "\(positions) positions")
      for branches in settings.branches {
        // One at a time: a context may fill most of the memory.
        let methods = [.exact] + settings.methods.filter { $0 != .exact }
        let cases = try ContextBenchCase(session, settings, positions, branches, methods)
        rows += try cases.rows().filter { row in
          settings.methods.contains { $0.name == row.attention }
        }
      }
    }
    return BenchReport(context: context, rows: rows)
  }
}

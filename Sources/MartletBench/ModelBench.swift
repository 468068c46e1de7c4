import Martlet
import MartletKernels
import MartletMachine

/// Measures what branches cost on a model: prefill, and decoding at several widths.
///
/// Every timed step is the engine's own: all branches' rows in one forward pass, logits and sampling
/// for each, keys and values written to pages. Branches fork from one run, whose prompt they share.
public enum ModelBench {
  /// What to measure.
  public struct Settings: Sendable {
    /// Numbers of branches.
    public var widths = [1, 2, 4, 8, 16, 32]
    /// Tokens of the prompt.
    public var prompt = 512
    /// Tokens before the prompt that all branches share, as the prompt; each value is a row of its
    /// own, and above 0 their keys and values count in the limit.
    public var sharedPrefixes = [0]
    /// Tokens that each branch generates in one sample.
    public var generate = 64
    /// Samples. Widths take turns, so that drift of the machine meets all of them.
    public var repetitions = 5
    /// How tokens are chosen.
    public var sampling = Session.defaultSampling
    /// Whether rows tell where the time of a step went.
    public var phases = false
    /// The command without its list options, for the line that reproduces a row.
    public var command = "martlet bench model"
    /// Of the program, for the context.
    public var version = ""

    /// The defaults.
    public init() {}

    func validate(contextLength: Int) throws(BenchError) {
      try BenchError.require("width", widths, in: 1...4096)
      try BenchError.require("prompt", [prompt], in: 1...1 << 24)
      try BenchError.require("shared prefix", sharedPrefixes, in: 0...1 << 24)
      try BenchError.require("generate", [generate], in: 1...1 << 24)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
      let longest = (sharedPrefixes.max() ?? 0) + prompt + generate + ModelBench.unmeasuredTokens
      guard longest <= contextLength else {
        throw BenchError(
          .argument,
          "shared prefix, prompt and generated tokens need \(longest) positions, but the model's "
            + "context holds \(contextLength); choose smaller values")
      }
    }
  }

  /// One width over one shared prefix.
  public struct Cell: TimedCell {
    public let width: Int
    public let sharedPrefix: Int
    public let prompt: Int
    public let generate: Int
    /// Tokens of shared prefix and prompt per second, to the first token drawn.
    public let prefillTokensPerS: Double
    /// Generated tokens per second, all branches together, from the median step.
    public let decodeTokensPerS: Double
    /// Time of a step relative to width 1: the median over the repetitions of the ratio within one.
    public let widthCost: Double
    /// The best of the samples' own fractions of the limit.
    public let bestFractionOfLimit: Double
    public let prefillFractionOfLimit: Double
    /// Whole prefills, and the limits beside them.
    public let prefillSamplesNs: [Double]
    public let prefillLimitSamplesNs: [Double]
    /// Nanoseconds per step of each phase, where asked for.
    public let phases: [String: Double]?

    public static let header = [
      "width", "shared prefix", "prefill tok/s", "decode tok/s", "step ms", "× width 1",
      "of limit", "prefill of limit",
    ]
    public func texts(_ row: TimedRow<Cell>) -> [String] {
      [
        "\(width)", "\(sharedPrefix)", short(prefillTokensPerS), short(decodeTokensPerS),
        short(row.medianNs / 1e6), short(widthCost), short(row.fractionOfLimit),
        short(prefillFractionOfLimit),
      ]
    }
  }

  /// A row of the report. A sample is the mean decoding step of one repetition; bytes, operations
  /// and the limit are those of a step, see ``ModelWork/formula``.
  public typealias Row = TimedRow<Cell>

  /// Tokens that come before the timed ones: the root's first, which ends its prefill, and one per
  /// branch, so that every timed step has a row of each branch's own.
  static let unmeasuredTokens = 2

  /// Runs the benchmark on the calling thread, which it blocks.
  ///
  /// - Parameter progress: hears of each sample.
  /// - Throws: `BenchError`, `EngineError`.
  public static func run(
    _ settings: Settings, session: Session, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try settings.validate(contextLength: session.engine.backend.contextLength)
    var context = BenchContext(
      bench: "model", version: settings.version, team: session.team,
      settings: describe(settings, session))
    var limits = LimitTrack(try MachineMeter(team: session.team))

    let widths = Set(settings.widths).union([1]).sorted()
    var cases = settings.sharedPrefixes.map { prefix in
      ModelBenchCase(session: session, settings: settings, prefix: prefix, widths: widths)
    }
    try cases[0].warmUp()
    let total = Double(settings.repetitions * cases.count)
    for repetition in 0..<settings.repetitions {
      for index in cases.indices {
        progress(
          Double(repetition * cases.count + index) / total, "shared prefix \(cases[index].prefix)")
        try cases[index].sample(repetition, &limits)
      }
    }
    context.limits = MachineLimits.median(limits.probes)
    context.limitSamples = [LimitSeries(threads: session.team.width, limits.probes)]
    context.formula = ModelWork.formula
    let work = ModelWork(session.model, kvPositionBytes: kvPositionBytes(session))
    return BenchReport(
      context: context,
      rows: cases.flatMap { $0.rows(widths: settings.widths, work: work) })
  }

  /// Keys and values of one position over all layers, as pages hold them.
  private static func kvPositionBytes(_ session: Session) -> Double {
    let backend = session.engine.backend
    return Double(backend.bytesPerPage) / Double(backend.pageTokens)
  }

  private static func describe(_ settings: Settings, _ session: Session) -> [String: String] {
    let types = Set(session.model.layers.map(\.down.type.name)).sorted().joined(separator: " ")
    return [
      "model": session.model.path, "fingerprint": session.model.fingerprint, "weights": types,
      "numeric_class": session.model.numericClass.rawValue,
      "kv_type": (session.engine.backend as? TransformerBackend).map { "\($0.kvType)" } ?? "",
      "tuning": "\(session.tuning)", "pack_cache": session.model.opening.cache.rawValue,
      "temperature": "\(settings.sampling.temperature)",
      "repetitions": "\(settings.repetitions)",
    ]
  }
}

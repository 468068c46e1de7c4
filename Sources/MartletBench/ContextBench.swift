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
    /// Shares of the context that are a finished span and dropped before anything is decoded: a row of exact
    /// attention to what is left for each.
    public var dropped: [DroppedShare] = []
    /// One way of attending after the other, each alone in memory, in place of all in turn: for contexts that fill
    /// it, and to see what one takes. Exact attention is measured only where it is named.
    public var isApart = false
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
    /// Times faster than exact attention: the median over samples of the ratio within one, of medians where ways
    /// of attending are measured apart; nil where exact attention was not measured.
    public let speedup: Double?
    /// Mean ‖o − exact‖ / ‖exact‖ of attention outputs: of heads that search, where the index was tried; else
    /// of what is left out, on tokens behind the samples. 0 for exact attention, nil where there is nothing to
    /// compare with. Of synthetic contexts only the last positions had queries by which to choose.
    public let outputError: Double?
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
    /// Milliseconds of the first step, with what is done once: learning an index, deciding what stays.
    public let firstMs: Double
    /// Seconds of taking the dropped span out, once; 0 where none is.
    public let dropSeconds: Double
    /// Bytes of the context's keys and values, and of what lies beside them: an index, queries, hidden states.
    public let kvBytes: Int
    public let indexBytes: Int
    /// What the engine would state and reserve for context and tokens, and how much more of the process was in
    /// memory at the end than before the context; nil unless ways of attending are measured apart.
    public let statedBytes: Int
    public let residentBytes: Int?
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
      "exact heads", "prefill s", "build s", "first ms", "drop s", "KV MB", "beside MB",
      "bytes/key",
      "resident MB", "attention ms",
    ]
    public var cells: [String] {
      [
        attention, "\(positions)", "\(branches)", kvType, short(tokensPerS),
        speedup.map(short) ?? "", outputError.map(short) ?? "", short(wanted), short(exactHeads),
        short(prefillSeconds), short(buildSeconds), short(firstMs), short(dropSeconds),
        "\(kvBytes >> 20)", "\(indexBytes >> 20)", short(indexBytesPerKey),
        residentBytes.map { "\($0 >> 20)" } ?? "", short(attentionMs),
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
        "apart": "\(settings.isApart)",
      ])
    context.formula = """
      speedup = median over samples of exact step / step (apart: median exact step / median step); resident = \
      resident set after the samples - before the context
      """
    if settings.isApart { try warm(session, settings) }
    var rows: [Row] = []
    for (index, positions) in settings.positions.enumerated() {
      progress(Double(index) / Double(settings.positions.count), "\(positions) positions")
      for branches in settings.branches {
        rows += try measure(session, settings, positions, branches)
      }
    }
    return BenchReport(context: context, rows: rows)
  }

  /// The rows of one length and number of branches.
  private static func measure(
    _ session: Session, _ settings: Settings, _ positions: Int, _ branches: Int
  ) throws -> [Row] {
    let dropping = settings.dropped.map { ContextBenchCase.Way(method: .exact, dropped: $0) }
    let named = settings.methods.map { ContextBenchCase.Way(method: $0) } + dropping
    guard settings.isApart else {
      // One context at a time: it may fill most of the memory.
      let exact = ContextBenchCase.Way(method: .exact)
      let ways = [exact] + named.filter { $0 != exact }
      let rows = try ContextBenchCase(session, settings, positions, branches, ways).rows()
      return zip(ways, rows).filter { named.contains($0.0) }.map { $0.1 }
    }
    var (rows, exactNs): ([Row], Double?) = ([], nil)
    for way in named {
      let resident = ResidentMemory.bytes
      let alone = try ContextBenchCase(session, settings, positions, branches, [way])
      rows += try alone.rows(exactNs: exactNs, residentBefore: resident)
      if way.method == .exact && way.dropped == nil { exactNs = rows.last?.medianNs }
    }
    return rows
  }

  /// Has the weights read once, so that what comes into memory later is a context's.
  private static func warm(_ session: Session, _ settings: Settings) throws {
    let parts = TransformerParts(model: session.model, tokenizer: session.tokenizer)
    let backend = try TransformerBackend(
      parts: parts, team: session.team, options: .init(kvType: settings.kvType))
    try backend.reservePages(1)
    try backend.forward(
      ForwardBatch(
        tokens: [BatchToken(token: 0, position: 0, sequence: 0, wantsLogits: true)],
        sequences: [[0]]),
      logits: LogitsBuffer(rows: 1, vocabulary: backend.vocabularySize))
  }
}

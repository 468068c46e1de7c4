import Martlet
import MartletMachine

/// Measures what drafting gains: the same prompts, seeds and branches decoded with and without it.
///
/// A sample runs a block of prompts. Each prompt is one run from which `samples` branches grow, `live`
/// at a time, as a strategy with that many attempts would do it. All kinds of drafting take turns on
/// the same block; each has an engine and so a memory of its own, and no block comes twice. Texts
/// that differ from plain decoding end the benchmark with an error.
public enum SpeculateBench {
  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    /// The texts to continue; blocks take them in order and begin again at the end.
    public var prompts: [String]
    /// Kinds of drafting; each is compared with plain decoding, `off` too.
    public var drafts: [Drafting] = [.off, .auto]
    /// Branches decoded together.
    public var live = [1, 4, 16]
    /// Branches per prompt, in all.
    public var samples = 16
    /// Prompts per sample of time.
    public var block = 4
    /// The most tokens of a branch.
    public var generate = 256
    /// Samples of time for each row.
    public var repetitions = 5
    public var sampling = Session.defaultSampling
    public var stops = StopRules()
    public var command = "martlet bench speculate"
    public var version = ""

    /// The defaults, over prompts.
    public init(prompts: [String]) { self.prompts = prompts }

    func validate() throws(BenchError) {
      try BenchError.require("live", live, in: 1...4096)
      try BenchError.require("samples", [samples], in: 1...1 << 20)
      try BenchError.require("block", [block], in: 1...1 << 20)
      try BenchError.require("generate", [generate], in: 1...1 << 24)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
      guard !prompts.isEmpty, !drafts.isEmpty else {
        throw BenchError(.argument, "the suite has no prompts, or no kind of drafting is named")
      }
    }
  }

  /// One kind of drafting at one number of live branches.
  public struct Row: BenchRow {
    /// Its name, as `--draft` takes it.
    public let draft: String
    public let live: Int
    public let samples: Int
    public let threads: Int
    /// Generated tokens per second, all branches together, from the median block.
    public let tokensPerS: Double
    /// Throughput relative to plain decoding: the median over blocks of the ratio within one.
    public let speedup: Double
    /// The quartiles of that ratio.
    public let speedupLower: Double
    public let speedupUpper: Double
    /// Drafted tokens that were drawn, over all drafted; 0 where nothing was drafted.
    public let acceptance: Double
    /// Over all blocks.
    public let tokens: Int
    public let draftedTokens: Int
    public let acceptedTokens: Int
    public let savedSteps: Int
    public let forwards: Int
    /// Of one block.
    public let medianNs: Double
    public let minNs: Double
    public let samplesNs: [Double]
    public let command: String

    public static let header = [
      "draft", "live", "tok/s", "× off", "quartiles", "drafted", "accepted", "acceptance",
      "forwards",
    ]
    public var cells: [String] {
      [
        draft, "\(live)", short(tokensPerS), short(speedup),
        "\(short(speedupLower))–\(short(speedupUpper))", "\(draftedTokens)", "\(acceptedTokens)",
        short(acceptance), "\(forwards)",
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
      bench: "speculate", version: settings.version, team: session.team,
      settings: [
        "model": session.model.path, "samples": "\(settings.samples)",
        "block": "\(settings.block)", "repetitions": "\(settings.repetitions)",
        "prompts": "\(settings.prompts.count)",
      ])
    context.formula = "speedup = median over blocks of time without drafts / time with them"
    let prompts = settings.prompts.map {
      session.engine.tokenizer.encode($0, addSpecial: true, parseSpecial: false)
    }
    // The first lane is what all are compared with; `off` in the list is a second one, whose speedup
    // says how far one measurement differs from another of the same thing.
    let drafts: [Drafting] = [.off] + settings.drafts
    var rows: [Row] = []
    for (index, live) in settings.live.enumerated() {
      var lanes = try drafts.map { try Lane($0, session, settings, live: live) }
      defer { for lane in lanes { lane.engine.shutdown() } }
      // The first block warms caches up and is not counted.
      for block in 0...settings.repetitions {
        let share = Double(block) / Double(settings.repetitions + 1)
        progress((Double(index) + share) / Double(settings.live.count), "\(live) live")
        let chosen = (0..<settings.block).map {
          prompts[(block * settings.block + $0) % prompts.count]
        }
        var expected: [[Token]]?
        for turn in lanes.indices {
          let lane = (turn + block) % lanes.count
          let texts = try lanes[lane].decode(chosen, block: block, isCounted: block > 0)
          guard texts == expected ?? texts else {
            throw BenchError(
              .system,
              "with drafting '\(lanes[lane].drafting.name)' a text changed, in block \(block)")
          }
          expected = texts
        }
      }
      rows += lanes.dropFirst().map { $0.row(plain: lanes[0].times) }
    }
    return BenchReport(context: context, rows: rows)
  }

  /// One kind of drafting with an engine of its own.
  private struct Lane {
    let drafting: Drafting
    let engine: Engine
    let settings: Settings
    let live: Int
    let threads: Int
    var times = Samples()
    var tokens = 0
    var statistics = Counts()

    struct Counts {
      var draftedTokens = 0
      var acceptedTokens = 0
      var savedSteps = 0
      var forwards = 0
    }

    init(_ drafting: Drafting, _ session: Session, _ settings: Settings, live: Int) throws {
      self.settings = settings
      self.live = live
      threads = session.team.width
      engine = try Engine(backend: TransformerBackend(model: session.model, team: session.team))
      var drafting = drafting
      if let model = drafting.model {
        drafting.drafter = try session.makeDrafter(model, for: engine)
      }
      self.drafting = drafting
    }

    mutating func decode(
      _ prompts: [[Token]], block: Int, isCounted: Bool
    ) throws -> [[Token]] {
      var texts: [[Token]] = []
      let begin = monotonicNanoseconds()
      for (index, prompt) in prompts.enumerated() {
        let run = try engine.makeRun(
          prompt: prompt, seed: UInt64(block * settings.block + index), sampling: settings.sampling,
          stops: settings.stops, drafting: drafting)
        var left = settings.samples
        while left > 0 {
          let branches = try run.root.fork(min(live, left))
          left -= branches.count
          try run.advanceBlocking(branches, Advance(maxTokens: settings.generate))
          texts += branches.map(\.tokens)
          for branch in branches { branch.release() }
        }
        if isCounted { add(run.statistics) }
      }
      if isCounted {
        times.append(Double(monotonicNanoseconds() - begin))
        tokens += texts.reduce(0) { $0 + $1.count }
      }
      return texts
    }

    private mutating func add(_ run: RunStatistics) {
      statistics.draftedTokens += run.draftedTokens
      statistics.acceptedTokens += run.acceptedTokens
      statistics.savedSteps += run.savedSteps
      statistics.forwards += run.forwards
    }

    func row(plain: Samples) -> Row {
      let ratios = zip(plain.nanoseconds, times.nanoseconds).map { $0 / $1 }.sorted()
      let perBlock = Double(tokens) / Double(max(1, times.nanoseconds.count))
      let drafted = statistics.draftedTokens
      return Row(
        draft: drafting.name, live: live, samples: settings.samples, threads: threads,
        tokensPerS: perBlock / times.median * 1e9, speedup: Samples.median(ratios),
        speedupLower: ratios[ratios.count / 4], speedupUpper: ratios[ratios.count * 3 / 4],
        acceptance: drafted > 0 ? Double(statistics.acceptedTokens) / Double(drafted) : 0,
        tokens: tokens, draftedTokens: drafted, acceptedTokens: statistics.acceptedTokens,
        savedSteps: statistics.savedSteps, forwards: statistics.forwards,
        medianNs: times.median, minNs: times.minimum, samplesNs: times.nanoseconds,
        command: "\(settings.command) --draft \(drafting.name) --live \(live)")
    }
  }
}

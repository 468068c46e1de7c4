import Martlet
import MartletMachine

/// Measures what it costs that branches read one another: a step of a team's members against one of as
/// many plain branches with as much text each, in turns.
///
/// Both begin with one prompt of random tokens and a block of them each. A member sees the prompt and all
/// blocks, a plain branch the prompt and its own.
public enum TeamBench {
  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    public var members = [2, 4]
    /// Tokens of the prompt, and of each block.
    public var prompt = 1024
    public var each = 256
    public var layout = Team.Layout.contiguous
    /// Tokens of each branch per sample of time, and samples.
    public var generate = 8
    public var repetitions = 9
    public var command = "martlet bench team"
    public var version = ""

    public init() {}

    func validate() throws(BenchError) {
      try BenchError.require("members", members, in: 1...64)
      try BenchError.require("prompt", [prompt], in: 1...1 << 20)
      try BenchError.require("each", [each], in: 1...1 << 20)
      try BenchError.require("generate", [generate], in: 1...1024)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
    }
  }

  /// Teams of one size.
  public struct Row: BenchRow {
    public let members: Int
    public let layout: String
    public let prompt: Int
    public let each: Int
    public let threads: Int
    /// Generated tokens per second, all members together, and of plain branches.
    public let tokensPerS: Double
    public let plainTokensPerS: Double
    /// Time of a team's step over one of plain branches: the median over samples of the ratio within one.
    public let cost: Double
    /// The quartiles of that ratio.
    public let costLower: Double
    public let costUpper: Double
    /// Of one step.
    public let medianNs: Double
    public let minNs: Double
    public let samplesNs: [Double]
    public let command: String

    public static let header = [
      "members", "layout", "prompt", "each", "tok/s", "plain tok/s", "× plain", "quartiles",
    ]
    public var cells: [String] {
      [
        "\(members)", layout, "\(prompt)", "\(each)", short(tokensPerS), short(plainTokensPerS),
        short(cost), "\(short(costLower))–\(short(costUpper))",
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
      bench: "team", version: settings.version, team: session.team,
      settings: [
        "model": session.model.path, "generate": "\(settings.generate)",
        "repetitions": "\(settings.repetitions)",
      ])
    context.formula = "cost = median over samples of a team's step / a step of plain branches"
    var rows: [Row] = []
    for (index, members) in settings.members.enumerated() {
      progress(Double(index) / Double(settings.members.count), "\(members) members")
      rows.append(try measure(members, settings, session))
    }
    return BenchReport(context: context, rows: rows)
  }

  private static func measure(
    _ members: Int, _ settings: Settings, _ session: Session
  ) throws -> Row {
    let plain = try lane(members, settings, session, isTeam: false)
    let team = try lane(members, settings, session, isTeam: true)
    let advance = Advance(maxTokens: settings.generate)
    var times: [(plain: Double, team: Double)] = []
    // The first sample warms caches up and is not counted.
    for repetition in 0...settings.repetitions {
      var seconds = [0.0, 0.0]
      for turn in [repetition % 2, 1 - repetition % 2] {
        let (run, branches) = turn == 0 ? plain : team
        let start = ContinuousClock.now
        try run.advanceBlocking(branches, advance)
        seconds[turn] = (ContinuousClock.now - start) / .seconds(1) / Double(settings.generate)
      }
      if repetition > 0 { times.append((seconds[0], seconds[1])) }
    }
    let ratios = times.map { $0.team / $0.plain }.sorted()
    let steps = Samples(times.map { $0.team * 1e9 })
    return Row(
      members: members, layout: settings.layout.rawValue, prompt: settings.prompt,
      each: settings.each, threads: session.team.width,
      tokensPerS: Double(members) / steps.median * 1e9,
      plainTokensPerS: Double(members) / Samples(times.map { $0.plain * 1e9 }).median * 1e9,
      cost: Samples(ratios).median, costLower: ratios[ratios.count / 4],
      costUpper: ratios[ratios.count * 3 / 4], medianNs: steps.median, minNs: steps.minimum,
      samplesNs: steps.nanoseconds,
      command: "\(settings.command) --members \(members) --layout \(settings.layout.rawValue) "
        + "--prompt \(settings.prompt) --each \(settings.each) --generate \(settings.generate) "
        + "--repetitions \(settings.repetitions)")
  }

  /// Branches that have read what they begin with.
  private static func lane(
    _ members: Int, _ settings: Settings, _ session: Session, isTeam: Bool
  ) throws -> (run: Run, branches: [Branch]) {
    let vocabulary = session.engine.backend.vocabularySize
    func text(_ count: Int, _ seed: Int) -> [Int32] {
      (0..<count).map { Int32((seed &* 7919 &+ $0 &* 104_729) % vocabulary) }
    }
    let run = try session.engine.makeRun(
      prompt: text(settings.prompt, 1), seed: 1, sampling: .greedy,
      stops: StopRules(stopAtEndOfGeneration: false))
    let branches = try run.root.fork(members)
    for (index, branch) in branches.enumerated() {
      try branch.append(tokens: text(settings.each, index + 2))
    }
    if isTeam { _ = try run.makeTeam(branches, sharing: run.root, layout: settings.layout) }
    try run.advanceBlocking(branches, Advance(maxTokens: 1))
    return (run, branches)
  }
}

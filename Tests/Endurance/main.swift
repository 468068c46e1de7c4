@preconcurrency import Dispatch
import Foundation
import Logging
import Martlet

// Runs of every kind that end in every way there is; nothing may stay behind and no budget be exceeded.
//
//   Endurance [--runs N] [--seed S]      N runs (300), drawn from S (1)
//   Endurance --round SEED [--times N]   one round again, as a failure names it; repeatable

/// The command line.
struct Arguments {
  var runs = 300
  var seed: UInt64 = 1
  var again: [UInt64] = []
  var times = 1
  /// Rounds of the seed to leave out.
  var skipped = 0
  var isLoud = false

  init(_ words: [String]) throws {
    var words = words[...]
    func number<T: LosslessStringConvertible>(_ name: String, _ words: inout ArraySlice<String>)
      throws -> T
    {
      guard let word = words.popFirst(), let number = T(word) else {
        throw Failure("\(name) takes a number")
      }
      return number
    }
    while let word = words.popFirst() {
      switch word {
      case "--runs": runs = try number(word, &words)
      case "--seed": seed = try number(word, &words)
      case "--round": again.append(try number(word, &words))
      case "--times": times = try number(word, &words)
      case "--skip": skipped = try number(word, &words)
      case "--loud": isLoud = true
      default:
        throw Failure(
          "'\(word)' is unknown; write --runs N, --seed S, --round SEED, --times N, --skip ROUNDS or --loud"
        )
      }
    }
  }
}

/// Everything, from an empty process to one that should be as empty again.
struct Endurance {
  let arguments: Arguments
  /// Stands for the system's temporary folder, so that what is left there is seen.
  let temporary: String
  let failing: FailingPlugins

  init(_ arguments: Arguments) throws {
    self.arguments = arguments
    let manager = FileManager.default
    let root = manager.temporaryDirectory.appendingPathComponent("martlet-endurance-\(getpid())")
      .path
    for folder in ["", "/plugins", "/tmp", "/cache"] {
      try manager.createDirectory(
        atPath: root + folder, withIntermediateDirectories: true,
        attributes: [.posixPermissions: 0o755])
    }
    temporary = root
    failing = try FailingPlugins(into: "\(root)/plugins")
    setenv("TMPDIR", "\(root)/tmp", 1)
    setenv("XDG_CACHE_HOME", "\(root)/cache", 1)
  }

  /// Whether all was well.
  func run() async throws -> Bool {
    defer { try? FileManager.default.removeItem(atPath: temporary) }
    // What is made once per process, such as pools of threads, is there before counting.
    _ = try await tour(TourResult(), seeds: SeededRandom(seed: 0), until: 24)
    let before = await settled(nil)
    var result = TourResult()
    result.memory = MemoryCourse()
    if !arguments.again.isEmpty {
      result = try await tour(result, again: arguments.again)
    } else {
      result = try await tour(
        result, seeds: SeededRandom(seed: arguments.seed), until: arguments.runs)
    }
    let after = await settled(before)
    result.problems += after.excess(over: before).map { String("left behind: \($0)".prefix(600)) }
    result.problems += result.engines.filter { $0.engine != nil }.map {
      "left behind: the engine of \($0.name)"
    }
    if let growth = result.memory?.growth { result.problems.append(growth) }
    show(result)
    return result.problems.isEmpty
  }

  /// An engine that should be gone.
  struct Trace {
    let name: String
    weak var engine: Engine?
  }

  // MARK: The tour

  struct TourResult {
    var runs = 0
    var rounds = 0
    var tokens = 0
    var seconds = 0.0
    var endings: [String: Int] = [:]
    var problems: [String] = []
    var engines: [Trace] = []
    /// Followed once counting has begun.
    var memory: MemoryCourse?
  }

  /// Opens all stages, runs rounds on them and closes them.
  private func tour(
    _ start: TourResult, seeds: SeededRandom, until runs: Int
  ) async throws -> TourResult {
    var (result, seeds) = (start, seeds)
    let began = ContinuousClock.now
    var told = began
    let stages = try openStages()
    result.engines = stages.map { Trace(name: $0.name, engine: $0.engine) }
    if result.memory != nil { for _ in 0..<arguments.skipped { _ = seeds.next() } }
    while result.runs < runs {
      await carryOut(seeds.next(), on: stages, &result)
      if result.rounds % 100 == 0 { result.memory?.note(at: result.runs) }
      if told.duration(to: .now) > .seconds(15) {
        told = .now
        say(
          "\(result.runs) of \(runs) runs, \(result.tokens) tokens, \(result.problems.count) problems, "
            + "\(ProcessCensus.allocatedBytes() >> 20) MiB")
      }
    }
    result.seconds = began.duration(to: .now) / .seconds(1)
    return result
  }

  /// One round, as often as the command line says.
  private func tour(_ start: TourResult, again seeds: [UInt64]) async throws -> TourResult {
    var result = start
    let stages = try openStages()
    result.engines = stages.map { Trace(name: $0.name, engine: $0.engine) }
    for seed in seeds {
      for plan in try Round(seed: seed, stages: stages).plans { say("  \(plan.summary)") }
      for _ in 0..<arguments.times { await carryOut(seed, on: stages, &result) }
    }
    return result
  }

  private func openStages() throws -> [Stage] {
    try Stages(SharedPlugins(failing), folder: temporary + "/tmp").all
  }

  private func carryOut(_ seed: UInt64, on stages: [Stage], _ result: inout TourResult) async {
    let round: Round
    do { round = try Round(seed: seed, stages: stages) } catch {
      result.problems.append("round \(seed) cannot be drawn: \(error)")
      return
    }
    let name = "round \(seed) on \(round.stage.name)"
    if arguments.isLoud {
      say(name + ":" + round.plans.map { "\n    \($0.summary)" }.joined())
    }
    let watchdog = DispatchSource.makeTimerSource(queue: .global())
    watchdog.schedule(deadline: .now() + 180)
    watchdog.setEventHandler {
      say("\(name) does not end; again: \(program) --round \(seed)")
      abort()
    }
    watchdog.resume()
    let report = await round.run()
    watchdog.cancel()
    result.runs += round.plans.count
    result.rounds += 1
    result.tokens += report.tokens
    result.endings.merge(report.endings, uniquingKeysWith: +)
    for problem in report.problems {
      say("\(name): \(problem)")
      result.problems.append("\(name): \(problem)\n    again: \(program) --round \(seed)")
    }
  }

  // MARK: Before and after

  /// The census once it stands still: threads of pools go some seconds after their work.
  private func settled(_ before: ProcessCensus?) async -> ProcessCensus {
    var census = ProcessCensus(temporary: temporary)
    // Looks, not a time: whoever stops processes to have the machine to himself stops this one too.
    var looks = 0
    while looks < 300 {
      if let before, census.excess(over: before).isEmpty { break }
      try? await Task.sleep(for: .milliseconds(before == nil ? 1000 : 100))
      let next = ProcessCensus(temporary: temporary)
      if before == nil, next.threadCount == census.threadCount, next.children.isEmpty { break }
      looks += before == nil ? 15 : 1
      if next.children.contains(where: { $0.hasSuffix(" T") }) { looks = 0 }
      census = next
    }
    return census
  }

  private func show(_ result: TourResult) {
    let problems = result.problems
    for (ending, count) in result.endings.sorted(by: { $0.value > $1.value }) {
      say("  \(count)\t\(ending)")
    }
    say(
      "\(result.runs) runs in \(result.rounds) rounds, \(result.tokens) tokens, "
        + String(format: "%.1f s; ", result.seconds) + (result.memory?.summary ?? ""))
    if problems.isEmpty {
      say("nothing was left behind and no budget exceeded (seed \(arguments.seed))")
    } else {
      say("\(problems.count) problems (seed \(arguments.seed)):")
      for problem in problems { say("- \(problem)") }
    }
  }

}

/// How this program was called.
let program = CommandLine.arguments[0]

/// How much memory there was as runs went by.
struct MemoryCourse {
  private var points: [(runs: Int, bytes: Int)] = []

  mutating func note(at runs: Int) { points.append((runs, ProcessCensus.allocatedBytes())) }

  /// Set where the last quarter held more than the second: the first fills what is kept.
  var growth: String? {
    guard points.count >= 12 else { return nil }
    func mean(_ part: ArraySlice<(runs: Int, bytes: Int)>) -> Int {
      part.map(\.bytes).reduce(0, +) / part.count
    }
    let quarter = points.count / 4
    let (then, now) = (mean(points[quarter..<2 * quarter]), mean(points.suffix(quarter)))
    return now > then + then / 20 + (4 << 20)
      ? "memory grows: \(then) allocated bytes became \(now)" : nil
  }

  var summary: String {
    guard let first = points.first, let last = points.last else { return "memory was not followed" }
    return
      "\(first.bytes >> 20) MiB after \(first.runs) runs, \(last.bytes >> 20) after \(last.runs)"
  }
}

func say(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

LoggingSystem.bootstrap { label in
  var handler = StreamLogHandler.standardError(label: label)
  // Plugins that are refused are what this is about.
  handler.logLevel = .critical
  return handler
}
do {
  let endurance = try Endurance(Arguments(Array(CommandLine.arguments.dropFirst())))
  let isWell = try await endurance.run()
  exit(isWell ? 0 : 1)
} catch {
  say("Endurance: \(error)")
  exit(64)
}

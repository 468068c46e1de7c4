import Foundation
import Martlet
import MartletKernels
import MartletMachine

/// Measures decoding while another process burns a CPU that the team uses, against quiet decoding.
public enum ContentionBench {
  /// How workers wait for each other.
  public enum Barrier: String, CaseIterable, Codable, Sendable {
    /// As the engine does: spin for some tens of microseconds, then park.
    case park
    /// Spin for a second, as engines with pure spin barriers do.
    case spin

    var spinNanoseconds: UInt64 {
      switch self {
      case .park: ThreadTeam.defaultSpin
      case .spin: 1_000_000_000
      }
    }
  }

  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    public var barriers = Barrier.allCases
    public var widths = [1, 8]
    public var prompt = 128
    /// Tokens that each branch generates in one sample.
    public var generate = 32
    /// Samples of each; quiet and contended take turns.
    public var repetitions = 5
    public var sampling = Session.defaultSampling
    /// A program that burns the CPU whose number is its last argument until it is ended.
    public var burner: [String]
    public var command = "martlet bench contention"
    public var version = ""

    /// The defaults, with a burner.
    public init(burner: [String]) { self.burner = burner }

    func validate(contextLength: Int) throws(BenchError) {
      try BenchError.require("width", widths, in: 1...4096)
      try BenchError.require("prompt", [prompt], in: 1...1 << 24)
      try BenchError.require("generate", [generate], in: 1...1 << 24)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
      guard !barriers.isEmpty, !burner.isEmpty else {
        throw BenchError(.argument, "the list of barriers or the burner's command is empty")
      }
      let longest = prompt + generate + ModelBench.unmeasuredTokens
      guard longest <= contextLength else {
        throw BenchError(
          .argument,
          "prompt and generated tokens need \(longest) positions, but the model's context holds "
            + "\(contextLength); choose smaller values")
      }
    }
  }

  /// One width with one kind of barrier.
  public struct Row: BenchRow {
    public let barrier: Barrier
    public let width: Int
    public let threads: Int
    /// The CPU that was burnt.
    public let cpu: Int
    /// Generated tokens per second, all branches together, from the median step.
    public let quietTokensPerS: Double
    public let contendedTokensPerS: Double
    /// Contended over quiet throughput: the median over the repetitions of the ratio within one.
    public let ratio: Double
    /// Of one contended step.
    public let medianNs: Double
    public let minNs: Double
    /// 95 % interval of the median.
    public let lowNs: Double
    public let highNs: Double
    public let samplesNs: [Double]
    public let quietSamplesNs: [Double]
    public let command: String

    public static let header = [
      "barrier", "width", "threads", "quiet tok/s", "contended tok/s", "ratio",
    ]
    public var cells: [String] {
      [
        barrier.rawValue, "\(width)", "\(threads)", short(quietTokensPerS),
        short(contendedTokensPerS), short(ratio),
      ]
    }
  }

  /// Runs the benchmark on the model of `session`, with teams of its own at the session's places.
  /// - Throws: `BenchError`, `MachineError`, `EngineError`.
  public static func run(
    _ settings: Settings, session: Session, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try settings.validate(contextLength: session.engine.backend.contextLength)
    var context = BenchContext(
      bench: "contention", version: settings.version, team: session.team,
      settings: ["model": session.model.path, "repetitions": "\(settings.repetitions)"])
    context.formula = "ratio = median over repetitions of quiet step / contended step"
    // The caller's own CPU is the first; a peer's is where a barrier waits.
    guard let cpu = session.team.plan.workers.last?.cpu else {
      throw BenchError(.system, "the team is not pinned, so no CPU can be chosen to burn")
    }
    var rows: [Row] = []
    for (index, barrier) in settings.barriers.enumerated() {
      progress(Double(index) / Double(settings.barriers.count), "barrier \(barrier.rawValue)")
      rows += try measure(barrier, settings, session, cpu)
    }
    return BenchReport(context: context, rows: rows)
  }

  private static func measure(
    _ barrier: Barrier, _ settings: Settings, _ session: Session, _ cpu: Int
  ) throws -> [Row] {
    let team = try ThreadTeam(plan: session.team.plan, spin: barrier.spinNanoseconds)
    let engine = try Engine(backend: TransformerBackend(model: session.model, team: team))
    defer { engine.shutdown() }
    let runner = BranchRunner(engine: engine, sampling: settings.sampling)
    let run = try runner.makeRun(tokens: settings.prompt)
    _ = try runner.prefill(run)

    var quiet: [Int: Samples] = [:]
    var contended: [Int: Samples] = [:]
    for width in settings.widths {
      _ = try runner.decode(run, width: width, tokens: min(2, settings.generate))
    }
    func sample(_ samples: inout [Int: Samples]) throws {
      for width in settings.widths {
        let taken = try runner.decode(run, width: width, tokens: settings.generate)
        samples[width, default: Samples()].append((taken / Double(settings.generate)).rounded())
      }
    }
    for _ in 0..<settings.repetitions {
      try sample(&quiet)
      let burner = try startBurner(settings.burner, cpu)
      defer {
        // Not terminate(): a process may inherit a mask that blocks its signal.
        kill(burner.processIdentifier, SIGKILL)
        burner.waitUntilExit()
      }
      try sample(&contended)
      guard burner.isRunning else {
        throw BenchError(
          .system, "the burner ended early: \(settings.burner.joined(separator: " "))")
      }
    }
    return settings.widths.map { width in
      let (before, after) = (quiet[width] ?? Samples(), contended[width] ?? Samples())
      let ratios = zip(before.nanoseconds, after.nanoseconds).map { $0 / $1 }
      return Row(
        barrier: barrier, width: width, threads: team.width, cpu: cpu,
        quietTokensPerS: Double(width) / before.median * 1e9,
        contendedTokensPerS: Double(width) / after.median * 1e9, ratio: Samples.median(ratios),
        medianNs: after.median, minNs: after.minimum, lowNs: after.interval.lowerBound,
        highNs: after.interval.upperBound, samplesNs: after.nanoseconds,
        quietSamplesNs: before.nanoseconds,
        command: "\(settings.command) --barrier \(barrier.rawValue) --width \(width) "
          + "--prompt \(settings.prompt) --generate \(settings.generate)")
    }
  }

  private static func startBurner(_ command: [String], _ cpu: Int) throws(BenchError) -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: command[0])
    process.arguments = command.dropFirst() + ["\(cpu)"]
    process.standardOutput = FileHandle.nullDevice
    do {
      try process.run()
    } catch {
      throw BenchError(
        .system, "cannot start \(command[0]): \(error.localizedDescription)")
    }
    // Until it runs and the scheduler knows it for one that does not sleep.
    Thread.sleep(forTimeInterval: 0.1)
    return process
  }

  /// Pins the calling thread to `cpu` and burns it until the process that started it is gone.
  /// - Throws: `MachineError` `.threads` when the system refuses the CPU.
  public static func burn(cpu: Int) throws(MachineError) {
    try Affinity.set([cpu])
    let parent = getppid()
    while getppid() == parent {
      _ = MachineProbe.arithmetic(.float32, steps: 10_000_000)
    }
  }
}

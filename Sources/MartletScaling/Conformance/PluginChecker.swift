import Foundation
public import MartletEngine

/// Checks that a plugin keeps the rules of `plugin.h`, one case at a time.
///
/// Each case belongs in a process of its own, because a faulty plugin may crash or hang it:
/// ``runAll(path:timeout:spawn:progress:)`` starts one process per case, and that process calls
/// ``runCase(_:path:)`` and prints its report. Everything runs on a simulated backend, which the
/// caller makes, so no model is needed and results repeat.
public struct PluginChecker: Sendable {
  /// What is checked.
  public enum Case: String, Sendable, CaseIterable, Codable {
    /// The manifest can be read and says all it must.
    case manifest
    /// The host accepts it; its library loads and its descriptor agrees with the manifest.
    case load
    /// Every component can be made, used and destroyed.
    case lifecycle
    /// Two runs with one seed give the same result.
    case determinism
    /// It stays within a token budget and returns when that ends.
    case budget
    /// It returns what it can on a budget of one token.
    case smallestBudget = "smallest-budget"
    /// It returns soon after the run is cancelled.
    case cancellation
    /// It returns soon after its deadline.
    case deadline
    /// It runs at the least and greatest values of its options, within reason.
    case options
    /// No page of keys and values stays behind.
    case pages
    /// It uses no dead handle and no wrong thread, also after its run.
    case handles
    /// It stays within a budget of tokens of all kinds.
    case totalBudget = "total-budget"
    /// It returns what it can where keys and values have few pages.
    case fewPages = "few-pages"
    /// Unexpected texts as options neither crash nor hang it.
    case texts
    /// It makes no call that is refused for its arguments or its moment.
    case rules
    /// It stops asking soon after its run has ended.
    case latency
    /// A scorer of branches leaves those it is given as they are.
    case branches
    /// What a sampler makes of a row depends on that row alone, and something can be drawn from it.
    case rows
    /// A memory finds the same after the same history, and nothing that was not stored.
    case notes
    /// It gives the same in a process of its own, with the permissions of its manifest.
    case isolation
    /// Who claims to resample without bias does.
    case resampling

    /// What it checks, as a sentence without its end.
    public var summary: String {
      switch self {
      case .manifest: "the manifest can be read"
      case .load: "the library loads and agrees with the manifest"
      case .lifecycle: "components can be made, used and destroyed"
      case .determinism: "one seed gives one result"
      case .budget: "a token budget is kept"
      case .smallestBudget: "a budget of one token gives a result"
      case .cancellation: "a cancelled run returns soon"
      case .deadline: "a run returns soon after its deadline"
      case .options: "options work at their limits"
      case .pages: "all pages are given back"
      case .handles: "no dead handle and no wrong thread is used"
      case .totalBudget: "a budget of tokens of all kinds is kept"
      case .fewPages: "few pages of keys and values give a result"
      case .texts: "unexpected texts as options do no harm"
      case .rules: "no call is refused for its arguments or its moment"
      case .latency: "little is asked for after the run has ended"
      case .branches: "scored branches stay as they are"
      case .rows: "a sampler changes rows soundly, in any order"
      case .notes: "a memory finds what was stored, and the same each time"
      case .isolation: "a process of its own gives the same"
      case .resampling: "resampling that claims to be unbiased is"
      }
    }
  }

  /// How one case ended.
  public struct Report: Sendable, Equatable, Codable {
    /// The case.
    public let name: Case
    /// Whether it passed.
    public let passed: Bool
    /// What was found, or what went wrong.
    public let detail: String

    /// A report.
    public init(_ name: Case, passed: Bool, _ detail: String) {
      self.name = name
      self.passed = passed
      self.detail = detail
    }

    /// One line of JSON, as a case's own process prints it.
    public var json: String {
      // Three plain fields always encode.
      (try? String(decoding: JSONEncoder().encode(self), as: UTF8.self)) ?? "{}"
    }
  }

  /// Makes the simulated backend; the argument is the seconds that each forward pass shall take.
  public typealias MakeBackend = @Sendable (_ secondsPerForward: Double) -> any Backend

  let makeBackend: MakeBackend
  let prompt: String
  let grace: Duration
  let seed: UInt64
  let options: [String: String]

  /// A checker.
  /// - Parameters:
  ///   - prompt: a prompt that the backend's tokenizer can read.
  ///   - grace: how long a strategy may go on after its run has ended.
  ///   - seed: what every run of a case draws from; the same seed gives the same reports.
  ///   - options: what every component that declares an option of such a name is given where a case
  ///     tries no other value: for plugins that refuse to work without it. A name that none declares,
  ///     or a value that it does not take, fails the case.
  public init(
    prompt: String, grace: Duration = .seconds(2), seed: UInt64 = 20_260_901,
    options: [String: String] = [:], makeBackend: @escaping MakeBackend
  ) {
    self.options = options
    self.prompt = prompt
    self.grace = grace
    self.seed = seed
    self.makeBackend = makeBackend
  }

  /// Runs one case in this process. A plugin that crashes takes the process with it.
  /// - Parameter path: a manifest, a library or a folder with one plugin.
  public func runCase(_ name: Case, path: String) async -> Report {
    do throws(CaseFailure) {
      let detail = try await check(name, path: path)
      return Report(name, passed: true, detail)
    } catch {
      return Report(name, passed: false, error.message)
    }
  }

  /// Runs every case, each in a process that `spawn` describes.
  ///
  /// - Parameters:
  ///   - timeout: how long one case may take before its process is killed.
  ///   - spawn: the program and arguments of a process that calls ``runCase(_:path:)`` for the case, in a
  ///     folder of its own (paths are absolute),
  ///     and prints ``Report/json`` as its last line. `martlet plugin check PATH --case NAME` is one.
  ///   - progress: told of each report as it comes.
  public func runAll(
    path: String, timeout: Duration = .seconds(30),
    spawn: (Case) -> (executable: String, arguments: [String]),
    progress: (Report) -> Void = { _ in }
  ) async -> [Report] {
    var reports: [Report] = []
    for name in Case.allCases {
      let report = await run(name, timeout: timeout, spawn: spawn)
      progress(report)
      reports.append(report)
      // Without a readable manifest no other case has a subject.
      if name == .manifest, !report.passed { break }
    }
    return reports
  }

  /// Runs one case in a process that `spawn` describes, as ``runAll(path:timeout:spawn:progress:)``
  /// does.
  public func run(
    _ name: Case, timeout: Duration = .seconds(30),
    spawn: (Case) -> (executable: String, arguments: [String])
  ) async -> Report {
    let (executable, arguments) = spawn(name)
    let process = CaseProcess(executable: executable, arguments: arguments, timeout: timeout)
    return await process.report(of: name)
  }
}

/// Why a case failed.
struct CaseFailure: Error {
  let message: String
  /// Whether it only says that the run was cancelled, as asked.
  let isCancellation: Bool

  init(_ message: String, isCancellation: Bool = false) {
    self.message = message
    self.isCancellation = isCancellation
  }
}

import Foundation
public import MartletEngine
public import MartletScaling

/// What a search runs: which pipelines, on which problems, within which budget.
public struct SearchPlan: Sendable {
  /// Problems that pipelines are compared on.
  public let problems: Suite
  /// Problems that nothing is run on until one pipeline is chosen.
  public let heldOut: Suite
  /// Which pipelines there are.
  public let space: PipelineSpace
  /// Those that are tried.
  public let trials: [Pipeline]
  /// What each run may use.
  public let budget: BudgetSpec
  /// What the chosen pipeline is compared with on held-out problems.
  public let baselines: [StrategySpec]
  /// The seed of generated problems, of the division and of which pipelines are tried.
  public let seed: UInt64
  /// How tokens are drawn, and how that was written.
  public var sampling = SamplingOptions()
  public var samplingText = ""
  /// The most tokens of a branch; nil for no limit.
  public var maxTokens: Int?
  /// Whether questions are wrapped as a user's message.
  public var isChat = false

  /// Where no baselines are named: each in several widths, of which the best at the budget is the one to beat.
  public static let standardBaselines =
    "greedy,best-of-n:n=4,best-of-n:n=8,best-of-n:n=16,best-of-n:n=32,self-consistency:n=4,"
    + "self-consistency:n=8,self-consistency:n=16,self-consistency:n=32"

  /// - Parameters:
  ///   - suite: as ``Suite/init(parsing:seed:limit:)`` reads it.
  ///   - limit: the most problems to compare pipelines on; of a file with fewer than these and the held-out ones, its part.
  ///   - heldOut: the most problems to hold out.
  ///   - trials: the most pipelines.
  /// - Throws: `LabError` for a suite with too few problems.
  public init(
    suite: String, limit: Int, heldOut: Int, space: PipelineSpace, trials: Int,
    budget: BudgetSpec, baselines: [StrategySpec], seed: UInt64
  ) throws(LabError) {
    let all = try Suite(parsing: suite, seed: seed, limit: limit + heldOut)
    (problems, self.heldOut) = try all.divided(limit, heldOut, seed: seed)
    (self.space, self.budget, self.baselines, self.seed) = (space, budget, baselines, seed)
    self.trials = space.drawn(max(1, trials), seed: seed)
  }

  /// A plan of runs on some of the problems.
  func evaluation(_ suite: Suite, _ strategies: [StrategySpec]) -> EvalPlan {
    var plan = EvalPlan(
      suite: suite, problemSeed: seed, strategies: strategies, budgets: [budget])
    plan.sampling = sampling
    plan.samplingText = samplingText
    plan.maxTokens = maxTokens
    plan.isChat = isChat
    return plan
  }

  /// What all runs of a search have in common: `search.json`, which a folder is claimed with.
  func settings(model: String) -> SearchSettings {
    SearchSettings(
      suite: problems.name, seed: "\(seed)", problems: problems.problems.count,
      heldOut: heldOut.problems.count, budget: budget.label, model: model, sampling: samplingText,
      maxTokens: maxTokens, chat: isChat, pipelines: trials.map(\.description))
  }
}

extension Suite {
  /// Divides the problems into two parts with no question in common.
  ///
  /// Shuffled by the seed, so that a file that is sorted by subject has each in both; a question that stands in it
  /// twice counts once. With fewer problems than asked for, both parts get fewer in proportion.
  /// - Throws: `data` where a part would have fewer than 16.
  func divided(_ first: Int, _ rest: Int, seed: UInt64) throws(LabError) -> (Suite, Suite) {
    var seen: Set<String> = []
    var unique = problems.filter { seen.insert($0.question).inserted }
    var generator = SplitMix64(seed: SplitMix64.mixed(seed, "division"))
    unique.shuffle(using: &generator)
    let share = min(1, Double(unique.count) / Double(first + rest))
    let count = Int((Double(first) * share).rounded())
    let parts = (unique.prefix(count), unique.dropFirst(count).prefix(rest))
    let fewest = 16
    guard min(parts.0.count, parts.1.count) >= fewest else {
      throw LabError(
        .data,
        "suite '\(name)' gives \(parts.0.count) problems to search on and \(parts.1.count) held out; "
          + "each takes \(fewest) or more: raise --limit and --held-out, or add problems")
    }
    return (
      Suite(name: name, problems: Array(parts.0)), Suite(name: name, problems: Array(parts.1))
    )
  }
}

/// `search.json`: what all records of a search have in common.
struct SearchSettings: Codable, Equatable {
  var schema = 1
  let suite, seed: String
  let problems, heldOut: Int
  let budget, model, sampling: String
  let maxTokens: Int?
  let chat: Bool
  let pipelines: [String]

  enum CodingKeys: String, CodingKey {
    case schema, suite, seed, problems, budget, model, sampling, chat, pipelines
    case heldOut = "held_out"
    case maxTokens = "max_tokens"
  }

  /// Writes them to a folder, or checks that they are the folder's own.
  /// - Throws: `argument` naming what differs.
  func claim(folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw LabError(.output, "\(folder): the folder cannot be made; name another with --out")
    }
    let path = "\(folder)/search.json"
    if let data = FileManager.default.contents(atPath: path) {
      guard let old = try? JSONDecoder().decode(SearchSettings.self, from: data) else {
        throw LabError(.data, "\(path): these are no settings of a search; name another folder")
      }
      func text(_ value: Int?) -> String { value.map(String.init) ?? "none" }
      for (name, before, now) in [
        ("suite", old.suite, suite), ("seed", old.seed, seed),
        ("problems", "\(old.problems)", "\(problems)"),
        ("held-out problems", "\(old.heldOut)", "\(heldOut)"), ("budget", old.budget, budget),
        ("model", old.model, model), ("sampling", old.sampling, sampling),
        ("max tokens", text(old.maxTokens), text(maxTokens)), ("chat", "\(old.chat)", "\(chat)"),
        ("pipelines", Self.brief(old.pipelines), Self.brief(pipelines)),
      ] where before != now {
        throw LabError(
          .argument,
          "\(folder) holds a search with \(name) '\(before)', not '\(now)'; name another folder with "
            + "--out, or go on with the same settings")
      }
      return
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try OutputFile.save(encoder.encode(self) + Data("\n".utf8), to: path)
  }

  private static func brief(_ pipelines: [String]) -> String {
    "\(pipelines.count), \(SHA256.hex(Data(pipelines.joined(separator: "\n").utf8)).prefix(12))"
  }
}

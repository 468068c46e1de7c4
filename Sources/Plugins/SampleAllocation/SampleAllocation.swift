import Glibc
import MartletPlugin

/// Optimised sample allocation: a number of samples is divided among several configurations so that the chance of a right
/// one is highest over problems like those on which the configurations were tried.
///
/// `configurations` are separated by `|`; each is sampling rules as `--sampling` takes them, `temperature=0.6,top-p=0.9`,
/// with `model=NAME` and, at the end, `prompt=TEMPLATE` as parts that may be left out. `rates` holds what each solves: one
/// row for each tried problem, rows separated by `;`, in each the share of right answers of every configuration,
/// `0.1,0.8;0.5,0`. Samples go one by one to the configuration that raises the mean of 1 − Π (1 − p)^count the most, which
/// is what hill climbing finds here, since more samples never help less than later ones. Without `rates` all get as many.
/// The scorer chooses among all answers; without one that can judge the prompt, or with `answer=vote`, they vote.
///
/// Paper: Scaling LLM Inference with Optimized Sample Compute Allocation (Zhang et al., 2024).
struct SampleAllocation: Strategy {
  static let id = "sample-allocation"

  private let width: Int
  private let configurations: [Configuration]
  private let counts: [Int]
  private let votes: Bool

  private struct Configuration {
    var sampling: String?
    var model = ""
    var prompt = ""
  }

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    configurations = try Self.configurations(run.component.text("configurations"))
    let rates = try Self.rates(run.component.text("rates"), of: configurations.count)
    counts = Self.allocation(of: width, rates: rates, configurations: configurations.count)
    votes = try run.component.text("answer") == "vote"
  }

  private static func configurations(_ text: String) throws(PluginError) -> [Configuration] {
    let parts = text.parts(separatedBy: "|")
    if parts.isEmpty {
      throw PluginError(
        .argument, "configurations is empty; give at least one, such as temperature=1")
    }
    return parts.map { part in
      var configuration = Configuration()
      var rest = part
      if let (before, prompt) = part.cut(at: "prompt=") {
        configuration.prompt = prompt
        rest = before
      }
      var rules: [String] = []
      for rule in rest.parts(separatedBy: ",") {
        if rule.hasPrefix("model=") {
          configuration.model = String(rule.dropFirst(6))
        } else {
          rules.append(rule)
        }
      }
      configuration.sampling = rules.isEmpty ? nil : "+" + rules.joined(separator: ",")
      return configuration
    }
  }

  private static func rates(_ text: String, of count: Int) throws(PluginError) -> [[Double]] {
    var rows: [[Double]] = []
    for (number, row) in text.parts(separatedBy: ";").enumerated() {
      var rates: [Double] = []
      for field in row.parts(separatedBy: ",") {
        guard let rate = Double(field), (0...1).contains(rate) else {
          throw PluginError(
            .argument, "rates, row \(number + 1): '\(field)' is not a share between 0 and 1")
        }
        rates.append(rate)
      }
      guard rates.count == count else {
        throw PluginError(
          .argument,
          "rates, row \(number + 1) has \(rates.count) shares for \(count) configurations")
      }
      rows.append(rates)
    }
    return rows
  }

  /// How many samples each configuration gets.
  static func allocation(of samples: Int, rates: [[Double]], configurations: Int) -> [Int] {
    var counts = [Int](repeating: 0, count: configurations)
    guard !rates.isEmpty else {
      for sample in 0..<samples { counts[sample % configurations] += 1 }
      return counts
    }
    var misses = rates.map { _ in 1.0 }
    for _ in 0..<samples {
      let gains = (0..<configurations).map { configuration in
        zip(rates, misses).reduce(0) { $0 + $1.0[configuration] * $1.1 }
      }
      // Where nothing is gained any more, as many to each as can be.
      let best =
        gains.contains { $0 > 1e-12 }
        ? Weights.order(gains)[0] : Weights.order(counts.map { -Double($0) })[0]
      counts[best] += 1
      for row in rates.indices { misses[row] *= 1 - rates[row][best] }
    }
    return counts
  }

  func run(_ run: RunContext) throws {
    var started: [(branch: Branch, isOwn: Bool)] = []
    try run.untilRunEnds { () throws(PluginError) in
      var (groups, others): ([([Branch], Advance)], [([Branch], Advance)]) = ([], [])
      for (configuration, count) in zip(configurations, counts) where count > 0 {
        let prompt = try opened(configuration, run)
        let some = try prompt.fork(count)
        started += some.map { ($0, configuration.model.isEmpty) }
        let group = (some, Advance(sampling: configuration.sampling))
        if configuration.model.isEmpty { groups.append(group) } else { others.append(group) }
      }
      try run.advance(together: groups)
      // Another model's branches are its engine's: they advance by themselves.
      for (branches, advance) in others { try run.advance(branches, advance) }
    }
    // Scorers judge branches of the run's own model; where they do, nothing else can be the answer.
    let own = started.indices.filter { started[$0].isOwn }
    let judged =
      votes || own.isEmpty ? nil : try run.scoresIfJudged(own.map { started[$0].branch })
    let scores = judged.map { Dictionary(uniqueKeysWithValues: zip(own, $0)) }
    var poll = Votes()
    for (index, (branch, isOwn)) in started.enumerated() {
      let candidate = isOwn ? try run.candidate(branch) : try run.candidate(text: try branch.text())
      let logprob = try branch.state().logprob
      if let scores {
        guard let score = scores[index] else { continue }
        try run.setScore(score, of: candidate)
        // Every answer stands for itself, and the best score wins.
        poll.add("\(index)", weight: score, merit: logprob, candidate: candidate)
      } else {
        poll.add(try run.answer(of: candidate), merit: logprob, candidate: candidate)
      }
    }
    if let chosen = poll.chosen { try run.answer(chosen) }
    try run.component.trace(
      "allocation", ["counts": .text(counts.map { "\($0)" }.joined(separator: ","))])
  }

  private func opened(
    _ configuration: Configuration, _ run: RunContext
  ) throws(PluginError) -> Branch {
    if configuration.model.isEmpty, configuration.prompt.isEmpty { return try run.root() }
    let template = configuration.prompt.isEmpty ? "{prompt}" : configuration.prompt
    return try run.open(run.filled(template), onModelNamed: configuration.model)
  }
}

import MartletPlugin

/// Hint marginalisation: answers found so far are given back as hints, and the distribution of answers is
/// carried from round to round; its mode is the answer.
///
/// Round 0 asks the prompt itself n times. In each later round every answer y' with probability p(y') is a
/// hint for its part of n new samples, and p(y) becomes Σ p(y') · p(y | hint y'): a Monte Carlo sum over
/// hints. Rounds end early once one answer has `threshold`.
///
/// Paper: Hint Marginalization for Improved Reasoning in Large Language Models (Pal et al., 2024).
struct HintMarginalization: Strategy {
  static let id = "hint-marginalization"

  private let samples: Int
  private let rounds: Int
  private let threshold: Double
  private let hint: String

  init(_ run: RunContext) throws {
    samples = try run.component.integer("n")
    rounds = try run.component.integer("rounds")
    threshold = try run.component.number("threshold")
    hint = try run.component.text("hint")
  }

  func run(_ run: RunContext) throws {
    var law: [(answer: String, probability: Double, best: Candidate)] = []
    try run.untilRunEnds { () throws(PluginError) in
      law = try ask([(try run.root(), samples)], weights: [1], run)
      try name(law, run)
      for _ in 0..<rounds {
        guard let top = law.first, top.probability < threshold else { return }
        var asked: [(Branch, Int)] = []
        var weights: [Double] = []
        for (answer, probability, _) in law {
          let count = Int((probability * Double(samples)).rounded())
          guard count > 0 else { continue }
          let text = try run.filled(hint, ["answer": answer])
          asked.append((try run.open(text), count))
          weights.append(probability)
        }
        guard !asked.isEmpty else { return }
        law = try ask(asked, weights: weights, run)
        for (prompt, _) in asked { try prompt.release() }
        try name(law, run)
      }
    }
    try run.component.trace(
      "law",
      [
        "answers": .integer(law.count), "mode": .text(law.first?.answer ?? ""),
        "probability": .number(law.first?.probability ?? 0),
      ])
  }

  private func name(
    _ law: [(answer: String, probability: Double, best: Candidate)], _ run: RunContext
  ) throws(PluginError) {
    guard let first = law.first else { return }
    try run.setScore(first.probability, of: first.best)
    try run.answer(first.best)
  }

  /// Samples from several prompts in one batch; the answers' distribution, the likeliest first.
  private func ask(
    _ prompts: [(Branch, Int)], weights: [Double], _ run: RunContext
  ) throws(PluginError) -> [(answer: String, probability: Double, best: Candidate)] {
    var groups: [[Branch]] = []
    for (prompt, count) in prompts { groups.append(try prompt.fork(count)) }
    let end = try run.untilRunEnds { () throws(PluginError) in
      try run.advance(groups.flatMap(\.self))
    }
    let total = weights.reduce(0, +)
    var first: Candidate?
    var law: [(answer: String, probability: Double, best: Candidate)] = []
    for (group, weight) in zip(groups, weights) {
      var found: [(String, Candidate)] = []
      for branch in group {
        let candidate = try run.candidate(branch)
        first = first ?? candidate
        if let answer = try run.answer(of: candidate) { found.append((answer, candidate)) }
        try branch.release()
      }
      for (answer, candidate) in found {
        let part = weight / total / Double(found.count)
        if let known = law.firstIndex(where: { $0.answer == answer }) {
          law[known].probability += part
        } else {
          law.append((answer, part, candidate))
        }
      }
    }
    let ranked = law.enumerated().sorted {
      ($0.element.probability, $1.offset) > ($1.element.probability, $0.offset)
    }.map(\.element)
    // Where nobody says anything to be compared, a text has to do.
    if ranked.isEmpty, let first { try run.answer(first) }
    if let end {
      try name(ranked, run)
      throw end
    }
    return ranked
  }
}

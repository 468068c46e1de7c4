import Glibc
import MartletPlugin

/// Forward-backward verification: a candidate answer is believed as far as the question can be worked out from it.
///
/// The question is answered `n` times. For each of the `answers` most frequent answers and each of the first `masks`
/// numbers of the question, the number is replaced by x and the model asked `backward` times for x, given the answer. An
/// answer's weight is F^(1−α) · B^α, of its part F of the forward votes and its part B of the backward hits. A question
/// without numbers is decided by the forward votes.
///
/// Paper: Forward-Backward Reasoning in Large Language Models for Mathematical Verification (Jiang et al., 2023).
struct ForwardBackward: Strategy {
  static let id = "forward-backward"

  private let width: Int
  private let most: Int
  private let masks: Int
  private let backward: Int
  private let alpha: Double
  private let question: String

  init(_ run: RunContext) throws {
    width = try run.component.integer("n")
    most = try run.component.integer("answers")
    masks = try run.component.integer("masks")
    backward = try run.component.integer("backward")
    alpha = try run.component.number("alpha")
    question = try run.component.text("question")
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(width)
    let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
    let voted = try run.answerByVote(of: branches)
    let tallies = Array(voted.votes.ranking.prefix(most))
    let masked = Self.masked(try run.prompt(), most: masks)
    if end != nil || tallies.count < 2 || masked.isEmpty { return }
    var hits = tallies.map { _ in 0 }
    try run.untilRunEnds { () throws(PluginError) in
      try look(back: masked, from: tallies.map(\.answer), &hits, run)
      let total = Double(hits.reduce(0, +))
      let cast = Double(tallies.reduce(0) { $0 + $1.count })
      var weights: [Double] = []
      for (tally, hit) in zip(tallies, hits) {
        // The paper's small constant, so that no hit at all rules nothing out.
        let belief = (Double(hit) + 1e-8) / (total + 1e-8 * Double(hits.count))
        weights.append(pow(Double(tally.count) / cast, 1 - alpha) * pow(belief, alpha))
        try run.setScore(weights.last!, of: tally.best)
      }
      try run.answer(tallies[Weights.order(weights)[0]].best)
    }
    try run.component.trace(
      "backward",
      ["answers": .integer(tallies.count), "hits": .integer(hits.reduce(0, +))])
  }

  /// Counts, for each answer, how often a masked number was found again.
  private func look(
    back masked: [(text: String, number: String)], from answers: [String], _ hits: inout [Int],
    _ run: RunContext
  ) throws(PluginError) {
    var asked: [(answer: Int, number: String, branch: Branch)] = []
    for (index, answer) in answers.enumerated() {
      for (text, number) in masked {
        let prompt = try run.open(
          run.filled(question, ["answer": answer, "masked": text]), as: .chat)
        for branch in try prompt.fork(backward) { asked.append((index, number, branch)) }
        try prompt.release()
      }
    }
    try run.advance(asked.map(\.branch))
    for (index, number, branch) in asked {
      if try branch.extract() == number { hits[index] += 1 }
      try branch.release()
    }
  }

  /// The text with one of its first numbers replaced by x, for each of them, beside that number.
  static func masked(_ text: String, most: Int) -> [(text: String, number: String)] {
    var found: [(text: String, number: String)] = []
    var at = text.startIndex
    while found.count < most, let start = text[at...].firstIndex(where: { "0"..."9" ~= $0 }) {
      var end = text[start...].firstIndex { !("0"..."9" ~= $0) } ?? text.endIndex
      // A point belongs to the number where digits follow.
      if end < text.endIndex, text[end] == ".", let next = text[end...].dropFirst().first,
        "0"..."9" ~= next
      {
        end = text[text.index(after: end)...].firstIndex { !("0"..."9" ~= $0) } ?? text.endIndex
      }
      found.append((String(text[..<start]) + "x" + text[end...], canonical(text[start..<end])))
      at = end
    }
    return found
  }

  /// As the extractor of final answers writes numbers: no zeros in front, none behind the point.
  private static func canonical(_ digits: Substring) -> String {
    let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
    let whole = parts[0].drop { $0 == "0" }
    var fraction = parts.count > 1 ? parts[1] : ""
    while fraction.last == "0" { fraction.removeLast() }
    return (whole.isEmpty ? "0" : String(whole)) + (fraction.isEmpty ? "" : ".\(fraction)")
  }
}

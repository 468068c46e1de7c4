import MartletPlugin

/// Sequence scheduling by predicted length: answers that will take about as long decode together, so that few wait beside
/// one that goes on and no more keys and values are held than a small batch needs.
///
/// Each of the n answers writes `look` tokens; then the model is asked on the branch with `probe` how many more tokens it
/// will take, and what it says (at most `probe_tokens` tokens; where it names no number, the median of the others) is its
/// prediction. In order of prediction they go on in micro-batches of `batch`, and whoever is not done after `slack` times
/// the longest prediction of its batch is set aside, its pages given back, and goes on with the others like it in the end.
/// All vote.
///
/// Paper: Response Length Perception and Sequence Scheduling: An LLM-Empowered LLM Inference Pipeline (Zheng et al., 2023).
/// There requests of different users are scheduled; here the answers to one prompt, for which what has been written by then
/// says more than the prompt.
struct LengthScheduling: Strategy {
  static let id = "length-scheduling"

  private let width: Int
  private let batch: Int
  private let look: Int
  private let probe: String
  private let probeTokens: Int
  private let slack: Double

  init(_ run: RunContext) throws {
    let options = run.component
    width = try options.integer("n")
    batch = try options.integer("batch")
    look = try options.integer("look")
    probe = try run.filled(try options.text("probe"))
    probeTokens = try options.integer("probe_tokens")
    slack = try options.number("slack")
  }

  func run(_ run: RunContext) throws {
    let branches = try run.root().fork(width)
    var aside: [Branch] = []
    var batches = 0
    try run.untilRunEnds { () throws(PluginError) in
      var predicted: [(branch: Branch, tokens: Int)] = []
      for first in stride(from: 0, to: branches.count, by: batch) {
        let some = Array(branches[first..<min(first + batch, branches.count)])
        try run.advance(some, Advance(maxTokens: look))
        for (branch, tokens) in zip(some, try predict(some, run)) {
          if try branch.state().isFinished { continue }
          predicted.append((branch, tokens ?? -1))
        }
        for branch in some { try branch.demote() }
      }
      let known = predicted.map(\.tokens).filter { $0 >= 0 }.sorted()
      let middle = known.isEmpty ? look : known[known.count / 2]
      for index in predicted.indices where predicted[index].tokens < 0 {
        predicted[index].tokens = middle
      }
      let order = predicted.indices.sorted {
        (predicted[$0].tokens, $0) < (predicted[$1].tokens, $1)
      }
      for first in stride(from: 0, to: order.count, by: batch) {
        let some = order[first..<min(first + batch, order.count)].map { predicted[$0] }
        let longest = Double(some.last!.tokens) * slack
        try run.advance(
          some.map(\.branch), Advance(maxTokens: Int(min(max(longest, 1), 1_048_576))))
        batches += 1
        for (branch, _) in some {
          if try !branch.state().isFinished { aside.append(branch) }
          try branch.demote()
        }
      }
      for first in stride(from: 0, to: aside.count, by: batch) {
        let some = Array(aside[first..<min(first + batch, aside.count)])
        try run.advance(some)
        batches += 1
        for branch in some { try branch.demote() }
      }
    }
    try run.answerByVote(of: branches)
    try run.component.trace(
      "schedule", ["batches": .integer(batches), "set_aside": .integer(aside.count)])
  }

  /// How many more tokens the model says each branch will take; nil where it does not say.
  private func predict(
    _ branches: [Branch], _ run: RunContext
  ) throws(PluginError) -> [Int?] {
    var asked: [Int: Attempt] = [:]
    defer { for attempt in asked.values { try? attempt.branch.release() } }
    for (index, branch) in branches.enumerated() where probeTokens > 0 {
      if try branch.state().isFinished { continue }
      asked[index] = try run.ifRoom { () throws(PluginError) in
        try Attempt(after: branch, bridge: probe)
      }
    }
    let open = branches.indices.compactMap { asked[$0]?.branch }
    if !open.isEmpty { try run.advance(open, Advance(maxTokens: probeTokens)) }
    var predictions = [Int?](repeating: nil, count: branches.count)
    for (index, attempt) in asked {
      let text = try attempt.text()
      let digits = text.drop { !("0"..."9" ~= $0) }.prefix { "0"..."9" ~= $0 }
      predictions[index] = Int(digits).map { max(1, min($0, 1 << 20)) }
    }
    return predictions
  }
}

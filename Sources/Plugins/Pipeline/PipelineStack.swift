import MartletPlugin

/// Answers on their way through the layers.
struct PipelineStack {
  private struct Item {
    let candidate: Candidate
    let text: String
    /// Where it was written; nil for what another strategy left without one.
    var branch: Branch?
    var score: Double?
    var criticism: String?
  }

  private let run: RunContext
  private var items: [Item] = []

  init(_ run: RunContext) { self.run = run }

  /// Puts the answers through a layer, and names the best of what it leaves.
  mutating func apply(_ layer: PipelineLayer) throws(PluginError) {
    switch layer {
    case .generator(let generators): try generate(generators)
    case .ranker(let keep, let scorer): try rank(keep, scorer)
    case .critic(let instruction, let model, let tokens):
      try criticize(instruction, model, tokens)
    case .fuser(let count, let instruction, let model): try fuse(count, instruction, model)
    case .verifier(let verifier, let times, let atLeast): try verify(verifier, times, atLeast)
    case .voter: try vote()
    }
  }

  /// The highest score first, then the first.
  private func order() -> [Int] { Weights.order(items.map { $0.score ?? -1e300 }) }

  private func nameBest() throws(PluginError) {
    if let best = order().first { try run.answer(items[best].candidate) }
  }

  /// Adds what generators write: samples of all of them together, then strategies one after another.
  private mutating func generate(
    _ generators: [PipelineLayer.Generator]
  ) throws(PluginError) {
    var written: [(branch: Branch, isOwn: Bool)] = []
    let end = try run.untilRunEnds { () throws(PluginError) in
      var (groups, isOwn): ([([Branch], Advance)], [Bool]) = ([], [])
      for case .samples(let count, let prompt, let model, let sampling) in generators {
        let asked: Branch
        if model.isEmpty, prompt == "{prompt}" {
          asked = try run.root()
        } else {
          asked = try run.open(run.filled(prompt), onModelNamed: model, as: .chat)
        }
        let some = try asked.fork(count)
        written += some.map { ($0, model.isEmpty) }
        groups.append((some, Advance(sampling: sampling)))
        isOwn.append(model.isEmpty)
      }
      try run.advance(together: zip(groups, isOwn).filter(\.1).map(\.0))
      // Another model's branches are its engine's: they advance by themselves.
      for ((branches, advance), own) in zip(groups, isOwn) where !own {
        try run.advance(branches, advance)
      }
    }
    for (branch, isOwn) in written { try add(branch, isOwn: isOwn) }
    try nameBest()
    if let end { throw end }
    for case .strategy(let id, let options, let tokens, let times) in generators {
      for _ in 0..<times {
        let child = try run.runChild(id, options: options, tokens: tokens)
        guard let answer = child.answer else { continue }
        let text: String
        if let branch = child.branch {
          text = try branch.text()
        } else {
          text = try run.answer(of: answer) ?? ""
        }
        items.append(Item(candidate: answer, text: text, branch: child.branch))
        try nameBest()
      }
    }
  }

  private mutating func add(_ branch: Branch, isOwn: Bool) throws(PluginError) {
    let text = try branch.text()
    let candidate = isOwn ? try run.candidate(branch) : try run.candidate(text: text)
    // Scorers judge branches of the run's own model.
    if !isOwn { try branch.release() }
    items.append(Item(candidate: candidate, text: text, branch: isOwn ? branch : nil))
  }

  /// Keeps the best by a scorer.
  private mutating func rank(_ keep: Int, _ scorer: String?) throws(PluginError) {
    let judged = items.indices.filter { items[$0].branch != nil }
    let branches = judged.compactMap { items[$0].branch }
    if !branches.isEmpty {
      let scores: [Double]
      if let scorer {
        scores = try run.score(branches, by: scorer)
      } else {
        scores = try run.score(branches)
      }
      for (index, score) in zip(judged, scores) {
        items[index].score = score
        try run.setScore(score, of: items[index].candidate)
      }
    }
    try keepOnly(Array(order().prefix(keep)))
  }

  private mutating func keepOnly(_ kept: [Int]) throws(PluginError) {
    for index in items.indices where !kept.contains(index) {
      try items[index].branch?.release()
    }
    items = kept.map { items[$0] }
    try nameBest()
  }

  /// Has a model say what is right and wrong with each answer; fusers show it.
  private mutating func criticize(
    _ instruction: String, _ model: String, _ tokens: Int
  ) throws(PluginError) {
    var asked: [Branch] = []
    for item in items {
      let question = try run.filled(instruction, ["answer": item.text])
      asked.append(try run.open(question, onModelNamed: model, as: .chat))
    }
    if asked.isEmpty { return }
    try run.advance(asked, Advance(maxTokens: tokens))
    for (index, branch) in asked.enumerated() {
      items[index].criticism = try branch.text().trimmed
      try branch.release()
    }
  }

  /// Has a model write new answers out of those there are, which they replace.
  private mutating func fuse(
    _ count: Int, _ instruction: String, _ model: String
  ) throws(PluginError) {
    var listed = ""
    for (number, index) in order().enumerated() {
      listed += "(\(number + 1)) \(items[index].text.trimmed)\n"
      if let criticism = items[index].criticism { listed += "Criticism: \(criticism)\n" }
    }
    let question = try run.filled(instruction, ["answers": listed])
    let asked = try run.open(question, onModelNamed: model, as: .chat)
    let written = try asked.fork(count)
    try asked.release()
    let end = try run.untilRunEnds { () throws(PluginError) in try run.advance(written) }
    var complete: [Branch] = []
    for branch in written {
      if end != nil, try !branch.state().isComplete { continue }
      complete.append(branch)
    }
    // Answers cut short by the end of the run are worth less than those they come from.
    if !complete.isEmpty {
      for item in items { try item.branch?.release() }
      items = []
      for branch in complete { try add(branch, isOwn: model.isEmpty) }
      try nameBest()
    }
    if let end { throw end }
  }

  /// Drops what a verifier holds wrong, but never the best of all.
  private mutating func verify(
    _ verifier: Verifier, _ times: Int, _ atLeast: Double
  ) throws(PluginError) {
    let means = try verifier.means(on: items.map(\.text), times: times, run)
    for (index, mean) in means.enumerated() {
      items[index].score = mean
      try run.setScore(mean, of: items[index].candidate)
    }
    let ranked = order()
    let passed = ranked.filter { means[$0] >= atLeast }
    try keepOnly(passed.isEmpty ? Array(ranked.prefix(1)) : passed)
  }

  /// Keeps those that say what most say.
  private mutating func vote() throws(PluginError) {
    var votes = Votes()
    var answers: [String?] = []
    for item in items {
      let answer = try run.answer(of: item.candidate)
      answers.append(answer)
      votes.add(
        answer, merit: try item.branch?.state().logprob ?? -1e300, candidate: item.candidate)
    }
    guard let winner = votes.winner else { return }
    for index in items.indices {
      items[index].score = votes.share(of: answers[index])
      try run.setScore(items[index].score!, of: items[index].candidate)
    }
    let best = items.firstIndex { $0.candidate == winner.best }
    let others = items.indices.filter { answers[$0] == winner.answer && $0 != best }
    try keepOnly([best].compactMap(\.self) + others)
  }
}

import MartletPlugin

/// Sleep-time compute: the context is thought about before any question is known, and every question about it begins from
/// what was found.
///
/// The prompt is a context and one or more questions, separated by `separator`. `sleeps` chains read the context alone,
/// with `prepare`, and write down what may be asked and what follows. The context with what they wrote is processed once,
/// and every question's `n` answers are forks of it, so that keys and values of the context are shared as well as the
/// thought. Each question's answers vote; several results are listed in order, one after `A[i]:` each. A prompt without a
/// separator is asked as it is.
///
/// Paper: Sleep-time Compute: Beyond Inference Scaling at Test-time (Lin et al., 2025). There the thought is kept between
/// requests; so it is here where the run has a memory (`--memory`), and later runs on the same context do not sleep. Else
/// it serves the questions of one run. The trace says what it cost beside what each question did.
struct SleepTime: Strategy {
  static let id = "sleep-time"

  private let separator: String
  private let sleeps: Int
  private let sleepTokens: Int
  private let prepare: String
  private let wake: String
  private let width: Int

  init(_ run: RunContext) throws {
    let options = run.component
    separator = try run.filled(try options.text("separator"))
    sleeps = try options.integer("sleeps")
    sleepTokens = try options.integer("sleep_tokens")
    prepare = try options.text("prepare")
    wake = try options.text("wake")
    width = try options.integer("n")
    if separator.isEmpty {
      throw PluginError(
        .argument, "separator is empty; give what stands between context and questions")
    }
  }

  func run(_ run: RunContext) throws {
    let parts = try run.prompt().parts(separatedBy: separator)
    guard parts.count > 1 else {
      let branches = try run.root().fork(width)
      try run.untilRunEnds { () throws(PluginError) in try run.advance(branches) }
      try run.answerByVote(of: branches)
      return
    }
    var groups: [[Attempt]] = []
    var slept = 0
    try run.untilRunEnds { () throws(PluginError) in
      let thought = try sleep(on: parts[0], run)
      slept = try run.usage().generatedTokens
      let context = try run.open(
        run.filled(wake, ["context": parts[0], "thought": thought]))
      for question in parts.dropFirst() {
        let asked = try context.fork(1)[0]
        try asked.append(question)
        var group: [Attempt] = []
        for branch in try asked.fork(width) { group.append(try Attempt(in: branch)) }
        groups.append(group)
        try asked.release()
      }
      try context.release()
      try run.advance(groups.flatMap { $0.map(\.branch) })
    }
    try answer(groups, run)
    let all = try run.usage().generatedTokens
    try run.component.trace(
      "sleep", ["slept_tokens": .integer(slept), "asked_tokens": .integer(all - slept)])
  }

  /// Lets the answers to each question vote, and lists what won.
  private func answer(_ groups: [[Attempt]], _ run: RunContext) throws(PluginError) {
    var lines: [String] = []
    for (index, group) in groups.enumerated() {
      var votes = Votes()
      var texts: [Int: String] = [:]
      for attempt in group {
        let text = try attempt.text()
        let candidate = try run.candidate(text: text)
        texts[candidate.index] = text.trimmed
        votes.add(
          try run.answer(of: candidate), merit: try attempt.logprob(), candidate: candidate)
      }
      guard let chosen = votes.chosen else { continue }
      if groups.count == 1 { try run.answer(chosen) }
      lines.append("A[\(index + 1)]: \(texts[chosen.index] ?? "")")
    }
    if groups.count > 1 {
      try run.answer(try run.candidate(text: lines.joined(separator: "\n")))
    }
  }

  /// What is to be known about a context before a question is.
  private func sleep(on context: String, _ run: RunContext) throws(PluginError) -> String {
    guard sleeps > 0, sleepTokens > 0 else { return "" }
    let keeps = try run.hasMemory()
    if keeps, let known = try run.recall(context, top: 8).first(where: { $0.key == context }) {
      return known.text
    }
    let asked = try run.open(run.filled(prepare, ["context": context]), as: .chat)
    let thoughts = try asked.fork(sleeps)
    try asked.release()
    try run.advance(thoughts, Advance(maxTokens: sleepTokens))
    var written: [String] = []
    for thought in thoughts {
      let text = try thought.text().trimmed
      if !text.isEmpty, !written.contains(text) { written.append(text) }
      try thought.release()
    }
    let thought = written.joined(separator: "\n")
    if keeps, !thought.isEmpty { try run.remember(thought, under: context) }
    return thought
  }
}

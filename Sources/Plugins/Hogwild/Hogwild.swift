import MartletPlugin

/// Hogwild! inference: workers write at the same time, each reading what the others write token by token, and decide for
/// themselves how to work together.
///
/// The workers are forks of one prompt in a team: to each the text is the prompt, the steps that were finished, what the
/// others are in the middle of and its own step (`layout=combined`; see `team.h` for the others). Models with a chat format
/// are told so by `rules`, and steps begin with their writer's name (`header`, `hello`, `lead`); from time to time a new
/// step begins with the question whether the work is being done twice (`check`). Other models are given the prompt alone.
/// The first complete answer ends the work, or all workers write to their end and vote.
///
/// With `tokens`, workers stop after that many each; if nobody has a complete answer then, the first worker is led to one
/// by `finish`. The trace event `hogwild` tells the rounds, the steps and the tokens.
///
/// Paper: Hogwild! Inference: Parallel LLM Generation via Concurrent Attention (Rodionov et al., 2025). The prompts follow
/// the paper's in content, not in words. There separators stand before others' and before one's own unfinished steps;
/// here the headers alone tell them apart. There the final answer is led to in a text of all workers' parts, read anew;
/// here by a worker, which sees them all.
struct Hogwild: Strategy {
  static let id = "hogwild"

  private let count: Int
  private let layout: TeamLayout
  private let takesFirst: Bool
  private let form: String
  private let (rules, header, hello, lead): (String, String, String, String)
  private let step: String
  private let check: String
  private let checkTokens: Int
  private let tokens: Int
  private let finish: String
  private let finishTokens: Int

  init(_ run: RunContext) throws {
    let options = run.component
    count = try options.integer("workers")
    layout =
      switch try options.text("layout") {
      case "contiguous": .contiguous
      case "interleaved": .interleaved
      default: .combined
      }
    takesFirst = try options.text("answer") == "first"
    form = try options.text("form")
    rules = try options.text("rules")
    header = try options.text("header")
    hello = try options.text("hello")
    lead = try options.text("lead")
    step = try run.stepDelimiter()
    check = try run.filled(try options.text("check"))
    checkTokens = try options.integer("check_tokens")
    tokens = try options.integer("tokens")
    finish = try run.filled(try options.text("finish"))
    finishTokens = try options.integer("finish_tokens")
  }

  /// One of those who work together.
  private struct Worker {
    let branch: Branch
    let name: String
    /// Tokens of its own when it began.
    var first = 0
    /// Tokens of its own when its step began.
    var stepStart = 0
    var step = 1
    var isDone = false
  }

  func run(_ run: RunContext) throws {
    guard try run.canMakeTeams() else {
      throw PluginError(
        .unsupported,
        "this model's branches cannot read one another: that takes exact attention, no guidance, and a "
          + "host with teams")
    }
    let hasRules = try form == "chat" || (form == "auto" && run.capability("chat") != 0)
    var workers: [Worker] = []
    var winner: Int?
    try run.untilRunEnds { () throws(PluginError) in
      workers = try makeWorkers(hasRules, run)
      winner = try work(&workers, hasRules, run)
      if winner == nil, tokens > 0, try !anyComplete(workers) { try conclude(workers[0], run) }
    }
    for worker in workers {
      // Where the run has ended, some may still be advancing.
      if !worker.isDone { try worker.branch.cancel() }
      try worker.branch.leaveTeam()
    }
    if let winner {
      let candidates = try workers.map { worker throws(PluginError) in
        try run.candidate(worker.branch)
      }
      try run.answer(candidates[winner])
    } else if !workers.isEmpty {
      try run.answerByVote(of: workers.map(\.branch))
    }
    try trace(workers, run)
  }

  private func makeWorkers(_ hasRules: Bool, _ run: RunContext) throws(PluginError) -> [Worker] {
    let names = (0..<count).map(Self.name)
    var shared = try run.root()
    if hasRules {
      let prompt = try run.filled(
        rules, ["names": Self.list(names), "first": names[0], "count": "\(count)"])
      shared = try run.open(prompt, as: .chat)
    }
    var workers: [Worker] = []
    for (branch, name) in zip(try shared.fork(count), names) {
      var worker = Worker(branch: branch, name: name)
      if hasRules {
        let greeting = workers.isEmpty ? hello + lead : hello
        try branch.append(try run.filled(header + greeting, ["name": name, "step": "1"]))
      }
      worker.first = try branch.state().generatedTokens
      worker.stepStart = worker.first
      workers.append(worker)
    }
    try run.makeTeam(workers.map(\.branch), sharing: shared, layout: layout)
    return workers
  }

  /// Lets the workers write until all are done, or until one has a complete answer where that is what counts:
  /// then gives which.
  private func work(
    _ workers: inout [Worker], _ hasRules: Bool, _ run: RunContext
  ) throws(PluginError) -> Int? {
    var end: PluginError?
    var sinceCheck = 0
    try run.submit(workers.map(\.branch), advance(left: tokens))
    while workers.contains(where: { !$0.isDone }) {
      let event = try run.waitAny()
      guard let index = workers.firstIndex(where: { $0.branch == event.branch }) else { continue }
      switch event.stop {
      case .step:
        let before = try event.branch.state().generatedTokens
        try event.branch.endStep()
        workers[index].step += 1
        sinceCheck += before - workers[index].stepStart
        if hasRules {
          var opening = header
          if sinceCheck >= checkTokens, !check.isEmpty {
            opening += check
            sinceCheck = 0
          }
          let text = try run.filled(
            opening, ["name": workers[index].name, "step": "\(workers[index].step)"])
          // A full context ends a worker, not the run.
          guard try run.ifRoom({ () throws(PluginError) in try event.branch.append(text) }) != nil
          else {
            workers[index].isDone = true
            continue
          }
        }
        workers[index].stepStart = try event.branch.state().generatedTokens
        let left = tokens - (before - workers[index].first)
        if tokens > 0 && left <= 0 {
          workers[index].isDone = true
        } else {
          try run.submit([event.branch], advance(left: left))
        }
        continue
      case .budget: end = PluginError(.budget, "a budget of the run ended")
      case .cancelled: end = PluginError(.cancelled, "the run was cancelled")
      default: break
      }
      workers[index].isDone = true
      guard takesFirst, try event.branch.state().isComplete,
        try Attempt.hasAnswer(event.branch, run)
      else { continue }
      return index
    }
    if let end { throw end }
    return nil
  }

  private func advance(left: Int) -> Advance {
    Advance(maxTokens: tokens == 0 ? nil : left, delimiters: step.isEmpty ? [] : [step])
  }

  private func anyComplete(_ workers: [Worker]) throws(PluginError) -> Bool {
    for worker in workers where try worker.branch.state().isComplete { return true }
    return false
  }

  /// Leads a worker, which sees all that was written, to an answer.
  private func conclude(_ worker: Worker, _ run: RunContext) throws(PluginError) {
    guard try !worker.branch.state().isFinished, !finish.isEmpty else { return }
    guard try run.ifRoom({ () throws(PluginError) in try worker.branch.append(finish) }) != nil
    else { return }
    try run.advance([worker.branch], Advance(maxTokens: finishTokens))
  }

  private func trace(_ workers: [Worker], _ run: RunContext) throws {
    let written = try workers.map { try $0.branch.state().generatedTokens - $0.first }
    try run.component.trace(
      "hogwild",
      [
        "workers": .integer(workers.count), "rounds": .integer(written.max() ?? 0),
        "steps": .integer(workers.reduce(0) { $0 + $1.step }),
        "tokens": .integer(written.reduce(0, +)),
      ])
  }

  private static func name(_ index: Int) -> String {
    let names = ["Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi"]
    return index < names.count ? names[index] : "Worker \(index + 1)"
  }

  private static func list(_ names: [String]) -> String {
    guard let last = names.last, names.count > 1 else { return names.first ?? "" }
    return names.dropLast().joined(separator: ", ") + " and " + last
  }
}

extension Attempt {
  /// Whether the run's extractor, if it has one, finds an answer in a branch.
  fileprivate static func hasAnswer(_ branch: Branch, _ run: RunContext) throws(PluginError) -> Bool
  {
    if try run.capability("extractor") == 0 { return true }
    return try branch.extract() != nil
  }
}

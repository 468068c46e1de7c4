import Foundation
import Martlet

/// One run as a seed draws it.
struct RunPlan: Sendable {
  /// When the caller gives the run up.
  enum Cancellation: Sendable, CustomStringConvertible {
    case never
    /// So many microseconds after it began; 0 for before.
    case after(microseconds: Int)
    /// When its engine has drawn so many tokens more.
    case tokens(Int)
    /// At so many pieces of the answer's text, or answers that the strategy names.
    case heard(Int)

    var description: String {
      switch self {
      case .never: "never"
      case .after(let time): "after \(time) µs"
      case .tokens(let count): "after \(count) tokens"
      case .heard(let count): "at answer \(count)"
      }
    }
  }

  var request: RunRequest
  var session: ScalingSession
  var isIsolated = false
  var cancellation = Cancellation.never
  var isTraced = false
  var isStreamed = false
  /// What may become of it beyond an answer.
  var fate = FailingPlugins.Fate.good
  /// Whether its judge gives scores that are no numbers.
  var hasBadJudge = false

  /// Whether it gives the same when it is run again.
  var isReproducible: Bool {
    guard case .never = cancellation else { return false }
    return fate == .good && !hasBadJudge && request.budget.seconds == nil
      && request.drafting.verifier == .noise
      // Which branches go without pages depends on when guesses held some.
      && (request.budget.kvBytes == nil || !request.drafting.isOn)
  }

  /// Draws a run for a stage.
  init(_ stage: Stage, _ random: inout SeededRandom) throws {
    isIsolated = random.chance(0.25)
    session = isIsolated ? stage.isolated : stage.open
    request = RunRequest(prompt: stage.prompt(&random))
    request.seed = random.next()
    try chooseStrategy(stage, &random)
    chooseJudges(stage, &random)
    try chooseText(stage, &random)
    chooseBudget(stage, &random)
    cancellation =
      switch random.whole(0...11) {
      case 0: .after(microseconds: random.chance(0.2) ? 0 : random.spread(1, 20_000))
      case 1: .tokens(random.spread(1, 300))
      case 2: .heard(random.whole(1...12))
      default: .never
      }
    isStreamed = random.chance(0.3)
    bound(stage, &random)
    isTraced = request.budget.seconds != nil || random.chance(0.4)
  }

  private mutating func chooseStrategy(_ stage: Stage, _ random: inout SeededRandom) throws {
    if random.chance(0.15) {
      let plugin = random.pick(
        FailingPlugins.tame + (isIsolated ? FailingPlugins.wild + FailingPlugins.wild : []))
      (request.strategy, fate) = (plugin.id, plugin.fate)
      if plugin.name == "ledger_watch" {
        request.options = [
          "child": random.pick(["best-of-n", "self-consistency", "beam-search", "first-finish"]),
          "part": "\(random.spread(1, 100))",
        ]
      }
      return
    }
    let strategies = session.plugins.components.filter {
      $0.manifest.kind == .strategy && isShipped($0)
    }
    let chosen = random.pick(strategies)
    request.strategy = chosen.manifest.id
    for option in chosen.manifest.options where random.chance(0.5) {
      if let value = value(of: option, stage, &random) { request.options[option.name] = value }
    }
  }

  private func isShipped(_ component: InstalledComponent) -> Bool {
    !(FailingPlugins.tame + FailingPlugins.wild).contains { $0.id == component.manifest.id }
  }

  /// A value that a manifest allows, small enough for a short run; nil to leave the default.
  private func value(
    of option: OptionDeclaration, _ stage: Stage, _ random: inout SeededRandom
  ) -> String? {
    switch option.type {
    case .integer:
      let low = Int(option.minimum ?? 1)
      let standard = Int(option.defaultValue) ?? low
      let high = min(Int(option.maximum ?? 1e6), max(low + 1, min(2 * standard, 24)))
      return low <= high ? "\(random.whole(low...high))" : nil
    case .number:
      let standard = Double(option.defaultValue) ?? 1
      let low = option.minimum ?? min(0, standard)
      let high = min(option.maximum ?? .infinity, max(low + 1, 3 * abs(standard)))
      return low < high ? "\(Double.random(in: low...high, using: &random))" : nil
    case .flag: return random.chance(0.5) ? "true" : "false"
    case .choice: return random.pick(option.choices)
    case .text:
      switch option.name {
      case "step", "delimiter", "words", "trigger", "finish", "probe", "note", "wait":
        return random.pick(stage.words)
      case "verifier", "model", "models", "critic", "planner":
        return stage.owner != nil && random.chance(0.5)
          ? random.pick(["martlet-arith", "martlet-arith-prm"]) : nil
      case "verify", "rewrite", "critique", "question", "hint", "refine", "instruction",
        "feedback", "before", "after", "prepare", "compare":
        return random.chance(0.5) ? "{prompt}" : nil
      default: return nil
      }
    }
  }

  private mutating func chooseJudges(_ stage: Stage, _ random: inout SeededRandom) {
    switch random.whole(0...5) {
    case 0: request.scorer = random.pick(stage.scorers)
    case 1:
      let isBad = random.chance(0.2)
      hasBadJudge = isBad
      request.judge = { text in isBad ? .nan : Double(text.text.utf8.count % 7) / 6 }
    default: break
    }
    if random.chance(0.3) { request.extractor = "final-answer" }
    if random.chance(0.04) {
      if random.chance(0.5) {
        request.sampler = "p-less"
      } else {
        request.sampler = random.pick(FailingPlugins.samplers).id
        if fate == .good { fate = .fails }
      }
    }
  }

  private mutating func chooseText(_ stage: Stage, _ random: inout SeededRandom) throws {
    request.sampling = try SamplingOptions.parse(
      random.pick([
        "temperature=0.8", "temperature=0.8", "temperature=1", "temperature=0.9,top-p=0.9",
        "temperature=1,top-k=5,min-p=0.05", "temperature=0.7,top-n-sigma=1.5",
      ]))
    if random.chance(0.7) { request.stops.maxTokens = random.spread(1, 60) }
    if random.chance(0.15) { request.stops.stopStrings = [random.pick(stage.words)] }
    if !stage.constraints.isEmpty, random.chance(0.12) {
      request.constraint = random.pick(stage.constraints)
    }
    if random.chance(0.35) { request.drafting = random.pick(stage.draftings) }
    if random.chance(0.08) { request.guidance = random.pick(stage.guidances) }
  }

  private mutating func chooseBudget(_ stage: Stage, _ random: inout SeededRandom) {
    var budget = Budget()
    if random.chance(0.3) { budget.tokens = random.spread(1, 400) }
    if random.chance(0.15) { budget.totalTokens = random.spread(1, 600) }
    if random.chance(0.15) {
      budget.seconds = random.chance(0.1) ? 0 : random.spread(1e-7, 0.04)
    }
    if random.chance(0.12) {
      let page = stage.engine.backend.bytesPerPage
      budget.kvBytes = random.spread(1, 50) * page + random.whole(0...page - 1)
    }
    if random.chance(0.1) {
      budget.flops =
        2 * Double(session.surroundings.parameters) * random.spread(0.5, 900)
    }
    request.budget = budget
  }

  /// Sees to it that the run ends.
  private mutating func bound(_ stage: Stage, _ random: inout SeededRandom) {
    if fate == .goesOn {
      session = isIsolated ? stage.impatient.isolated : stage.impatient.open
      // A budget of tokens does not end while there are no pages to draw them on.
      if request.budget.seconds.map({ $0 > 0 }) != true {
        request.budget.seconds = random.spread(0.001, 0.2)
      }
    }
    if !stage.ends, request.stops.maxTokens == nil {
      request.stops.maxTokens = random.spread(1, 60)
    }
    // Nobody waits for the longest searches.
    if request.budget.tokens == nil { request.budget.tokens = 2000 }
  }

  /// The run in one line.
  var summary: String {
    var parts = [request.strategy + (isIsolated ? " (isolated)" : "")]
    parts += request.options.sorted { $0.key < $1.key }.map { "\($0)=\($1.debugDescription)" }
    parts.append("prompt=\(request.prompt.debugDescription)")
    if let scorer = request.scorer { parts.append("scorer=\(scorer)") }
    if request.judge != nil { parts.append(hasBadJudge ? "judge=NaN" : "judge=own") }
    if let sampler = request.sampler { parts.append("sampler=\(sampler)") }
    if let constraint = request.constraint { parts.append("\(constraint)") }
    if request.drafting.isOn {
      parts.append("draft=\(request.drafting.name) \(request.drafting.verifier.name)")
    }
    if let guidance = request.guidance { parts.append("guidance=\(guidance.reference)") }
    if let most = request.stops.maxTokens { parts.append("max=\(most)") }
    if let stop = request.stops.stopStrings.first { parts.append("stop=\(stop.debugDescription)") }
    let budget = request.budget
    parts += [
      budget.tokens.map { "tokens=\($0)" }, budget.totalTokens.map { "total=\($0)" },
      budget.seconds.map { "seconds=\($0)" }, budget.kvBytes.map { "kv=\($0)" },
      budget.flops.map { "flops=\($0)" },
    ].compactMap(\.self)
    if case .never = cancellation {} else { parts.append("cancelled \(cancellation)") }
    if isTraced { parts.append("traced") }
    return parts.joined(separator: " ")
  }
}

import CMartlet
import Foundation
import MartletEngine

/// The cases about the rest of the contract: budgets of other kinds, what calls are allowed when, the
/// end of a run, scorers of branches, processes of their own, resampling.
extension PluginChecker {
  /// Calls that a strategy may still make of a run that has ended: one for each of its branches, say.
  private static let mostCallsAfterEnd = 64
  /// Resamplings from which a bias is told, and runs in which they must come together.
  private static let (leastResamplings, mostResamplingRuns) = (100, 600)

  func totalBudget(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    for id in try subject.strategies(host) {
      for tokens in [2, 9, 40] {
        let result = try await run(id, host) { $0.budget.totalTokens = tokens }
        if result.usage.totalTokens > tokens {
          throw CaseFailure(
            "strategy '\(id)' used \(result.usage.totalTokens) tokens of all kinds of \(tokens)")
        }
        if result.stoppedBecause == .pluginFailed {
          throw CaseFailure(
            "strategy '\(id)' failed on a budget of \(tokens) tokens of all kinds: "
              + (result.failure ?? ""))
        }
      }
      for tokens in [2, 9, 40] {
        let flops = Double(2 * Self.parameters * tokens)
        let result = try await run(id, host) { $0.budget.flops = flops }
        if result.usage.totalTokens > tokens {
          throw CaseFailure(
            "strategy '\(id)' used the operations of \(result.usage.totalTokens) tokens of \(tokens)"
          )
        }
        if result.stoppedBecause == .pluginFailed {
          throw CaseFailure(
            "strategy '\(id)' failed on a budget of \(flops) operations: \(result.failure ?? "")")
        }
      }
    }
    return subject.ranStrategies
  }

  func fewPages(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    for id in try subject.strategies(host) {
      for pages in [2, 4] {
        let engine = try makeEngine(secondsPerForward: 0)
        defer { engine.shutdown() }
        let bytes = pages * engine.backend.bytesPerPage
        let result = try await run(id, host, on: engine) { $0.budget.kvBytes = bytes }
        if result.stoppedBecause == .pluginFailed {
          throw CaseFailure(
            "strategy '\(id)' failed where keys and values have \(pages) pages: "
              + (result.failure ?? ""))
        }
        if engine.pagesInUse != 0 {
          throw CaseFailure("strategy '\(id)' left \(engine.pagesInUse) pages behind")
        }
      }
    }
    return subject.ranStrategies
  }

  /// Texts that nobody expects. A strategy may refuse one in words; a crash ends the process.
  func texts(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    var tried = 0
    for id in try subject.strategies(host) {
      let declared = subject.manifest.components.first { $0.kind == .strategy && $0.id == id }
      for option in declared?.options ?? [] where option.type == .text {
        let long = String(repeating: "abc ", count: 1000)
        for value in ["", "\n", "=|,:;{prompt}{", "\u{1F600}e\u{301}", long] {
          tried += 1
          do throws(CaseFailure) {
            _ = try await run(id, host) {
              $0.options[option.name] = value
              $0.stops.maxTokens = 6
              $0.budget.tokens = 400
            }
          } catch {
            // A hang is none of the ways to refuse a text, and neither is silence.
            let isMute = error.message.hasSuffix(statusName(MARTLET_E_PLUGIN))
            if error.message.hasPrefix("hang:") || isMute { throw error }
          }
        }
      }
    }
    for component in try subject.components(host) where component.manifest.kind != .strategy {
      for option in component.manifest.options where option.type == .text {
        for value in ["", "\n", "=|,:;{prompt}{", "\u{1F600}e\u{301}"] {
          tried += 1
          do throws(CaseFailure) {
            try await use(component, host, [option.name: value])
          } catch  where !error.message.hasSuffix(statusName(MARTLET_E_PLUGIN)) {
            // Refused in words.
          }
        }
      }
    }
    return "\(tried) values"
  }

  func rules(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    for id in try subject.strategies(host) {
      let log = try await ContractWatch.during { () throws(CaseFailure) in
        _ = try await run(id, host)
        _ = try await run(id, host) { $0.budget.tokens = 11 }
      }
      if let first = log.refused.first {
        throw CaseFailure(
          "strategy '\(id)' made \(log.refused.count) calls that were refused; the first: \(first)")
      }
    }
    return subject.ranStrategies
  }

  func latency(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    var most = 0
    for id in try subject.strategies(host) {
      let log = try await ContractWatch.during { () throws(CaseFailure) in
        // A language without an end, so that it is the budget that ends the run.
        _ = try await run(id, host, secondsPerForward: 1e-5) {
          $0.budget.tokens = 5
          $0.stops.maxTokens = 100_000
        }
      }
      most = max(most, log.callsAfterEnd)
      if log.callsAfterEnd > Self.mostCallsAfterEnd {
        throw CaseFailure(
          "strategy '\(id)' asked \(log.callsAfterEnd) times for more after its budget had ended; "
            + "\(Self.mostCallsAfterEnd) are patience enough")
      }
    }
    return "\(most) calls after the end at most"
  }

  // MARK: Scorers of branches

  func scoredBranches(_ subject: CheckedPlugin) throws(CaseFailure) -> String {
    let host = try subject.host()
    var checked = 0
    for component in try subject.components(host) where component.manifest.kind == .scorer {
      let id = component.manifest.id
      let chosen = try orFail {
        try host.choose(.scorer, id, options: options(for: component.manifest, [:]))
      }
      guard chosen.component.functions.load(as: martlet_scorer.self).score_branches != nil else {
        continue
      }
      checked += 1
      // A judge may draw its verdicts: it is in runs of one seed that they are the same.
      if try judgement(by: chosen, id, host) != judgement(by: chosen, id, host) {
        throw CaseFailure("scorer '\(id)' judges the same branches in two ways")
      }
    }
    return checked == 1 ? "1 scorer of branches" : "\(checked) scorers of branches"
  }

  /// What a scorer makes of three branches, which it must leave as they are; nil where it cannot judge
  /// them: the simulated language may hold nothing that it can, and that is no fault of its own.
  private func judgement(
    by chosen: ChosenComponent, _ id: String, _ host: PluginHost
  ) throws(CaseFailure) -> [Double]? {
    let judge = Judge(scorers: [chosen], extractor: nil, logger: Self.logger)
    let (engine, ledger) = (try makeEngine(secondsPerForward: 0), try unlimited())
    defer { engine.shutdown() }
    let (engineRun, branches) = try orFail {
      let tokens = engine.tokenizer.encode(prompt, addSpecial: true, parseSpecial: false)
      let run = try engine.makeRun(prompt: tokens, seed: seed)
      let branches = try run.root.fork(3)
      try run.advanceBlocking(branches, Advance(maxTokens: 5))
      return (run, branches)
    }
    let run = PluginRun(
      engineRun: engineRun, root: engineRun.root, prompt: prompt, ledger: ledger, judge: judge,
      trace: nil, kvBytesLimit: nil,
      surroundings: .init(
        plugins: host, model: ModelSurroundings(), suitableOptions: [:], logger: Self.logger,
        onAnswer: nil), onEnd: {})
    run.claimThread()
    let before = branches.map(Snapshot.init)
    let scores = try? judge.score(branches, run: run)
    let isChanged = branches.map(Snapshot.init) != before
    judge.end()
    for branch in branches { branch.release() }
    run.close()
    if isChanged { throw CaseFailure("scorer '\(id)' changed a branch that it was given") }
    if engine.pagesInUse != 0 {
      throw CaseFailure("scorer '\(id)' left \(engine.pagesInUse) pages behind")
    }
    return scores
  }

  private func unlimited() throws(CaseFailure) -> BudgetLedger {
    try orFail { try BudgetLedger(Budget()) }
  }

  private func orFail<Value>(_ body: () throws -> Value) throws(CaseFailure) -> Value {
    do { return try body() } catch { throw CaseFailure("\(error)") }
  }

  /// A branch as a scorer must leave it.
  private struct Snapshot: Equatable {
    let tokens: [Int32]
    let path: BranchPath
    let stop: StopReason
    let logprob: Double

    init(_ branch: Branch) {
      (tokens, path, stop) = (branch.tokens, branch.path, branch.stop)
      logprob = branch.logprob
    }
  }

  // MARK: Processes of their own

  func isolation(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    guard PluginIsolation.standardHelper() != nil else {
      return "not checked: \(PluginIsolation.helperName) is not here"
    }
    let (host, isolated) = (try subject.host(), try subject.host(isolation: PluginIsolation()))
    for id in try subject.strategies(host) {
      let here = try await run(id, host)
      let there = try await run(id, isolated)
      if here.withoutTiming != there.withoutTiming {
        throw CaseFailure(
          "strategy '\(id)' gave '\(here.answer)' and in a process of its own '\(there.answer)'"
            + (there.failure.map { ": \($0)" } ?? ""))
      }
    }
    for component in try subject.components(host) {
      let id = component.manifest.id
      let isSame: Bool
      switch component.manifest.kind {
      case .sampler: isSame = try sampled(id, host) == sampled(id, isolated)
      case .memory: isSame = try told(id, host) == told(id, isolated)
      case .scorer, .extractor, .drafter:
        try await use(component, isolated)
        continue
      case .strategy: continue
      }
      if !isSame {
        throw CaseFailure(
          "\(component.manifest.kind) '\(id)' gives something else in a process of its own")
      }
    }
    return subject.countedComponents
  }

  // MARK: Resampling

  /// How often each branch may be expected to go on is its weight times their number, where the weight
  /// is in proportion to exp(score / temperature). Two sums over many resamplings must be 0 but for
  /// chance: of what the first half of a population got beyond that, and of what the better scored got.
  func resampling(_ subject: CheckedPlugin) async throws(CaseFailure) -> String {
    let host = try subject.host()
    var checked = 0
    for component in subject.manifest.components where component.claims.contains(.resampling) {
      // What ends a step must appear in the language that the simulation speaks, which is bytes: what
      // is no character of its own shows as one that no delimiter can name.
      let steps = component.options.contains { $0.name == "step" && $0.type == .text }
      let spoken = try await run(component.id, host).candidates.map(\.text).joined()
      let letters = spoken.unicodeScalars.filter { $0.isASCII && $0 != "\0" }
      let step = Dictionary(grouping: letters, by: \.self)
        .max { ($0.value.count, $1.key) < ($1.value.count, $0.key) }
      var (resamplings, rounds) = ([ContractWatch.Resampling](), 0)
      while resamplings.count < Self.leastResamplings, rounds < Self.mostResamplingRuns {
        let round = UInt64(rounds)
        let log = try await ContractWatch.during { () throws(CaseFailure) in
          _ = try await run(component.id, host) {
            $0.seed = seed &+ round
            if steps, let step { $0.options["step"] = String(step.key) }
            // Scores that differ, so that weights do.
            $0.judge = { text in
              text.text.utf8.reduce(0) {
                ($0 * 31 + Double($1)).truncatingRemainder(dividingBy: 17)
              }
                / 8
            }
          }
        }
        resamplings += log.resamplings
        rounds += 1
      }
      guard resamplings.count >= Self.leastResamplings else {
        throw CaseFailure(
          "strategy '\(component.id)' claims \(ComponentClaim.resampling.rawValue) and resampled "
            + "scored branches \(resamplings.count) times in \(rounds) runs; too few to tell")
      }
      let temperature =
        component.options.first { $0.name == "temperature" }.flatMap { Double($0.defaultValue) }
        ?? 1
      let deviations = Self.deviations(resamplings, temperature: temperature)
      if let (name, deviation) = deviations.max(by: { abs($0.1) < abs($1.1) }), abs(deviation) > 5 {
        throw CaseFailure(
          "strategy '\(component.id)' resamples with a bias: \(name) went on "
            + "\(deviation > 0 ? "too often" : "too seldom") by "
            + "\((abs(deviation) * 100).rounded() / 100) standard deviations in "
            + "\(resamplings.count) resamplings")
      }
      checked += 1
    }
    return checked == 1 ? "1 strategy claims it" : "\(checked) strategies claim it"
  }

  /// Standard deviations by which sums of offspring differ from what they should be, at most: chance is
  /// taken as that of independent draws, which sparing schemes stay below.
  private static func deviations(
    _ resamplings: [ContractWatch.Resampling], temperature: Double
  ) -> [(String, Double)] {
    var sums = [("the first half of a population", 0.0, 0.0), ("the better scored half", 0.0, 0.0)]
    for resampling in resamplings {
      let count = Double(resampling.scores.count)
      let highest = resampling.scores.max() ?? 0
      let weights = resampling.scores.map { exp(($0 - highest) / temperature) }
      let total = weights.reduce(0, +)
      var offspring = [Double](repeating: 0, count: weights.count)
      for ancestor in resampling.ancestors { offspring[ancestor] += 1 }
      let middle = resampling.scores.sorted()[resampling.scores.count / 2]
      for (index, weight) in weights.enumerated() {
        let share = weight / total
        let isIn = [index < weights.count / 2, resampling.scores[index] >= middle]
        for (which, isIn) in isIn.enumerated() where isIn {
          sums[which].1 += offspring[index] - count * share
          sums[which].2 += count * share * (1 - share)
        }
      }
    }
    return sums.map { ($0.0, $0.2 > 0 ? $0.1 / $0.2.squareRoot() : 0) }
  }
}

import Foundation
import MartletScaling
import Testing

/// A way that looks good for three steps and ends wrong, and one that looks fair and ends right.
private let trap = Replies { _ in [("t\nt\nt\n#6", 0.3), ("g\ng\ng\n#5", 0.7)] }

private func flattered(_ text: String) -> Double {
  text.contains("#") ? (text.hasSuffix("#5") ? 1 : 0) : text.contains("t") ? 0.9 : 0.5
}

private let step = "step=\\n"

@Suite("What methods of search claim")
struct SearchClaimTests {
  @Test("searches that keep apart, or look again, escape what misleads one beam")
  func trapped() async throws {
    let beam = ["width=4", "expand=2", step]
    #expect(try await rightOfTen(trap, "2+3?", "beam-search", beam, judge: flattered) <= 3)
    let diverse = beam + ["groups=4"]
    #expect(
      try await rightOfTen(trap, "2+3?", "diverse-tree-search", diverse, judge: flattered) >= 8)
    let tree = ["simulations=32", "expand=3", "batch=2", step]
    #expect(
      try await rightOfTen(trap, "2+3?", "monte-carlo-tree-search", tree, judge: flattered) >= 8)
  }

  @Test("an early favourite does not take a population over that is annealed")
  func annealing() async throws {
    let world = Replies { _ in [("t\nt\n#6", 0.3), ("g\ng\n#5", 0.7)] }
    let options = ["n=8", "temperature=0.05", step]
    let plain = try await rightOfTen(
      world, "2+3?", "particle-filter", options, judge: flattered)
    let annealed = try await rightOfTen(
      world, "2+3?", "entropic-particle-filter", options + ["diversity=0.8"], judge: flattered)
    #expect(plain <= 2 && annealed >= 8, "\(plain), \(annealed)")
  }

  @Test("sweeps around what was found come to what one sweep misses")
  func gibbs() async throws {
    let world = Replies { _ in [("g\ng\n#5", 0.15), ("b\nb\n#6", 0.85)] }
    let judge: @Sendable (String) -> Double = { $0.contains("g") ? 1 : 0 }
    func right(_ sweeps: Int) async throws -> Int {
      try await rightOfTen(
        world, "2+3?", "particle-gibbs", ["n=4", "sweeps=\(sweeps)", step], judge: judge)
    }
    let (one, six) = try await (right(1), right(6))
    #expect(six >= 8 && six > one, "\(one), \(six)")
  }

  @Test("whatever the twist says on the way, the evidence is right on average")
  func evidence() async throws {
    let world = Replies { _ in [("a\n#5", 0.2), ("b\n#5", 0.2), ("c\n#6", 0.6)] }
    let judge: @Sendable (String) -> Double = { text in
      text.contains("#") ? (text.hasSuffix("#5") ? 1 : 0) : text.contains("b") ? 0 : 0.5
    }
    let options = ["n=4", "temperature=0.5", "resample=1", step]
    var (sum, resampled) = (0.0, 0)
    let runs = 120
    for seed in 1...UInt64(runs) {
      let trace = TraceRecorder()
      _ = try await runReplies(
        world, "2+3?", "twisted-smc", options, seed: seed, trace: trace, judge: judge)
      let found = try notes(trace, "evidence")
      sum += exp(try #require(found["log_partition"] as? Double))
      resampled += try #require(found["resampled"] as? Int)
    }
    // Some four standard errors of the mean.
    #expect(abs(sum / Double(runs) - (0.4 * exp(2) + 0.6)) < 0.5, "\(sum / Double(runs))")
    #expect(resampled > runs / 2)
  }

  @Test("candidates that are rejected in the middle of a step save tokens and no answer")
  func earlyRejection() async throws {
    let tail = String(repeating: "x", count: 19) + "\n"
    let world = Replies { _ in
      (0..<8).map { number in
        let steps = (0..<3).map { (number >> $0 & 1 == 1 ? "g" : "b") + tail }.joined()
        return (steps + (number == 7 ? "#5" : "#6"), 0.125)
      }
    }
    let judge: @Sendable (String) -> Double = { text in
      text.reduce(0) { $0 + ($1 == "g" ? 1 : $1 == "b" ? -1 : 0) }
    }
    let options = ["width=2", "expand=4", step]
    let early = options + ["tau=4", "keep=0.25"]
    #expect(try await rightOfTen(world, "2+3?", "beam-search", options, judge: judge) >= 8)
    #expect(try await rightOfTen(world, "2+3?", "early-rejection", early, judge: judge) >= 8)
    let whole = try await runReplies(world, "2+3?", "beam-search", options, judge: judge)
    let part = try await runReplies(world, "2+3?", "early-rejection", early, judge: judge)
    #expect(part.usage.generatedTokens * 10 < whole.usage.generatedTokens * 7)
  }

  @Test("of many first steps only good ones are paid for to the end")
  func firstSteps() async throws {
    let rest = "\n" + String(repeating: "x", count: 60)
    let world = Replies { _ in [("g" + rest + "#5", 0.25), ("b" + rest + "#6", 0.75)] }
    let judge: @Sendable (String) -> Double = { $0.contains("g") ? 1 : 0 }
    let options = ["n=12", "keep=3", step]
    #expect(
      try await rightOfTen(world, "2+3?", "first-step-filtering", options, judge: judge) >= 9)
    let part = try await runReplies(world, "2+3?", "first-step-filtering", options, judge: judge)
    let whole = try await runReplies(world, "2+3?", "best-of-n", ["n=12"], judge: judge)
    #expect(part.usage.generatedTokens * 2 < whole.usage.generatedTokens)
  }

  @Test("a step is chosen for the futures that are sure and agree")
  func foresight() async throws {
    let world = Replies { _ in
      var replies = [("g\nall is well\n#5", 0.5)]
      for number in 0..<36 {
        let digits = "\(number / 6)\(number % 6)"
        replies.append(("b\n\(digits) \(digits)\n#6", 0.5 / 36))
      }
      return replies
    }
    let options = ["width=1", "expand=8", "foresight=8", "temperature=0.1", step]
    let ahead = try await rightOfTen(world, "2+3?", "phi-decoding", options)
    let plain = try await rightOfTen(world, "2+3?", "sample", [])
    #expect(ahead >= 8 && plain <= 6, "\(ahead), \(plain)")
  }

  @Test("the model's own opinion of its steps guides a beam that is drawn")
  func selfEvaluation() async throws {
    let world = Replies { told in
      guard told.hasSuffix("ok|") else { return [("g\n#5", 0.3), ("b\n#6", 0.7)] }
      return told.contains("g") ? [("Y", 0.9), ("N", 0.1)] : [("Y", 0.1), ("N", 0.9)]
    }
    let options = ["width=3", "expand=3", "scorer.probe=ok|", "scorer.yes=Y", "scorer.no=N", step]
    #expect(try await rightOfTen(world, "2+3?", "self-consistency", ["n=9"]) <= 4)
    #expect(try await rightOfTen(world, "2+3?", "self-evaluation-beam", options) >= 8)
  }

  @Test("a tree grows deep where revisions help and wide where they do not")
  func branching() async throws {
    let options = ["n=24", "batch=2", "refine= revise|"]
    let deep = Replies { told in
      let revisions = told.count { $0 == "|" }
      return [(revisions == 0 ? "#6" : revisions == 1 ? "#7" : "#5", 1)]
    }
    let grade: @Sendable (String) -> Double = {
      $0.hasSuffix("#5") ? 1 : $0.hasSuffix("#7") ? 0.6 : 0.3
    }
    #expect(
      try await rightOfTen(deep, "2+3?", "adaptive-branching", options, judge: grade) >= 8)
    #expect(try await rightOfTen(deep, "2+3?", "best-of-n", ["n=24"], judge: grade) == 0)

    let wide = Replies { $0.hasSuffix("revise|") ? [("#9", 1)] : unsure }
    let judge: @Sendable (String) -> Double = {
      $0.hasSuffix("#5") ? 0.9 : $0.hasSuffix("#6") ? 0.6 : 0
    }
    let trace = TraceRecorder()
    let result = try await runReplies(
      wide, "2+3?", "adaptive-branching", options, trace: trace, judge: judge)
    #expect(result.answer == "5")
    let tree = try notes(trace, "tree")
    #expect(try #require(tree["width"] as? Int) >= 14)
    #expect(tree["nodes"] as? Int == 24)
  }

  @Test(
    "a context without room for what is to be written into it ends a line and not the run",
    arguments: [
      ("adaptive-branching", "refine"), ("semantic-entropy", "refine"),
      ("inverse-entropy-voting", "refine"), ("iterative-deepening", "trigger"),
      ("answer-convergence", "probe"), ("budget-forcing", "wait"), ("budget-forcing", "answer"),
      ("fractured-sampling", "finish"), ("length-scheduling", "probe"),
      ("self-evaluated-sampling", "probe"), ("solve-detect-verify", "finish"),
      ("spawn-join", "task"), ("spawn-join", "results"),
    ])
  func fullContext(strategy: String, option: String) async throws {
    let long = String(repeating: "again ", count: 10)
    let world = Replies { _ in
      [(String(repeating: "x", count: 20) + "<spawn>\nWait y</spawn>" + "z#6", 1)]
    }
    let (session, engine) = try makeSession(world, contextLength: 96)
    var options = ["\(option)=\(long)"]
    if option == "answer" { options.append("max_tokens=46") }
    if strategy == "solve-detect-verify" {
      options += ["probe=", "yes=z", "no=q", "verify=V", "fast=0", "words=y"]
    }
    if strategy == "iterative-deepening" { options.append("first=46") }
    var request = try request("2+3?", strategy, options)
    request.judge = { $0.text.isEmpty ? 1 : 0.5 }
    request.extractor = "final-answer"
    let result = try await session.run(request)
    #expect(result.failure == nil && !result.text.isEmpty, "\(result.failure ?? "")")
    #expect(engine.pagesInUse == 0)
  }

  @Test("a text that leaves no room for the question about it is worth nothing to P(True)")
  func fullContextOfAScorer() async throws {
    let world = Replies { _ in [(String(repeating: "x", count: 40) + "#6", 1)] }
    let (session, engine) = try makeSession(world, contextLength: 96)
    var request = try request("2+3?", "best-of-n", ["n=2"])
    request.scorer = "p-true"
    let probe = String(repeating: "again ", count: 10)
    request.scorerOptions = ["probe": probe, "yes": "Y", "no": "N"]
    let asked = try await session.run(request)
    #expect(asked.failure == nil && asked.text.hasSuffix("#6"))
    #expect(asked.candidates.allSatisfy { $0.score == 0 })
    #expect(engine.pagesInUse == 0)
  }

  @Test("best-first search takes fewer tokens than a beam to the same answer")
  func bestFirst() async throws {
    let (session, _) = try makeJudged()
    var (first, beam, right) = (0, 0, 0)
    for seed in UInt64(1)...10 {
      let found = try await runMethod(
        "a-star-decoding", ["step= ", "take=1"], seed: seed, session: session)
      first += found.usage.generatedTokens
      right += found.text.contains("#11") ? 1 : 0
      beam += try await runMethod(
        "beam-search", ["step= ", "width=4", "expand=4"], seed: seed, session: session
      ).usage.generatedTokens
    }
    #expect(right >= 9 && first * 3 < beam * 2, "\(right) right, \(first) of \(beam) tokens")
  }
}

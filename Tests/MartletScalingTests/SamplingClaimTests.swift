import MartletScaling
import Testing

private let filler = String(repeating: "x", count: 60)

/// One sure way to 5 and many unsure ones to 6, which more samples take.
private let hesitant = Replies { _ in
  var replies = [("a" + filler + "#5", 0.4)]
  for number in 0..<36 {
    replies.append(("b\(number / 6)\(number % 6)" + filler + "#6", 0.6 / 36))
  }
  return replies
}

private let sure = Replies { _ in [(filler + "#5", 0.95), (filler + "#6", 0.05)] }

private func isRight(_ text: String) -> Double { text.hasSuffix("#5") ? 1 : 0 }

@Suite("What methods of sampling and voting claim")
struct SamplingClaimTests {
  // MARK: Votes that are weighed

  @Test(
    "a vote weighed by a verifier, or by the probability of paths, finds what the plain vote misses"
  )
  func weights() async throws {
    let world = Replies { _ in
      [("#5", 0.4)] + (0..<60).map { ("\($0): #6", 0.01) }
    }
    #expect(try await rightOfTen(world, "2+3?", "self-consistency", ["n=24"]) <= 5)
    let weighted = ["n=24", "temperature=0.2"]
    #expect(
      try await rightOfTen(world, "2+3?", "weighted-voting", weighted, judge: isRight) == 10)
    for prune in ["true", "false"] {
      let options = ["n=24", "length_power=0", "prune=\(prune)"]
      #expect(try await rightOfTen(world, "2+3?", "perplexity-consistency", options) == 10)
    }
  }

  @Test("tries of low entropy outvote more that hesitate")
  func inverseEntropy() async throws {
    #expect(try await rightOfTen(hesitant, "2+3?", "self-consistency", ["n=15"]) <= 5)
    let options = ["chains=3", "rounds=5", "refine= again|"]
    #expect(try await rightOfTen(hesitant, "2+3?", "inverse-entropy-voting", options) >= 8)
  }

  @Test("unsure traces are stopped on their way, and sure ones decide")
  func confidence() async throws {
    let options = ["n=24", "warmup=8", "group=4", "keep=0.25", "consensus=1"]
    #expect(try await rightOfTen(hesitant, "2+3?", "confidence-selection", options) >= 8)
    var (pruned, whole) = (0, 0)
    for seed in UInt64(1)...5 {
      pruned += try await runReplies(hesitant, "2+3?", "confidence-selection", options, seed: seed)
        .usage.generatedTokens
      whole += try await runReplies(hesitant, "2+3?", "self-consistency", ["n=24"], seed: seed)
        .usage.generatedTokens
    }
    #expect(pruned * 10 < whole * 8, "\(pruned) of \(whole)")
    // Where one answer has the weight, no more traces are begun.
    let trace = TraceRecorder()
    _ = try await runReplies(sure, "2+3?", "confidence-selection", ["n=32"], trace: trace)
    #expect(try #require(try notes(trace, "pruned")["traces"] as? Int) <= 16)
  }

  // MARK: Ending early

  @Test("the short answers are taken where short ones are right")
  func shortest() async throws {
    let world = Replies { _ in [("#5", 0.4), (filler + "#6", 0.6)] }
    #expect(try await rightOfTen(world, "2+3?", "self-consistency", ["n=9"]) <= 5)
    #expect(try await rightOfTen(world, "2+3?", "short-m-at-k", ["k=9", "m=3"]) >= 8)
    let short = try await runReplies(world, "2+3?", "short-m-at-k", ["k=9", "m=1"], seed: 3)
    let whole = try await runReplies(world, "2+3?", "self-consistency", ["n=9"], seed: 3)
    #expect(short.usage.generatedTokens * 3 < whole.usage.generatedTokens)
  }

  @Test("a window that agrees is the last, and says what the whole vote says")
  func earlyStopping() async throws {
    let torn = Replies { _ in [(filler + "#5", 0.5), (filler + "#6", 0.5)] }
    var (short, long) = (0, 0)
    for seed in UInt64(1)...10 {
      let whole = try await runReplies(sure, "2+3?", "self-consistency", ["n=32"], seed: seed)
      let early = try await runReplies(
        sure, "2+3?", "early-stopping-consistency", ["n=32"], seed: seed)
      #expect(early.answer == whole.answer)
      short += early.candidates.count
      long += try await runReplies(
        torn, "2+3?", "early-stopping-consistency", ["n=32"], seed: seed
      ).candidates.count
    }
    #expect(short <= 70 && long > 2 * short, "\(short), \(long)")
  }

  @Test("rounds end where answers mean the same, and go on where they do not")
  func semanticEntropy() async throws {
    let world = Replies { $0.hasSuffix("again|") ? [("#5", 1)] : unsure }
    let options = ["n=6", "refine= again|"]
    #expect(try await rightOfTen(world, "2+3?", "semantic-entropy", options) >= 8)
    let one = try await runReplies(
      Replies { _ in [("#5", 1)] }, "2+3?", "semantic-entropy", options)
    #expect(one.usage.generatedTokens == 6 * 3)
  }

  @Test("a chain that has come to its answer is stopped there")
  func convergence() async throws {
    let chain = (1...12).map { "step \($0)\n" }.joined() + "#5"
    let world = Replies { told in
      guard told.hasSuffix("A|") else { return [(chain, 1)] }
      return [(told.contains("step 3") ? "#5" : "#9", 1)]
    }
    let options = ["step=\\n", "patience=3", "probe=A|"]
    let result = try await runReplies(world, "2+3?", "answer-convergence", options)
    #expect(result.answer == "5")
    let whole = try await runReplies(world, "2+3?", "sample")
    #expect(result.usage.generatedTokens * 10 < whole.usage.generatedTokens * 7)
    // An answer that has not stayed long enough is not believed.
    let hasty = try await runReplies(
      world, "2+3?", "answer-convergence", ["step=\\n", "patience=2", "probe=A|"])
    #expect(hasty.answer == "9")
  }

  @Test("more answers are generated only while they are expected to help")
  func saturation() async throws {
    let options = ["gain=0.05", "batch=4"]
    // (1 / 6)(5 / 6)⁴ is above 0.05 and 0.1 · 0.9⁸ below.
    let hopeless = try await runReplies(
      Replies { _ in unsure }, "2+3?", "saturation-stopping", options, judge: { _ in 0 })
    #expect(hopeless.candidates.count == 8)
    let found = try await runReplies(
      Replies { _ in unsure }, "2+3?", "saturation-stopping", options, judge: isRight)
    #expect(found.answer == "5" && found.candidates.count <= 8)
  }

  @Test("answers are drawn until one passes, no longer, and none is given where none does")
  func repeated() async throws {
    let world = Replies { _ in [("#5", 0.3), (filler + "#6", 0.7)] }
    var (cancelled, whole) = (0, 0)
    for seed in UInt64(1)...10 {
      let result = try await runReplies(
        world, "2+3?", "repeated-sampling", ["batch=8"], seed: seed, judge: isRight)
      #expect(result.answer == "5" && result.stoppedBecause == .finished)
      cancelled += result.usage.generatedTokens
      whole += try await runReplies(
        world, "2+3?", "repeated-sampling", ["batch=8", "cancel=false"], seed: seed, judge: isRight
      ).usage.generatedTokens
    }
    #expect(cancelled * 3 < whole, "\(cancelled) of \(whole)")
    let none = try await runReplies(
      world, "2+3?", "repeated-sampling", ["cap=6"], judge: { _ in 0.5 })
    #expect(none.stoppedBecause == .abstained && none.candidates.count == 6)
    let best = try await runReplies(
      world, "2+3?", "repeated-sampling", ["cap=6", "abstain=false"], judge: { _ in 0.5 })
    #expect(best.stoppedBecause == .finished && !best.text.isEmpty)
  }

  @Test("a model that would do better elsewhere gives a try up in the middle")
  func selfEvaluated() async throws {
    let world = Replies { told in
      guard told.hasSuffix("redo|") else {
        return [("g" + filler + "#5", 0.3), ("b" + filler + "#6", 0.7)]
      }
      return told.contains("g") ? [("Y", 0.05), ("N", 0.95)] : [("Y", 0.95), ("N", 0.05)]
    }
    let options = ["n=12", "look=8", "probe=redo|", "yes=Y", "no=N"]
    #expect(try await rightOfTen(world, "2+3?", "self-evaluated-sampling", options) >= 9)
    let trace = TraceRecorder()
    let result = try await runReplies(
      world, "2+3?", "self-evaluated-sampling", options, seed: 2, trace: trace)
    let (begun, pruned) = try (
      #require(notes(trace, "tries")["begun"] as? Int),
      #require(notes(trace, "tries")["pruned"] as? Int)
    )
    #expect(result.usage.generatedTokens <= (begun - pruned) * 64 + pruned * 8)
  }

  // MARK: Going on, and forbidding to

  @Test("a chain that ends too soon goes on, and one that goes on too long answers")
  func budgetForcing() async throws {
    let short = Replies { $0.hasSuffix("wait|") ? [(" #5", 1)] : [("#6", 1)] }
    let options = ["min_tokens=12", "wait= wait|"]
    for (times, answer) in [(1, "5"), (0, "6")] {
      let result = try await runReplies(
        short, "2+3?", "budget-forcing", options + ["times=\(times)"])
      #expect(result.answer == answer)
    }
    let long = Replies { told in
      told.hasSuffix("done|") ? [("#5", 1)] : [(String(repeating: filler, count: 5) + "#6", 1)]
    }
    let cut = try await runReplies(
      long, "2+3?", "budget-forcing", ["min_tokens=0", "max_tokens=20", "answer=done|"])
    #expect(cut.answer == "5" && cut.usage.generatedTokens <= 20 + 4)
  }

  @Test("without the words of hesitation chains are shorter and say the same")
  func noWait() async throws {
    let world = Replies { _ in [("W" + filler + "#5", 0.9), ("k#5", 0.1)] }
    for seed in UInt64(1)...5 {
      let result = try await runReplies(world, "2+3?", "nowait", ["words=W"], seed: seed)
      #expect(result.answer == "5" && result.usage.generatedTokens <= 4)
    }
  }

  // MARK: Other ways to draw

  @Test("cuts of few chains give more answers for the tokens than as many chains")
  func fractured() async throws {
    let world = Replies { _ in [(filler + "#5", 0.4), (filler + "#6", 0.6)] }
    let trace = TraceRecorder()
    let result = try await runReplies(
      world, "2+3?", "fractured-sampling", ["n=2", "depths=4", "m=2"], trace: trace)
    #expect(try notes(trace, "cuts")["solutions"] as? Int == 14)
    let whole = try await runReplies(world, "2+3?", "self-consistency", ["n=14"])
    #expect(result.usage.generatedTokens * 10 < whole.usage.generatedTokens * 7)
    #expect(Set(result.candidates.map(\.answer)).count == 2)
  }

  @Test("where one way to put a question never works another may")
  func diversified() async throws {
    let world = Replies { $0.hasPrefix("B ") ? [("#5", 1)] : [("#6", 1)] }
    let options = ["n=4", "prompts={prompt}|B {prompt}", "vote=false"]
    #expect(
      try await rightOfTen(world, "2+3?", "diversified-prompts", options, judge: isRight) == 10)
    #expect(try await rightOfTen(world, "2+3?", "best-of-n", ["n=4"], judge: isRight) == 0)
  }

  @Test("hints carry the distribution of answers to the one that stays")
  func hints() async throws {
    let world = Replies { told in
      told.hasSuffix("h5|")
        ? [("#5", 0.9), ("#6", 0.1)]
        : told.hasSuffix("h6|") ? [("#5", 0.5), ("#6", 0.5)] : unsure
    }
    #expect(try await rightOfTen(world, "2+3?", "self-consistency", ["n=40"]) <= 4)
    let options = ["n=40", "rounds=3", "threshold=0.95", "hint={prompt} h{answer}|"]
    #expect(try await rightOfTen(world, "2+3?", "hint-marginalization", options) >= 8)
  }

  @Test("another model is asked where the first does not agree with itself, and only there")
  func switching() async throws {
    let second = ["second": Replies { _ in [("#5", 1)] }]
    let options = ["k=6", "threshold=0.9", "models=second"]
    for (first, answer, asked) in [(unsure, "5", 2), ([("#6", 1)], "6", 1)] {
      let trace = TraceRecorder()
      let result = try await runReplies(
        Replies { _ in first }, "2+3?", "model-switch", options, trace: trace, others: second)
      #expect(result.answer == answer)
      #expect(try notes(trace, "models")["asked"] as? Int == asked)
    }
  }

  @Test("what is easy is answered by the pilot alone")
  func computeOptimal() async throws {
    let options = ["hardest=best-of-n:n=16", "medium=best-of-n:n=16"]
    let easy = try await runReplies(
      Replies { _ in [("#5", 1)] }, "2+3?", "compute-optimal", options, judge: isRight)
    #expect(easy.candidates.count == 4)
    let world = Replies { _ in unsure }
    #expect(
      try await rightOfTen(world, "2+3?", "compute-optimal", options, judge: isRight) >= 7)
  }

  // MARK: Refinement

  @Test("an answer is criticised and written anew until nothing is wrong")
  func selfRefine() async throws {
    let world = Replies { told in
      if told.hasPrefix("C ") { return [(told.hasPrefix("C #5") ? "CORRECT" : "wrong", 1)] }
      return [(told.hasPrefix("R wrong") ? "#5" : "#6", 1)]
    }
    let options = ["critique=C {answer}|", "rewrite=R {critique}|"]
    let refined = try await runReplies(world, "2+3?", "self-refine", options)
    #expect(refined.answer == "5" && refined.candidates.count == 2)
    // A judge that likes the first better keeps it; one that cannot judge the prompt is not asked again.
    let kept = try await runReplies(
      world, "2+3?", "self-refine", options, judge: { $0.contains("6") ? 1 : 0 })
    #expect(kept.answer == "6")
    let unjudged = try await runReplies(
      world, "2+3?", "self-refine", options, scorer: "exact-checker")
    #expect(unjudged.answer == "5")
  }

  @Test("an answer is synthesised that no candidate had")
  func synthesis() async throws {
    let world = Replies { told in
      guard told.hasPrefix("S ") else { return [("#6", 0.5), ("#7", 0.5)] }
      return [(told.contains("#6") && told.contains("#7") ? "#5" : "#8", 1)]
    }
    let options = ["n=6", "instruction=S {answers}|"]
    #expect(try await rightOfTen(world, "2+3?", "synthesis", options) >= 9)
  }

  @Test("rounds that see the best so far come to what independent samples do not")
  func iterativeDecoding() async throws {
    let world = Replies { told in
      guard told.hasPrefix("F ") else { return [("#6", 0.5), ("#7", 0.5)] }
      return [(told.hasPrefix("F #7") ? "#5" : "#6", 1)]
    }
    let judge: @Sendable (String) -> Double = {
      $0.hasSuffix("#5") ? 1 : $0.hasSuffix("#7") ? 0.5 : 0.2
    }
    let options = ["n=4", "rounds=3", "feedback=F {best}|"]
    #expect(
      try await rightOfTen(world, "2+3?", "iterative-agent-decoding", options, judge: judge) >= 8)
    #expect(try await rightOfTen(world, "2+3?", "best-of-n", ["n=12"], judge: judge) == 0)
  }

  @Test("only steps that are less sure than those before get more effort")
  func momentum() async throws {
    let lead = "a1\na2\na3\n"
    let world = Replies { _ in
      [(lead + "x\n#6", 0.5), (lead + "y\n#5", 0.3), (lead + "z\n#6", 0.2)]
    }
    let judge: @Sendable (String) -> Double = { $0.contains("y") ? 1 : 0.5 }
    let options = ["step=\\n", "expand=6"]
    #expect(
      try await rightOfTen(world, "2+3?", "momentum-uncertainty", options, judge: judge) >= 8)
    let trace = TraceRecorder()
    _ = try await runReplies(
      world, "2+3?", "momentum-uncertainty", options, trace: trace, judge: judge)
    #expect(try notes(trace, "scaled")["steps"] as? Int == 1)
  }
}

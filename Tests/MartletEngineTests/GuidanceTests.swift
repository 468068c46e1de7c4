import Foundation
import MartletEngine
import MartletKernels
import MartletModel
import MartletSimulation
import Testing

/// Second rows of logits: what they are, what is made of them, and that nothing else changes a text.
@Suite("Guidance", .serialized)
struct GuidanceTests {
  private static let prompt = tokens("ab c.")
  private static let other = tokens("c")

  private static let configurations: [EngineConfiguration] = [
    .init(), .init(prefillChunk: 1), .init(maximumBatchTokens: 3),
    .init(overrun: 0, logitsCacheBytes: 0),
  ]

  /// Forks, truncates, appends, resamples and cancels, so that second lanes do so too.
  private func play(
    _ backend: any Backend, _ prompt: [Token], _ guidance: Guidance?,
    temperature: Float = 0.9, configuration: EngineConfiguration = .init(), crowd: Int = 0
  ) throws -> (texts: [[Token]], logprobs: [[Float]], run: RunStatistics) {
    let engine = try Engine(backend: backend, configuration: configuration)
    defer { engine.shutdown() }
    var sampling = SamplingOptions()
    sampling.temperature = temperature
    // Others, guided or not, that decode all the time.
    var others: [(Run, [Branch])] = []
    for index in 0..<crowd {
      let run = try engine.makeRun(
        prompt: Array(prompt.reversed()), seed: UInt64(index), sampling: sampling,
        drafting: index % 2 == 0 ? .auto : .off, guidance: index % 3 == 1 ? guidance : nil)
      let branches = try run.root.fork(2)
      try run.submit(branches, Advance(maxTokens: 40))
      others.append((run, branches))
    }
    let run = try engine.makeRun(
      prompt: prompt, seed: 3, sampling: sampling, guidance: guidance)
    var branches = try run.root.fork(4)
    try run.advanceBlocking(branches, Advance(maxTokens: 9))
    try branches[0].truncate(toGenerated: 3)
    try branches[1].append(tokens: Array(prompt.prefix(2)))
    let child = try branches[2].fork(1)[0]
    try run.submit([child])
    child.cancel()
    branches = try run.resample(branches, ancestors: [0, 0, 1, 2, 3, 3])
    try run.advanceBlocking(branches, Advance(maxTokens: 12))
    let result = (branches.map(\.tokens), branches.map(\.logprobs), run.statistics)
    for branch in branches + [child] { branch.release() }
    run.root.release()
    for (run, branches) in others {
      run.cancel()
      for branch in branches + [run.root] { branch.release() }
    }
    #expect(engine.pagesInUse == 0)
    return result
  }

  /// The token that guided rows make the most likely.
  private func best(
    _ own: [Float], _ other: [Float], scale: Float, plausibility: Float = 0
  ) -> Token {
    let floor = own.max()! + log(plausibility)
    let guided = zip(own, other).map { own, other in
      own < floor || own == -.infinity
        ? -Float.infinity : scale * own + (1 - scale) * other
    }
    return Token(guided.firstIndex(of: guided.max()!)!)
  }

  @Test("another prompt: every greedy choice is that of both rows", arguments: [0.5, 1.5, 3, -1])
  func negativePrompt(scale: Float) throws {
    let backend = hashedBackend()
    let guidance = Guidance(by: .prompt(Self.other), scale: scale)
    let played = try play(backend, Self.prompt, guidance, temperature: 0)
    var differing = 0
    for text in played.texts {
      for count in 0..<text.count where count != 9 && count != 10 {
        let own = backend.world.logits(after: Self.prompt + text[..<count])
        let second = backend.world.logits(after: Self.other + text[..<count])
        #expect(text[count] == best(own, second, scale: scale))
        if text[count] != best(own, own, scale: 1) { differing += 1 }
      }
    }
    #expect(differing > 10, "guidance chose nothing else: the test shows nothing")
  }

  @Test("a scale of 1 changes no bit and takes no row", arguments: [0, 0.9])
  func off(temperature: Float) throws {
    let plain = try play(hashedBackend(), Self.prompt, nil, temperature: temperature)
    let backend = hashedBackend()
    let same = try play(
      backend, Self.prompt, Guidance(by: .prompt(Self.other), scale: 1), temperature: temperature)
    #expect(same.texts == plain.texts && same.logprobs == plain.logprobs)
    #expect(same.run.guidanceTokens == 0)
    // Rows that are there but weigh nothing: KL-guided temperature that hardly moves.
    let other = try play(
      hashedBackend(), Self.prompt,
      Guidance(by: .prompt(Self.other), divergenceScale: .greatestFiniteMagnitude),
      temperature: temperature)
    #expect(other.texts == plain.texts && other.logprobs == plain.logprobs)
  }

  @Test("texts depend on no batch, chunk, cache or neighbour")
  func invariance() throws {
    let guidance = Guidance(by: .prompt(Self.other), scale: 1.7, plausibility: 0.01)
    let expected = try play(hashedBackend(), Self.prompt, guidance)
    for (index, configuration) in Self.configurations.enumerated() {
      for crowd in [0, 5] {
        let played = try play(
          hashedBackend(), Self.prompt, guidance, configuration: configuration, crowd: crowd)
        #expect(played.texts == expected.texts, "configuration \(index), crowd \(crowd)")
        #expect(played.logprobs == expected.logprobs, "configuration \(index), crowd \(crowd)")
        #expect(played.run.guidanceTokens == expected.run.guidanceTokens)
      }
    }
    // The prompt of guidance once, and every token behind it.
    let run = expected.run
    #expect(
      run.guidanceTokens
        == Self.other.count + run.generatedTokens + run.promptTokens - Self.prompt.count)
  }

  /// 4,000 branches, one token: 14 cells at z < 5.5 (one false alarm in ten million).
  @Test("draws follow the guided distribution")
  func distribution() throws {
    let backend = hashedBackend(spread: 1.5)
    let own = backend.world.logits(after: Self.prompt).map(Double.init)
    let second = backend.world.logits(after: Self.other).map(Double.init)
    func law(_ logits: [Double]) -> [Double] {
      let top = logits.max()!
      let weights = logits.map { exp($0 - top) }
      let sum = weights.reduce(0, +)
      return weights.map { $0 / sum }
    }
    func check(_ guidance: Guidance, _ expected: [Double], _ other: [Double]) throws {
      let engine = try Engine(backend: backend)
      defer { engine.shutdown() }
      var sampling = SamplingOptions()
      sampling.temperature = 0.8
      var counts = [Int](repeating: 0, count: expected.count)
      for seed in UInt64(0)..<8 {
        let run = try engine.makeRun(
          prompt: Self.prompt, seed: seed, sampling: sampling, guidance: guidance)
        let children = try run.root.fork(500)
        try run.advanceBlocking(children, Advance(maxTokens: 1))
        for child in children { counts[Int(child.tokens[0])] += 1 }
      }
      #expect(chiSquareScore(counts, expected) < 5.5)
      #expect(chiSquareScore(counts, other) > 5.5, "it cannot be told from no guidance")
    }
    let plain = law(own.map { $0 / 0.8 })
    try check(
      Guidance(by: .prompt(Self.other), scale: 1.6),
      law(
        zip(own, second).map { $0 == -.infinity ? $0 : (1.6 * $0 - 0.6 * $1) / 0.8 }), plain)
    let (p, q) = (law(own), law(second))
    let divergence = zip(p, q).reduce(0) { $0 + ($1.0 > 0 ? $1.0 * log($1.0 / $1.1) : 0) }
    let temperature = 0.8 * exp2(-divergence / 0.7)
    try check(
      Guidance(by: .prompt(Self.other), divergenceScale: 0.7),
      law(own.map { $0 / temperature }), plain)
  }

  @Test("rows of early exits are those of the first layers alone, in one pass")
  func exitRows() throws {
    let fixture = try TransformerFixture(seed: 71, type: .f16, layers: 4)
    let text = fixture.tokens(37, seed: 5)
    let alone = try (1...3).map { layers in
      try TransformerDriver(fixture.backend().part(layers: Array(0..<layers))).run(text, chunk: 37)
    }
    let plain = try TransformerDriver(fixture.backend()).run(text, chunk: 37)
    // The second time there is no room beside the others for the rows of exits.
    for room in [128, 37] {
      let backend = try fixture.backend(threads: 2, maximumBatchTokens: room)
      try backend.reservePages(2)
      var batch = ForwardBatch(sequences: [[0, 1]])
      for (position, token) in text.enumerated() {
        var row = BatchToken(token: token, position: position, sequence: 0, wantsLogits: true)
        row.exitLayers = position % 4
        batch.tokens.append(row)
      }
      let logits = try LogitsBuffer(rows: batch.logitsRows, vocabulary: backend.vocabularySize)
      try backend.forward(batch, logits: logits)
      var row = text.count
      for position in text.indices {
        #expect(logits.row(position) == plain[position])
        guard position % 4 > 0 else { continue }
        #expect(logits.row(row) == alone[position % 4 - 1][position])
        row += 1
      }
      batch.tokens[0].exitLayers = 4
      #expect(engineError { try backend.forward(batch, logits: logits) }?.code == .argument)
    }
  }

  @Test("contrast with an early exit, and with a weaker model")
  func contrast() throws {
    let fixture = try TransformerFixture(seed: 71, type: .f16, layers: 4)
    let weaker = try TransformerFixture(seed: 72, type: .f16, layers: 1)
    let prompt = fixture.tokens(40, seed: 5)
    func references() throws -> [(Guidance.Reference, TransformerBackend)] {
      [
        (.exit(layers: 2), try fixture.backend().part(layers: [0, 1])),
        (
          .model(try AmateurModel(name: "weaker", backend: weaker.backend(threads: 2))),
          try weaker.backend()
        ),
      ]
    }
    for index in 0..<2 {
      let (reference, alone) = try references()[index]
      let guidance = Guidance.contrast(with: reference)
      let greedy = try play(fixture.backend(threads: 2), prompt, guidance, temperature: 0)
      var differing = 0
      for text in greedy.texts {
        let own = try TransformerDriver(fixture.backend()).run(prompt + text, chunk: 64)
        let second = try TransformerDriver(alone).run(prompt + text, chunk: 64)
        for count in 0..<text.count where count != 9 && count != 10 {
          let place = prompt.count + count - 1
          #expect(
            text[count] == best(own[place], second[place], scale: 1.5, plausibility: 0.1))
          if text[count] != best(own[place], own[place], scale: 1) { differing += 1 }
        }
      }
      #expect(differing > 5, "contrast chose nothing else: the test shows nothing")
      let warm = try play(fixture.backend(), prompt, guidance)
      for (which, configuration) in Self.configurations.enumerated() {
        // A model that guides two engines does so one after another.
        let again = try play(
          fixture.backend(threads: 2), prompt, .contrast(with: references()[index].0),
          configuration: configuration, crowd: which % 2 * 4)
        #expect(again.texts == warm.texts && again.logprobs == warm.logprobs, "\(which)")
      }
      #expect(
        warm.run.guidanceTokens
          == (index == 0 ? 0 : warm.run.promptTokens + warm.run.generatedTokens))
    }
  }

  @Test("text that a constraint forces is read by both lanes")
  func forcedText() throws {
    let pattern = try Constraint.regex("(abc|fgh)(de)*(j|hi)")
    func texts(_ configuration: EngineConfiguration) throws -> [String] {
      let engine = try Engine(backend: hashedBackend(), configuration: configuration)
      defer { engine.shutdown() }
      let run = try engine.makeRun(
        prompt: Self.prompt, seed: 5, constraint: pattern,
        guidance: Guidance(by: .prompt(Self.other), scale: 2))
      let branches = try run.root.fork(6)
      try run.advanceBlocking(branches, Advance(maxTokens: 30))
      #expect(run.statistics.forcedTokens > 6)
      return branches.map(\.text)
    }
    let expected = try texts(.init())
    #expect(Set(expected).count > 1)
    #expect(try texts(.init(prefillChunk: 1, overrun: 0)) == expected)
  }

  @Test("pages of both lanes are counted, and a ceiling stops branches, not the engine")
  func pages() throws {
    let engine = try Engine(
      backend: hashedBackend(pageTokens: 4), configuration: .init(kvBytesLimit: 12 * 1000))
    defer { engine.shutdown() }
    let run = try engine.makeRun(
      prompt: Self.prompt, guidance: Guidance(by: .prompt(Self.other), scale: 2))
    try run.advanceBlocking([run.root], Advance(maxTokens: 4))
    #expect(run.root.kvPages == 3 && engine.pagesInUse == 3)
    #expect(run.root.forkCost(2) >= 4000)
    let children = try run.root.fork(3)
    try run.advanceBlocking(children, Advance(maxTokens: 40))
    #expect(children.allSatisfy { $0.stop == .budget })
    for branch in children + [run.root] { branch.release() }
    #expect(engine.pagesInUse == 0)
  }

  @Test("the context ends where either lane's does")
  func context() throws {
    let engine = try Engine(backend: hashedBackend(context: 20))
    defer { engine.shutdown() }
    let long = [Token](repeating: 1, count: 12)
    let run = try engine.makeRun(
      prompt: Self.prompt, guidance: Guidance(by: .prompt(long), scale: 2))
    try run.advanceBlocking([run.root], Advance(maxTokens: 40))
    #expect(run.root.stop == .context && run.root.tokens.count == 8)
  }

  @Test("what cannot be is refused by name; drafting is off and says so")
  func refusals() throws {
    let engine = try Engine(backend: hashedBackend(context: 20))
    defer { engine.shutdown() }
    func refused(_ guidance: Guidance, _ part: String, _ code: EngineError.Code = .argument) {
      let error = engineError { try engine.makeRun(prompt: [1], guidance: guidance) }
      #expect(error?.code == code && error?.message.contains(part) ?? false, "\(part): \(error)")
    }
    refused(Guidance(by: .prompt([]), scale: 2), "no tokens")
    refused(Guidance(by: .prompt([99]), scale: 2), "99")
    refused(Guidance(by: .prompt(Array(repeating: 1, count: 21)), scale: 2), "21", .context)
    refused(Guidance(by: .exit(layers: 1), scale: 2), "early exits")
    refused(Guidance(by: .file("a.gguf"), scale: 2), "a.gguf")
    refused(Guidance(by: .prompt([1]), scale: .nan), "nan")
    refused(Guidance(by: .prompt([1]), scale: 2, plausibility: 2), "2.0")
    refused(Guidance(by: .prompt([1]), divergenceScale: -1), "-1")
    let model = try AmateurModel(
      name: "another", backend: TransformerFixture(seed: 1).backend())
    refused(.contrast(with: .model(model)), "another")
    let fixture = try TransformerFixture(seed: 71, type: .f16, layers: 2)
    let whole = try Engine(backend: fixture.backend())
    defer { whole.shutdown() }
    let exit = engineError {
      try whole.makeRun(prompt: [1], guidance: .contrast(with: .exit(layers: 2)))
    }
    #expect(exit?.code == .argument && exit?.message.contains("1 to 1") ?? false)

    let run = try engine.makeRun(
      prompt: [1], drafting: .auto, guidance: Guidance(by: .prompt([2]), scale: 2))
    #expect(run.draftingNote?.contains("auto") ?? false && !run.drafting.isOn)
    #expect(try engine.makeRun(prompt: [1], drafting: .auto).draftingNote == nil)

    // No room for the weaker model's keys and values ends the run that wants them, and no other.
    let tight = try AmateurModel(
      name: "tight", backend: fixture.backend(),
      byteLimit: fixture.backend().bytesPerPage)
    let starved = try whole.makeRun(
      prompt: fixture.tokens(40, seed: 1), guidance: .contrast(with: .model(tight)))
    let well = try whole.makeRun(prompt: fixture.tokens(40, seed: 1))
    try well.submit([well.root], Advance(maxTokens: 30))
    #expect(
      engineError { try starved.advanceBlocking([starved.root], Advance(maxTokens: 3)) }?.code
        == .memory)
    #expect(try well.waitAny()?.branch.tokens.count == 30)
  }

  @Test("contrast is read from text")
  func parse() throws {
    #expect(
      try Guidance.parseContrast("exit=3") == .contrast(with: .exit(layers: 3)))
    #expect(
      try Guidance.parseContrast("strength=1,plausibility=0.2,model=a,b=c.gguf")
        == .contrast(with: .file("a,b=c.gguf"), strength: 1, plausibility: 0.2))
    let failures = [
      ("", "exit=LAYERS"), ("exit", "exit"), ("exit=0", "'0'"), ("exit=x", "'x'"),
      ("model=", "no file"), ("strength=1", "weaker model"), ("strength=x,exit=1", "'x'"),
      ("strength=1,strength=2,exit=1", "twice"), ("plausibility=2,exit=1", "at most 1"),
      ("exit=1,strength=2", "last"), ("size=1,exit=1", "size"),
    ]
    for (text, part) in failures {
      let error = engineError { try Guidance.parseContrast(text) }
      #expect(error?.code == .argument && error?.message.contains(part) ?? false, "\(text)")
    }
  }
}

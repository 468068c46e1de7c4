import Foundation
import MartletEngine
import MartletSimulation
import Testing

/// Teams on a simulated model, whose rows say exactly which text they were given.
@Suite("Teams of branches")
struct TeamTests {
  /// What a test knows of a team, kept beside it.
  private struct Book {
    let shared: [Int32]
    /// Generated tokens that are of the shared part.
    let before: Int
    let layout: Team.Layout
    var members: [Branch]
    /// Finished steps: whose, and which tokens of its block.
    var steps: [(member: ObjectIdentifier, tokens: Range<Int>)] = []
    var starts: [ObjectIdentifier: Int] = [:]

    mutating func endStep(of branch: Branch) {
      let id = ObjectIdentifier(branch)
      let step = (starts[id] ?? 0)..<branch.generatedTokens - before
      guard layout != .contiguous, !step.isEmpty else { return }
      steps.append((id, step))
      starts[id] = step.upperBound
    }

    private func block(_ branch: Branch) -> [Int32] { Array(branch.tokens.dropFirst(before)) }

    private func visible(_ branch: Branch) -> [Int32] {
      branch.stop == .endOfSequence ? block(branch).dropLast() : block(branch)
    }

    /// The text before a member's next token.
    func context(of branch: Branch) -> [Int32] {
      let id = ObjectIdentifier(branch)
      let own = block(branch)
      var (text, start) = (shared, 0)
      if layout != .contiguous {
        // Its last token may be the last of a finished step.
        let last = steps.last { $0.member == id && $0.tokens.contains(own.count - 1) }
        start = last?.tokens.lowerBound ?? starts[id] ?? 0
        for step in steps where !(step.member == id && step.tokens.lowerBound >= start) {
          guard let writer = members.first(where: { ObjectIdentifier($0) == step.member }) else {
            continue
          }
          let seen = writer === branch ? own : visible(writer)
          text += seen[step.tokens.clamped(to: 0..<seen.count)]
        }
      }
      if layout != .interleaved {
        for other in members where other !== branch {
          text += visible(other).dropFirst(
            layout == .contiguous ? 0 : starts[ObjectIdentifier(other)] ?? 0)
        }
      }
      return text + own[start...]
    }
  }

  private func expectDrawn(
    _ branch: Branch, at index: Int, after context: [Int32], _ world: any SimulatedWorld,
    _ note: String
  ) {
    let expected = logSoftmax(world.logits(after: context))[Int(branch.tokens[index])]
    #expect(abs(expected - Double(branch.logprobs[index])) < 1e-5, "\(note), \(branch.path)")
  }

  /// Whatever members do, each token was drawn from what the world says after the text that the member
  /// saw; and no page leaks.
  @Test("members draw from what all of them wrote", arguments: 0..<18)
  func random(seed: UInt64) throws {
    let backend = hashedBackend(pageTokens: 4, endBias: -1)
    let layout = Team.Layout.allCases[Int(seed) % 3]
    let engine = try Engine(
      backend: backend, configuration: .init(prefillChunk: 8, mixedPrefillChunk: 3))
    defer { engine.shutdown() }
    var random = TestRandom(seed: seed)
    let prompt = tokens("a b.")
    let run = try engine.makeRun(
      prompt: prompt, seed: seed, drafting: seed % 4 == 0 ? Drafting([.siblings, .ngram]) : .off)
    let parent = try run.root.fork(1)[0]
    try parent.append(tokens: tokens("cd "))
    let all = try parent.fork(4)
    for member in all {
      try member.append(tokens: tokens(["a", "bcd", "e", "fg"].randomElement(using: &random)!))
    }
    // What was processed before is an ordinary branch's.
    if seed % 2 == 0 { try run.advanceBlocking(all, Advance(maxTokens: 2)) }
    let team = try run.makeTeam(all, sharing: parent, layout: layout)
    #expect(team.sharedTokens == prompt.count + 3)
    var book = Book(shared: prompt + parent.tokens, before: 3, layout: layout, members: all)
    var outside: [Branch] = []
    for turn in 0..<40 {
      let note = "seed \(seed), turn \(turn)"
      let branch = book.members.randomElement(using: &random)!
      switch Int.random(in: 0..<8, using: &random) {
      case 0 where !branch.finished:
        try branch.append(tokens: tokens(["h", "ij ", "c.d.e"].randomElement(using: &random)!))
      case 1:
        try team.endStep(branch)
        book.endStep(of: branch)
      case 2 where turn > 25 && book.members.count > 1:
        branch.release()
        book.members.removeAll { $0 === branch }
      case 3 where turn > 25 && book.members.count > 1:
        try team.leave(branch)
        book.members.removeAll { $0 === branch }
        outside.append(branch)
        #expect(engineError { try team.context(of: branch) }?.code == .state)
      default:
        let some = book.members.filter {
          !$0.finished && Int.random(in: 0..<4, using: &random) > 0
        }
        let contexts = try some.map { member in
          let context = book.context(of: member)
          let told = try team.context(of: member)
          #expect(told == context, "\(note)")
          return context
        }
        try run.advanceBlocking(some, Advance(maxTokens: 1))
        for (member, context) in zip(some, contexts) {
          expectDrawn(
            member, at: member.generatedTokens - 1, after: context, backend.world, note)
        }
      }
      #expect(team.members.elementsEqual(book.members) { $0 === $1 })
    }
    // Who left goes on by itself, and can be forked and cut again.
    for branch in outside where !branch.finished {
      let known = branch.tokens
      try run.advanceBlocking([branch], Advance(maxTokens: 2))
      expectDrawn(branch, at: known.count, after: prompt + known, backend.world, "seed \(seed)")
      for child in try branch.fork(2) { child.release() }
      try branch.truncate(toGenerated: 1)
    }
    for branch in book.members + outside + [parent] { branch.release() }
    run.root.release()
    #expect(engine.pagesInUse == 0)
  }

  /// Texts of four members by seed, however the engine goes about it.
  private func texts(
    seed: UInt64, configuration: EngineConfiguration = .init(), batch: Int = 512, crowd: Int = 0,
    gate: (any TokenGate)? = nil, _ advance: (Run, [Branch]) throws -> Void
  ) throws -> [String] {
    let engine = try Engine(
      backend: hashedBackend(maximumBatch: batch, endBias: -2), configuration: configuration)
    defer { engine.shutdown() }
    var others: [Run] = []
    for other in 0..<crowd {
      let run = try engine.makeRun(prompt: tokens("abc"), seed: UInt64(other))
      try run.submit(run.root.fork(3), Advance(maxTokens: 60))
      others.append(run)
    }
    let run = try engine.makeRun(prompt: tokens("a long prompt of abcdefghij"), seed: seed)
    run.gate = gate
    let members = try run.root.fork(4)
    for (index, member) in members.enumerated() {
      try member.append(tokens: tokens(String(repeating: "abc ", count: 1 + 3 * index)))
    }
    _ = try run.makeTeam(members, sharing: run.root)
    try advance(run, members)
    for run in others { run.cancel() }
    return members.map(\.text)
  }

  @Test("texts do not depend on passes, other runs or ways to advance", arguments: 1...6)
  func invariance(seed: UInt64) throws {
    let plain = try texts(seed: seed) { try $0.advanceBlocking($1, Advance(maxTokens: 30)) }
    #expect(Set(plain).count == 4)
    for (configuration, batch, crowd) in [
      (EngineConfiguration(prefillChunk: 5, mixedPrefillChunk: 2), 512, 2),
      (EngineConfiguration(overrun: 0), 5, 3), (EngineConfiguration(overrun: 16), 16, 1),
    ] {
      let other = try texts(
        seed: seed, configuration: configuration, batch: batch, crowd: crowd
      ) { try $0.advanceBlocking($1, Advance(maxTokens: 30)) }
      #expect(other == plain)
    }
    let stepwise = try texts(seed: seed, crowd: 1) { run, members in
      for _ in 0..<30 { try run.advanceBlocking(members, Advance(maxTokens: 1)) }
    }
    #expect(stepwise == plain)
    let submitted = try texts(seed: seed, crowd: 2) { run, members in
      for member in members.reversed() { try run.submit([member], Advance(maxTokens: 30)) }
      while try run.waitAny() != nil { usleep(200) }
    }
    #expect(submitted == plain)
    let gated = try texts(seed: seed, gate: CountingGate(limit: 100_000)) {
      try $0.advanceBlocking($1, Advance(maxTokens: 30))
    }
    #expect(gated == plain)
  }

  /// What one member is told to do when it stops reaches the others in the round after, whatever the
  /// driver does meanwhile.
  @Test("events come before anybody goes on", arguments: 1...4)
  func events(seed: UInt64) throws {
    func run(pause: UInt32) throws -> [String] {
      let engine = try Engine(backend: hashedBackend(endBias: -3))
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: tokens("abc"), seed: seed)
      let members = try run.root.fork(3)
      for member in members { try member.append(tokens: tokens("d")) }
      let team = try run.makeTeam(members, sharing: run.root, layout: .combined)
      try run.submit(members, Advance(maxTokens: 40, delimiter: "b"))
      var events = 0
      while let event = try run.waitAny(), events < 12 {
        usleep(pause)
        events += 1
        if event.branch.finished { continue }
        if events == 5 {
          event.branch.release()
          continue
        }
        try team.endStep(event.branch)
        usleep(pause)
        try event.branch.append(tokens: tokens("fg"))
        try run.submit([event.branch], Advance(maxTokens: 40, delimiter: "b"))
      }
      for member in members { member.cancel() }
      return members.map(\.text)
    }
    let plain = try run(pause: 0)
    for pause in [UInt32(300), 2000] { #expect(try run(pause: pause) == plain) }
  }

  @Test("a budget ends a team at its token, in order of members")
  func budget() throws {
    for limit in [1, 2, 7, 30] {
      let gate = CountingGate(limit: limit)
      let engine = try Engine(backend: hashedBackend())
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: tokens("abc"), seed: 5)
      run.gate = gate
      let members = try run.root.fork(3)
      for member in members { try member.append(tokens: tokens("d")) }
      _ = try run.makeTeam(members, sharing: run.root)
      try run.advanceBlocking(members, Advance(maxTokens: 20))
      #expect(gate.granted == limit)
      #expect(members.map { $0.generatedTokens - 1 } == (0..<3).map { (limit + 2 - $0) / 3 })
      #expect(members.allSatisfy { $0.stop == .budget })
    }
  }

  @Test("what a team holds together fits the context")
  func context() throws {
    for size in 20...26 {
      let engine = try Engine(backend: hashedBackend(context: size))
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: tokens("abc"), seed: 5)
      let members = try run.root.fork(3)
      for member in members { try member.append(tokens: tokens("de")) }
      let team = try run.makeTeam(members, sharing: run.root)
      try run.advanceBlocking([members[1]], Advance(maxTokens: 2))
      try run.advanceBlocking(members)
      #expect(members.allSatisfy { $0.stop == .context })
      #expect((size - 2...size).contains(team.tokens), "\(team.tokens) of \(size)")
      let left = size - team.tokens
      #expect(
        engineError {
          try members[0].append(tokens: tokens(String(repeating: "a", count: left + 1)))
        }
          != nil)
    }
    let engine = try Engine(backend: hashedBackend(context: 12))
    defer { engine.shutdown() }
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 5)
    let members = try run.root.fork(3)
    for member in members { try member.append(tokens: tokens("defg")) }
    #expect(engineError { try run.makeTeam(members, sharing: run.root) }?.code == .context)
    try members[0].truncate(toGenerated: 1)
    _ = try run.makeTeam(members, sharing: run.root)
    #expect(engineError { try members[1].append(tokens: tokens("h")) }?.code == .context)
  }

  @Test("who cancels or releases leaves the others to go on")
  func cancelling() async throws {
    let backend = hashedBackend(
      context: 1_000_000, cost: SimulatedCost(perForward: 0.0005, sleeps: true))
    let engine = try Engine(backend: backend)
    defer { engine.shutdown() }
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 5)
    let members = try run.root.fork(3)
    for member in members { try member.append(tokens: tokens("d")) }
    let team = try run.makeTeam(members, sharing: run.root)
    let advancing = Task { try await run.advance(members) }
    #expect(await eventually { members[0].generatedTokens > 5 })
    members[0].cancel()
    members[1].release()
    let known = members[2].generatedTokens
    #expect(await eventually { members[2].generatedTokens > known + 20 })
    members[2].cancel()
    try await advancing.value
    #expect(members[0].generatedTokens < members[2].generatedTokens)
    #expect(team.members.count == 2)
    #expect(team.tokens == 3 + members[0].generatedTokens + members[2].generatedTokens)
    let second = Task { try await run.advance([members[2]]) }
    let before = members[2].generatedTokens
    #expect(await eventually { members[2].generatedTokens > before + 20 })
    run.cancel()
    #expect(await second.result.isFailure)
    for member in members { member.release() }
    run.root.release()
    #expect(await eventually { engine.pagesInUse == 0 })
  }

  @Test("constraints hold in a team")
  func constrained() throws {
    let engine = try Engine(backend: hashedBackend())
    defer { engine.shutdown() }
    let run = try engine.makeRun(
      prompt: tokens("abc"), seed: 5, constraint: .regex("(ab|cd)+efgh[ij]{3}"))
    let members = try run.root.fork(3)
    _ = try run.makeTeam(members, sharing: run.root)
    try run.advanceBlocking(members)
    for member in members {
      #expect(member.text.wholeMatch(of: /(ab|cd)+efgh[ij]{3}/) != nil, "\(member.text)")
      #expect(member.stop == .endOfSequence)
    }
    #expect(run.statistics.forcedTokens > 0)
  }

  @Test("what a team cannot do is refused and changes nothing")
  func refusals() throws {
    let engine = try Engine(backend: hashedBackend(maximumBatch: 8))
    defer { engine.shutdown() }
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 5)
    let members = try run.root.fork(3)
    func code(_ members: [Branch], _ parent: Branch) -> EngineError.Code? {
      engineError { try run.makeTeam(members, sharing: parent) }?.code
    }
    #expect(code([], run.root) == .argument)
    #expect(code([members[0], members[0]], run.root) == .argument)
    #expect(code(try run.root.fork(8), run.root) == .argument)
    #expect(code(members, try run.open(prompt: tokens("abd"))) == .argument)
    let other = try engine.makeRun(prompt: tokens("abc"), seed: 5)
    #expect(code([other.root], run.root) == .argument)
    let gone = try run.root.fork(1)[0]
    gone.release()
    #expect(code([gone], run.root) == .released)
    #expect(code(members, gone) == .released)
    // What members share must stand still: else it would depend on time whether they begin with it.
    let busy = try run.root.fork(1)[0]
    try run.submit([busy], Advance(maxTokens: 3))
    #expect(code(members, busy) == .state)
    busy.cancel()
    try run.submit([members[0]], Advance(maxTokens: 3))
    #expect(code(members, run.root) == .state)
    while try run.waitAny() != nil {}

    let team = try run.makeTeam(members, sharing: run.root)
    #expect(code([members[0]], run.root) == .state)
    let before = members[0].tokens
    #expect(engineError { try members[0].fork(1) }?.code == .state)
    #expect(engineError { try members[0].truncate(toGenerated: 1) }?.code == .state)
    #expect(engineError { try members[0].reopened() }?.code == .state)
    #expect(engineError { try members[0].demote() }?.code == .state)
    #expect(engineError { try members[0].drop(generated: 0..<1) }?.code == .state)
    #expect(engineError { try run.resample(members, ancestors: [0, 0, 1]) }?.code == .state)
    #expect(members[0].tokens == before)
    try run.submit([members[0]], Advance(maxTokens: 3))
    #expect(engineError { try team.leave(members[0]) }?.code == .state)
    #expect(engineError { try team.endStep(members[0]) }?.code == .state)
    #expect(engineError { try team.dissolve() }?.code == .state)
    while try run.waitAny() != nil {}
    try team.dissolve()
    #expect(team.members.isEmpty)
    #expect(engineError { try team.leave(members[0]) }?.code == .state)
    _ = try members[0].fork(1)

    let guided = try engine.makeRun(
      prompt: tokens("abc"), seed: 5, guidance: Guidance(by: .prompt(tokens("ab")), scale: 1.5))
    #expect(
      engineError { try guided.makeTeam(guided.root.fork(2), sharing: guided.root) }?.code
        == .argument)
  }
}

extension Result {
  fileprivate var isFailure: Bool {
    if case .failure = self { true } else { false }
  }
}

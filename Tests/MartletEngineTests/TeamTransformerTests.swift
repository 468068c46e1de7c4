import Foundation
import MartletEngine
import MartletKernels
import MartletModel
import Testing

/// Teams on a transformer, against passes in which keys are rotated anew and laid out in order.
@Suite("Teams of branches on a transformer")
struct TeamTransformerTests {
  /// Greedy members and the log-probabilities of what they drew.
  private struct Outcome: Equatable {
    var tokens: [[Token]]
    var logprobs: [[Float]]
  }

  private func run(
    _ backend: TransformerBackend, prompt: [Token], blocks: [[Token]], rounds: Int,
    layout: Team.Layout = .contiguous, crowd: Bool = false, stepEvery: Int? = nil,
    configuration: EngineConfiguration = .init()
  ) throws -> Outcome {
    let engine = try Engine(backend: backend, configuration: configuration)
    defer { engine.shutdown() }
    var others: [Run] = []
    if crowd {
      for seed in UInt64(1)...3 {
        let run = try engine.makeRun(prompt: Array(prompt.suffix(20 + Int(seed))), seed: seed)
        try run.submit([run.root], Advance(maxTokens: 40))
        others.append(run)
      }
    }
    let run = try engine.makeRun(prompt: prompt, seed: 3, sampling: .greedy)
    let members = try run.root.fork(blocks.count)
    for (member, block) in zip(members, blocks) { try member.append(tokens: block) }
    let team = try run.makeTeam(members, sharing: run.root, layout: layout)
    for round in 0..<rounds {
      try run.advanceBlocking(members, Advance(maxTokens: 1))
      if let stepEvery {
        for (index, member) in members.enumerated() where (round + index) % stepEvery == 0 {
          try team.endStep(member)
        }
      }
    }
    let outcome = Outcome(tokens: members.map(\.tokens), logprobs: members.map(\.logprobs))
    for member in members { member.release() }
    run.root.release()
    for run in others { run.cancel() }
    others = []
    #expect(team.members.isEmpty)
    return outcome
  }

  /// Everything a team's members draw is what float64 passes over re-rotated keys say.
  @Test(
    "members draw what laid-out, re-rotated keys give",
    arguments: [UInt64(40), 41], Team.Layout.allCases)
  func oracle(seed: UInt64, layout: Team.Layout) throws {
    let fixture = try TransformerFixture(seed: seed, biases: seed == 40, norms: seed == 41)
    let prompt = fixture.tokens(37, seed: 5)
    let blocks = [
      fixture.tokens(3, seed: 6), fixture.tokens(6, seed: 7), fixture.tokens(1, seed: 8),
    ]
    let outcome = try run(
      fixture.backend(threads: 2, kvType: .f32), prompt: prompt, blocks: blocks, rounds: 14,
      layout: layout, stepEvery: 4)

    var reference = TeamReference(fixture.reference, members: 3)
    let shared = prompt.count
    for (position, token) in prompt.enumerated() {
      _ = reference.pass(
        (0..<3).map { .init(member: $0, token: token, view: [($0, 0..<position + 1)]) })
    }
    // All but the last appended token of each: nobody had a block before.
    for (member, block) in blocks.enumerated() {
      for (index, token) in block.dropLast().enumerated() {
        _ = reference.pass([
          .init(member: member, token: token, view: [(member, 0..<shared + index + 1)])
        ])
      }
    }
    var counts = blocks.map { shared + $0.count }
    var starts = [shared, shared, shared]
    var steps: [(member: Int, positions: Range<Int>)] = []
    for round in 0..<14 {
      let rows = (0..<3).map { member -> TeamReference.Row in
        let position = counts[member] - 1
        let token =
          position < shared + blocks[member].count
          ? blocks[member][position - shared] : outcome.tokens[member][position - shared]
        // Its last token may be the last of a step that was ended.
        let own =
          steps.last { $0.member == member && $0.positions.contains(position) }?.positions
          .lowerBound
          ?? starts[member]
        var view: TeamReference.View = [(member, 0..<shared)]
        for step in steps where !(step.member == member && step.positions.lowerBound >= own) {
          view.append(step)
        }
        if layout != .interleaved {
          for other in 0..<3 where other != member && starts[other] < counts[other] {
            view.append((other, starts[other]..<counts[other]))
          }
        }
        view.append((member, own..<counts[member]))
        return .init(member: member, token: token, view: view)
      }
      let logits = reference.pass(rows)
      for member in 0..<3 {
        let expected = logSoftmax(logits[member].map(Float.init))
        let place = counts[member] - shared
        let drawn = outcome.tokens[member][place]
        #expect(
          abs(expected[Int(drawn)] - Double(outcome.logprobs[member][place])) < 1e-3,
          "member \(member), round \(round)")
        #expect(expected[Int(drawn)] > expected.max()! - 1e-3)
        counts[member] += 1
      }
      if layout != .contiguous {
        for member in 0..<3 where (round + member) % 4 == 0 {
          steps.append((member, starts[member]..<counts[member]))
          starts[member] = counts[member]
        }
      }
    }
  }

  /// Keys and values of one layer depend on a token and its position alone, so what a member sees is
  /// what an ordinary branch on that text sees: long texts, every type of keys and values.
  @Test(
    "a long text of several writers is one text",
    arguments: [KVType.f32, .f16, .bf16, .int8, .int4])
  func oneLayer(type: KVType) throws {
    let fixture = try TransformerFixture(seed: 42, layers: 1, context: 2048)
    let backend = try fixture.backend(threads: 2, kvType: type)
    let engine = try Engine(backend: backend)
    defer { engine.shutdown() }
    let run = try engine.makeRun(prompt: fixture.tokens(700, seed: 5), seed: 3, sampling: .greedy)
    let members = try run.root.fork(3)
    for (index, member) in members.enumerated() {
      try member.append(tokens: fixture.tokens([530, 17, 200][index], seed: 6 + UInt64(index)))
    }
    let team = try run.makeTeam(members, sharing: run.root)
    try run.advanceBlocking(members, Advance(maxTokens: 20))
    let all = NextTokenQuery(
      top: 0, tokens: (0..<Token(fixture.configuration.vocabularySize)).map { $0 })
    let seen = try run.nextTokensBlocking(members, all)
    let tolerance: Float = [.f32: 2e-4, .f16: 5e-3, .bf16: 4e-2, .int8: 6e-2][type] ?? 0.7
    for (member, answer) in zip(members, seen) {
      let context = try team.context(of: member)
      #expect(context.count == 700 + 530 + 17 + 200 + 60)
      #expect(Array(context.suffix(member.generatedTokens)) == member.tokens)
      let plain = try run.open(prompt: context)
      let expected = try run.nextTokensBlocking([plain], all)[0]
      plain.release()
      let worst = zip(answer.logprobs, expected.logprobs).map { abs($0 - $1) }.max()!
      #expect(worst < tolerance, "\(type): \(worst)")
      #expect(type == .f32 || worst > 0, "rounded at other positions")
    }
  }

  @Test("a team of one is an ordinary branch, bit for bit")
  func alone() throws {
    let fixture = try TransformerFixture(seed: 43)
    let prompt = fixture.tokens(60, seed: 5)
    let block = fixture.tokens(9, seed: 6)
    let engine = try Engine(backend: fixture.backend(threads: 2))
    defer { engine.shutdown() }
    let run = try engine.makeRun(prompt: prompt, seed: 3)
    let branch = try run.root.fork(1)[0]
    try branch.append(tokens: block)
    try run.advanceBlocking([branch], Advance(maxTokens: 30))
    let second = try engine.makeRun(prompt: prompt, seed: 3)
    let member = try second.root.fork(1)[0]
    try member.append(tokens: block)
    for layout in Team.Layout.allCases {
      let team = try second.makeTeam([member], sharing: second.root, layout: layout)
      try second.advanceBlocking([member], Advance(maxTokens: 10))
      try team.endStep(member)
      try team.dissolve()
    }
    #expect(member.tokens == branch.tokens)
    #expect(member.logprobs == branch.logprobs)
  }

  @Test("threads, passes, other runs and ways to advance change no bit")
  func invariance() throws {
    let fixture = try TransformerFixture(seed: 44)
    let prompt = fixture.tokens(90, seed: 5)
    let blocks = (0..<4).map { fixture.tokens(3 + 40 * $0, seed: 6 + UInt64($0)) }
    for layout in Team.Layout.allCases {
      let plain = try run(
        fixture.backend(threads: 1), prompt: prompt, blocks: blocks, rounds: 20, layout: layout,
        stepEvery: 6)
      for (threads, batch, crowd) in [(2, 128, false), (3, 128, true), (1, 6, true)] {
        let other = try run(
          fixture.backend(threads: threads, maximumBatchTokens: batch), prompt: prompt,
          blocks: blocks, rounds: 20, layout: layout, crowd: crowd, stepEvery: 6,
          configuration: .init(prefillChunk: 7 * threads, mixedPrefillChunk: 3))
        #expect(other == plain, "\(layout), \(threads) threads, \(batch) rows")
      }
    }
  }

  @Test("models that attend to less than everything say so")
  func refusals() throws {
    let window = try TransformerFixture(seed: 45, window: 32).backend()
    let evicting = try TransformerFixture(seed: 45)
      .backend(attention: .heavyHitters(.init(budget: 64)))
    for backend in [window, evicting] {
      #expect(!backend.supportsTeams)
      let engine = try Engine(backend: backend)
      defer { engine.shutdown() }
      let run = try engine.makeRun(prompt: [1, 2, 3], seed: 1)
      let members = try run.root.fork(2)
      let error = engineError { try run.makeTeam(members, sharing: run.root) }
      #expect(error?.code == .backend)
      #expect(error?.message.contains("exact attention") ?? false)
    }
  }

  @Test("batches that see what is not there are refused")
  func hostile() throws {
    let backend = try TransformerFixture(seed: 46).backend()
    try backend.reservePages(3)
    let logits = try LogitsBuffer(rows: 1, vocabulary: backend.vocabularySize)
    for view in [
      [ViewSegment(sequence: 1, slots: 0..<5, queryPosition: 9)],
      [
        ViewSegment(sequence: 7, slots: 0..<5, queryPosition: 9),
        ViewSegment(sequence: 0, slots: 0..<5, queryPosition: 4),
      ],
      [
        ViewSegment(sequence: 1, slots: 20..<65, queryPosition: 90),
        ViewSegment(sequence: 0, slots: 0..<5, queryPosition: 4),
      ],
      [
        ViewSegment(sequence: 1, slots: 0..<5, queryPosition: 3),
        ViewSegment(sequence: 0, slots: 0..<5, queryPosition: 4),
      ],
      [
        ViewSegment(sequence: 1, slots: 0..<5, queryPosition: 512),
        ViewSegment(sequence: 0, slots: 0..<5, queryPosition: 4),
      ],
    ] {
      var token = BatchToken(token: 1, position: 4, sequence: 0, wantsLogits: true)
      token.view = view
      let batch = ForwardBatch(tokens: [token], sequences: [[0], [1, 2]])
      let code = engineError { try backend.forward(batch, logits: logits) }?.code
      #expect(code == .argument || code == .context, "\(view)")
    }
  }
}

import Foundation
import MartletEngine
import MartletKernels
import MartletMachine
import MartletModel
import Testing

@Suite(.serialized) struct TransformerCorrectnessTests {
  /// Logits agree with a float64 evaluation of the same weights.
  @Test(arguments: [UInt64](1...6)) func agreesWithFloat64(seed: UInt64) throws {
    let fixture = try TransformerFixture(
      seed: seed, type: seed % 3 == 0 ? .f16 : .f32, biases: seed % 2 == 0, norms: seed > 3,
      window: seed == 5 ? 40 : nil)
    let tokens = fixture.tokens(75, seed: seed)
    let rows = try TransformerDriver(fixture.backend(kvType: .f32)).run(tokens, chunk: 75)
    let exact = fixture.reference.logits(tokens)
    var worst = 0.0
    for (got, want) in zip(rows, exact) {
      worst = max(worst, zip(got, want).map { abs(Double($0) - $1) }.max() ?? 0)
    }
    #expect(worst < 1e-4, "seed \(seed): \(worst)")
  }

  @Test(arguments: [(KVType.f16, 2e-2), (.bf16, 2e-1), (.int8, 2e-1), (.int4, 2)])
  func narrowKeysAndValuesStayClose(kvType: KVType, tolerance: Double) throws {
    let fixture = try TransformerFixture(seed: 7)
    let tokens = fixture.tokens(50, seed: 7)
    let rows = try TransformerDriver(fixture.backend(kvType: kvType)).run(tokens, chunk: 50)
    let exact = fixture.reference.logits(tokens)
    var worst = 0.0
    for (got, want) in zip(rows, exact) {
      worst = max(worst, zip(got, want).map { abs(Double($0) - $1) }.max() ?? 0)
    }
    #expect(worst < tolerance && worst > 0, "\(worst)")
  }

  @Test func defaultKeysAndValuesFollowTheWeights() throws {
    #expect(try TransformerFixture(seed: 1).backend().kvType == .f32)
    #expect(try TransformerFixture(seed: 1, type: .f16).backend().kvType == .f16)
  }
}

/// The same bits whatever else is in the batch and however the work is divided.
@Suite(.serialized) struct TransformerInvarianceTests {
  static func fixtures() throws -> [TransformerFixture] {
    [
      try TransformerFixture(seed: 21), try TransformerFixture(seed: 22, type: .f16, norms: true),
      try TransformerFixture(seed: 23, biases: true, window: 37),
    ]
  }

  @Test(arguments: [1, 2, 7, 32, 33, 64]) func chunkSizesChangeNothing(chunk: Int) throws {
    for fixture in try Self.fixtures() {
      let tokens = fixture.tokens(100, seed: 5)
      let whole = try TransformerDriver(fixture.backend()).run(tokens, chunk: 100)
      let parts = try TransformerDriver(fixture.backend()).run(tokens, chunk: chunk)
      #expect(whole == parts, "\(fixture.configuration.name)")
    }
  }

  @Test(arguments: [2, 3, 8]) func threadsChangeNothing(threads: Int) throws {
    for fixture in try Self.fixtures() {
      let tokens = fixture.tokens(100, seed: 6)
      let one = try TransformerDriver(fixture.backend()).run(tokens, chunk: 50)
      let many = try TransformerDriver(fixture.backend(threads: threads)).run(tokens, chunk: 50)
      #expect(one == many, "\(fixture.configuration.name)")
    }
  }

  /// Sixteen sequences of different lengths, prefill beside decoding, against each one alone.
  @Test(arguments: [1, 2]) func crowdsChangeNothing(threads: Int) throws {
    for fixture in try Self.fixtures() {
      let prompts = (0..<16).map { fixture.tokens(3 + 5 * $0, seed: UInt64(100 + $0)) }
      let single = TransformerDriver(try fixture.backend())
      let alone = try prompts.map { try single.run($0, chunk: 1000) }
      let driver = TransformerDriver(try fixture.backend(threads: threads), firstPage: 3)
      let sequences = prompts.map { _ in driver.sequence() }
      var got = [[[Float]]](repeating: [], count: prompts.count)
      var next = [Int](repeating: 0, count: prompts.count)
      var random = SplitMix(9)
      while true {
        // A few tokens of every unfinished sequence, in an order of its own each time.
        var work: [(sequence: Int, tokens: [Token])] = []
        for index in prompts.indices.shuffled(using: &random)
        where next[index] < prompts[index].count {
          let end = min(prompts[index].count, next[index] + Int(1 + random.next() % 9))
          work.append((sequences[index], Array(prompts[index][next[index]..<end])))
          next[index] = end
        }
        if work.isEmpty { break }
        var rows = try driver.forward(work)[...]
        for item in work {
          got[item.sequence] += rows.prefix(item.tokens.count)
          rows = rows.dropFirst(item.tokens.count)
        }
      }
      #expect(got == alone, "\(fixture.configuration.name)")
    }
  }

  @Test func forkedSequencesShareAndDiverge() throws {
    let fixture = try TransformerFixture(seed: 31, type: .f16)
    let prompt = fixture.tokens(45, seed: 1)
    let driver = TransformerDriver(try fixture.backend(threads: 2))
    let root = driver.sequence()
    _ = try driver.forward([(root, prompt)])
    let forks = try (0..<4).map { _ in try driver.fork(root) }
    let tails = (0..<4).map { fixture.tokens(30, seed: UInt64(50 + $0)) }
    var got = [[[Float]]](repeating: [], count: 4)
    for step in 0..<30 {
      let rows = try driver.forward(forks.indices.map { (forks[$0], [tails[$0][step]]) })
      for index in forks.indices { got[index].append(rows[index]) }
    }
    for index in forks.indices {
      let alone = try TransformerDriver(fixture.backend()).run(prompt + tails[index], chunk: 75)
      #expect(Array(alone.suffix(30)) == got[index])
    }
  }

  @Test func onlyWantedRowsAreWrittenAndInOrder() throws {
    let fixture = try TransformerFixture(seed: 41)
    let tokens = fixture.tokens(20, seed: 2)
    let all = try TransformerDriver(fixture.backend()).run(tokens, chunk: 20)
    let backend = try fixture.backend()
    try backend.reservePages(1)
    let wanted: Set = [0, 3, 4, 19]
    let batch = ForwardBatch(
      tokens: tokens.enumerated().map {
        BatchToken(token: $1, position: $0, sequence: 0, wantsLogits: wanted.contains($0))
      }, sequences: [[0]])
    let logits = try LogitsBuffer(rows: 5, vocabulary: backend.vocabularySize)
    try backend.forward(batch, logits: logits)
    #expect((0..<4).map { logits.row($0) } == wanted.sorted().map { all[$0] })
    #expect(logits.row(4).allSatisfy { $0 == 0 })
    #expect(backend.statistics.forwards == 1 && backend.statistics.tokens == 20)
    #expect(backend.statistics.logitsRows == 4 && backend.statistics.seconds > 0)
  }
}

extension SplitMix: RandomNumberGenerator {}

struct TransformerErrorTests {
  private func batch(
    _ token: Token, at position: Int, sequence: Int = 0, pages: [PageID] = [0]
  ) -> ForwardBatch {
    ForwardBatch(
      tokens: [BatchToken(token: token, position: position, sequence: sequence, wantsLogits: true)],
      sequences: [pages])
  }

  @Test func badBatchesAreErrorsAndHarmNothing() throws {
    let fixture = try TransformerFixture(seed: 51)
    let backend = try fixture.backend(maximumBatchTokens: 8)
    try backend.reservePages(1)
    let logits = try LogitsBuffer(rows: 8, vocabulary: backend.vocabularySize)
    let bad: [(ForwardBatch, EngineError.Code)] = [
      (batch(53, at: 0), .argument), (batch(-1, at: 0), .argument),
      (batch(0, at: 512), .context), (batch(0, at: -1), .context),
      (batch(0, at: 32), .argument), (batch(0, at: 0, sequence: 1), .argument),
      (batch(0, at: 0, pages: [PageID.max]), .argument), (batch(0, at: 0, pages: [-1]), .argument),
      (
        ForwardBatch(
          tokens: (0..<9).map {
            BatchToken(token: 0, position: $0, sequence: 0, wantsLogits: false)
          }, sequences: [[0]]), .argument
      ),
    ]
    for (batch, code) in bad {
      let error = #expect(throws: EngineError.self) { try backend.forward(batch, logits: logits) }
      #expect(error?.code == code)
    }
    let narrow = try LogitsBuffer(rows: 1, vocabulary: 5)
    #expect(throws: EngineError.self) { try backend.forward(batch(0, at: 0), logits: narrow) }
    try backend.forward(ForwardBatch(), logits: logits)
    try backend.forward(batch(1, at: 0), logits: logits)
  }

  @Test func morePagesThanMemoryIsAnError() throws {
    let backend = try TransformerFixture(seed: 52).backend()
    let error = #expect(throws: EngineError.self) {
      try backend.reservePages(Int.max / backend.bytesPerPage * 2)
    }
    #expect(error?.code == .memory || error?.code == .argument)
    try backend.reservePages(2)
  }

  @Test func mismatchedPartsAreErrors() throws {
    let fixture = try TransformerFixture(seed: 53)
    let team = try ThreadTeam(threads: 1)
    var parts = fixture.parts
    parts.outputNorm.removeLast()
    let error = #expect(throws: EngineError.self) {
      try TransformerBackend(parts: parts, team: team)
    }
    #expect(error?.message.contains("output norm") == true)
    parts = fixture.parts
    parts.configuration.feedForwardWidth = 128
    #expect(throws: EngineError.self) { try TransformerBackend(parts: parts, team: team) }
    for size in [0, -1, 1 << 30] {
      #expect(throws: EngineError.self) {
        try TransformerBackend(
          parts: fixture.parts, team: team,
          options: TransformerBackend.Options(maximumBatchTokens: size))
      }
    }
  }
}

import MartletEngine
import MartletSimulation
import Testing

/// Says `one<end>two<end>three`, a byte a token, whatever it is asked.
private struct Speech: SimulatedWorld {
  static let text = Array("one<end>two<end>three".utf8)
  let codec: any TokenCodec = ByteCodec()

  func logits(after tokens: [Int32]) -> [Float] {
    var row = [Float](repeating: -.infinity, count: codec.vocabularySize)
    let place = tokens.count - 1
    row[place < Self.text.count ? Int(Self.text[place]) : 256] = 0
    return row
  }
}

@Suite("Delimiters that a stop cuts in two") struct AdvanceContinuesTests {
  private func branch() throws -> (Run, Branch) {
    let engine = try Engine(backend: SimulatedBackend(world: Speech()))
    let run = try engine.makeRun(prompt: [7], seed: 1)
    return (run, run.root)
  }

  /// Goes on by so many tokens at a time until a delimiter is found, at most to the end.
  private func steps(
    _ run: Run, _ branch: Branch, by count: Int, continues: Bool
  ) throws -> [String] {
    var advance = Advance(maxTokens: count, delimiters: ["<end>"])
    advance.continues = continues
    var found: [String] = []
    while !branch.finished {
      try run.advanceBlocking([branch], advance)
      if branch.stop == .step { found.append(branch.text) }
    }
    return found
  }

  @Test("are found by an advance that continues, once each", arguments: [1, 2, 3, 4, 5, 50])
  func found(count: Int) throws {
    let (run, branch) = try branch()
    #expect(
      try steps(run, branch, by: count, continues: true) == ["one<end>", "one<end>two<end>"])
  }

  @Test("are missed by one that does not") func missed() throws {
    let (run, branch) = try branch()
    #expect(try steps(run, branch, by: 4, continues: false).isEmpty)
  }

  @Test("are found by forks too, and not past text that was changed") func changes() throws {
    var advance = Advance(maxTokens: 5, delimiters: ["<end>"])
    let (run, branch) = try branch()
    try run.advanceBlocking([branch], advance)
    #expect(branch.text == "one<e" && branch.stop == .tokens)
    advance.continues = true
    let forks = try branch.fork(2)
    let resampled = try run.resample(branch.fork(2), ancestors: [1, 1])
    try run.advanceBlocking(forks + resampled, advance)
    #expect((forks + resampled).allSatisfy { $0.stop == .step && $0.text == "one<end>" })
    let cut = try branch.fork(1)[0]
    try cut.truncate(toGenerated: 4)
    try run.advanceBlocking([cut], advance)
    #expect(cut.stop == .tokens)
    // A question about the next token is no advance.
    let asked = try branch.fork(1)[0]
    _ = try run.nextTokensBlocking([asked], NextTokenQuery(top: 1))
    try run.advanceBlocking([asked], advance)
    #expect(asked.stop == .step)
  }
}

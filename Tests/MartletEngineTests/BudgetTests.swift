import MartletEngine
import MartletSimulation
import Testing

@Suite("Token budgets")
struct BudgetTests {
  @Test("never a token more, and the last ones go to the same branches", arguments: [0, 1, 8])
  func exact(overrun: Int) throws {
    for limit in [0, 1, 15, 16, 17, 64, 100] {
      for (batch, chunk) in [(512, 256), (3, 2), (7, 1)] {
        let engine = try Engine(
          backend: hashedBackend(maximumBatch: batch),
          configuration: .init(prefillChunk: chunk, overrun: overrun))
        let run = try engine.makeRun(prompt: tokens("abcdefgh"), seed: 1)
        let gate = CountingGate(limit: limit)
        run.gate = gate
        let children = try run.root.fork(16)
        // Branches that have to prefill more must not lose their turn.
        try children[2].append(tokens: tokens("abcabcabcabcabc"))
        try run.advanceBlocking(children, Advance(maxTokens: 50))
        let counts = children.enumerated().map { $1.generatedTokens - ($0 == 2 ? 15 : 0) }
        let expected = (0..<16).map { limit / 16 + ($0 < limit % 16 ? 1 : 0) }
        #expect(counts == expected, "limit \(limit), batch \(batch), chunk \(chunk)")
        #expect(run.statistics.generatedTokens == limit)
        #expect(gate.granted == limit && gate.remainingTokens == 0)
        #expect(children.allSatisfy { $0.stop == .budget && !$0.finished })
        #expect(run.statistics.rolledBackTokens == 0)
      }
    }
  }

  @Test("a zero budget computes nothing")
  func zero() throws {
    let engine = try Engine(backend: hashedBackend())
    let run = try engine.makeRun(prompt: tokens("abc"))
    run.gate = CountingGate(limit: 0)
    try run.submit([run.root])
    #expect(try run.waitAny()?.stop == .budget)
    #expect(engine.statistics.forwards == 0)
  }

  @Test("events of a budget's end come in order of path")
  func events() throws {
    let engine = try Engine(backend: hashedBackend())
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 2)
    run.gate = CountingGate(limit: 10)
    let children = try run.root.fork(4)
    try run.submit(children.reversed())
    var order: [String] = []
    while let event = try run.waitAny() {
      #expect(event.stop == .budget)
      order.append("\(event.branch.path)")
    }
    // Two rounds of four, then two of the third: those that got no third token stop first.
    #expect(order == ["0.2", "0.3", "0.0", "0.1"])
  }

  @Test("a gate without a limit counts every kept token once")
  func unlimited() throws {
    let engine = try Engine(backend: hashedBackend(endBias: 0), configuration: .init(overrun: 4))
    let run = try engine.makeRun(prompt: tokens("abc"), seed: 2)
    let gate = CountingGate(limit: nil)
    run.gate = gate
    let children = try run.root.fork(6)
    try run.submit(children, Advance(maxTokens: 60))
    _ = try run.waitAny()
    for child in children { child.cancel() }
    #expect(gate.granted == children.reduce(0) { $0 + $1.generatedTokens })
    #expect(run.statistics.generatedTokens == gate.granted)
  }
}

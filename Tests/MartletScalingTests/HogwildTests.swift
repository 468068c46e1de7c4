import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// Work in eight parts. Whoever has finished a part takes one that nobody has taken, as far as it can see; who finds the
/// part that it took taken by another too drops it (`x`) and may wait a little (`~`). A part is a letter, three strokes of
/// work and a full stop; when none is left, the sum is `#8`.
private let chores: ClosureWorld = {
  let parts = ["A", "B", "C", "D", "E", "F", "G", "H"]
  let codec = WordCodec(words: ["go?", "-", ".", "x", "#8", "~"] + parts)
  let (work, end, drop, sum, wait) = (Int32(1), Int32(2), Int32(3), Int32(4), Int32(5))
  return ClosureWorld(codec: codec) { told in
    var row = [Float](repeating: -.infinity, count: codec.vocabularySize)
    let last = told[told.count - 1]
    let strokes = told.reversed().prefix { $0 == work }.count
    // What was dropped at once is nobody's.
    let takings = told.indices.filter {
      told[$0] > wait && ($0 + 1 == told.count || told[$0 + 1] != drop)
    }
    if last == sum {
      row[Int(codec.end)] = 0
    } else if last > wait || last == work {
      let own = told.count - strokes - 1
      let isTwice = strokes == 0 && takings.contains { $0 != own && told[$0] == told[own] }
      row[Int(isTwice ? drop : strokes < 3 ? work : end)] = 0
    } else {
      let taken = Set(takings.map { told[$0] })
      let free = (Int(wait) + 1...Int(wait) + parts.count).filter { !taken.contains(Int32($0)) }
      for part in free { row[part] = 0 }
      if free.isEmpty { row[Int(sum)] = 0 }
      if last == drop || last == wait { row[Int(wait)] = Float(log(Double(max(1, free.count)))) }
    }
    return row
  }
}()

@Suite("Workers that read one another")
struct HogwildTests {
  private func run(
    _ options: [String], seed: UInt64, strategy: String = "hogwild", budget: Budget = Budget()
  ) async throws -> (result: RunResult, forwards: Int) {
    let (session, engine) = try makeSession(chores)
    var request = try request(
      "go?", strategy, options, seed: seed, maxTokens: 200, budget: budget)
    request.extractor = "final-answer"
    let result = try await session.run(request)
    #expect(engine.pagesInUse == 0)
    return (result, engine.statistics.forwards)
  }

  /// Parts that were finished, in all texts together.
  private func finished(_ result: RunResult) -> [Character: Int] {
    var counts: [Character: Int] = [:]
    for candidate in result.candidates {
      for part in candidate.text.split(separator: ".") where part.hasSuffix("---") {
        counts[part.dropLast(3).last!, default: 0] += 1
      }
    }
    return counts
  }

  @Test("work is divided: nothing is done twice, and it is done in fewer rounds")
  func divides() async throws {
    var rounds: [Int: Int] = [:]
    for seed in UInt64(1)...8 {
      let alone = try await run(["workers=1", "answer=vote", "step="], seed: seed)
      #expect(alone.result.answer == "8" && finished(alone.result).count == 8)
      rounds[1, default: 0] += 2 * alone.forwards
      for (workers, layout) in [
        (2, "contiguous"), (2, "combined"), (4, "contiguous"), (4, "combined"),
      ] {
        let team = try await run(
          ["workers=\(workers)", "layout=\(layout)", "answer=vote", "step=."], seed: seed)
        #expect(team.result.answer == "8")
        #expect(finished(team.result).count == 8, "\(team.result.candidates.map(\.text))")
        #expect(finished(team.result).values.allSatisfy { $0 == 1 })
        rounds[workers, default: 0] += team.forwards
      }
      // Without reading one another each does everything.
      let apart = try await run(["n=4"], seed: seed, strategy: "self-consistency")
      #expect(finished(apart.result).values.allSatisfy { $0 == 4 })
      #expect(apart.forwards >= alone.forwards - 1)
    }
    // Some rounds are lost where two begin one part at once.
    let alone = Double(rounds[1]!)
    #expect(Double(rounds[2]!) < 0.7 * alone && Double(rounds[4]!) < 0.55 * alone, "\(rounds)")
  }

  @Test("steps alone in view: what others are at is not seen, what they have done is")
  func interleaved() async throws {
    for seed in UInt64(1)...4 {
      let team = try await run(
        ["workers=3", "layout=interleaved", "answer=vote", "step=."], seed: seed)
      let counts = finished(team.result)
      #expect(counts.count == 8 && team.result.answer == "8")
      // Done twice only by those who were at it at the same time.
      #expect(counts.values.reduce(0, +) < 8 * 3)
    }
  }

  @Test("the first complete answer ends the work")
  func first() async throws {
    var (used, usedByAll) = (0, 0)
    for seed in UInt64(1)...6 {
      let all = try await run(["workers=4", "answer=vote", "step=."], seed: seed)
      let first = try await run(["workers=4", "step=."], seed: seed)
      #expect(first.result.answer == "8" && first.result.candidates.count == 4)
      used += first.result.usage.generatedTokens
      usedByAll += all.result.usage.generatedTokens
    }
    #expect(used < usedByAll)
  }

  @Test("workers that run out of tokens are led to an answer")
  func finishing() async throws {
    let led = try await run(["workers=4", "tokens=6", "step=.", "finish=#8"], seed: 3)
    #expect(led.result.answer == "8")
    #expect(led.result.usage.generatedTokens <= 4 * 6 + 2)
    let ended = try await run(["workers=4", "step=."], seed: 3, budget: Budget(tokens: 21))
    #expect(
      ended.result.stoppedBecause == .budgetTokens && ended.result.usage.generatedTokens == 21)
    #expect(ended.result.candidates.count == 4)
  }

  /// Names and rules, on a world that ends a step with every word.
  @Test("workers are told who they are")
  func rules() async throws {
    let codec = ByteCodec()
    let (session, engine) = try makeSession(
      ClosureWorld(codec: codec) { told in
        var row = [Float](repeating: -.infinity, count: codec.vocabularySize)
        row[Int(UInt8(ascii: told.last == Int32(UInt8(ascii: "e")) ? "o" : "e"))] = 0
        return row
      })
    var request = try request(
      "abc", "hogwild",
      [
        "workers=3", "form=chat", "rules={prompt} by {names}, {first} first of {count}: ",
        "header=<{name} {step}>", "hello=hi {name}", "lead=!", "step=e", "answer=vote", "check=?",
        "check_tokens=1",
      ], seed: 2, maxTokens: 120)
    request.extractor = "final-answer"
    let result = try await session.run(request)
    #expect(result.stoppedBecause != .pluginFailed, "\(result.failure ?? "")")
    let texts = result.candidates.map(\.text)
    #expect(texts.count == 3)
    #expect(texts[0].hasPrefix("<Alice 1>hi Alice!") && texts[1].hasPrefix("<Bob 1>hi Bob"))
    #expect(texts[2].hasPrefix("<Carol 1>hi Carole<Carol 2>?e<Carol 3>?e"), "\(texts[2])")
    #expect(engine.pagesInUse == 0)
  }

  @Test("a model that cannot is told so")
  func refusal() async throws {
    let plugin = try FixturePlugin("teams")
    let backend = PlainBackend(
      SimulatedBackend(world: HashedWorld(seed: 5, endBias: 2.5), contextLength: 512))
    let engine = try Engine(backend: backend)
    let session = ScalingSession(engine: engine, plugins: plugin.host, model: "simulation")
    let result = try await session.run(request("abc", plugin.id, maxTokens: 20))
    #expect(result.text == "available 0 make -2 ")
    let shippedSession = ScalingSession(engine: engine, plugins: shipped, model: "simulation")
    let error = await #expect(throws: ScalingError.self) {
      try await shippedSession.run(request("abc", "hogwild", maxTokens: 20))
    }
    #expect(error?.message.contains("cannot read one another") ?? false)
  }

  @Test("every function of the extension gives the same in a process of its own, misuse included")
  func extensionCalls() async throws {
    let plugin = try FixturePlugin("teams")
    var texts: [String] = []
    for host in [plugin.host, plugin.host(PluginIsolation())] {
      let (session, engine) = try makeSession(HashedWorld(seed: 5, endBias: -9), plugins: host)
      let result = try await session.run(request("abc", plugin.id, maxTokens: 40))
      #expect(result.stoppedBecause == .finished, "\(result.failure ?? "")")
      #expect(engine.pagesInUse == 0)
      texts.append(result.text)
    }
    #expect(texts[0] == texts[1])
    // Statuses of plugin.h: -1 argument, -4 handle, -7 too small, -8 state.
    #expect(
      texts[0].hasPrefix(
        "unknown 0 available 1 null -1 none -1 twice -1 layout -1 foreign -4 other -1 make 0 again -8 "
          + "fork -8 submit 0 leave -8 step -8 "), "\(texts[0])")
    #expect(texts[0].contains("endstep 0 small -7 context 0 "))
    #expect(texts[0].hasSuffix("leave 0 gone -8 fork 0 "))
  }
}

/// A model whose branches cannot read one another.
private final class PlainBackend: BackendAround {
  let inner: SimulatedBackend
  init(_ inner: SimulatedBackend) { self.inner = inner }
  var name: String { "plain" }
}

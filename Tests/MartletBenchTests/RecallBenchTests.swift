import Foundation
import Martlet
import Testing

import MartletBench

/// Questions about long texts, with the small model that was trained for them.
@Suite(.serialized) struct RecallBenchTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../Benchmarks/Model").standardizedFileURL

  private static func problems() throws -> [RecallProblem] {
    let file = folder.appendingPathComponent("golden/recall.jsonl")
    return try RecallProblem.read([UInt8](Data(contentsOf: file)), file: file.path)
  }

  private static func session() throws -> Session {
    var configuration = Session.Configuration(
      modelPath: folder.appendingPathComponent("martlet-long.gguf").path)
    configuration.packCache = PackCacheOptions(parsing: "off")
    configuration.tuning = .off
    configuration.threads = 1
    return try Session(configuration)
  }

  /// Everything but exact attention is compared with it on the same questions; what leaves nothing out
  /// equals it, and what looks at the last positions alone cannot know.
  @Test func waysOfAttendingAreCompared() throws {
    var settings = RecallBench.Settings(problems: try Self.problems())
    settings.methods = [
      .retrieve(.init(wanted: 1 << 20, minimumPositions: 1024)),
      .retrieve(.init(tolerance: 0.02, minimumPositions: 1024)), .window(recent: 160, sinks: 32),
    ]
    settings.predicted = 64
    let report = try RecallBench.run(settings, session: try Self.session())
    #expect(
      report.rows.map(\.suite)
        == ["passkey", "recall", "text"].flatMap { Array(repeating: $0, count: 4) })
    for rows in stride(from: 0, to: 12, by: 4).map({ report.rows[$0..<$0 + 4] }) {
      let (exact, all, found, window) = (
        rows[rows.startIndex], rows[rows.startIndex + 1], rows[rows.startIndex + 2],
        rows[rows.startIndex + 3]
      )
      #expect(exact.attention == "exact" && exact.touched == 1 && exact.exactHeads == 1)
      #expect(all.right == exact.right && all.gained == 0 && all.lost == 0)
      #expect(all.perplexity == exact.perplexity)
      #expect(found.touched < 1 && window.touched < 0.3)
      if exact.suite == "text" {
        let (exact, window) = (try #require(exact.perplexity), try #require(window.perplexity))
        #expect(exact < 30 && window > exact)
        #expect(abs(try #require(found.perplexityChange)) < 0.05)
      } else {
        #expect(exact.problems == 10 && exact.right >= 9, "the model cannot do it any more")
        #expect(found.right >= 8)
        #expect(window.right < exact.right && window.lost > 0)
        #expect(try #require(window.difference) < 0)
      }
    }
  }

  /// A span that a question is not about can be dropped before it.
  @Test func finishedSpansAreDropped() throws {
    var settings = RecallBench.Settings(problems: try Self.problems())
    settings.methods = [.exact]
    settings.dropped = [
      try DroppedShare.parse("0.5"), try DroppedShare.parse("again=0.5"),
      try DroppedShare.parse("0.001"),
    ]
    settings.predicted = 64
    let report = try RecallBench.run(settings, session: try Self.session())
    #expect(
      report.rows.prefix(4).map(\.attention)
        == ["exact", "dropped=0.5", "dropped, again=0.5", "dropped=0.001"])
    for rows in stride(from: 0, to: report.rows.count, by: 4).map({ report.rows[$0..<$0 + 4] }) {
      let (exact, half, few) = (rows[rows.startIndex], rows[rows.startIndex + 1], rows.last!)
      #expect(half.touched > 0.4 && half.touched < 0.7 && few.touched > 0.98)
      guard exact.suite != "text" else {
        #expect(try abs(#require(few.perplexityChange)) < 0.05)
        continue
      }
      // What was asked for is still there.
      #expect(rows.allSatisfy { $0.right >= exact.right - 2 }, "\(rows.map(\.right))")
    }
  }

  /// What is dropped is gone: the question about it.
  @Test func whatIsNotStatedIsRefused() throws {
    let stated = try #require(try Self.problems().first { !$0.questions.isEmpty })
    let line = #"{"family":"recall","length":9,"tokens":\#(stated.tokens),"text":"#
    let text = String(decoding: try JSONEncoder().encode(stated.text), as: UTF8.self)
    let other = try RecallProblem.read(
      [UInt8]((line + text + #","questions":[{"question":"? kamo","answer":" xyz\n"}]}"#).utf8),
      file: "other.jsonl")
    var settings = RecallBench.Settings(problems: other)
    settings.methods = [.exact]
    settings.dropped = [DroppedShare(share: 0.5)]
    let session = try Self.session()
    #expect { try RecallBench.run(settings, session: session) } throws: {
      "\($0)".contains("does not state ' xyz")
    }
    for word in ["0", "1", "again=", "half"] {
      #expect(throws: BenchError.self) { try DroppedShare.parse(word) }
    }
  }

  /// So are the ways of pruning: prompts that tokens leave are read apart from exact attention's.
  @Test func waysOfPruningAreCompared() throws {
    var settings = RecallBench.Settings(
      problems: try Self.problems().filter { !$0.questions.isEmpty })
    settings.methods = [
      .pruned(.init(scheme: .lazy, share: 1)), .importance(.init(share: 1)),
      .pruned(.init(scheme: .slim, share: 0.3)), .importance(.init(share: 0.3)),
      .heavyHitters(.init(budget: 400)),
    ]
    let report = try RecallBench.run(settings, session: try Self.session())
    #expect(report.rows.count == 12)
    for rows in [report.rows[..<6], report.rows[6...]] {
      let exact = try #require(rows.first)
      #expect(exact.attention == "exact" && exact.right >= 9)
      for all in rows.dropFirst().prefix(2) {
        #expect(all.right == exact.right && all.lost == 0 && all.touched > 0.99)
      }
      for few in rows.dropFirst(3) {
        #expect(few.lost > 0 && few.touched < 0.8, "\(few.attention)")
        #expect(few.attention.hasPrefix("slim") == (few.outputError == nil))
        #expect(few.outputError ?? 1 > 0.01 && few.outputError ?? 0 < 2)
      }
    }
  }

  @Test func otherModelsAreRefused() throws {
    let settings = RecallBench.Settings(problems: try Self.problems())
    var configuration = Session.Configuration()
    configuration.packCache = PackCacheOptions(parsing: "off")
    configuration.tuning = .off
    let session = try Session(configuration)
    #expect(throws: BenchError.self) { try RecallBench.run(settings, session: session) }
  }

  @Test func wrongFilesAreRefusedWithTheLine() throws {
    let good = #"{"family":"f","length":9,"tokens":3,"text":"a b","questions":[]}"#
    #expect(try RecallProblem.read(Array((good + "\n\n" + good).utf8), file: "f").count == 2)
    for bad in [
      "", "\n", "x", "[]", good + "\n{}",
      good.replacingOccurrences(of: #""a b""#, with: #""""#),
      good.replacingOccurrences(of: "[]", with: #"[{"question":"","answer":"x"}]"#),
      good.replacingOccurrences(of: "\"tokens\":3", with: "\"tokens\":-3"),
    ] {
      #expect(throws: BenchError.self, "\(bad)") {
        try RecallProblem.read(Array(bad.utf8), file: "f")
      }
    }
    let error = #expect(throws: BenchError.self) {
      try RecallProblem.read(Array((good + "\n{}").utf8), file: "f.jsonl")
    }
    #expect(error?.message.hasPrefix("f.jsonl, line 2") == true)
  }

  /// Wilson's interval for 81 of 263 (Newcombe 1998, table I), and the paired one's symmetry.
  @Test func intervals() {
    let wilson = Proportion(right: 81, of: 263).interval
    #expect(abs(wilson.lowerBound - 0.2553) < 5e-4 && abs(wilson.upperBound - 0.3662) < 5e-4)
    let none = Proportion(right: 0, of: 20).interval
    #expect(none.lowerBound == 0 && abs(none.upperBound - 0.1611) < 5e-4)
    let (up, down) = (
      Proportion.difference(gained: 7, lost: 2, of: 100),
      Proportion.difference(gained: 2, lost: 7, of: 100)
    )
    #expect(abs(up.lowerBound + down.upperBound) < 1e-12 && up.contains(0.05))
    let same = Proportion.difference(gained: 0, lost: 0, of: 1000)
    #expect(same.contains(0) && same.upperBound < 0.005)
  }
}

import Foundation
import Martlet
import Testing

import MartletBench

/// `--distribution model=DUMP`: the heads of a file are measured as they are, and wrong files refused.
@Suite(.serialized) struct DumpedAttentionTests {
  /// A file of one head whose queries look for one key each, in the format of `dump_long.py`.
  private func write(
    positions: Int = 1_024, dimensions: Int = 16, leavingOut: String = "", value: Float = 1
  ) throws -> String {
    func key(_ i: Int) -> [Float] {
      (0..<dimensions).map { d in sin(Float(i * (d + 3) * 7919 % 10_007)) * (i == 5 ? value : 1) }
    }
    let parts: [(String, [[Float]])] = [
      ("keys", (0..<positions).map(key)), ("values", (0..<positions).map { key($0 + 1) }),
      ("fit", (0..<64).map { key($0 * 16) }), ("queries", (0..<32).map { key($0 * 31 + 2) }),
    ].filter { $0.0 != leavingOut }
    var (head, body): ([UInt8], [UInt8]) = ([], [])
    func add<I: FixedWidthInteger>(_ number: I) {
      withUnsafeBytes(of: number.littleEndian) { head += $0 }
    }
    func add(_ text: String) {
      add(UInt64(text.utf8.count))
      head += Array(text.utf8)
    }
    head += Array("GGUF".utf8)
    add(UInt32(3))
    add(UInt64(parts.count))
    add(UInt64(2))
    add("general.architecture")
    add(UInt32(8))
    add("attention-dump")
    add("attention-dump.scale")
    add(UInt32(6))
    add(Float(4).bitPattern)
    for (name, rows) in parts {
      add("attn.3.1.\(name)")
      add(UInt32(2))
      add(UInt64(dimensions))
      add(UInt64(rows.count))
      add(UInt32(0))
      add(UInt64(body.count))
      for x in rows.joined() { withUnsafeBytes(of: x.bitPattern.littleEndian) { body += $0 } }
    }
    head += Array(repeating: 0, count: (32 - head.count % 32) % 32)
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("dump-\(UUID().uuidString).gguf").path
    try Data(head + body).write(to: URL(fileURLWithPath: path))
    return path
  }

  private func settings(_ path: String) -> RetrieveBench.Settings {
    var settings = RetrieveBench.Settings()
    settings.distributions = [.model(path: path)]
    settings.keys = [1_024, 8_192]
    settings.dimensions = [16, 64]
    settings.queries = [1]
    settings.wanted = 32
    settings.repetitions = 8
    return settings
  }

  @Test func headsOfAFileAreMeasured() throws {
    let path = try write()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let report = try RetrieveBench.run(settings(path))
    // Only what the file has: 1,024 keys of 16 dimensions.
    #expect(report.rows.map(\.index) == ["scan", "graph", "pages", "exact"])
    for row in report.rows {
      #expect(row.keys == 1_024 && row.dim == 16 && row.head == "3.1")
      #expect(row.distribution == "model=\(path)")
    }
    // With the file's scale every query attends to its own key alone, and the scan finds it.
    let scan = try #require(report.rows.first)
    #expect(scan.attentionMass > 0.95 && scan.outputError < 0.1)
  }

  @Test func wrongFilesAreRefused() throws {
    var paths = try ["keys", "values", "fit", "queries"].map { try write(leavingOut: $0) }
    paths.append(try write(value: .infinity))
    paths.append(try write(positions: 992))
    defer { for path in paths { try? FileManager.default.removeItem(atPath: path) } }
    for path in paths + ["/nowhere.gguf"] {
      #expect(throws: BenchError.self, "\(path)") { try RetrieveBench.run(settings(path)) }
    }
    for word in ["", "oo", "model", "model=", "ood=1"] {
      #expect(throws: BenchError.self) { try RetrieveBench.Distribution.parse(word) }
    }
  }
}

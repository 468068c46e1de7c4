import MartletEngine
import MartletSimulation
import Testing

@Suite("Randomness")
struct PhiloxTests {
  /// Known answers published with the Random123 library for philox4x32, 10 rounds.
  @Test("Philox4x32-10 gives the published known answers")
  func knownAnswers() {
    let ones = UInt32.max
    let cases: [([UInt32], [UInt32], [UInt32])] = [
      ([0, 0, 0, 0], [0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
      (
        [ones, ones, ones, ones], [ones, ones],
        [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
      ),
      (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
      ),
    ]
    for (c, k, expected) in cases {
      let w = Philox4x32.words(counter: (c[0], c[1], c[2], c[3]), key: (k[0], k[1]))
      #expect([w.0, w.1, w.2, w.3] == expected)
    }
  }

  @Test("a strategy's draws depend on seed, branch and index, on nothing else, and look uniform")
  func strategyDraws() throws {
    func draws(_ seed: UInt64) throws -> [UInt64] {
      let engine = try Engine(backend: hashedBackend())
      let run = try engine.makeRun(prompt: [1], seed: seed)
      let children = try run.root.fork(3)
      return (0..<300).map { run.random(branch: children[Int($0 % 3)], index: $0) }
        + (0..<300).map { run.random(index: $0) }
        + (0..<300).map {
          run.random(branch: run.root, index: $0)
        }
    }
    let first = try draws(1)
    #expect(try draws(1) == first)
    #expect(Set(first + (try draws(2))).count == 1800)
    // 900 draws in 16 cells: chi-square with 15 degrees of freedom, critical value at 1e-6: 56.5.
    var cells = [Double](repeating: 0, count: 16)
    for bits in first { cells[Int(bits >> 60)] += 1 }
    let expected = 900.0 / 16
    #expect(cells.reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected } < 56.5)
  }

  @Test("paths order parents before children and are never reused")
  func paths() throws {
    let engine = try Engine(backend: hashedBackend())
    let run = try engine.makeRun(prompt: [1])
    let a = try run.root.fork(2)
    let b = try a[0].fork(1)
    let c = try run.root.fork(1)
    #expect(
      [c[0], a[1], b[0], run.root, a[0]].map(\.path).sorted().map(\.description)
        == ["0", "0.0", "0.0.0", "0.1", "0.2"])
    let resampled = try run.resample([a[0], a[1]], ancestors: [0, 0])
    #expect(resampled.map { "\($0.path)" } == ["0.0.1", "0.0.2"])
    #expect(Set([a[0], a[1], b[0], c[0]].map { $0.path.hashBits }).count == 4)
  }
}

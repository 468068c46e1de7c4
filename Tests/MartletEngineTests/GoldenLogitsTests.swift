import Foundation
import MartletEngine
import MartletKernels
import MartletMachine
import MartletModel
import Testing

/// Whole forward passes against a float64 evaluation of the same weights and against llama.cpp's
/// distance from it (Benchmarks/Golden makes the files and explains them).
@Suite struct GoldenLogitsTests {
  static let floatModels = [
    "llama-tied-f32", "llama-untied-f32", "llama-linear-f32", "llama-yarn-f32",
    "llama-llama3-f32", "qwen2-f32", "qwen3-f32",
  ]
  static let otherModels = [
    "llama-f16", "llama-bf16", "llama-q8_0", "llama-q4_0", "llama-q4_1", "llama-q5_0",
    "llama-q5_1", "llama-iq4_nl", "llama-q4_k", "llama-q5_k", "llama-q6_k",
  ]

  @Test(arguments: floatModels)
  func floatModelsAgreeWithFloat64(name: String) throws {
    let golden = try Golden(name)
    let computed = try golden.logProbabilities(chunks: [golden.tokens.count])
    var worst = 0.0
    for (row, expected) in zip(computed, golden.rows) {
      for (value, truth) in zip(row, expected) {
        worst = max(worst, value.isFinite ? abs(value - truth) : .infinity)
      }
    }
    #expect(worst <= 2e-3, "\(name): a log-probability is off by \(worst)")
  }

  @Test(arguments: otherModels)
  func otherModelsDivergeNoMoreThanLlamaCpp(name: String) throws {
    let golden = try Golden(name)
    let computed = try golden.logProbabilities(chunks: [golden.tokens.count])
    let divergence = golden.divergence(of: computed)
    let theirs = try golden.llamaCppDivergence()
    #expect(
      divergence <= 1.1 * theirs,
      "\(name): KL \(divergence) is \(divergence / theirs) times llama.cpp's \(theirs)")
    // A divergence that is no number, or that falls below rounding, means a broken comparison.
    #expect(divergence > -1e-7)
  }

  @Test(arguments: floatModels)
  func openBLASAgreesWithFloat64(name: String) throws {
    let golden = try Golden(name)
    let computed = try golden.logProbabilities(
      chunks: [golden.tokens.count], numericClass: .openBLAS)
    let worst = zip(computed.joined(), golden.rows.joined()).map { abs($0 - $1) }.max() ?? .nan
    #expect(worst <= 2e-3, "\(name): a log-probability is off by \(worst)")
  }

  @Test(.enabled(if: ISA.active.contains("avx512_bf16"), "needs a bf16 dot product"))
  func bf16DotProductsDivergeNoMoreThanLlamaCpp() throws {
    let golden = try Golden("llama-bf16")
    let computed = try golden.logProbabilities(
      chunks: [golden.tokens.count], numericClass: .bf16Dot)
    let divergence = golden.divergence(of: computed)
    let theirs = try golden.llamaCppDivergence()
    #expect(divergence <= 1.1 * theirs, "KL \(divergence) against llama.cpp's \(theirs)")
  }

  @Test(arguments: ["llama-tied-f32", "qwen2-f32", "llama-q4_0", "llama-q4_k"])
  func chunksAndThreadsChangeNoBit(name: String) throws {
    let golden = try Golden(name)
    let whole = try golden.logits(chunks: [golden.tokens.count], threads: 1)
    let pieces = try golden.logits(chunks: [1, 7, 33, 1, 31, golden.tokens.count - 73], threads: 2)
    #expect(whole == pieces)
  }
}

/// One golden model: its tokens and the log-probabilities a float64 evaluation gives.
private struct Golden {
  let name: String
  let tokens: [Token]
  let rows: [[Double]]

  /// Where the files are; they belong to the model tests.
  private static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("MartletModelTests/Fixtures/golden")

  init(_ name: String) throws {
    self.name = name
    let data = try Data(contentsOf: Self.folder.appendingPathComponent("\(name).golden"))
    let words = stride(from: 0, to: data.count, by: 4).map { at in
      (0..<4).reduce(UInt32(0)) { $0 | UInt32(data[data.startIndex + at + $1]) << (8 * $1) }
    }
    try #require(words[0] == 0x444c_474d && words[1] == 1, "\(name).golden is of another format")
    let count = Int(words[2])
    let vocabulary = Int(words[3])
    try #require(words.count == 4 + count + count * vocabulary)
    tokens = words[4..<(4 + count)].map { Token(bitPattern: $0) }
    rows = (0..<count).map { row in
      let start = 4 + count + row * vocabulary
      return words[start..<(start + vocabulary)].map { Double(Float(bitPattern: $0)) }
    }
  }

  /// Martlet's logits at every position, the tokens given in passes of these sizes.
  func logits(
    chunks: [Int], threads: Int, numericClass: NumericClass = .portable
  ) throws -> [[Float]] {
    let model = try TransformerModel.load(
      path: Self.folder.appendingPathComponent("\(name).gguf").path, numericClass: numericClass)
    let backend = try TransformerBackend(
      parts: TransformerParts(model: model, tokenizer: Tokenizer(metadata: model.metadata)),
      team: ThreadTeam(threads: threads))
    let pages = (tokens.count + backend.pageTokens - 1) / backend.pageTokens
    try backend.reservePages(pages)
    // Not in order, so that a page is found by its table and not by its position.
    let table = (0..<pages).reversed().map { PageID($0) }
    var result: [[Float]] = []
    var position = 0
    for count in chunks {
      let batch = ForwardBatch(
        tokens: (position..<(position + count)).map {
          BatchToken(token: tokens[$0], position: $0, sequence: 0, wantsLogits: true)
        }, sequences: [table])
      let logits = try LogitsBuffer(rows: count, vocabulary: backend.vocabularySize)
      try backend.forward(batch, logits: logits)
      result += (0..<count).map { logits.row($0) }
      position += count
    }
    #expect(position == tokens.count)
    return result
  }

  /// Martlet's log-probabilities, normalised in float64.
  func logProbabilities(
    chunks: [Int], numericClass: NumericClass = .portable
  ) throws -> [[Double]] {
    try logits(chunks: chunks, threads: 2, numericClass: numericClass).map { row in
      let largest = Double(row.max() ?? 0)
      let total = row.reduce(0) { $0 + exp(Double($1) - largest) }
      return row.map { Double($0) - largest - log(total) }
    }
  }

  /// Mean over positions of KL(float64 ‖ other) in nats.
  func divergence(of other: [[Double]]) -> Double {
    let sums = zip(rows, other).map { truth, other in
      zip(truth, other).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
    }
    return sums.reduce(0, +) / Double(rows.count)
  }

  /// What golden.json says of llama.cpp with this model.
  func llamaCppDivergence() throws -> Double {
    struct Report: Decodable {
      struct Model: Decodable {
        struct Distance: Decodable { var kl: Double }
        var llama_cpp: Distance
      }
      var models: [String: Model]
    }
    let data = try Data(contentsOf: Self.folder.appendingPathComponent("golden.json"))
    let report = try JSONDecoder().decode(Report.self, from: data)
    return try #require(report.models[name]?.llama_cpp.kl)
  }
}

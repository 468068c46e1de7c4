import Foundation
import MartletModel
import Testing

/// Ids against llama.cpp's, made by Benchmarks/Tokenizers/make_goldens.py.
@Suite struct TokenizerGoldenTests {
  @Test func everyPreTokenizerAgrees() throws {
    let golden = try TokenizerFixture.golden("byte-level")
    #expect(golden.cases.count >= 80)
    for (name, expected) in golden.cases {
      var vocabulary = try TokenizerFixture.vocabulary("byte-level")
      vocabulary.preTokenizer = name
      try compare(golden, name, expected, Tokenizer(vocabulary: vocabulary))
    }
  }

  @Test func sentencePieceAgrees() throws {
    let golden = try TokenizerFixture.golden("sentence-piece")
    for (name, expected) in golden.cases {
      var vocabulary = try TokenizerFixture.vocabulary("sentence-piece")
      switch name {
      case "no-prefix":
        vocabulary.addsSpacePrefix = false
        vocabulary.addsEOS = true
      case "no-bos": vocabulary.addsBOS = false
      case "phi-3": vocabulary.modelName = "Phi-3 like"
      default: break
      }
      try compare(golden, name, expected, Tokenizer(vocabulary: vocabulary))
    }
  }

  private func compare(
    _ golden: TokenizerFixture.Golden, _ name: String, _ expected: TokenizerFixture.Golden.Case,
    _ tokenizer: Tokenizer
  ) throws {
    #expect(
      tokenizer.endOfGenerationTokens.sorted() == expected.end_of_generation,
      "end of generation under \(name)")
    for (index, encoded) in golden.texts.enumerated() {
      let bytes = [UInt8](try #require(Data(base64Encoded: encoded)))
      let flags = golden.flags[index % golden.flags.count]
      let ids = tokenizer.encode(bytes, addSpecial: flags[0], parseSpecial: flags[1])
      let wanted = golden.rows[expected.rows[index]]
      #expect(
        ids == wanted,
        "\(name), text \(index): \(String(decoding: bytes, as: UTF8.self).debugDescription)")
    }
  }
}

/// The small vocabularies and what the reference makes of texts with them.
enum TokenizerFixture {
  struct Golden: Decodable {
    struct Case: Decodable {
      var rows: [Int]
      var end_of_generation: [Token]
    }

    var flags: [[Bool]]
    var texts: [String]
    var rows: [[Token]]
    var cases: [String: Case]
  }

  static func url(_ name: String, _ type: String) throws -> URL {
    try #require(
      Bundle.module.url(
        forResource: name, withExtension: type, subdirectory: "Fixtures/Tokenizers"))
  }

  static func golden(_ name: String) throws -> Golden {
    try JSONDecoder().decode(Golden.self, from: Data(contentsOf: url(name, "json")))
  }

  static func vocabulary(_ name: String) throws -> TokenizerVocabulary {
    let file = try GGUFFile(path: url(name, "gguf").path)
    return try TokenizerVocabulary(metadata: file.metadata)
  }

  static func tokenizer(_ name: String, pre: String? = nil) throws -> Tokenizer {
    var vocabulary = try vocabulary(name)
    if let pre { vocabulary.preTokenizer = pre }
    return try Tokenizer(vocabulary: vocabulary)
  }
}

/// A small generator whose seed is printed with a failure.
struct SeededBytes: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed &+ 0x9e37_79b9_7f4a_7c15 }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
  }

  /// Valid UTF-8 of mixed scripts.
  mutating func text(_ count: Int) -> String {
    let ranges: [ClosedRange<UInt32>] = [
      0x20...0x7e, 0x20...0x7e, 0x09...0x0d, 0xa0...0x24f, 0x400...0x4ff, 0x4e00...0x9fff,
      0xac00...0xd7a3, 0x1f300...0x1faff,
    ]
    var text = String.UnicodeScalarView()
    while text.count < count {
      let range = ranges.randomElement(using: &self) ?? 0x20...0x7e
      if let scalar = Unicode.Scalar(UInt32.random(in: range, using: &self)) { text.append(scalar) }
    }
    return String(text)
  }
}

import Foundation
import MartletModel
import Testing

@Suite struct ArchitectureTests {
  @Test(arguments: ["llama", "qwen2", "qwen3"])
  func soundModelsLoad(architecture: String) throws {
    let folder = try TemporaryFolder()
    let model = try TransformerModel.load(path: folder.write(tinyModel(architecture).bytes))
    let c = model.configuration
    #expect(c.architecture == architecture)
    #expect(c.name == "tiny")
    #expect(c.vocabularySize == 8)
    #expect(c.contextLength == 64)
    #expect((c.width, c.layers, c.feedForwardWidth) == (8, 1, 16))
    #expect((c.queryHeads, c.kvHeads, c.headDimensions) == (2, 1, 4))
    #expect(c.normEpsilon == 1e-5)
    #expect(c.attentionScale == 0.5)
    #expect(c.tiedOutput)
    #expect(c.slidingWindow == nil)
    #expect(c.hasAttentionBiases == (architecture == "qwen2"))
    #expect(c.hasQKNorms == (architecture == "qwen3"))
    #expect(c.rope.layout == (architecture == "llama" ? .adjacent : .halves))
    #expect((c.rope.rotaryDimensions, c.rope.base) == (4, 10_000))
    #expect(c.rope.scaling == .none)
    let layer = try #require(model.layers.first)
    #expect((layer.query.outputs, layer.query.depth) == (8, 8))
    #expect((layer.key.outputs, layer.down.depth) == (4, 16))
    #expect((layer.queryBias != nil) == c.hasAttentionBiases)
    #expect((layer.keyNorm?.count == 4) == c.hasQKNorms)
    #expect((model.output.outputs, model.output.depth) == (8, 8))
    #expect(model.fingerprint.count == 16)
  }

  @Test func aSeparateOutputIsUsed() throws {
    let folder = try TemporaryFolder()
    var file = tinyModel()
    file.tensors.append(.floats("output.weight", [8, 8], scale: 0.5))
    let model = try TransformerModel.load(path: folder.write(file.bytes))
    #expect(!model.configuration.tiedOutput)
  }

  @Test func aVocabularyIsNotNeededToRun() throws {
    let folder = try TemporaryFolder()
    var file = tinyModel()
    for key in ["tokens", "scores", "token_type", "model"] { file.remove("tokenizer.ggml.\(key)") }
    file.add("tokenizer.ggml.model", "no_vocab")
    let model = try TransformerModel.load(path: folder.write(file.bytes))
    #expect(model.configuration.vocabularySize == 8)
    #expect(modelError { _ = try Tokenizer(metadata: model.metadata) } != nil)
  }

  @Test func embeddingRowsAreTheFileS() throws {
    let folder = try TemporaryFolder()
    let model = try TransformerModel.load(path: folder.write(tinyModel().bytes))
    let rows = try model.tokenEmbedding.embeddings(of: [3, 0])
    let expected: [Float] = (24..<32).map { (index: Int) -> Float in
      Float((index &* 2_654_435_761) % 201 - 100) * 0.01
    }
    #expect(rows[0] == expected)
    #expect(rows[1].count == 8)
    #expect(modelError { _ = try model.tokenEmbedding.embeddings(of: [8]) }?.code == .argument)
    #expect(modelError { _ = try model.tokenEmbedding.embeddings(of: [-1]) }?.code == .argument)
  }

  @Test func progressEndsAtOne() throws {
    let folder = try TemporaryFolder()
    let seen = Progress()
    _ = try TransformerModel.load(path: folder.write(tinyModel().bytes)) { seen.append($0) }
    #expect(seen.values.last == 1)
    #expect(seen.values == seen.values.sorted())
    #expect(seen.values.count > 5)
  }

  // MARK: Rope

  struct RopeCase: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var scaling: String
    var factor: Double
    var change: @Sendable (inout GGUFBytes) -> Void
  }

  static let ropeCases: [RopeCase] = [
    RopeCase(testDescription: "none", scaling: "none", factor: 1) {
      $0.add("llama.rope.scaling.type", "none")
      $0.add("llama.rope.scaling.factor", Float(8))
    },
    RopeCase(testDescription: "linear", scaling: "linear", factor: 4) {
      $0.add("llama.rope.scaling.type", "linear")
      $0.add("llama.rope.scaling.factor", Float(4))
    },
    RopeCase(testDescription: "legacy", scaling: "linear", factor: 2) {
      $0.add("llama.rope.scale_linear", Float(2))
    },
    RopeCase(testDescription: "yarn", scaling: "yarn", factor: 4) {
      $0.add("llama.rope.scaling.type", "yarn")
      $0.add("llama.rope.scaling.factor", Float(4))
      $0.add("llama.rope.scaling.original_context_length", int: 16)
      $0.add("llama.rope.scaling.attn_factor", Float(0.75))
    },
  ]

  @Test(arguments: ropeCases)
  func ropeScaling(_ rope: RopeCase) throws {
    let folder = try TemporaryFolder()
    var file = tinyModel()
    file.add("llama.rope.freq_base", Float(500_000))
    file.add("llama.rope.dimension_count", int: 2)
    rope.change(&file)
    let read = try TransformerModel.load(path: folder.write(file.bytes)).configuration.rope
    #expect(read.scaling.rawValue == rope.scaling)
    #expect(read.factor == rope.factor)
    #expect(read.base == 500_000)
    #expect(read.rotaryDimensions == 2)
    if rope.scaling == "yarn" {
      #expect((read.originalContext, read.yarnAttention) == (16, 0.75))
    }
  }

  @Test func frequencyFactorsAreRead() throws {
    let folder = try TemporaryFolder()
    var file = tinyModel()
    file.tensors.append(.floats("rope_freqs.weight", [2]))
    // Its first value is -1: refused rather than divided by.
    let negative = try folder.write(file.bytes)
    #expect(modelError { _ = try TransformerModel.load(path: negative) }?.code == .value)
    file.change("rope_freqs.weight") {
      $0.data = GGUFBytes.little(Float(1).bitPattern) + GGUFBytes.little(Float(8).bitPattern)
    }
    let model = try TransformerModel.load(path: folder.write(file.bytes))
    #expect(model.configuration.rope.frequencyFactors == [1, 8])
  }

  @Test func slidingWindowsInsideTheContextCount() throws {
    let folder = try TemporaryFolder()
    for (window, expected) in [(0, nil), (16, 16), (64, nil)] as [(UInt32, Int?)] {
      var file = tinyModel()
      file.add("llama.attention.sliding_window", int: window)
      let model = try TransformerModel.load(path: folder.write(file.bytes))
      #expect(model.configuration.slidingWindow == expected)
    }
  }
}

/// Progress values, collected from a callback.
private final class Progress: @unchecked Sendable {
  // Only the loading thread calls back, and the test reads afterwards.
  private(set) var values: [Double] = []
  func append(_ value: Double) { values.append(value) }
}

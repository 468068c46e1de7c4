import Foundation
import MartletModel
import Testing

/// Files that another program wrote: every architecture and weight type loads as what it is.
@Suite struct GoldenFilesTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Fixtures/golden")

  @Test(arguments: [
    ("llama-f16", "F16"), ("llama-bf16", "BF16"), ("llama-q8_0", "Q8_0"), ("llama-q4_0", "Q4_0"),
    ("llama-q4_1", "Q4_1"), ("llama-q5_0", "Q5_0"), ("llama-q5_1", "Q5_1"),
    ("llama-iq4_nl", "IQ4_NL"), ("llama-q4_k", "Q4_K"), ("llama-q5_k", "Q5_K"),
    ("llama-q6_k", "Q6_K"), ("llama-tied-f32", "F32"),
  ])
  func weightsKeepTheirType(name: String, type: String) throws {
    let path = Self.folder.appendingPathComponent("\(name).gguf").path
    let model = try TransformerModel.load(path: path)
    #expect(model.output.type.name == type)
    for layer in model.layers {
      for matrix in [layer.query, layer.value, layer.attentionOutput, layer.gate, layer.down] {
        #expect(matrix.type.name == type)
        #expect(matrix.byteCount > 0)
      }
    }
    #expect(model.tokenEmbedding.type.name == type)
    let info = try ModelInfo(path: path)
    #expect(info.fingerprint == model.fingerprint)
    #expect(info.types.allSatisfy { $0.runs })
    #expect(info.types.first?.type == type)
  }

  @Test func architecturesReadWhatTheScriptWrote() throws {
    func configuration(_ name: String) throws -> TransformerConfiguration {
      try TransformerModel.load(
        path: Self.folder.appendingPathComponent("\(name).gguf").path
      ).configuration
    }
    let qwen2 = try configuration("qwen2-f32")
    #expect(qwen2.hasAttentionBiases && qwen2.kvHeads == 1 && qwen2.rope.layout == .halves)
    let qwen3 = try configuration("qwen3-f32")
    #expect(qwen3.hasQKNorms && !qwen3.tiedOutput)
    #expect((qwen3.width, qwen3.queryWidth, qwen3.headDimensions) == (64, 128, 32))
    let yarn = try configuration("llama-yarn-f32").rope
    #expect(yarn.scaling == .yarn && yarn.factor == 4 && yarn.originalContext == 64)
    #expect(yarn.yarnAttention == Double(Float(0.9)))
    let llama3 = try configuration("llama-llama3-f32").rope
    #expect(llama3.base == 500_000)
    #expect(llama3.frequencyFactors?.count == 8)
    #expect(llama3.frequencyFactors?.last == 8)
    #expect(try configuration("llama-linear-f32").rope.factor == 4)
  }
}

import Foundation
import MartletModel
import Testing

/// What contradicts the configuration, or asks for what is not computed, is refused by name.
@Suite struct ArchitectureRefusalTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var code: ModelError.Code
    var mentions: [String]
    var architecture = "llama"
    var change: @Sendable (inout GGUFBytes) -> Void
    var testDescription: String { "\(architecture): \(name)" }
  }

  static func replace(
    _ key: String, _ value: UInt32
  ) -> @Sendable (inout GGUFBytes) -> Void {
    { file in
      file.remove(key)
      file.add(key, int: value)
    }
  }

  static let cases: [Case] = [
    Case(name: "architecture", code: .unsupported, mentions: ["'mamba'", "llama"]) {
      $0.remove("general.architecture")
      $0.add("general.architecture", "mamba")
    },
    Case(name: "no architecture", code: .missing, mentions: ["general.architecture"]) {
      $0.remove("general.architecture")
    },
    Case(name: "no width", code: .missing, mentions: ["llama.embedding_length"]) {
      $0.remove("llama.embedding_length")
    },
    Case(
      name: "zero layers", code: .value, mentions: ["llama.block_count", "0"],
      change: replace("llama.block_count", 0)),
    Case(
      name: "layers beyond reason", code: .value, mentions: ["llama.block_count"],
      change: replace("llama.block_count", 4_000_000_000)),
    Case(
      name: "a layer too many", code: .missing, mentions: ["blk.1.attn_norm.weight"],
      change: replace("llama.block_count", 2)),
    Case(
      name: "heads that do not group", code: .value, mentions: ["head_count_kv"],
      change: replace("llama.attention.head_count_kv", 3)),
    Case(
      name: "heads that do not divide", code: .value, mentions: ["head_count"],
      change: { file in
        replace("llama.attention.head_count", 3)(&file)
        replace("llama.attention.head_count_kv", 3)(&file)
      }),
    Case(
      name: "width of another model", code: .shape, mentions: ["token_embd.weight", "[8, 8]"],
      change: replace("llama.embedding_length", 16)),
    Case(
      name: "feed-forward width", code: .shape, mentions: ["blk.0.ffn_gate.weight", "[8, 32]"],
      change: replace("llama.feed_forward_length", 32)),
    Case(name: "unequal heads", code: .unsupported, mentions: ["4", "8"]) {
      $0.add("llama.attention.key_length", int: 4)
      $0.add("llama.attention.value_length", int: 8)
    },
    Case(name: "layers that differ", code: .unsupported, mentions: ["head_count_kv"]) {
      $0.remove("llama.attention.head_count_kv")
      $0.add("llama.attention.head_count_kv", [1, 2] as [Int32])
    },
    Case(name: "epsilon", code: .value, mentions: ["rms_epsilon"]) {
      $0.remove("llama.attention.layer_norm_rms_epsilon")
      $0.add("llama.attention.layer_norm_rms_epsilon", Float.nan)
    },
    Case(name: "vocabulary", code: .shape, mentions: ["tokenizer.ggml.tokens", "2"]) {
      $0.remove("tokenizer.ggml.tokens")
      $0.add("tokenizer.ggml.tokens", ["a", "b"])
    },
    Case(name: "missing tensor", code: .missing, mentions: ["blk.0.attn_v.weight"]) {
      $0.tensors.removeAll { $0.name == "blk.0.attn_v.weight" }
    },
    Case(name: "missing bias", code: .missing, mentions: ["attn_k.bias"], architecture: "qwen2") {
      $0.tensors.removeAll { $0.name == "blk.0.attn_k.bias" }
    },
    Case(name: "missing norm", code: .missing, mentions: ["q_norm"], architecture: "qwen3") {
      $0.tensors.removeAll { $0.name == "blk.0.attn_q_norm.weight" }
    },
    Case(name: "unknown tensor", code: .unsupported, mentions: ["blk.0.ffn_gate_inp.weight"]) {
      $0.tensors.append(.floats("blk.0.ffn_gate_inp.weight", [8, 2]))
    },
    Case(name: "transposed", code: .shape, mentions: ["blk.0.ffn_down.weight", "[8, 16]"]) {
      $0.change("blk.0.ffn_down.weight") { $0.shape = [8, 16] }
    },
    Case(name: "type without kernels", code: .unsupported, mentions: ["output_norm", "I32"]) {
      $0.change("output_norm.weight") { $0.type = 26 }
    },
    Case(name: "experts", code: .unsupported, mentions: ["expert_count", "mixture"]) {
      $0.add("llama.expert_count", int: 8)
    },
    Case(name: "logit scale", code: .unsupported, mentions: ["logit_scale"]) {
      $0.add("llama.logit_scale", Float(0.5))
    },
    Case(name: "soft cap", code: .unsupported, mentions: ["final_logit_softcapping"]) {
      $0.add("llama.final_logit_softcapping", Float(30))
    },
    Case(name: "not causal", code: .unsupported, mentions: ["attention.causal"]) {
      $0.add("llama.attention.causal", false)
    },
    Case(name: "rope scaling", code: .unsupported, mentions: ["'longrope'"]) {
      $0.add("llama.rope.scaling.type", "longrope")
    },
    Case(name: "odd rope", code: .value, mentions: ["rope.dimension_count", "3"]) {
      $0.add("llama.rope.dimension_count", int: 3)
    },
    Case(name: "rope beyond the head", code: .value, mentions: ["rope.dimension_count"]) {
      $0.add("llama.rope.dimension_count", int: 6)
    },
    Case(name: "rope base", code: .value, mentions: ["rope.freq_base"]) {
      $0.add("llama.rope.freq_base", Float(-1))
    },
  ]

  @Test(arguments: cases)
  func refuses(_ wrong: Case) throws {
    let folder = try TemporaryFolder()
    var file = tinyModel(wrong.architecture)
    wrong.change(&file)
    let path = try folder.write(file.bytes)
    let error = try #require(modelError { _ = try TransformerModel.load(path: path) })
    #expect(error.code == wrong.code, "\(error)")
    #expect(error.message.contains(path))
    for word in wrong.mentions { #expect(error.message.contains(word), "\(error)") }
  }

  @Test func neutralValuesAreNoReasonToRefuse() throws {
    let folder = try TemporaryFolder()
    var file = tinyModel()
    file.add("llama.expert_count", int: 0)
    file.add("llama.logit_scale", Float(1))
    file.add("llama.attention.causal", true)
    file.add("llama.vocab_size", int: 8)
    _ = try TransformerModel.load(path: folder.write(file.bytes))
  }
}

import Foundation
import MartletModel

/// Writes GGUF files byte by byte, so that tests control every field, wrong ones included.
struct GGUFBytes {
  /// A tensor to write; `offset` and `type` may be set to lies.
  struct Tensor {
    var name: String
    var shape: [UInt64]
    var type: UInt32 = 0
    var data: [UInt8]
    var offset: UInt64?

    /// A float32 tensor of small distinct values.
    static func floats(_ name: String, _ shape: [Int], scale: Float = 0.01) -> Tensor {
      let count = shape.reduce(1, *)
      var data: [UInt8] = []
      data.reserveCapacity(4 * count)
      for index in 0..<count {
        let value = Float((index &* 2_654_435_761) % 201 - 100) * scale
        withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) }
      }
      return Tensor(name: name, shape: shape.map(UInt64.init), data: data)
    }
  }

  var magic: [UInt8] = Array("GGUF".utf8)
  var version: UInt32 = 3
  var entryCount: UInt64?
  var tensorCount: UInt64?
  var alignment = 32
  private(set) var entries: [(key: String, bytes: [UInt8])] = []
  var tensors: [Tensor] = []

  mutating func add(_ key: String, type: UInt32, _ payload: [UInt8]) {
    entries.append((key, Self.string(key) + Self.little(type) + payload))
  }
  mutating func add(_ key: String, int value: UInt32) { add(key, type: 4, Self.little(value)) }
  mutating func add(_ key: String, u16 value: UInt16) { add(key, type: 2, Self.little(value)) }
  mutating func add(_ key: String, _ value: Float) {
    add(key, type: 6, Self.little(value.bitPattern))
  }
  mutating func add(_ key: String, _ value: Bool) { add(key, type: 7, [value ? 1 : 0]) }
  mutating func add(_ key: String, _ value: String) { add(key, type: 8, Self.string(value)) }
  mutating func add(_ key: String, _ values: [String]) {
    add(
      key, type: 9,
      Self.little(UInt32(8)) + Self.little(UInt64(values.count))
        + values.flatMap(Self.string))
  }
  mutating func add(_ key: String, _ values: [Int32]) {
    add(
      key, type: 9,
      Self.little(UInt32(5)) + Self.little(UInt64(values.count))
        + values.flatMap { Self.little($0) })
  }
  mutating func add(_ key: String, _ values: [Float]) {
    add(
      key, type: 9,
      Self.little(UInt32(6)) + Self.little(UInt64(values.count))
        + values.flatMap { Self.little($0.bitPattern) })
  }

  /// Removes a key, so that another value can take its place.
  mutating func remove(_ key: String) { entries.removeAll { $0.key == key } }

  /// Changes a tensor in place.
  mutating func change(_ name: String, _ body: (inout Tensor) -> Void) {
    guard let index = tensors.firstIndex(where: { $0.name == name }) else {
      preconditionFailure("no tensor \(name)")
    }
    body(&tensors[index])
  }

  /// The whole file.
  var bytes: [UInt8] {
    var out = magic + Self.little(version)
    out += Self.little(tensorCount ?? UInt64(tensors.count))
    out += Self.little(entryCount ?? UInt64(entries.count))
    for entry in entries { out += entry.bytes }
    var place = 0
    for tensor in tensors {
      out += Self.string(tensor.name) + Self.little(UInt32(tensor.shape.count))
      for size in tensor.shape { out += Self.little(size) }
      out += Self.little(tensor.type) + Self.little(tensor.offset ?? UInt64(place))
      place = aligned(place + tensor.data.count)
    }
    out += [UInt8](repeating: 0, count: aligned(out.count) - out.count)
    for tensor in tensors {
      out += tensor.data
      out += [UInt8](repeating: 0, count: aligned(out.count) - out.count)
    }
    return out
  }

  private func aligned(_ size: Int) -> Int { (size + alignment - 1) / alignment * alignment }

  static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  static func string(_ text: String) -> [UInt8] {
    little(UInt64(text.utf8.count)) + Array(text.utf8)
  }
}

/// A folder that is removed with its contents when the test ends.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    path =
      FileManager.default.temporaryDirectory
      .appendingPathComponent("martlet-model-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and returns its path.
  func write(_ bytes: [UInt8], _ name: String = "model.gguf") throws -> String {
    let file = path + "/" + name
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }
}

/// The error that opening or loading throws, or nil.
func modelError(_ body: () throws -> Void) -> ModelError? {
  do {
    try body()
    return nil
  } catch {
    return error as? ModelError
  }
}

/// A tiny sound model: one block, width 8, eight tokens.
func tinyModel(_ architecture: String = "llama") -> GGUFBytes {
  var file = GGUFBytes()
  file.add("general.architecture", architecture)
  file.add("general.name", "tiny")
  file.add("\(architecture).context_length", int: 64)
  file.add("\(architecture).embedding_length", int: 8)
  file.add("\(architecture).block_count", int: 1)
  file.add("\(architecture).feed_forward_length", int: 16)
  file.add("\(architecture).attention.head_count", int: 2)
  file.add("\(architecture).attention.head_count_kv", int: 1)
  file.add("\(architecture).attention.layer_norm_rms_epsilon", Float(1e-5))
  file.add("tokenizer.ggml.model", "llama")
  file.add(
    "tokenizer.ggml.tokens", ["<unk>", "<s>", "</s>", "\u{2581}", "a", "b", "ab", "c"])
  file.add("tokenizer.ggml.scores", [0, 0, 0, -1, -2, -3, -4, -5] as [Float])
  file.add("tokenizer.ggml.token_type", [2, 3, 3, 1, 1, 1, 1, 1] as [Int32])
  file.add("tokenizer.ggml.bos_token_id", int: 1)
  file.add("tokenizer.ggml.eos_token_id", int: 2)
  file.tensors = [
    .floats("token_embd.weight", [8, 8]), .floats("output_norm.weight", [8]),
    .floats("blk.0.attn_norm.weight", [8]), .floats("blk.0.attn_q.weight", [8, 8]),
    .floats("blk.0.attn_k.weight", [8, 4]), .floats("blk.0.attn_v.weight", [8, 4]),
    .floats("blk.0.attn_output.weight", [8, 8]), .floats("blk.0.ffn_norm.weight", [8]),
    .floats("blk.0.ffn_gate.weight", [8, 16]), .floats("blk.0.ffn_up.weight", [8, 16]),
    .floats("blk.0.ffn_down.weight", [16, 8]),
  ]
  if architecture == "qwen2" {
    file.tensors += [
      .floats("blk.0.attn_q.bias", [8]), .floats("blk.0.attn_k.bias", [4]),
      .floats("blk.0.attn_v.bias", [4]),
    ]
  }
  if architecture == "qwen3" {
    file.tensors += [
      .floats("blk.0.attn_q_norm.weight", [4]), .floats("blk.0.attn_k_norm.weight", [4]),
    ]
  }
  return file
}

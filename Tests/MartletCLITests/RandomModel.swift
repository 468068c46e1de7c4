import Foundation

/// Writes a Llama of random Q4_0 weights, some hundred megabytes in well under a second: one
/// mebibyte of random blocks, over and over.
struct RandomModel {
  var layers = 8
  var width = 2048
  var feedForward = 8192
  var heads = 32
  var kvHeads = 8
  var vocabulary = 65_536

  /// Writes the file and returns its size. The output is tied to the embedding table, which makes
  /// that a seventh of the model: the hard case for memory.
  func write(to url: URL) throws -> Int {
    let kv = width / heads * kvHeads
    var tensors: [(name: String, shape: [Int], isMatrix: Bool)] = [
      ("token_embd.weight", [width, vocabulary], true), ("output_norm.weight", [width], false),
    ]
    for layer in 0..<layers {
      tensors += [
        ("blk.\(layer).attn_norm.weight", [width], false),
        ("blk.\(layer).attn_q.weight", [width, width], true),
        ("blk.\(layer).attn_k.weight", [width, kv], true),
        ("blk.\(layer).attn_v.weight", [width, kv], true),
        ("blk.\(layer).attn_output.weight", [width, width], true),
        ("blk.\(layer).ffn_norm.weight", [width], false),
        ("blk.\(layer).ffn_gate.weight", [width, feedForward], true),
        ("blk.\(layer).ffn_up.weight", [width, feedForward], true),
        ("blk.\(layer).ffn_down.weight", [feedForward, width], true),
      ]
    }
    var head = Data("GGUF".utf8)
    head.append(UInt32(3))
    head.append(UInt64(tensors.count))
    let entries = self.entries
    head.append(UInt64(entries.count))
    for entry in entries { head.append(entry) }
    var place = 0
    for tensor in tensors {
      head.append(text: tensor.name)
      head.append(UInt32(tensor.shape.count))
      for size in tensor.shape { head.append(UInt64(size)) }
      head.append(UInt32(tensor.isMatrix ? 2 : 0))
      head.append(UInt64(place))
      place += Self.aligned(Self.bytes(tensor.shape, tensor.isMatrix))
    }
    head.append(Data(count: Self.aligned(head.count) - head.count))

    _ = FileManager.default.createFile(atPath: url.path, contents: head)
    let file = try FileHandle(forWritingTo: url)
    try file.seekToEnd()
    let blocks = Self.blocks()
    for tensor in tensors {
      var left = Self.bytes(tensor.shape, tensor.isMatrix)
      let padding = Self.aligned(left) - left
      if tensor.isMatrix {
        while left > 0 {
          let count = min(left, blocks.count)
          try file.write(contentsOf: blocks.prefix(count))
          left -= count
        }
      } else {
        var ones = Data()
        for _ in 0..<tensor.shape[0] { ones.append(Float(1).bitPattern) }
        try file.write(contentsOf: ones)
      }
      try file.write(contentsOf: Data(count: padding))
    }
    let size = Int(try file.offset())
    try file.close()
    return size
  }

  private var entries: [Data] {
    func entry(_ key: String, _ type: UInt32, _ payload: (inout Data) -> Void) -> Data {
      var data = Data()
      data.append(text: key)
      data.append(type)
      payload(&data)
      return data
    }
    func count(_ key: String, _ value: Int) -> Data {
      entry(key, 4) { $0.append(UInt32(value)) }
    }
    func word(_ key: String, _ value: String) -> Data { entry(key, 8) { $0.append(text: value) } }
    let special = ["<unk>", "<s>", "</s>"]
    return [
      word("general.architecture", "llama"), word("general.name", "random"),
      count("llama.context_length", 2048), count("llama.embedding_length", width),
      count("llama.block_count", layers), count("llama.feed_forward_length", feedForward),
      count("llama.attention.head_count", heads), count("llama.attention.head_count_kv", kvHeads),
      entry("llama.attention.layer_norm_rms_epsilon", 6) { $0.append(Float(1e-5).bitPattern) },
      word("tokenizer.ggml.model", "llama"),
      entry("tokenizer.ggml.tokens", 9) {
        $0.append(UInt32(8))
        $0.append(UInt64(vocabulary))
        for token in 0..<vocabulary { $0.append(text: token < 3 ? special[token] : "t\(token)") }
      },
      entry("tokenizer.ggml.scores", 9) {
        $0.append(UInt32(6))
        $0.append(UInt64(vocabulary))
        for token in 0..<vocabulary { $0.append(Float(-token).bitPattern) }
      },
      entry("tokenizer.ggml.token_type", 9) {
        $0.append(UInt32(5))
        $0.append(UInt64(vocabulary))
        for token in 0..<vocabulary { $0.append(UInt32(token < 3 ? 3 : 1)) }
      },
      count("tokenizer.ggml.bos_token_id", 1), count("tokenizer.ggml.eos_token_id", 2),
    ]
  }

  /// Random Q4_0 blocks: a float16 scale of about 0.01, then sixteen random bytes.
  private static func blocks() -> Data {
    var state: UInt64 = 1
    var data = Data()
    data.reserveCapacity(18 << 16)
    for _ in 0..<1 << 16 {
      data.append(contentsOf: [0x1f, 0x21])
      for _ in 0..<2 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        data.append(state ^ state >> 29)
      }
    }
    return data
  }

  private static func bytes(_ shape: [Int], _ isMatrix: Bool) -> Int {
    let elements = shape.reduce(1, *)
    return isMatrix ? elements / 32 * 18 : elements * 4
  }

  private static func aligned(_ size: Int) -> Int { (size + 31) / 32 * 32 }
}

extension Data {
  fileprivate mutating func append<T: FixedWidthInteger>(_ value: T) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }

  fileprivate mutating func append(text: String) {
    append(UInt64(text.utf8.count))
    append(contentsOf: text.utf8)
  }
}

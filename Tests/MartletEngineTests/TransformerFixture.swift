import Foundation
import MartletEngine
import MartletKernels
import MartletMachine
import MartletModel

/// A tiny transformer with seeded random weights, and the same transformer in float64.
struct TransformerFixture {
  /// Read once: it takes longer than these models do.
  private static let topology = Result { try Topology.current() }

  let configuration: TransformerConfiguration
  let parts: TransformerParts
  let reference: ReferenceTransformer

  /// - Parameter type: f32 or f16; the reference uses the rounded values.
  init(
    seed: UInt64, type: WeightType = .f32, biases: Bool = false, norms: Bool = false,
    window: Int? = nil, layers: Int = 2, numericClass: NumericClass = .portable,
    placement: WeightPlacement? = nil, context: Int = 512
  ) throws {
    var random = SplitMix(seed)
    let c = TransformerConfiguration(
      architecture: "test", name: "random \(seed)", vocabularySize: 53, contextLength: context,
      width: 64, layers: layers, queryHeads: 4, kvHeads: 2, headDimensions: 32,
      feedForwardWidth: 96, normEpsilon: 1e-5,
      rope: RopeConfiguration(layout: seed % 2 == 0 ? .adjacent : .halves, rotaryDimensions: 32),
      attentionScale: 1 / Float(32).squareRoot(), slidingWindow: window,
      hasAttentionBiases: biases, hasQKNorms: norms)
    configuration = c

    func matrix(_ outputs: Int, _ depth: Int) throws -> (PackedWeights, [Double]) {
      let scale = 1.5 / Float(depth).squareRoot()
      let values = random.floats(outputs * depth).map { $0 * scale }
      if type == .f16 {
        let halves = values.map { Self.halfBits($0) }
        let packed = try halves.withUnsafeBytes {
          try PackedWeights(
            type: .f16, numericClass: numericClass, outputs: outputs, depth: depth, source: $0,
            placement: placement)
        }
        return (
          packed,
          try halves.withUnsafeBytes {
            try Kernels.dequantize(.f16, count: halves.count, source: $0).map(Double.init)
          }
        )
      }
      let packed = try values.withUnsafeBytes {
        try PackedWeights(
          type: .f32, numericClass: numericClass, outputs: outputs, depth: depth, source: $0,
          placement: placement)
      }
      return (packed, values.map(Double.init))
    }
    func vector(_ count: Int, around center: Float) -> [Float] {
      random.floats(count).map { center + 0.3 * $0 }
    }

    var packedLayers: [LayerWeights] = []
    var plainLayers: [ReferenceTransformer.Layer] = []
    for _ in 0..<layers {
      let (q, qPlain) = try matrix(c.queryWidth, c.width)
      let (k, kPlain) = try matrix(c.kvWidth, c.width)
      let (v, vPlain) = try matrix(c.kvWidth, c.width)
      let (o, oPlain) = try matrix(c.width, c.queryWidth)
      let (gate, gatePlain) = try matrix(c.feedForwardWidth, c.width)
      let (up, upPlain) = try matrix(c.feedForwardWidth, c.width)
      let (down, downPlain) = try matrix(c.width, c.feedForwardWidth)
      let layer = LayerWeights(
        attentionNorm: vector(c.width, around: 1), query: q, key: k, value: v,
        attentionOutput: o, queryBias: biases ? vector(c.queryWidth, around: 0) : nil,
        keyBias: biases ? vector(c.kvWidth, around: 0) : nil,
        valueBias: biases ? vector(c.kvWidth, around: 0) : nil,
        queryNorm: norms ? vector(c.headDimensions, around: 1) : nil,
        keyNorm: norms ? vector(c.headDimensions, around: 1) : nil,
        feedForwardNorm: vector(c.width, around: 1), gate: gate, up: up, down: down)
      packedLayers.append(layer)
      plainLayers.append(
        ReferenceTransformer.Layer(
          weights: layer, q: qPlain, k: kPlain, v: vPlain, o: oPlain, gate: gatePlain, up: upPlain,
          down: downPlain))
    }
    let (output, outputPlain) = try matrix(c.vocabularySize, c.width)
    let outputNorm = vector(c.width, around: 1)
    let embedding = random.floats(c.vocabularySize * c.width)
    parts = TransformerParts(
      name: c.name, configuration: c, layers: packedLayers, outputNorm: outputNorm, output: output,
      embedding: MemoryEmbedding(values: embedding, rows: c.vocabularySize),
      tokenizer: NumberCodec(vocabularySize: c.vocabularySize))
    reference = ReferenceTransformer(
      c: c, layers: plainLayers, outputNorm: outputNorm.map(Double.init), output: outputPlain,
      embedding: embedding.map(Double.init))
  }

  func backend(
    threads: Int = 1, kvType: KVType? = nil, maximumBatchTokens: Int = 128,
    attention: AttentionMethod = .exact
  ) throws -> TransformerBackend {
    try backend(
      plan: PlacementPlan(threads: threads, topology: Self.topology.get()), kvType: kvType,
      maximumBatchTokens: maximumBatchTokens, attention: attention)
  }

  func backend(
    plan: PlacementPlan, kvType: KVType? = nil, maximumBatchTokens: Int = 128,
    attention: AttentionMethod = .exact
  ) throws -> TransformerBackend {
    try TransformerBackend(
      parts: parts, team: ThreadTeam(plan: plan),
      options: TransformerBackend.Options(
        kvType: kvType, maximumBatchTokens: maximumBatchTokens,
        attention: attention))
  }

  func tokens(_ count: Int, seed: UInt64) -> [Token] {
    var random = SplitMix(seed)
    return (0..<count).map { _ in Token(random.next() % UInt64(configuration.vocabularySize)) }
  }

  /// Round to nearest even, by halves of the spacing; normal numbers only, which suffices here.
  private static func halfBits(_ value: Float) -> UInt16 {
    guard value != 0, abs(value) > 6.2e-5 else { return value.sign == .minus ? 0x8000 : 0 }
    let bits = value.bitPattern
    let rounded = bits &+ 0xfff &+ ((bits >> 13) & 1)
    let exponent = Int32((rounded >> 23) & 0xff) - 112
    let mantissa = (rounded >> 13) & 0x3ff
    return UInt16((bits >> 16) & 0x8000) | UInt16(exponent << 10) | UInt16(mantissa)
  }
}

/// Embeddings in memory.
struct MemoryEmbedding: TokenEmbedding {
  let values: [Float]
  let rows: Int

  func gather(
    _ tokens: [Token], into output: FloatMatrix, rows range: Range<Int>?
  ) throws(ModelError) {
    let width = output.columns
    for row in range ?? 0..<tokens.count {
      let start = Int(tokens[row]) * width
      output.setRow(row, Array(values[start..<start + width]))
    }
  }
}

/// A vocabulary of numbers; these tests never use its text.
struct NumberCodec: TokenCodec {
  let vocabularySize: Int
  var bosToken: Token? { nil }
  var endOfGenerationTokens: Set<Token> { [] }
  func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [Token] {
    text.split(separator: " ").compactMap { Token($0) }
  }
  func bytes(of token: Token, renderSpecial: Bool) -> [UInt8] { Array("\(token) ".utf8) }
}

/// SplitMix64: the same numbers on every machine for a seed.
struct SplitMix {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// `count` values in −1 ..< 1.
  mutating func floats(_ count: Int) -> [Float] {
    (0..<count).map { _ in Float(Int32(truncatingIfNeeded: next() >> 32)) / 2_147_483_648 }
  }
}

import MartletKernels
import MartletModel

/// Keys and values without a text behind them, for measuring at contexts that take minutes to prefill.
extension TransformerBackend {
  /// Fills pages with normally distributed keys and values, all of them different.
  ///
  /// - Parameters:
  ///   - sharpness: the standard deviation of scores that queries of this model then have with them,
  ///     roughly. At 4, of 131,072 positions a few hundred get nearly all weight, as trained models'
  ///     heads have it.
  ///   - seed: the same seed gives the same contents.
  /// - Complexity: about a second for 4 GB.
  public func fillSynthetic(
    pages: Range<PageID>, sharpness: Float, seed: UInt64
  ) throws(EngineError) {
    let keyScale = sharpness / (parts.configuration.attentionScale * (try queryNorm(pages)))
    let slab = slab
    let width = slab.kvHeads * slab.headDimensions
    team.forEachChunk(count: pages.count, grain: 1) { chunk in
      var keys = [Float](repeating: 0, count: width)
      var values = keys
      for offset in chunk {
        let page = Int(pages.lowerBound) + offset
        for layer in 0..<slab.layers {
          for slot in 0..<KVSlab.pageTokens {
            var state = mix64(
              seed &+ UInt64((page * slab.layers + layer) * KVSlab.pageTokens + slot))
            for index in 0..<width {
              state = state &* 0x5851_F42D_4C95_7F2D &+ 0x1405_7B7E_F767_814F
              // Eight bytes' sum, half for the key: near enough to normal.
              keys[index] = keyScale * Self.normal(UInt32(truncatingIfNeeded: state >> 32))
              values[index] = Self.normal(UInt32(truncatingIfNeeded: state >> 16))
            }
            slab.write(page: page, slot: slot, layer: layer, keys: keys, values: values)
          }
        }
      }
    }
  }

  /// The sum of four bytes, centred, with standard deviation 1.
  private static func normal(_ bits: UInt32) -> Float {
    let sum = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24)
    return (Float(sum) - 510) / 147.8
  }

  /// The root mean square length of a query head, of a few tokens' last layer.
  private func queryNorm(_ pages: Range<PageID>) throws(EngineError) -> Float {
    let count = min(32, maximumBatchTokens)
    let logits = try LogitsBuffer(rows: 1, vocabulary: vocabularySize)
    let tokens = (0..<count).map { position in
      BatchToken(
        token: Token((position * 7919 + 13) % vocabularySize), position: position, sequence: 0,
        wantsLogits: position == count - 1)
    }
    try forward(ForwardBatch(tokens: tokens, sequences: [[pages.lowerBound]]), logits: logits)
    var sum: Float = 0
    for row in 0..<count {
      for value in scratch.queries.row(row) { sum += value * value }
    }
    let heads = Float(count * parts.configuration.queryHeads)
    return max(1e-6, (sum / heads).squareRoot())
  }
}

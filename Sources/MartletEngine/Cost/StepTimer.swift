import MartletModel

/// Times forward passes of a backend over scratch pages. For the thread that may call `forward`.
///
/// What the pages hold does not matter and nobody reads the logits; only time is taken.
struct StepTimer {
  let backend: any Backend
  /// Pages that belong to nobody else meanwhile, one per row or as many as a prompt takes.
  let pages: [PageID]

  /// The widest step that these pages allow.
  var widest: Int { min(pages.count, backend.maximumBatchTokens) }

  /// Seconds of one pass in which `width` branches decode one token each.
  func step(width: Int, logits: LogitsBuffer) throws(EngineError) -> Double {
    let position = min(backend.pageTokens, backend.contextLength) - 1
    return try time(
      ForwardBatch(
        tokens: (0..<width).map {
          BatchToken(token: token($0), position: position, sequence: $0, wantsLogits: true)
        },
        sequences: (0..<width).map { [pages[$0]] }),
      logits)
  }

  /// Seconds of one pass over the first `tokens` tokens of a prompt.
  func prefill(tokens: Int, logits: LogitsBuffer) throws(EngineError) -> Double {
    try time(
      ForwardBatch(
        tokens: (0..<tokens).map {
          BatchToken(token: token($0), position: $0, sequence: 0, wantsLogits: $0 == tokens - 1)
        },
        sequences: [pages]),
      logits)
  }

  /// The shortest time of each of `widths`, over rounds that visit every width in turn, until
  /// `seconds` have passed but at least twice after a first round that only warms up.
  func curve(_ widths: [Int], seconds limit: Double) throws(EngineError) -> CostCurve? {
    let widths = widths.filter { $0 <= widest }
    guard let most = widths.last else { return nil }
    let logits = try LogitsBuffer(rows: most, vocabulary: backend.vocabularySize)
    var best = [Double](repeating: .infinity, count: widths.count)
    var spent = 0.0
    var round = 0
    while round < 3 || (spent < limit && round < Self.mostRounds) {
      for (index, width) in widths.enumerated() {
        let time = try step(width: width, logits: logits)
        spent += time
        if round > 0 { best[index] = min(best[index], time) }
      }
      round += 1
    }
    return CostCurve(
      points: zip(widths, best).map { CostCurve.Point(width: $0, seconds: $1) }, origin: .measured)
  }

  private static let mostRounds = 64

  private func time(_ batch: ForwardBatch, _ logits: LogitsBuffer) throws(EngineError) -> Double {
    let begin = monotonicNanoseconds()
    try backend.forward(batch, logits: logits)
    return Double(monotonicNanoseconds() - begin) * 1e-9
  }

  /// Tokens that look random, so that rows of the embedding table are not all the same.
  private func token(_ index: Int) -> Token {
    Token((UInt64(index + 1) &* 0x9e37_79b9_7f4a_7c15 >> 33) % UInt64(backend.vocabularySize))
  }
}

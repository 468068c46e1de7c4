import MartletEngine
import MartletModel

/// Drives a backend by hand: sequences with pages of their own, chunks of any size.
final class TransformerDriver {
  let backend: TransformerBackend
  private var tables: [[PageID]] = []
  private var lengths: [Int] = []
  private var nextPage: PageID

  /// - Parameter firstPage: page ids start here, so that tests can scatter them.
  init(_ backend: TransformerBackend, firstPage: PageID = 0) {
    self.backend = backend
    nextPage = firstPage
  }

  /// A new, empty sequence.
  func sequence() -> Int {
    tables.append([])
    lengths.append(0)
    return tables.count - 1
  }

  /// A sequence with the content of another: full pages shared, the last one copied.
  func fork(_ sequence: Int) throws -> Int {
    tables.append(tables[sequence])
    lengths.append(lengths[sequence])
    let filled = lengths[sequence] % backend.pageTokens
    if filled > 0, let last = tables[sequence].last {
      let page = try newPage()
      backend.copyPage(from: last, to: page, positions: filled)
      tables[tables.count - 1][tables[sequence].count - 1] = page
    }
    return tables.count - 1
  }

  /// One forward that extends several sequences; the logits after every token, in order.
  func forward(_ work: [(sequence: Int, tokens: [Token])]) throws -> [[Float]] {
    var batch = ForwardBatch()
    for (index, item) in work.enumerated() {
      for token in item.tokens {
        let position = lengths[item.sequence]
        if position % backend.pageTokens == 0 { tables[item.sequence].append(try newPage()) }
        batch.tokens.append(
          BatchToken(token: token, position: position, sequence: index, wantsLogits: true))
        lengths[item.sequence] += 1
      }
    }
    batch.sequences = work.map { tables[$0.sequence] }
    let logits = try LogitsBuffer(
      rows: batch.tokens.count, vocabulary: backend.vocabularySize)
    try backend.forward(batch, logits: logits)
    return batch.tokens.indices.map { logits.row($0) }
  }

  /// The whole of `tokens` in chunks of `chunk`; the logits after every token.
  func run(_ tokens: [Token], chunk: Int) throws -> [[Float]] {
    let sequence = sequence()
    var rows: [[Float]] = []
    for begin in stride(from: 0, to: tokens.count, by: chunk) {
      rows += try forward([(sequence, Array(tokens[begin..<min(begin + chunk, tokens.count)]))])
    }
    return rows
  }

  private func newPage() throws -> PageID {
    defer { nextPage += 1 }
    try backend.reservePages(Int(nextPage) + 1)
    return nextPage
  }
}

import MartletEngine
import MartletModel

/// A backend whose rows are said to be nearly free, so that much is guessed; counts moves.
final class FreeRows: Backend, @unchecked Sendable {
  // @unchecked: `moves` is changed on the driver thread and read after the engine was shut down.
  private let inner: TransformerBackend
  private(set) var moves = 0
  init(_ inner: TransformerBackend) { self.inner = inner }
  var name: String { inner.name }
  var vocabularySize: Int { inner.vocabularySize }
  var contextLength: Int { inner.contextLength }
  var pageTokens: Int { inner.pageTokens }
  var bytesPerPage: Int { inner.bytesPerPage }
  var maximumBatchTokens: Int { inner.maximumBatchTokens }
  var tokenizer: any TokenCodec { inner.tokenizer }
  var supportsTrees: Bool { true }
  func reservePages(_ count: Int) throws(EngineError) { try inner.reservePages(count) }
  func copyPage(from source: PageID, to target: PageID, positions: Int) {
    inner.copyPage(from: source, to: target, positions: positions)
  }
  func movePosition(from source: (page: PageID, slot: Int), to target: (page: PageID, slot: Int)) {
    moves += 1
    inner.movePosition(from: source, to: target)
  }
  func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError) {
    try inner.forward(batch, logits: logits)
  }
  func statedStepSeconds(width: Int) -> Double? { 1 + 0.001 * Double(width) }
}

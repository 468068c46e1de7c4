import MartletEngine

/// A simulated backend with something about it changed: whatever is not stated is the inner one's.
package protocol BackendAround: Backend {
  var inner: SimulatedBackend { get }
}

extension BackendAround {
  package var name: String { inner.name }
  package var vocabularySize: Int { inner.vocabularySize }
  package var contextLength: Int { inner.contextLength }
  package var pageTokens: Int { inner.pageTokens }
  package var bytesPerPage: Int { inner.bytesPerPage }
  package var maximumBatchTokens: Int { inner.maximumBatchTokens }
  package var tokenizer: any TokenCodec { inner.tokenizer }

  package func reservePages(_ count: Int) throws(EngineError) { try inner.reservePages(count) }

  package func copyPage(from source: PageID, to target: PageID, positions: Int) {
    inner.copyPage(from: source, to: target, positions: positions)
  }

  package func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError) {
    try inner.forward(batch, logits: logits)
  }
}

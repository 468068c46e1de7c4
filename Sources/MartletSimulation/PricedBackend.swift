import MartletEngine
import MartletKernels
import Synchronization

/// A backend that computes as another one and says what its passes cost, so that whatever depends on
/// time (drafting above all) depends on a curve and not on what the machine does meanwhile.
///
/// The curve may be another machine's or another model's: texts come from the backend inside, time
/// from the curve. What a run would take there is ``virtualSeconds``.
public final class PricedBackend: Backend {
  private struct Counts {
    var seconds = 0.0
    var moves = 0
  }

  /// What passes cost.
  public let curve: CostCurve
  private let inner: any Backend
  private let counts = Mutex(Counts())

  /// `inner` with passes that cost what `curve` says, a row of a prompt as much as any.
  public init(_ inner: any Backend, curve: CostCurve) {
    self.inner = inner
    self.curve = curve
  }

  /// `inner` with rows that are nearly free, so that much is guessed.
  public convenience init(nearlyFree inner: any Backend) {
    self.init(
      inner,
      curve: CostCurve(
        points: [.init(width: 1, seconds: 1.001), .init(width: 1001, seconds: 2.001)],
        origin: .stated)!)
  }

  /// Seconds of all passes so far, by the curve.
  public var virtualSeconds: Double { counts.withLock { $0.seconds } }
  /// Positions of accepted tree nodes moved.
  public var moves: Int { counts.withLock { $0.moves } }

  public func statedStepSeconds(width: Int) -> Double? {
    curve.points[0].seconds * curve.cost(width)
  }

  public func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError) {
    try inner.forward(batch, logits: logits)
    let seconds = curve.points[0].seconds * curve.cost(batch.tokens.count)
    counts.withLock { $0.seconds += seconds }
  }

  public func movePosition(
    from source: (page: PageID, slot: Int), to target: (page: PageID, slot: Int)
  ) {
    inner.movePosition(from: source, to: target)
    counts.withLock { $0.moves += 1 }
  }

  // MARK: As the backend inside

  public var name: String { inner.name }
  public var vocabularySize: Int { inner.vocabularySize }
  public var contextLength: Int { inner.contextLength }
  public var pageTokens: Int { inner.pageTokens }
  public var bytesPerPage: Int { inner.bytesPerPage }
  public var maximumBatchTokens: Int { inner.maximumBatchTokens }
  public var tokenizer: any TokenCodec { inner.tokenizer }
  public var supportsTrees: Bool { inner.supportsTrees }
  public var supportsTeams: Bool { inner.supportsTeams }
  public var mostExitLayers: Int { inner.mostExitLayers }
  public var mostAppended: Int? { inner.mostAppended }
  public var hiddenWidth: Int? { inner.hiddenWidth }
  public func reservePages(_ count: Int) throws(EngineError) { try inner.reservePages(count) }
  public func copyPage(from source: PageID, to target: PageID, positions: Int) {
    inner.copyPage(from: source, to: target, positions: positions)
  }
  public func keepHiddenStates(byteLimit: Int) { inner.keepHiddenStates(byteLimit: byteLimit) }
  public func copyHiddenState(page: PageID, slot: Int, into target: FloatMatrix, row: Int) -> Bool {
    inner.copyHiddenState(page: page, slot: slot, into: target, row: row)
  }
}

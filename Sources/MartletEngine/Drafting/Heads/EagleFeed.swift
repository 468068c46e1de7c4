import MartletKernels
import MartletModel

/// Gathers the features that the rows of an EAGLE head's next pass continue: those of the model it
/// guesses for, or those that it made itself.
///
/// On the driver thread only.
final class EagleFeed {
  /// Whose feature a row continues.
  enum Source {
    /// The model's, in the pages of the sequence.
    case target
    /// The head's own, in its pages.
    case made
  }

  private let eagle: EagleForward
  private let target: any Backend
  private let features: FloatMatrix
  private var sources: [(source: Source, page: PageID, slot: Int)] = []

  /// - Throws: `EngineError` `.argument` for a target without hidden states of the head's width, or of
  ///   another vocabulary, `.memory`.
  init(_ eagle: EagleForward, _ target: any Backend) throws(EngineError) {
    guard target.hiddenWidth == eagle.width, target.vocabularySize == eagle.backend.vocabularySize
    else {
      throw EngineError(
        .argument,
        "\(eagle.backend.name): a head over hidden states of \(eagle.width) elements and "
          + "\(eagle.backend.vocabularySize) tokens cannot guess for \(target.name)")
    }
    self.eagle = eagle
    self.target = target
    do throws(KernelError) {
      features = try FloatMatrix(rows: eagle.backend.maximumBatchTokens, columns: eagle.width)
    } catch {
      throw TransformerBackend.engineError(error, "\(eagle.backend.name) cannot be set up")
    }
  }

  func check(for other: any Backend, _ name: String) throws(EngineError) {
    guard other === target else {
      throw EngineError(
        .argument,
        "the drafter \(name) reads the hidden states of \(target.name) in another engine; make one "
          + "for this engine's own backend")
    }
  }

  /// Whether the model's features of all `positions` are kept in `pages`.
  func canFeed(_ pages: [PageID], _ positions: Range<Int>) -> Bool {
    let size = target.pageTokens
    return stride(from: positions.lowerBound / size * size, to: positions.upperBound, by: size)
      .allSatisfy { position in
        pages.indices.contains(position / size)
          && target.copyHiddenState(page: pages[position / size], slot: 0, into: features, row: 0)
      }
  }

  /// Says what the next row of the coming pass continues: the feature in a slot of a page table.
  func add(_ source: Source, _ pages: [PageID], slot: Int) {
    let size = source == .target ? target.pageTokens : eagle.backend.pageTokens
    sources.append((source, pages[slot / size], slot % size))
  }

  /// Runs the head over the batch, for each of whose tokens a feature was added.
  func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError) {
    defer { sources.removeAll(keepingCapacity: true) }
    precondition(sources.count == batch.tokens.count, "a feature per token")
    for (row, (source, page, slot)) in sources.enumerated() {
      let backend: any Backend = source == .target ? target : eagle.backend
      guard backend.copyHiddenState(page: page, slot: slot, into: features, row: row) else {
        throw EngineError(
          .memory, "\(eagle.backend.name): the feature of slot \(slot) of page \(page) is not kept")
      }
    }
    try eagle.forward(batch, features: features, logits: logits)
  }
}

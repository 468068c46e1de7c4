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
  private let states: HiddenStateReader
  private var sources: [(source: Source, page: PageID, slot: Int)] = []

  /// - Throws: as ``HiddenStateReader``.
  init(_ name: String, _ eagle: EagleForward, _ target: any Backend) throws(EngineError) {
    self.eagle = eagle
    states = try HiddenStateReader(
      name, of: target, width: eagle.width, vocabularySize: eagle.backend.vocabularySize,
      rows: eagle.backend.maximumBatchTokens)
  }

  func check(for other: any Backend) throws(EngineError) { try states.check(for: other) }

  /// Whether the model's features of all `positions` are kept in `pages`.
  func canFeed(_ pages: [PageID], _ positions: Range<Int>) -> Bool {
    positions.allSatisfy { states.read(pages, slot: $0, into: 0) }
  }

  /// Says what the next row of the coming pass continues: the feature in a slot of a page table.
  func add(_ source: Source, _ pages: [PageID], slot: Int) {
    let size = source == .target ? states.target.pageTokens : eagle.backend.pageTokens
    sources.append((source, pages[slot / size], slot % size))
  }

  /// Runs the head over the batch, for each of whose tokens a feature was added.
  func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError) {
    defer { sources.removeAll(keepingCapacity: true) }
    precondition(sources.count == batch.tokens.count, "a feature per token")
    for (row, (source, page, slot)) in sources.enumerated() {
      let backend: any Backend = source == .target ? states.target : eagle.backend
      guard backend.copyHiddenState(page: page, slot: slot, into: states.features, row: row) else {
        throw EngineError(
          .memory, "\(eagle.backend.name): the feature of slot \(slot) of page \(page) is not kept")
      }
    }
    try eagle.forward(batch, features: states.features, logits: logits)
  }
}

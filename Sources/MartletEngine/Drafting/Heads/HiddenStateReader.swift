import MartletKernels
import MartletModel

/// Reads the hidden states that heads guess from: those of one backend, whose model they were trained
/// for. On the driver thread only.
struct HiddenStateReader {
  let target: any Backend
  /// Rows of hidden states, for a pass of the heads.
  let features: FloatMatrix
  private let name: String

  /// - Throws: `EngineError` `.argument` for a target without hidden states of `width` elements, or of
  ///   another vocabulary than `vocabularySize`, `.memory`.
  init(
    _ name: String, of target: any Backend, width: Int, vocabularySize: Int, rows: Int
  ) throws(EngineError) {
    guard target.hiddenWidth == width, target.vocabularySize == vocabularySize else {
      throw EngineError(
        .argument,
        "\(name): heads over hidden states of \(width) elements and \(vocabularySize) tokens cannot "
          + "guess for \(target.name)")
    }
    self.name = name
    self.target = target
    do throws(KernelError) {
      features = try FloatMatrix(rows: rows, columns: width)
    } catch {
      throw TransformerBackend.engineError(error, "\(name) cannot be set up")
    }
  }

  /// Throws `.argument` for an engine on another backend.
  func check(for backend: any Backend) throws(EngineError) {
    guard backend === target else {
      throw EngineError(
        .argument,
        "the drafter \(name) reads the hidden states of \(target.name) in another engine; make one "
          + "for this engine's own backend")
    }
  }

  /// Copies the hidden state of a slot of a page table into a row; false where none is kept.
  func read(_ pages: [PageID], slot: Int, into row: Int) -> Bool {
    let size = target.pageTokens
    return slot >= 0 && pages.indices.contains(slot / size)
      && target.copyHiddenState(
        page: pages[slot / size], slot: slot % size, into: features, row: row)
  }
}

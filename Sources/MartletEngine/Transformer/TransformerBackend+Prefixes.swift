import MartletKernels
import MartletModel

/// Pages of prompts for other prompts. Prompts attend to everything before them, so their pages follow
/// from the tokens alone wherever a row's bits do not depend on its batch.
extension TransformerBackend: PrefixSharing {
  public var prefixIdentity: String? {
    let numericClass = parts.output.numericClass
    guard numericClass != .openBLAS, promptsSeeEverything else { return nil }
    let c = parts.configuration
    let window = c.slidingWindow.map { ", window \($0)" } ?? ""
    // Only the portable class has the same bits on every level of instructions.
    let level = numericClass == .portable ? "" : " on \(ISA.active.joined(separator: "+"))"
    return "\(parts.name), \(parts.fingerprint); \(c.layers) layers of \(c.kvHeads) heads of "
      + "\(c.headDimensions)\(window); \(kvType.rawValue) keys and values in pages of "
      + "\(KVSlab.pageTokens), layout \(KVSlab.layoutVersion); \(numericClass.rawValue)\(level)"
  }

  /// Whether what prompts attend to is a rule of positions alone.
  private var promptsSeeEverything: Bool {
    if case .retrieve = attentionMethod { return true }
    if case .window = attentionMethod { return true }
    return attentionMethod == .exact
  }

  /// An index codes a page for one prompt, and turns it.
  public var sharesPrefixPages: Bool { retrieval == nil }

  public var prefixPageBytes: Int { slab.bytesPerPage }

  public func takePage(from source: PageID, to target: PageID) {
    slab.copy(from: Int(source), to: Int(target), positions: pageTokens)
    retrieval?.taken(Int(target))
    hiddenStates?.copyPage(from: source, to: target, positions: pageTokens)
  }

  public func pageBytes(_ page: PageID) throws(EngineError) -> [UInt8] {
    do throws(KernelError) {
      return try slab.bytes(of: Int(page))
    } catch {
      throw Self.engineError(error, "page \(page)")
    }
  }

  public func setPage(_ page: PageID, to bytes: [UInt8]) throws(EngineError) {
    do throws(KernelError) {
      try slab.fill(page: Int(page), with: bytes)
    } catch {
      throw EngineError(.data, error.message)
    }
    retrieval?.taken(Int(page))
    hiddenStates?.forget(page)
  }

  /// The positions whose queries an index is learned from.
  public func positionsToRepeat(prompt: Int, stored: Int) -> [Int] {
    retrieval?.sampledPositions(prompt: prompt).filter { $0 < stored } ?? []
  }

  public func repeatPositions(
    _ positions: [Int], tokens: [Token], table: [PageID], prompt: Int
  ) throws(EngineError) {
    let batch = ForwardBatch(
      tokens: zip(tokens, positions).map {
        BatchToken(token: $0, position: $1, sequence: 0, wantsLogits: false)
      }, sequences: [table], promptTokens: [prompt])
    try forward(batch, logits: LogitsBuffer(rows: 1, vocabulary: vocabularySize))
  }
}

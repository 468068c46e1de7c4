import MartletModel

/// A model that is not there: everything it says was said before, in the run that a ``DrawLog`` holds.
///
/// Passes compute nothing. A run on an engine with this backend draws what the log has; where it has nothing, it fails
/// with ``EngineError/Code/unrecorded``.
public final class ReplayBackend: Backend {
  /// The log in a form that can be written.
  public let document: DrawDocument
  let log: DrawLog
  private let codec: ReplayCodec

  /// A backend that says again what was recorded.
  public init(_ document: DrawDocument) throws(EngineError) {
    self.document = document
    log = try document.log()
    codec = ReplayCodec(document, log: log)
  }

  public var name: String { document.name }
  public var vocabularySize: Int { document.vocabularySize }
  public var contextLength: Int { document.contextLength }
  public var pageTokens: Int { document.pageTokens }
  public var bytesPerPage: Int { document.bytesPerPage }
  public var maximumBatchTokens: Int { document.maximumBatchTokens }
  public var tokenizer: any TokenCodec { codec }
  public func reservePages(_ count: Int) {}
  public func copyPage(from source: PageID, to target: PageID, positions: Int) {}
  public var supportsTeams: Bool { true }
  public var supportsShifts: Bool { true }
  public func shiftPosition(
    from source: (page: PageID, slot: Int), at old: Int, to target: (page: PageID, slot: Int),
    at new: Int
  ) {}
  public func forward(_ batch: ForwardBatch, logits: LogitsBuffer) {}
  public var costIdentity: String? { nil }

  /// What steps cost when the run was recorded; where nobody had asked, each row as much as the first.
  public func statedStepSeconds(width: Int) -> Double? {
    document.steps.first { $0.width == width }?.seconds ?? Double(width)
  }
}

/// The tokens and texts of a recorded run.
private struct ReplayCodec: TokenCodec {
  let vocabularySize: Int
  let bosToken: Token?
  let endOfGenerationTokens: Set<Token>
  private let log: DrawLog
  private let pieces: [Token: DrawDocument.Piece]

  init(_ document: DrawDocument, log: DrawLog) {
    vocabularySize = document.vocabularySize
    bosToken = document.bos
    endOfGenerationTokens = Set(document.ends)
    pieces = Dictionary(document.pieces.map { ($0.token, $0) }) { first, _ in first }
    self.log = log
  }

  func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [Token] {
    log.tokens(of: .init(text: text, addSpecial: addSpecial, parseSpecial: parseSpecial))
  }

  func bytes(of token: Token, renderSpecial: Bool) -> [UInt8] {
    guard let piece = pieces[token] else { return [] }
    return renderSpecial ? piece.special ?? piece.bytes : piece.bytes
  }
}

public import MartletModel

/// A vocabulary of ids without text, for a model whose file has no tokenizer or one of an unknown
/// kind: token ids go in and logits come out, and no text stands for any of them.
public struct TextlessCodec: TokenCodec {
  public let vocabularySize: Int
  public var bosToken: Token? { nil }
  public var endOfGenerationTokens: Set<Token> { [] }

  /// Ids 0 ..< `vocabularySize`.
  public init(vocabularySize: Int) { self.vocabularySize = vocabularySize }

  public func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [Token] { [] }
  public func bytes(of token: Token, renderSpecial: Bool) -> [UInt8] { [] }
}

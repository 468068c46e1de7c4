import MartletModel

/// Text to tokens and back: what the engine needs of a tokenizer.
///
/// `bytes(of:renderSpecial:)` must not depend on neighbouring tokens, so that text can be extended
/// and truncated token by token.
public protocol TokenCodec: Sendable {
  /// Number of token ids: 0 ..< `vocabularySize`.
  var vocabularySize: Int { get }
  /// The token that begins a sequence, where the model has one.
  var bosToken: Token? { get }
  /// Tokens with which the model ends a sequence or a turn.
  var endOfGenerationTokens: Set<Token> { get }
  /// The tokens of `text`. `addSpecial` adds the model's begin token where it wants one;
  /// `parseSpecial` reads control tokens written out in the text.
  func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [Token]
  /// The bytes of one token: possibly part of a UTF-8 character, empty for control tokens unless
  /// `renderSpecial`.
  func bytes(of token: Token, renderSpecial: Bool) -> [UInt8]
}

extension TokenCodec {
  /// The text of `tokens`, control tokens left out, invalid UTF-8 replaced.
  public func text(of tokens: [Token]) -> String {
    String(decoding: tokens.flatMap { bytes(of: $0, renderSpecial: false) }, as: UTF8.self)
  }
}

/// Turns text into the tokens a model was trained on, and back.
///
/// Two families are served: byte-level byte pair encoding with the pre-tokenizer that the model
/// file names ("Neural Machine Translation of Rare Words with Subword Units"; "Language Models are
/// Unsupervised Multitask Learners"), and SentencePiece's BPE with byte fallback ("SentencePiece: A
/// simple and language independent subword tokenizer"). Ids agree with llama.cpp's, token for
/// token.
///
/// Text that is not UTF-8 is taken as llama.cpp takes it: byte-level BPE reads a stray byte as
/// U+FFFD, SentencePiece keeps it as a byte token. A tokenizer is a value that threads may share;
/// encoding costs O(n log n) in the length of the text at worst, and no text is quadratic.
public struct Tokenizer: Sendable {
  private enum Encoder: Sendable {
    case bytePair(BytePairEncoder)
    case sentencePiece(SentencePieceEncoder)
  }

  /// The immutable tables, shared by copies.
  private final class Tables: Sendable {
    let encoder: Encoder
    let matcher: SpecialTokenMatcher
    let special: SpecialTokens
    /// What every token stands for in a text, special tokens by name.
    let pieces: ByteStrings

    init(
      encoder: Encoder, matcher: SpecialTokenMatcher, special: SpecialTokens, pieces: ByteStrings
    ) {
      self.encoder = encoder
      self.matcher = matcher
      self.special = special
      self.pieces = pieces
    }
  }

  private let tables: Tables

  /// The number of tokens.
  public let vocabularySize: Int
  /// The token that starts a sequence, if the vocabulary has one.
  public let bosToken: Token?
  /// The token that ends a sequence, if the vocabulary has one.
  public let eosToken: Token?
  /// The token for what cannot be encoded, if the vocabulary has one.
  public let unknownToken: Token?
  /// Every token after which a model stops: end of sequence, of turn, of message.
  public let endOfGenerationTokens: Set<Token>
  /// Whether `addSpecial` puts the beginning-of-sequence token first.
  public let addsBOS: Bool
  /// Whether `addSpecial` puts the end-of-sequence token last.
  public let addsEOS: Bool
  /// Whether a text gets a space before it (SentencePiece's habit), which decoding takes away.
  public let addsSpacePrefix: Bool

  /// Builds the tokenizer of a vocabulary.
  ///
  /// Throws `unsupported` for a tokenizer model or pre-tokenizer it does not know, naming it, and
  /// `tokenizer` where the vocabulary contradicts itself. Linear in the vocabulary's bytes.
  public init(vocabulary: TokenizerVocabulary) throws(ModelError) {
    let vocabulary = try vocabulary.checked()
    var defaults = SpecialTokens.Defaults()
    var preTokenizer: PreTokenizer?
    switch vocabulary.model {
    case "llama": defaults = .init(bos: 1, eos: 2, unknown: 0)
    case "gpt2":
      let named = try PreTokenizer.named(vocabulary.preTokenizer ?? "default")
      defaults = .init(bos: named.hasDefaultBOS ? 11 : nil, eos: 11)
      preTokenizer = named
    case "gemma4": preTokenizer = try PreTokenizer.named("gemma4")
    default:
      throw ModelError(
        .unsupported,
        "tokenizer.ggml.model is '\(vocabulary.model)'\(Self.kind(of: vocabulary.model)), which is "
          + "not supported; this version has 'llama' (SentencePiece), 'gpt2' and 'gemma4' (byte pair "
          + "encoding). Choose a model with one of these.")
    }
    let special = try SpecialTokens(vocabulary, defaults: defaults)
    let encoder: Encoder
    if let preTokenizer {
      encoder = .bytePair(
        BytePairEncoder(
          tokens: vocabulary.tokens, merges: vocabulary.merges, preTokenizer: preTokenizer))
    } else {
      encoder = .sentencePiece(
        try SentencePieceEncoder(
          tokens: vocabulary.tokens, scores: vocabulary.scores, unknown: special.unknown))
    }
    tables = Tables(
      encoder: encoder,
      matcher: SpecialTokenMatcher(tokens: vocabulary.tokens, attributes: special.attributes),
      special: special,
      pieces: TokenPieces.pieces(
        of: vocabulary.tokens, attributes: special.attributes,
        decodesBytes: preTokenizer.map { !$0.escapesWhitespace } ?? false))
    vocabularySize = vocabulary.tokens.count
    bosToken = special.bos
    eosToken = special.eos
    unknownToken = special.unknown
    endOfGenerationTokens = special.endOfGeneration
    let forced = preTokenizer?.forcesBOS ?? false
    addsBOS = forced || (vocabulary.addsBOS ?? preTokenizer?.addsBOS ?? true)
    addsEOS = vocabulary.addsEOS ?? false
    addsSpacePrefix = vocabulary.addsSpacePrefix ?? (preTokenizer == nil)
    if addsBOS, bosToken == nil, vocabulary.addsBOS == true {
      throw ModelError(
        .tokenizer,
        "tokenizer.ggml.add_bos_token is true, but the vocabulary has no such token: "
          + "tokenizer.ggml.bos_token_id is missing.")
    }
    if addsEOS, eosToken == nil {
      throw ModelError(
        .tokenizer,
        "tokenizer.ggml.add_eos_token is true, but the vocabulary has no such token: "
          + "tokenizer.ggml.eos_token_id is missing.")
    }
  }

  /// What a file's `tokenizer.ggml.model` is called elsewhere, for messages.
  private static func kind(of model: String) -> String {
    switch model {
    case "bert": " (WordPiece)"
    case "t5": " (Unigram)"
    case "rwkv": " (RWKV's greedy tokenizer)"
    case "none", "no_vocab": " (no vocabulary)"
    default: ""
    }
  }

  // MARK: Encoding

  /// The tokens of a text.
  ///
  /// `addSpecial` adds what the model expects around a text (see `addsBOS`, `addsEOS`);
  /// `parseSpecial` takes the names of special tokens in the text for those tokens, which only
  /// trusted text should do. User-defined tokens are always recognised.
  public func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [Token] {
    encode(Array(text.utf8), addSpecial: addSpecial, parseSpecial: parseSpecial)
  }

  /// The tokens of bytes, which need not be UTF-8.
  public func encode(_ bytes: [UInt8], addSpecial: Bool, parseSpecial: Bool) -> [Token] {
    var tokens: [Token] = []
    if addSpecial, addsBOS, let bosToken { tokens.append(bosToken) }
    var afterSpecial = true
    for fragment in tables.matcher.fragments(bytes.span, parseSpecial: parseSpecial) {
      switch fragment {
      case .token(let token):
        tokens.append(token)
        afterSpecial = true
      case .text(let range):
        switch tables.encoder {
        case .bytePair(let encoder): encoder.encode(bytes.span.extracting(range), into: &tokens)
        case .sentencePiece(let encoder):
          let prefixed = addsSpacePrefix && afterSpecial
          encoder.encode(Self.escaped(bytes[range], prefixed: prefixed), into: &tokens)
        }
        afterSpecial = false
      }
    }
    if addSpecial, addsEOS, let eosToken { tokens.append(eosToken) }
    return tokens
  }

  private static func escaped(_ text: ArraySlice<UInt8>, prefixed: Bool) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 2 + 3)
    if prefixed { result.append(contentsOf: TokenPieces.escapedSpace) }
    for byte in text {
      if byte == 0x20 {
        result.append(contentsOf: TokenPieces.escapedSpace)
      } else {
        result.append(byte)
      }
    }
    return result
  }

  // MARK: Decoding

  /// Whether a token is special: it stands for no text unless asked for by name.
  public func isSpecial(_ token: Token) -> Bool {
    contains(token)
      && !tables.special.attributes[Int(token)].isDisjoint(with: [.control, .unknown])
  }

  /// Whether generation ends after this token.
  public func isEndOfGeneration(_ token: Token) -> Bool { endOfGenerationTokens.contains(token) }

  /// The bytes a token stands for; nothing for a number outside the vocabulary, and for special
  /// tokens nothing or, with `renderSpecial`, their names.
  public func bytes(of token: Token, renderSpecial: Bool = false) -> [UInt8] {
    guard contains(token), renderSpecial || !isSpecial(token) else { return [] }
    return Array(tables.pieces[Int(token)])
  }

  /// The text of a token, special tokens by name, with U+FFFD for bytes that are not UTF-8.
  public func text(of token: Token) -> String {
    String(decoding: bytes(of: token, renderSpecial: true), as: UTF8.self)
  }

  /// The text of tokens; see `StreamDecoder` for the rules, which are the same.
  public func decode(
    _ tokens: [Token], renderSpecial: Bool = false, continuation: Bool = false
  ) -> String {
    String(
      decoding: decodeBytes(tokens, renderSpecial: renderSpecial, continuation: continuation),
      as: UTF8.self)
  }

  /// The bytes of tokens, before invalid UTF-8 is replaced.
  public func decodeBytes(
    _ tokens: [Token], renderSpecial: Bool = false, continuation: Bool = false
  ) -> [UInt8] {
    var result: [UInt8] = []
    var dropsSpace = addsSpacePrefix && !continuation
    for token in tokens {
      let piece = bytes(of: token, renderSpecial: renderSpecial)
      if piece.isEmpty { continue }
      let drops = dropsSpace && piece[0] == 0x20 && !isUserDefined(token)
      result.append(contentsOf: drops ? piece.dropFirst() : piece[...])
      dropsSpace = false
    }
    return result
  }

  /// Whether a token is found in a text before SentencePiece puts its space there, so that a space
  /// it starts with is the text's own.
  func isUserDefined(_ token: Token) -> Bool {
    contains(token) && tables.special.attributes[Int(token)].contains(.userDefined)
  }

  private func contains(_ token: Token) -> Bool { token >= 0 && Int(token) < vocabularySize }
}

/// Everything a tokenizer is made of, as a model file states it.
///
/// Nil flags and ids mean that the file does not say; the tokenizer then takes the habit of the
/// model family, as llama.cpp does.
public struct TokenizerVocabulary: Sendable {
  /// The special tokens that metadata names by id (`tokenizer.ggml.*_token_id`).
  public struct SpecialIDs: Sendable, Equatable {
    public var bos: Int?
    public var eos: Int?
    public var unknown: Int?
    public var endOfTurn: Int?
    public var endOfMessage: Int?
    public var fimPad: Int?
    public var fimRepository: Int?
    public var fimSeparator: Int?

    /// No ids named.
    public init() {}
  }

  /// `tokenizer.ggml.model`: "llama" (SentencePiece), "gpt2" or "gemma4" (byte pair encoding).
  public var model: String
  /// `tokenizer.ggml.pre`, for byte pair encoding; nil means "default".
  public var preTokenizer: String?
  /// The text of every token as stored; an empty one becomes `[EMPTY_id]`.
  public var tokens: ByteStrings
  /// A score per token, for SentencePiece; empty when the file has none.
  public var scores: [Float] = []
  /// A type per token (1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte); empty
  /// when the file has none.
  public var types: [Int32] = []
  /// Merges, best first, each two pieces with a space between.
  public var merges = ByteStrings()
  public var special = SpecialIDs()
  public var addsBOS: Bool?
  public var addsEOS: Bool?
  public var addsSpacePrefix: Bool?
  /// `tokenizer.ggml.remove_extra_whitespaces`: kept for information; neither SentencePiece's BPE
  /// nor byte pair encoding uses it.
  public var removesExtraWhitespace: Bool?
  /// `general.name` and `general.architecture`: a few families have rules of their own.
  public var modelName = ""
  public var architecture = ""

  /// A vocabulary of tokens.
  public init(model: String, preTokenizer: String? = nil, tokens: ByteStrings) {
    self.model = model
    self.preTokenizer = preTokenizer
    self.tokens = tokens
  }
}

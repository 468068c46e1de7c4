extension TokenizerVocabulary {
  /// Reads the vocabulary that a model file's metadata states.
  ///
  /// Throws where a key has the wrong type, and `missing` where there are no tokens or, for byte
  /// pair encoding, no merges.
  public init(metadata: GGUFMetadata) throws(ModelError) {
    let tokens = try Self.strings(metadata.array("tokenizer.ggml.tokens"))
    self.init(
      model: try metadata.string("tokenizer.ggml.model"),
      preTokenizer: try metadata.optionalString("tokenizer.ggml.pre"), tokens: tokens)
    if preTokenizer?.isEmpty == true { preTokenizer = nil }
    if let array = try metadata.optionalArray("tokenizer.ggml.scores") {
      scores = try array.floats().map { Float($0) }
    }
    if let array = try metadata.optionalArray("tokenizer.ggml.token_type") {
      types = try array.integers().map { Int32(clamping: $0) }
    }
    if let array = try metadata.optionalArray("tokenizer.ggml.merges") {
      merges = try Self.strings(array)
    } else if model == "gpt2" || model == "gemma4", preTokenizer != "kimi-k2" {
      throw ModelError(
        .missing,
        "\(metadata.source): tokenizer.ggml.merges is missing, so text cannot be encoded. "
          + "Convert the model again.")
    }
    special.bos = try metadata.optionalInt("tokenizer.ggml.bos_token_id")
    special.eos = try metadata.optionalInt("tokenizer.ggml.eos_token_id")
    special.unknown = try metadata.optionalInt("tokenizer.ggml.unknown_token_id")
    special.endOfTurn = try metadata.optionalInt("tokenizer.ggml.eot_token_id")
    special.endOfMessage = try metadata.optionalInt("tokenizer.ggml.eom_token_id")
    special.fimPad = try metadata.optionalInt("tokenizer.ggml.fim_pad_token_id")
    special.fimRepository = try metadata.optionalInt("tokenizer.ggml.fim_rep_token_id")
    special.fimSeparator = try metadata.optionalInt("tokenizer.ggml.fim_sep_token_id")
    addsBOS = try metadata.optionalBool("tokenizer.ggml.add_bos_token")
    addsEOS = try metadata.optionalBool("tokenizer.ggml.add_eos_token")
    addsSpacePrefix = try metadata.optionalBool("tokenizer.ggml.add_space_prefix")
    removesExtraWhitespace = try metadata.optionalBool("tokenizer.ggml.remove_extra_whitespaces")
    modelName = try metadata.optionalString("general.name") ?? ""
    architecture = try metadata.optionalString("general.architecture") ?? ""
  }

  private static func strings(_ array: GGUFArray) throws(ModelError) -> ByteStrings {
    var strings = ByteStrings()
    strings.reserve(strings: array.count, bytes: array.count * 8)
    try array.forEachString { (_, bytes) in strings.append(bytes) }
    return strings
  }
}

extension Tokenizer {
  /// The tokenizer that a model file's metadata describes.
  public init(metadata: GGUFMetadata) throws(ModelError) {
    do throws(ModelError) {
      try self.init(vocabulary: TokenizerVocabulary(metadata: metadata))
    } catch {
      guard error.message.hasPrefix(metadata.source) else {
        throw ModelError(error.code, "\(metadata.source): \(error.message)")
      }
      throw error
    }
  }
}

extension TokenizerVocabulary {
  /// The vocabulary with gaps filled, or an error that names what contradicts itself.
  func checked() throws(ModelError) -> TokenizerVocabulary {
    func damaged(_ message: String) -> ModelError {
      ModelError(.tokenizer, message + " The file is damaged or was converted wrongly.")
    }
    guard tokens.count > 0 else { throw damaged("tokenizer.ggml.tokens is empty.") }
    guard tokens.count <= Int(Token.max) / 4 else {
      throw damaged("tokenizer.ggml.tokens has \(tokens.count) entries.")
    }
    var copy = self
    var filled = ByteStrings()
    var seen = ByteStringIndex(capacity: tokens.count)
    for token in 0..<tokens.count {
      var text = Array(tokens[token])
      if text.isEmpty { text = Array("[EMPTY_\(token)]".utf8) }
      let first = seen.insert(text.span, value: Int32(token))
      guard first == token else {
        throw damaged(
          "tokenizer.ggml.tokens[\(token)] repeats token \(first), '\(tokens.text(Int(first)))'.")
      }
      filled.append(text)
    }
    copy.tokens = filled
    guard scores.isEmpty || scores.count >= tokens.count else {
      throw damaged(
        "tokenizer.ggml.scores has \(scores.count) entries for \(tokens.count) tokens.")
    }
    copy.scores =
      scores.isEmpty
      ? [Float](repeating: 0, count: tokens.count) : Array(scores.prefix(tokens.count))
    if let bad = copy.scores.firstIndex(where: { $0.isNaN }) {
      throw damaged("tokenizer.ggml.scores[\(bad)] is not a number.")
    }
    guard types.isEmpty || types.count >= tokens.count else {
      throw damaged(
        "tokenizer.ggml.token_type has \(types.count) entries for \(tokens.count) tokens.")
    }
    return copy
  }
}

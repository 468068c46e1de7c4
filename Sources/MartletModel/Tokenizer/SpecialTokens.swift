/// The special tokens of a vocabulary and the rules by which names make tokens special.
///
/// Files often leave out which tokens end a generation, so well-known names decide, as in
/// llama.cpp. Where several tokens could take one role, the first name of its list takes it.
struct SpecialTokens: Sendable {
  /// What a model family takes for ids that the file does not state.
  struct Defaults {
    var bos: Token?
    var eos: Token?
    var unknown: Token?
  }

  private(set) var attributes: [TokenAttributes]
  private(set) var bos: Token?
  private(set) var eos: Token?
  private(set) var unknown: Token?
  /// Every token after which nothing more is generated.
  private(set) var endOfGeneration: Set<Token> = []

  private var names: [String: Token]
  private let tokenCount: Int

  init(
    _ vocabulary: TokenizerVocabulary, defaults: Defaults
  ) throws(ModelError) {
    tokenCount = vocabulary.tokens.count
    let types = vocabulary.types
    attributes = (0..<tokenCount).map { types.isEmpty ? .normal : TokenAttributes(type: types[$0]) }
    names = [:]
    for token in 0..<tokenCount {
      guard Self.firstBytes.contains(vocabulary.tokens[token].first ?? 0) else { continue }
      let text = vocabulary.tokens.text(token)
      if Self.allNames.contains(text) { names[text] = Token(token) }
    }
    let ids = vocabulary.special
    bos = try role("bos", ids.bos, default: defaults.bos)
    eos = try role("eos", ids.eos, default: defaults.eos)
    unknown = try role("unknown", ids.unknown, default: defaults.unknown)
    let endOfTurn = try role("eot", ids.endOfTurn, names: Self.endOfTurnNames)
    let endOfMessage = try role("eom", ids.endOfMessage, names: ["<|eom_id|>"])
    _ = try role("fim_pre", names: Self.fimPrefixNames)
    _ = try role("fim_suf", names: Self.fimSuffixNames)
    _ = try role("fim_mid", names: Self.fimMiddleNames)
    let pad = try role("fim_pad", ids.fimPad, names: Self.fimPadNames)
    let repository = try role("fim_rep", ids.fimRepository, names: Self.fimRepositoryNames)
    let separator = try role("fim_sep", ids.fimSeparator, names: ["<|file_sep|>"])

    for name in Self.endNames {
      guard let token = names[name] else { continue }
      endOfGeneration.insert(token)
      attributes[Int(token)].insert(.control)
    }
    for name in ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"] {
      if let token = names[name] { attributes[Int(token)] = .userDefined }
    }
    for token in [pad, repository, separator, eos, endOfTurn, endOfMessage] {
      if let token { endOfGeneration.insert(token) }
    }
    correctEndOfGeneration()
    applyFamilyRules(vocabulary)
  }

  /// The token of a role: the stated id, the first known name, or the default.
  private mutating func role(
    _ key: String, _ stated: Int? = nil, names candidates: [String] = [],
    default fallback: Token? = nil
  ) throws(ModelError) -> Token? {
    // Converters write 2^32 - 1 for "none".
    if let stated, stated != -1, stated != 0xffff_ffff {
      guard stated >= 0, stated < tokenCount else {
        throw ModelError(
          .tokenizer,
          "tokenizer.ggml.\(key)_token_id is \(stated), but the vocabulary has \(tokenCount) "
            + "tokens. The file is damaged or was converted wrongly.")
      }
      return Token(stated)
    }
    for name in candidates {
      guard let token = names[name] else { continue }
      attributes[Int(token)].insert(.control)
      return token
    }
    return fallback.flatMap { Int($0) < tokenCount ? $0 : nil }
  }

  private mutating func correctEndOfGeneration() {
    func ends(_ name: String) -> Bool { names[name].map(endOfGeneration.contains) ?? false }
    // In the harmony and Solar formats `<|end|>` closes a message, not the generation.
    let calls = ends("<|call|>") || ends("<|calls|>")
    if calls, ends("<|return|>") || ends("<|flush|>"), ends("<|end|>"), let end = names["<|end|>"] {
      endOfGeneration.remove(end)
      attributes[Int(end)] = .userDefined
    }
    // Gemma 4 and PLaMo have `</s>` as ordinary text.
    if ends("<|tool_response>") || ends("<|plamo:eos|>"), ends("</s>"), let end = names["</s>"] {
      endOfGeneration.remove(end)
      attributes[Int(end)] = .normal
    }
  }

  /// Tokens that take whitespace beside them; files do not say it, so model names do.
  private mutating func applyFamilyRules(_ vocabulary: TokenizerVocabulary) {
    let name = vocabulary.modelName.lowercased()
    let pre = vocabulary.preTokenizer ?? ""
    func contains(_ text: String, _ parts: [String]) -> Bool {
      parts.contains { text.contains($0) }
    }
    if contains(pre, ["jina-v2-de", "jina-v2-es", "jina-v2-code"])
      || contains(vocabulary.architecture, ["nomic-bert-moe", "jina-bert-v3"])
    {
      if let mask = names["<mask>"] { attributes[Int(mask)].insert(.stripsLeft) }
    } else if contains(name, ["phi-3", "phi3"]) {
      for token in attributes.indices
      where !attributes[token].isDisjoint(with: [.control, .userDefined, .unknown]) {
        attributes[token].insert(.stripsRight)
      }
      if let end = names["</s>"] { attributes[Int(end)].insert(.stripsRight) }
      for name in ["<unk>", "<s>", "<|endoftext|>"] {
        if let token = names[name] { attributes[Int(token)].remove(.stripsRight) }
      }
    } else if contains(name, ["modern-bert"]) {
      if let mask = names["[MASK]"] { attributes[Int(mask)].insert(.stripsLeft) }
    }
  }

  private static let endOfTurnNames = [
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
    "<EOT>", "_<EOT>", "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>",
  ]
  private static let fimPrefixNames = [
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
    "<|code_prefix|>", "<|prefix|>",
  ]
  private static let fimSuffixNames = [
    "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
    "<|code_suffix|>", "<|suffix|>",
  ]
  private static let fimMiddleNames = [
    "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
    "<|code_middle|>", "<|middle|>",
  ]
  private static let fimPadNames = ["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]
  private static let fimRepositoryNames = [
    "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>",
  ]
  private static let endNames = [
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<｜end▁of▁sentence｜>", "[e~[",
  ]
  private static let otherNames = [
    "<|file_sep|>", "<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", "<|plamo:eos|>",
    "<unk>", "<s>", "<mask>", "[MASK]",
  ]
  private static let allNames = Set(
    endOfTurnNames + fimPrefixNames + fimSuffixNames + fimMiddleNames + fimPadNames
      + fimRepositoryNames + endNames + otherNames)
  private static let firstBytes = Set(allNames.compactMap(\.utf8.first))
}

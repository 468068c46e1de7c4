import MartletModel
import Testing

@Suite struct TokenizerTests {
  // MARK: There and back

  @Test(arguments: ["default", "llama-bpe", "qwen2", "gpt-4o", "deepseek-v3", "superbpe"])
  func validTextComesBack(pre: String) throws {
    let tokenizer = try TokenizerFixture.tokenizer("byte-level", pre: pre)
    for seed in UInt64(0)..<200 {
      var random = SeededBytes(seed)
      let text = random.text(Int.random(in: 0...60, using: &random))
      let tokens = tokenizer.encode(text, addSpecial: true, parseSpecial: false)
      #expect(tokenizer.decode(tokens) == text, "seed \(seed)")
    }
  }

  /// As in the reference, byte-level BPE reads each stray byte as U+FFFD.
  @Test func strayBytesBecomeReplacementCharacters() throws {
    let tokenizer = try TokenizerFixture.tokenizer("byte-level", pre: "qwen2")
    let tokens = tokenizer.encode(
      [0x61, 0xff, 0x80, 0xe4, 0xb8, 0x62, 0xf8], addSpecial: false, parseSpecial: false)
    #expect(tokenizer.decode(tokens) == "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}b\u{fffd}")
    // Beyond U+10FFFF, where the reference fails altogether.
    let beyond = tokenizer.encode(
      [0xf4, 0x90, 0x80, 0x80], addSpecial: false, parseSpecial: false)
    #expect(tokenizer.decode(beyond) == "\u{fffd}\u{fffd}\u{fffd}\u{fffd}")
  }

  /// A space after a byte that claims more bytes than follow is taken for them, as in the
  /// reference, so the texts here have no spaces.
  @Test func anyBytesComeBackFromSentencePiece() throws {
    let tokenizer = try TokenizerFixture.tokenizer("sentence-piece")
    for seed in UInt64(0)..<300 {
      var random = SeededBytes(seed)
      let bytes = random.bytes(Int.random(in: 0...80, using: &random)).filter { $0 != 0x20 }
      let tokens = tokenizer.encode(bytes, addSpecial: true, parseSpecial: false)
      #expect(tokenizer.decodeBytes(tokens) == bytes, "seed \(seed)")
    }
  }

  @Test func leadingSpaceIsOnlyTakenFromTheStartOfAText() throws {
    let tokenizer = try TokenizerFixture.tokenizer("sentence-piece")
    let tokens = tokenizer.encode("the heron waits", addSpecial: false, parseSpecial: false)
    #expect(tokenizer.decode(tokens) == "the heron waits")
    #expect(tokenizer.decode(tokens, continuation: true) == " the heron waits")
    #expect(tokenizer.decode([1] + tokens) == "the heron waits")
  }

  // MARK: Streams

  @Test(arguments: ["byte-level", "sentence-piece"])
  func streamingGivesTheSameText(fixture: String) throws {
    let tokenizer = try TokenizerFixture.tokenizer(fixture)
    for seed in UInt64(0)..<400 {
      var random = SeededBytes(seed)
      let count = Int.random(in: 0...40, using: &random)
      let tokens = (0..<count).map { _ in
        Token.random(in: -2..<Token(tokenizer.vocabularySize + 2), using: &random)
      }
      for continuation in [false, true] {
        var decoder = tokenizer.streamDecoder(continuation: continuation)
        var text = ""
        for token in tokens { text += decoder.append(token) }
        text += decoder.finish()
        let whole = tokenizer.decode(tokens, continuation: continuation)
        #expect(Array(text.utf8) == Array(whole.utf8), "seed \(seed)")
      }
    }
  }

  @Test func streamsKeepIncompleteCharactersBack() throws {
    let tokenizer = try TokenizerFixture.tokenizer("sentence-piece")
    let bytes = try Array("😀".utf8).map { byte in
      try #require(
        tokenizer.encode([byte], addSpecial: false, parseSpecial: false).last)
    }
    var decoder = tokenizer.streamDecoder(continuation: true)
    #expect(bytes.dropLast().map { decoder.append($0) } == ["", "", ""])
    #expect(decoder.append(bytes[3]) == "😀")
    #expect(decoder.append(bytes[0]) == "")
    #expect(decoder.append(bytes[0]) == "\u{fffd}")
    #expect(decoder.finish() == "\u{fffd}")
    #expect(decoder.finish() == "")
  }

  // MARK: Special tokens

  @Test func specialTokensNeedPermission() throws {
    let tokenizer = try TokenizerFixture.tokenizer("byte-level", pre: "qwen2")
    let parsed = tokenizer.encode("<|im_end|>", addSpecial: false, parseSpecial: true)
    #expect(parsed.count == 1)
    #expect(tokenizer.isEndOfGeneration(parsed[0]))
    #expect(tokenizer.text(of: parsed[0]) == "<|im_end|>")
    #expect(tokenizer.bytes(of: parsed[0]).isEmpty)
    #expect(tokenizer.decode(parsed, renderSpecial: true) == "<|im_end|>")
    // User-defined tokens are recognised either way.
    let tool = tokenizer.encode("<tool_call>", addSpecial: false, parseSpecial: false)
    #expect(tool.count == 1)
  }

  // MARK: Size

  @Test(arguments: ["default", "llama-bpe", "tekken", "jais-2", "deepseek-llm", "kimi-k2"])
  func aMegabyteOfOneCharacterIsNoTrouble(pre: String) throws {
    let tokenizer = try TokenizerFixture.tokenizer("byte-level", pre: pre)
    for byte in Array("a 1\n'".utf8) {
      let text = [UInt8](repeating: byte, count: 200_000)
      let tokens = tokenizer.encode(text, addSpecial: false, parseSpecial: true)
      // Not inside #expect, which would print a megabyte.
      let isSame = tokenizer.decodeBytes(tokens) == text
      #expect(isSame, "byte \(byte)")
    }
  }

  @Test func aMegabyteIsNoTroubleForSentencePiece() throws {
    let tokenizer = try TokenizerFixture.tokenizer("sentence-piece")
    for byte in Array("e ".utf8) {
      let text = [UInt8](repeating: byte, count: 1 << 20)
      let tokens = tokenizer.encode(text, addSpecial: false, parseSpecial: true)
      // Not inside #expect, which would print a megabyte.
      let isSame = tokenizer.decodeBytes(tokens) == text
      #expect(isSame, "byte \(byte)")
    }
  }

  // MARK: Bad vocabularies

  private func tiny() -> TokenizerVocabulary {
    var vocabulary = TokenizerVocabulary(
      model: "llama", tokens: ByteStrings(["<unk>", "<s>", "</s>", "a", "b", "ab"]))
    vocabulary.types = [2, 3, 3, 1, 1, 1]
    return vocabulary
  }

  @Test func badVocabulariesAreRefused() throws {
    func refuses(_ text: String, _ change: (inout TokenizerVocabulary) -> Void) {
      var vocabulary = tiny()
      change(&vocabulary)
      let error = #expect(throws: ModelError.self) {
        _ = try Tokenizer(vocabulary: vocabulary)
      }
      #expect(error?.message.contains(text) == true, "\(error?.message ?? "no error")")
    }
    refuses("repeats token 3") {
      $0.tokens.append("a".utf8)
      $0.types.append(1)
    }
    refuses("empty") { $0.tokens = ByteStrings() }
    refuses("bos_token_id is 6") { $0.special.bos = 6 }
    refuses("eos_token_id is -2") { $0.special.eos = -2 }
    refuses("eot_token_id") { $0.special.endOfTurn = 1 << 40 }
    refuses("scores has 2") { $0.scores = [0, 1] }
    refuses("not a number") { $0.scores = [0, 0, 0, .nan, 0, 0] }
    refuses("token_type has 1") { $0.types = [1] }
    refuses("'t5'") { $0.model = "t5" }
    refuses("'no-such-pre'") {
      $0.model = "gpt2"
      $0.preTokenizer = "no-such-pre"
    }
    refuses("qwen2") {
      $0.model = "gpt2"
      $0.preTokenizer = "no-such-pre"
    }
  }

  @Test func missingBytesBecomeTheUnknownToken() throws {
    let tokenizer = try Tokenizer(vocabulary: tiny())
    #expect(
      tokenizer.encode("abz", addSpecial: true, parseSpecial: false) == [1, 0, 0, 0, 5, 0])
  }

  @Test func otherKindsOfTokenizerAreNamed() throws {
    for (model, kind) in [("bert", "WordPiece"), ("t5", "Unigram"), ("novel", "'novel'")] {
      var file = GGUFBytes()
      file.add("tokenizer.ggml.model", model)
      file.add("tokenizer.ggml.tokens", ["[UNK]", "[CLS]", "a", "##b"])
      let folder = try TemporaryFolder()
      let path = try folder.write(file.bytes)
      let error = modelError { _ = try Tokenizer(metadata: GGUFFile(path: path).metadata) }
      #expect(error?.code == .unsupported)
      #expect(error?.message.contains(kind) == true, "\(error?.message ?? "")")
    }
  }

  @Test func mergesOfUnknownTokensDoNoHarm() throws {
    var vocabulary = TokenizerVocabulary(
      model: "gpt2", preTokenizer: "gpt-2", tokens: ByteStrings(["a", "b", "Ġ", ""]))
    vocabulary.merges = ByteStrings([
      "a b", "q zz", "ab a", "nospace", " ", "", "a  b", "é \u{2603}",
    ])
    let tokenizer = try Tokenizer(vocabulary: vocabulary)
    // "ab" merges though it is no token; its bytes are then written out.
    #expect(tokenizer.encode("ab a", addSpecial: false, parseSpecial: false) == [0, 1, 2, 0])
    // A byte without a token is left out, as in the reference.
    #expect(tokenizer.encode("azb", addSpecial: false, parseSpecial: false) == [0, 1])
    #expect(tokenizer.text(of: 3) == "[EMPTY_3]")
    #expect(tokenizer.text(of: -1) == "" && tokenizer.text(of: 99) == "")
  }

  @Test func leftmostOfEqualMergesGoesFirst() throws {
    var vocabulary = TokenizerVocabulary(
      model: "gpt2", preTokenizer: "gpt-2", tokens: ByteStrings(["a", "aa"]))
    vocabulary.merges = ByteStrings(["a a"])
    let tokenizer = try Tokenizer(vocabulary: vocabulary)
    for count in 1...100 {
      let tokens = tokenizer.encode(
        String(repeating: "a", count: count), addSpecial: false, parseSpecial: false)
      #expect(
        tokens == [Token](repeating: 1, count: count / 2) + [Token](repeating: 0, count: count % 2))
    }
  }
}

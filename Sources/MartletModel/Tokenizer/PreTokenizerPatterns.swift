/// The expressions that model files name, as alternatives over classes of code points.
enum PreTokenizerPatterns {
  private static let notSpaceOrWord = ScalarClass.whitespace.union(.letter).union(.number).inverted
  private static let notNewlineOrWord = ScalarClass.newline.union(.letter).union(.number).inverted
  private static let letterOrMark = ScalarClass.letter.union(.mark)
  private static let punctuationOrSymbol = ScalarClass.punctuation.union(.symbol)
  private static let asciiMarks = ScalarClass.asciiPunctuation.union(.asciiSymbol)

  private static let spaces: [PatternElement] = [.some(.whitespace), .beforeWhitespace]
  private static let anySpaces: [PatternElement] = [.some(.whitespace)]
  private static let marksThenNewlines: [PatternElement] = [
    .optional(.space), .some(notSpaceOrWord), .any(.newline),
  ]

  /// `'s|'t|…| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  static let gpt2 = SplitPattern(
    [.contraction],
    [.optional(.space), .some(.letter)],
    [.optional(.space), .some(.number)],
    [.optional(.space), .some(notSpaceOrWord)],
    spaces, anySpaces)

  /// Words with at most one other character before them, and runs of up to `digits` digits.
  ///
  /// `'s…|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,d}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
  static func words(digits: Int, contractions: Bool = true) -> SplitPattern {
    var pattern = SplitPattern(
      [.optional(notNewlineOrWord), .some(.letter)],
      [.between(1, digits, .number)],
      marksThenNewlines, [.throughNewline], spaces, anySpaces)
    if contractions { pattern.alternatives.insert([.anyCaseContraction], at: 0) }
    return pattern
  }

  /// `words(digits: 1)` where combining marks belong to words.
  static let qwen35 = SplitPattern(
    [.anyCaseContraction],
    [.optional(notNewlineOrWord), .some(letterOrMark)],
    [.one(.number)],
    [
      .optional(.space), .some(notSpaceOrWord.subtracting(.mark)), .any(.newline),
    ],
    [.throughNewline], spaces, anySpaces)

  /// `words(digits: 3)` with runs of spaces in powers of two.
  static let jais2: SplitPattern = {
    var pattern = words(digits: 3)
    pattern.alternatives.removeLast(2)
    for size in [512, 256, 128, 64, 32, 16, 8, 4] {
      pattern.alternatives.append([.between(size, size, .whitespace), .beforeWhitespace])
    }
    pattern.alternatives.append([.between(1, 2, .whitespace), .beforeWhitespace])
    pattern.alternatives.append([.one(.whitespace)])
    return pattern
  }()

  /// `words(digits: 1)` where marks do not take the newlines after them.
  static let seedCoder = SplitPattern(
    [.anyCaseContraction],
    [.optional(notNewlineOrWord), .some(.letter)],
    [.one(.number)],
    [.optional(.space), .some(notSpaceOrWord)],
    [.throughNewline], spaces, anySpaces)

  /// Phrases: words joined by single spaces; marks take one newline or slash.
  static let exaoneMoE = SplitPattern(
    [.anyCaseContraction],
    [.optional(notNewlineOrWord), .phrase],
    [.one(.number)],
    [
      .optional(.space), .some(notSpaceOrWord), .optional(ScalarClass.newline.union(.slash)),
    ],
    [.throughNewline], spaces, anySpaces)

  /// Words cut where lower case turns to upper case, as GPT-4o and Tekken do.
  ///
  /// `upper` and `lower` are the classes of the two halves of a word.
  static func casedWords(
    upper: ScalarClass, lower: ScalarClass, digits: Int, contractions: Bool
  ) -> SplitPattern {
    let tail: [PatternElement] = contractions ? [.optionalAnyCaseContraction] : []
    return SplitPattern(
      [.optional(notNewlineOrWord), .any(upper), .some(lower)] + tail,
      [.optional(notNewlineOrWord), .some(upper), .any(lower)] + tail,
      [.between(1, digits, .number)],
      [
        .optional(.space), .some(notSpaceOrWord), .any(ScalarClass.newline.union(.slash)),
      ],
      [.throughNewline], spaces, anySpaces)
  }

  static let notASCIILower = ScalarClass.letter.subtracting(.asciiLower)
  static let notASCIIUpper = ScalarClass.letter.subtracting(.asciiUpper)
  static let tekken = casedWords(
    upper: notASCIILower, lower: notASCIIUpper, digits: 1, contractions: false)
  static let gpt4o = casedWords(
    upper: notASCIILower, lower: notASCIIUpper, digits: 3, contractions: true)
  static let gpt4oMarks = casedWords(
    upper: notASCIILower.union(.mark), lower: notASCIIUpper.union(.mark), digits: 3,
    contractions: true)
  static func uncasedWords(digits: Int) -> SplitPattern {
    casedWords(upper: letterOrMark, lower: letterOrMark, digits: digits, contractions: true)
  }

  /// DeepSeek 3: an ASCII mark with the letters after it, words with marks, punctuation.
  static let deepSeek3 = SplitPattern(
    [.one(asciiMarks), .some(.asciiLetter)],
    [
      .optional(
        ScalarClass.newline.union(.letter).union(punctuationOrSymbol).inverted),
      .some(letterOrMark),
    ],
    [.optional(.space), .some(punctuationOrSymbol), .any(.newline)],
    [.throughNewline], spaces, anySpaces)

  /// `deepSeek3` with every newline alone.
  static let spark: SplitPattern = {
    var pattern = deepSeek3
    pattern.alternatives[2].removeLast()
    pattern.alternatives[3] = [.one(.newline)]
    return pattern
  }()

  /// What Kimi K2 does outside words.
  static let kimiRest = SplitPattern(
    [.between(1, 3, .number)], marksThenNewlines, [.throughNewline], spaces, anySpaces)

  static let newline = SplitPattern([.one(.newline)])
  static let newlineRuns = SplitPattern([.some(ScalarClass.lineFeed.inverted)], [.some(.lineFeed)])
  static let numbers = SplitPattern([.some(.number)])
  static let singleNumber = SplitPattern([.one(.number)])
  static let numberTriples = SplitPattern([.between(1, 3, .number)])
  static let digitTriples = SplitPattern([.between(3, 3, .asciiDigit)])
  static let spacedLetters = SplitPattern([.optional(.whitespace), .some(.letter)])
  static let spacedPunctuation = SplitPattern([.optional(.whitespace), .some(.punctuation)])
  static let falconMarks = SplitPattern([.some(ScalarClass.punctuation.union(.asciiSymbol))])
  static let defaultMarks = SplitPattern([.some(ScalarClass.punctuation.union(.otherASCIISymbol))])
  static let notWhitespace = SplitPattern([.some(ScalarClass.whitespace.inverted)])

  static let deepSeekLetters = SplitPattern(
    [.optional(.whitespace), .some(in: PreTokenizerRanges.deepSeekLetters)])
  static let deepSeekPunctuation = SplitPattern(
    [.optional(.whitespace), .some(in: PreTokenizerRanges.deepSeekPunctuation)])
  static let deepSeekCJK = SplitPattern([.some(in: PreTokenizerRanges.deepSeekCJK)])
  static let ideographsAndKana = SplitPattern([.some(in: PreTokenizerRanges.ideographsAndKana)])
  static let asianScripts = SplitPattern([.some(in: PreTokenizerRanges.asianScripts)])
  static let poro = SplitPattern(
    [.optional(.space), .some(outside: PreTokenizerRanges.poroStops)])
  static let youtuScripts = SplitPattern(
    [.some(in: PreTokenizerRanges.hangul)], [.some(in: PreTokenizerRanges.youtuPunctuation)],
    [.some(in: PreTokenizerRanges.bopomofo)], [.some(in: PreTokenizerRanges.ideographsAndKana)])

  static let chameleonSentinel = SplitPattern(
    [.literal("<sentinel:"), .some(.asciiDigit), .literal(">")])
  static let chameleonImage = SplitPattern(
    [.literal("IMGIMG"), .between(1, 4, in: [0x41...0x49]), .literal("Z")])
  static let chameleonSpaces = SplitPattern(
    [.one(in: [0x09...0x0a])], [.literal("    ")], [.literal("  ")])
  static let singleMark = SplitPattern([.one(ScalarClass.punctuation.union(.asciiSymbol))])
}

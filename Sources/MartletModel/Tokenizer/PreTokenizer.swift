/// What `tokenizer.ggml.pre` names: how text is cut into words before byte pairs merge, and the
/// habits that come with the name.
struct PreTokenizer: Sendable {
  var stages: [PreTokenizerStage]
  /// A word that is a token is that token, whatever the merges say.
  var ignoresMerges = false
  /// Whether a beginning-of-sequence token is added unless the file says otherwise.
  var addsBOS = false
  /// Whether there is a beginning-of-sequence token when the file names none.
  var hasDefaultBOS = true
  /// Bytes become printable characters before merging (GPT-2), or text stays UTF-8.
  var encodesBytes = true
  /// Spaces become U+2581 before merging.
  var escapesWhitespace = false
  /// A run of newlines that is a token is that token.
  var keepsNewlineRuns = false
  /// A beginning-of-sequence token is added even if the file says not to.
  var forcesBOS = false

  private init(_ patterns: SplitPattern...) { stages = patterns.map { .pattern($0) } }
  private init(stages: [PreTokenizerStage]) { self.stages = stages }

  private func with(_ change: (inout Self) -> Void) -> Self {
    var copy = self
    change(&copy)
    return copy
  }

  /// The pre-tokenizer of a name, or a ModelError that names it and lists the known.
  static func named(_ name: String) throws(ModelError) -> PreTokenizer {
    if let known = table[name] { return known }
    throw ModelError(
      .unsupported,
      "tokenizer.ggml.pre is '\(name)', a pre-tokenizer this version does not know. Known: "
        + names.joined(separator: ", ") + ".")
  }

  /// Every known name, sorted.
  static var names: [String] { table.keys.sorted() }

  /// Calls `body` with the bytes of every word of `text`, in order.
  func forEachWord(_ text: ScalarText, _ body: (Range<Int>) -> Void) {
    var ends: [Int32] = [Int32(text.count)]
    var split: [Int32] = []
    for stage in stages {
      split.removeAll(keepingCapacity: true)
      var start = 0
      for end in ends {
        if start < Int(end) { stage.split(text, start..<Int(end), &split) }
        start = Int(end)
      }
      swap(&ends, &split)
    }
    var start = 0
    for end in ends {
      body(Int(text.starts[start])..<Int(text.starts[Int(end)]))
      start = Int(end)
    }
  }

  private static let table: [String: PreTokenizer] = {
    typealias P = PreTokenizerPatterns
    let llama3 = PreTokenizer(P.words(digits: 3))
    let llama3Merged = llama3.with { $0.ignoresMerges = true }
    let llama3BOS = llama3Merged.with { $0.addsBOS = true }
    let gpt2 = PreTokenizer(P.gpt2)
    let digitsAlone = PreTokenizer(P.singleNumber, P.gpt2)
    let qwen2 = PreTokenizer(P.words(digits: 1))
    let deepSeek3 = PreTokenizer(P.numberTriples, P.ideographsAndKana, P.deepSeek3)
    let poro = PreTokenizer(P.poro)
    let gpt4o = PreTokenizer(P.gpt4o)
    let tinyAya = PreTokenizer(stages: [.digitTriples, .pattern(P.uncasedWords(digits: 3))])
    let lines = PreTokenizer(P.newlineRuns).with {
      $0.encodesBytes = false
      $0.escapesWhitespace = true
    }
    let gemma4 = lines.with {
      $0.keepsNewlineRuns = true
      $0.forcesBOS = true
    }
    let groups: [(PreTokenizer, [String])] = [
      (
        PreTokenizer(P.defaultMarks, P.gpt2, P.numbers, P.digitTriples), ["default"]
      ),
      (
        llama3BOS,
        [
          "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
          "jina-v5-nano",
        ]
      ),
      (llama3, ["dbrx", "smaug-bpe"]),
      (llama3.with { $0.hasDefaultBOS = false }, ["chatglm-bpe"]),
      (llama3Merged.with { $0.hasDefaultBOS = false }, ["glm4", "glm5"]),
      (PreTokenizer(P.jais2), ["jais-2"]),
      (
        gpt2,
        [
          "gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0",
          "mellum", "modern-bert", "jina-v1-en", "jina-v2-code", "roberta-bpe", "mpt", "olmo",
          "jais", "trillion", "granite-docling", "exaone4",
        ]
      ),
      (
        digitsAlone,
        [
          "starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
          "mellum2",
        ]
      ),
      (
        qwen2,
        [
          "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan",
          "solar-open", "grok-2", "bailingmoe", "bailingmoe2", "llada-moe",
        ]
      ),
      (PreTokenizer(P.qwen35), ["qwen35"]),
      (PreTokenizer(P.newlineRuns, P.words(digits: 1)), ["laguna"]),
      (PreTokenizer(P.words(digits: 1, contractions: false)), ["ufakzeka"]),
      (PreTokenizer(P.seedCoder), ["seed-coder"]),
      (PreTokenizer(P.exaoneMoE), ["exaone-moe"]),
      (
        PreTokenizer(P.numberTriples, P.words(digits: .max)).with { $0.ignoresMerges = true },
        ["minicpm5"]
      ),
      (
        PreTokenizer(stages: [
          .pattern(P.newline), .pattern(P.deepSeekLetters), .pattern(P.deepSeekPunctuation),
          .trailingWhitespace, .pattern(P.deepSeekCJK), .pattern(P.numbers),
        ]), ["deepseek-llm"]
      ),
      (
        PreTokenizer(
          P.newline, P.spacedLetters, P.spacedPunctuation, P.deepSeekCJK, P.singleNumber),
        ["deepseek-coder"]
      ),
      (deepSeek3, ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"]),
      (
        PreTokenizer(P.numberTriples, P.ideographsAndKana, P.spark, P.singleNumber), ["spark2_5"]
      ),
      (
        PreTokenizer(P.youtuScripts, P.uncasedWords(digits: 1)).with { $0.ignoresMerges = true },
        ["youtu"]
      ),
      (PreTokenizer(P.falconMarks, P.gpt2, P.digitTriples), ["falcon"]),
      (poro, ["poro-chat", "bloom", "gpt3-finnish"]),
      (PreTokenizer(P.poro, P.singleNumber), ["viking"]),
      (
        PreTokenizer(P.tekken).with {
          $0.ignoresMerges = true
          $0.addsBOS = true
        }, ["tekken"]
      ),
      (gpt4o, ["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"]),
      (
        PreTokenizer(P.gpt4oMarks).with { $0.ignoresMerges = true }, ["granite-embed-multi-97m"]
      ),
      (tinyAya, ["tiny_aya", "cohere2moe"]),
      (
        PreTokenizer(stages: [.digitTriples, .pattern(P.asianScripts), .pattern(P.deepSeek3)]),
        ["afmoe"]
      ),
      (PreTokenizer(stages: [.pattern(P.numbers), .beforeDigitTriples]), ["superbpe"]),
      (PreTokenizer(stages: [.kimi]), ["kimi-k2"]),
      (
        PreTokenizer(
          P.chameleonSentinel, P.chameleonImage, P.chameleonSpaces, P.singleNumber, P.singleMark,
          P.gpt2
        ).with { $0.addsBOS = true }, ["chameleon"]
      ),
      (gemma4, ["gemma4", "granite-embed-multi-311m"]),
      (lines, ["sarvam-moe"]),
      (PreTokenizer(P.notWhitespace).with { $0.encodesBytes = false }, ["whitespace"]),
    ]
    var table: [String: PreTokenizer] = [:]
    for (preTokenizer, names) in groups {
      for name in names { table[name] = preTokenizer }
    }
    return table
  }()
}

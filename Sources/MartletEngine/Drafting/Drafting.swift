import Foundation

/// Where a run's drafts come from: tokens guessed ahead, processed together with the token they
/// follow, and kept only where they are what the run draws anyway.
///
/// Drafting never changes a text. A guess is accepted exactly when it equals the token that plain
/// sampling draws at that place with the same random number, so greedy and sampled texts are the
/// same bits with any drafting or none; what changes is how many forward passes they take. (Other
/// tests of guesses, which keep the distribution but not the text, are a choice: ``verifier``.)
///
/// Only as many tokens are drafted as the engine's cost curve makes worth while, given how often
/// guesses of the same kind came true before: past the knee, or where the text cannot be guessed,
/// nothing is drafted. Sources: "Inference with Reference: Lossless Acceleration of Large Language
/// Models" (copying from what was read and written); "Lookahead: An Inference Acceleration Framework
/// for Large Language Model with Lossless Generation Accuracy" (a trie of earlier texts);
/// "Speculative Decoding for Multi-Sample Inference" (siblings' text); "EAGLE-2: Faster Inference of
/// Language Models with Dynamic Draft Trees" (the tree grows where it is likely to be accepted).
public struct Drafting: Sendable, Equatable {
  /// Something that computes guesses; see ``Drafter``. At most one per run.
  public indirect enum Model: Sendable, Hashable {
    /// A smaller model with the same vocabulary: a GGUF file.
    case file(String)
    /// The model itself without some of its layers: those that a search finds it can best do without.
    case selfSkipping
    /// The model's first layers alone.
    case earlyExit(layers: Int)
    /// Medusa heads or an EAGLE head trained for the model: a GGUF file.
    case medusa(String)
    case eagle(String)
    /// A drafter from a plugin, by its id.
    case plugin(String)
    /// One of the first three with logits for frequent tokens alone.
    case ranked(Model, DraftVocabulary)
  }

  /// A text that drafts are copied from.
  public enum Source: String, Sendable, CaseIterable {
    /// The branch's own prompt and output.
    case ngram
    /// The prompt and every branch of the run.
    case siblings
    /// Everything that this engine generated with drafting on, in all runs.
    case trie
  }

  /// The texts to copy from.
  public var sources: Set<Source>
  /// What computes guesses, as it was asked for. It does so once `drafter` is set, which
  /// `Session.opened(_:)` does.
  public var model: Model?
  /// What computes guesses.
  public var drafter: (any Drafter)?
  /// How guesses are tested. Under any but ``Verifier/noise`` texts are not those without drafting.
  public var verifier = Verifier.noise
  /// The most drafted tokens per branch and forward pass.
  public var maximumNodes: Int
  /// The most drafted tokens in a row.
  public var maximumDepth: Int

  /// Drafts from `sources` and by `drafter`; from neither is off.
  public init(
    _ sources: Set<Source>, drafter: (any Drafter)? = nil, maximumNodes: Int = 24,
    maximumDepth: Int = 16
  ) {
    self.sources = sources
    self.drafter = drafter
    self.maximumNodes = maximumNodes
    self.maximumDepth = maximumDepth
  }

  /// No drafts.
  public static let off = Drafting([])
  /// The siblings' text, and what other runs generated.
  public static let auto = Drafting([.siblings, .trie])

  /// Whether anything is drafted.
  public var isOn: Bool {
    !(sources.isEmpty && drafter == nil && model == nil) && maximumNodes > 0 && maximumDepth > 0
  }

  /// What ``parse(_:)`` reads as this, limits aside.
  public var name: String {
    if !isOn { return "off" }
    let computed = model?.name ?? drafter?.name
    if sources == Drafting.auto.sources && computed == nil { return "auto" }
    let named = Source.allCases.filter(sources.contains).map(\.rawValue)
    return (named + [computed].compactMap(\.self)).joined(separator: "+")
  }

  /// The words that ``parse(_:)`` knows.
  public static let names = ["auto", "off"] + Source.allCases.map(\.rawValue) + Model.names

  /// `auto`, `off`, or sources joined by `+`, such as `ngram`, `siblings+trie`, `self` or
  /// `auto+model=small.gguf`. A file's name extends to the end, so it comes last.
  ///
  /// Throws ``EngineError/Code/argument`` naming the word at fault.
  public static func parse(_ text: String) throws(EngineError) -> Drafting {
    if text == "off" { return .off }
    var drafting = Drafting([])
    var rest = Substring(text)
    while true {
      // A file may have any name.
      let isFile = Model.fileWords.contains { rest.hasPrefix($0 + "=") }
      let end = isFile ? rest.endIndex : rest.firstIndex(of: "+") ?? rest.endIndex
      try drafting.add(rest[..<end], of: text)
      guard end < rest.endIndex else { return drafting }
      rest = rest[rest.index(after: end)...]
    }
  }

  private mutating func add(_ word: Substring, of text: String) throws(EngineError) {
    func twice() -> EngineError {
      EngineError(.argument, "drafting '\(text)' names '\(word)' twice")
    }
    if let source = Source(rawValue: String(word)) {
      guard sources.insert(source).inserted else { throw twice() }
    } else if word == "auto" {
      guard sources.isDisjoint(with: Drafting.auto.sources) else { throw twice() }
      sources.formUnion(Drafting.auto.sources)
    } else if let found = try Model.parse(word, of: text) {
      guard model == nil else {
        throw EngineError(
          .argument, "drafting '\(text)' names two models; a run has at most one")
      }
      model = found
    } else {
      throw EngineError(
        .argument,
        "drafting '\(text)': '\(word)' is unknown; write \(Drafting.names.joined(separator: ", ")), "
          + "or several of them joined by +")
    }
  }

  func validate() throws(EngineError) {
    guard maximumNodes >= 0, maximumDepth >= 0 else {
      throw EngineError(
        .argument,
        "drafting allows \(maximumNodes) tokens, \(maximumDepth) in a row; both must be 0 or more")
    }
    try verifier.validate()
    if let model, drafter == nil {
      throw EngineError(
        .argument,
        "drafting by '\(model.name)' has no drafter yet; open it with Session.opened(_:), or set "
          + "`drafter`")
    }
  }

  public static func == (a: Drafting, b: Drafting) -> Bool {
    a.sources == b.sources && a.model == b.model && a.drafter === b.drafter
      && a.verifier == b.verifier && a.maximumNodes == b.maximumNodes
      && a.maximumDepth == b.maximumDepth
  }
}

extension Drafting.Model {
  /// Whether it has an output matrix of which a part could be used.
  private var computesLogits: Bool {
    switch self {
    case .file, .selfSkipping, .earlyExit: true
    case .medusa, .eagle, .plugin, .ranked: false
    }
  }

  static let fileWords = ["model", "medusa", "eagle"]
  static let names =
    ["self", "exit=LAYERS"] + fileWords.map { $0 + "=PATH" } + ["plugin=ID"]
    + ["…,vocabulary=N", "…,vocabulary=FILE"]
  private static let ranking = ",vocabulary="

  /// What ``Drafting/parse(_:)`` reads as this.
  public var name: String {
    switch self {
    case .file(let path): "model=\(path)"
    case .selfSkipping: "self"
    case .earlyExit(let layers): "exit=\(layers)"
    case .medusa(let path): "medusa=\(path)"
    case .eagle(let path): "eagle=\(path)"
    case .plugin(let id): "plugin=\(id)"
    case .ranked(let model, let vocabulary): model.name + Self.ranking + vocabulary.name
    }
  }

  static func parse(
    _ word: Substring, of text: String
  ) throws(EngineError) -> Drafting.Model? {
    if let range = word.range(of: ranking, options: .backwards) {
      let vocabulary = try DraftVocabulary.parse(word[range.upperBound...], of: text)
      switch try parse(word[..<range.lowerBound], of: text) {
      case .some(let model) where model.computesLogits: return .ranked(model, vocabulary)
      case .some, nil:
        throw EngineError(
          .argument,
          "drafting '\(text)': a vocabulary is for model=PATH, self and exit=LAYERS, not for "
            + "'\(word[..<range.lowerBound])'")
      }
    }
    if word == "self" { return .selfSkipping }
    guard let equals = word.firstIndex(of: "=") else { return nil }
    let value = String(word[word.index(after: equals)...])
    switch word[..<equals] {
    case "exit":
      guard let layers = Int(value), layers >= 1 else {
        throw EngineError(
          .argument,
          "drafting '\(text)': exit takes the number of layers to use, 1 or more, not '\(value)'")
      }
      return .earlyExit(layers: layers)
    case "model", "medusa", "eagle":
      guard !value.isEmpty else {
        throw EngineError(.argument, "drafting '\(text)': '\(word)' names no file")
      }
      return word.hasPrefix("model")
        ? .file(value) : word.hasPrefix("medusa") ? .medusa(value) : .eagle(value)
    case "plugin":
      guard !value.isEmpty else {
        throw EngineError(.argument, "drafting '\(text)': '\(word)' names no drafter")
      }
      return .plugin(value)
    default: return nil
    }
  }
}

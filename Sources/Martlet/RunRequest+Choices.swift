import Foundation
import MartletEngine
import MartletScaling

// What a user's options mean together, the same for the command line and for C. Options that would do
// nothing are refused, in messages that name them as the command line writes them.

extension RunRequest {
  /// A prompt for a strategy, with sampling rules as text.
  ///
  /// - Parameters:
  ///   - strategy: its id; nil for `greedy`, or `sample` where sampling rules are given.
  ///   - sampling: in the form of `SamplingOptions.parse(_:)`; nil for ``Session/defaultSampling``.
  /// - Throws: `argument` for rules that cannot be read, or that `greedy` would not use.
  public init(prompt: String, strategy: String?, sampling: String?) throws(EngineError) {
    let greedy = BuiltInStrategy.greedy.rawValue
    guard let sampling else {
      self.init(prompt: prompt, strategy: strategy ?? greedy)
      self.sampling = Session.defaultSampling
      return
    }
    var names = Set<String>()
    let options = try SamplingOptions.parse(sampling, names: &names)
    let idle = names.intersection(SamplingOptions.drawingOptionNames)
      .filter { !($0 == "temperature" && options.temperature == 0) }
    if strategy == greedy, let name = idle.min() {
      throw EngineError(
        .argument,
        "--sampling \(name) does nothing under --strategy greedy, which draws no token; leave one "
          + "of them out, or use --strategy sample")
    }
    self.init(prompt: prompt, strategy: strategy ?? BuiltInStrategy.sample.rawValue)
    self.sampling = options
  }

  /// Whether every choice is the most likely token.
  public var isGreedy: Bool {
    strategy == BuiltInStrategy.greedy.rawValue || sampling.temperature == 0
  }
}

extension Constraint {
  /// What a user's options ask the text to be; nil where they ask for nothing.
  ///
  /// - Parameters:
  ///   - regex: an expression that the whole text matches.
  ///   - jsonSchema: a schema, or the path of a file with one.
  ///   - whitespace: between the parts of JSON; nil for `flexible`.
  /// - Throws: `argument` for options that exclude each other, what ``regex(_:)`` and
  ///   ``jsonSchema(_:whitespace:)`` throw, and `file` or `data` naming a file.
  public static func choose(
    regex: String?, jsonSchema: String?, whitespace: JSONWhitespace?
  ) throws -> Constraint? {
    if regex != nil, jsonSchema != nil {
      throw EngineError(
        .argument, "--regex and --json-schema exclude each other; give one of them")
    }
    if whitespace != nil, jsonSchema == nil {
      throw EngineError(.argument, "--json-whitespace does nothing without --json-schema")
    }
    if let regex { return try .regex(regex) }
    return try jsonSchema.map {
      try .jsonSchema(schemaText($0), whitespace: whitespace ?? .flexible)
    }
  }

  /// The schema itself if the option begins as one does, else what the file holds.
  private static func schemaText(_ option: String) throws(EngineError) -> String {
    let begin = option.first { !$0.isWhitespace }
    if begin == "{" || option == "true" || option == "false" { return option }
    guard begin != nil else {
      throw EngineError(.argument, "--json-schema is empty; name a file or write a schema")
    }
    let data: Data
    do {
      data = try Data(contentsOf: URL(fileURLWithPath: option))
    } catch {
      throw EngineError(
        .file, "\(option): the schema cannot be read; name a file, or write the schema itself")
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw EngineError(.data, "\(option): the schema is not UTF-8; convert it first")
    }
    return text
  }
}

extension Guidance {
  /// The second row of logits that a user's options ask for; nil where they ask for none.
  ///
  /// - Parameters:
  ///   - scale: of classifier-free guidance.
  ///   - negativePrompt: what it moves away from; nil for no prompt.
  ///   - klTemperature: the divergence, in nats, at which the temperature halves.
  ///   - contrast: in the form of ``parseContrast(_:)``.
  ///   - greedy: whether the temperature is 0.
  /// - Throws: `argument`.
  public static func choose(
    scale: Float?, negativePrompt: String?, klTemperature: Float?, contrast: String?, greedy: Bool
  ) throws(EngineError) -> Guidance? {
    if let contrast {
      guard scale == nil, negativePrompt == nil, klTemperature == nil else {
        throw EngineError(
          .argument,
          "--contrast excludes --guidance, --negative-prompt and --kl-temperature: a choice has one "
            + "second row; leave one of them out")
      }
      return try parseContrast(contrast)
    }
    guard scale != nil || klTemperature != nil else {
      guard negativePrompt == nil else {
        throw EngineError(
          .argument,
          "--negative-prompt does nothing without --guidance or --kl-temperature; add one of them")
      }
      return nil
    }
    if let klTemperature {
      guard klTemperature > 0 else {
        throw EngineError(
          .argument, "--kl-temperature \(klTemperature) is out of range; give a number above 0")
      }
      guard !greedy else {
        throw EngineError(
          .argument,
          "--kl-temperature does nothing at temperature 0; leave it out, or use --strategy sample")
      }
    }
    let chosen = Guidance(
      by: .text(negativePrompt ?? ""), scale: scale ?? 1, divergenceScale: klTemperature ?? 0)
    try chosen.validate()
    return chosen
  }
}

extension Session {
  /// Wraps a request's prompt, and the text that guides it, as a user's message in the model's chat
  /// template.
  /// - Throws: `argument` for a model without one, `ModelError` for one that cannot be rendered.
  public func renderAsChat(_ request: inout RunRequest) throws {
    try request.renderAsChat(of: scaling.surroundings, named: model.path)
  }
}

import Foundation
public import MartletScaling

/// A strategy with its options, as `id:option=value:option=value`, or `pipeline:FILE`.
///
/// `scorer=ID` and `extractor=ID` choose the judges, `scorer.name=value` and `extractor.name=value` set
/// their options. A backslash before `:`, `,` or itself takes it as part of a value.
public struct StrategySpec: Sendable, Equatable {
  /// The strategy's id.
  public let id: String
  /// Its options and its judges' ones, as written.
  public let options: [String: String]
  /// What reports call it where that is not its options.
  private var name: String?

  /// The spec written the same way whatever the order of its options: reports' name for it. A pipeline's is
  /// `pipeline:` and its layers.
  public var label: String {
    name
      ?? ([Self.escaped(id)]
      + options.sorted { $0.key < $1.key }.map { "\($0.key)=\(Self.escaped($0.value))" })
      .joined(separator: ":")
  }

  /// A strategy with options.
  public init(id: String, options: [String: String] = [:]) {
    (self.id, self.options) = (id, options)
  }

  /// A pipeline.
  public init(_ pipeline: Pipeline) {
    self.init(id: "pipeline", options: ["pipeline": pipeline.json])
    name = "pipeline:\(pipeline)"
  }

  /// Reads several specs separated by commas.
  /// - Throws: `argument` naming the spec.
  public static func list(parsing text: String) throws(LabError) -> [StrategySpec] {
    var specs: [StrategySpec] = []
    for part in split(text, at: ",") { specs.append(try StrategySpec(parsing: part)) }
    for (index, spec) in specs.enumerated() where specs[..<index].contains(spec) {
      throw LabError(.argument, "strategy '\(spec.label)' is given twice; give it once")
    }
    return specs
  }

  /// Reads one spec.
  /// - Throws: `argument` naming the spec, `input` or `data` for a pipeline's file.
  public init(parsing text: String) throws(LabError) {
    let parts = Self.split(text, at: ":")
    guard let id = parts.first, !id.isEmpty else {
      throw LabError(
        .argument, "strategy '\(text)' has no id; write ID or ID:option=value, between commas")
    }
    // A file's name may have an equals sign; what stands before that of an option has no slash.
    if id == "pipeline", parts.count == 2,
      parts[1].prefix(while: { $0 != "=" }).contains("/")
        || !parts[1].contains("=")
    {
      self.init(try Self.pipeline(file: Self.unescaped(parts[1])))
      return
    }
    var options: [String: String] = [:]
    for part in parts.dropFirst() {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        .map(String.init)
      guard pair.count == 2, !pair[0].isEmpty else {
        throw LabError(
          .argument, "strategy '\(text)': option '\(part)' is not of the form name=value")
      }
      guard options.updateValue(Self.unescaped(pair[1]), forKey: pair[0]) == nil else {
        throw LabError(.argument, "strategy '\(text)': option '\(pair[0])' is given twice")
      }
    }
    self.init(id: Self.unescaped(id), options: options)
  }

  /// A request for a question under this strategy.
  package func request(_ question: String) throws(ScalingError) -> RunRequest {
    var request = RunRequest(prompt: question, strategy: id)
    try apply(to: &request)
    return request
  }

  /// Gives a request this spec's options and judges.
  /// - Throws: `option` for an option that the request has already.
  public func apply(to request: inout RunRequest) throws(ScalingError) {
    var own = options
    request.scorer = own.removeValue(forKey: "scorer")
    request.extractor = own.removeValue(forKey: "extractor")
    try request.set(own.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
  }

  private static func pipeline(file: String) throws(LabError) -> Pipeline {
    guard let data = FileManager.default.contents(atPath: file) else {
      throw LabError(.input, "\(file): cannot be read; name the file of a pipeline")
    }
    do {
      return try Pipeline(json: String(decoding: data, as: UTF8.self), file: file)
    } catch {
      throw LabError(.data, error.message)
    }
  }

  /// Parts with their backslashes.
  private static func split(_ text: String, at separator: Character) -> [String] {
    var parts = [""]
    var isEscaped = false
    for character in text {
      if character == separator, !isEscaped {
        parts.append("")
      } else {
        parts[parts.count - 1].append(character)
      }
      isEscaped = character == "\\" && !isEscaped
    }
    return parts
  }

  /// A text as a spec writes it.
  package static func escaped(_ text: String) -> String {
    String(text.flatMap { "\\:,".contains($0) ? ["\\", $0] : [$0] })
  }

  private static func unescaped(_ text: String) -> String {
    var plain = ""
    var isEscaped = false
    for character in text {
      let begins = character == "\\" && !isEscaped
      if !begins { plain.append(character) }
      isEscaped = begins
    }
    return plain
  }
}

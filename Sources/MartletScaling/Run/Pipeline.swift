import Foundation

/// A pipeline for the strategy `pipeline`, written in Swift or read from a file.
///
/// ```swift
/// let pipeline = Pipeline([.generator(n: 8), .ranker(keep: 4), .critic(), .fuser(n: 2), .voter])
/// let result = try await session.run(RunRequest(prompt: question, pipeline: pipeline))
/// ```
///
/// What the layers do, and their defaults, are the plugin's; it checks every field before the run begins.
///
/// Source: Archon: An Architecture Search Framework for Inference-Time Techniques (Saad-Falcon et al., 2024).
public struct Pipeline: Sendable, Equatable, CustomStringConvertible {
  /// From the first to the last.
  public let layers: [Layer]

  /// A pipeline of layers; the first is a generator.
  public init(_ layers: [Layer]) { self.layers = layers }

  /// Reads a pipeline from JSON: `{"layers": [{"type": "generator", "n": 8}, {"type": "voter"}]}`.
  /// - Parameter file: what errors call it.
  /// - Throws: `option` for what is no list of layers; what is in them is checked by the plugin.
  public init(json: String, file: String = "the pipeline") throws(ScalingError) {
    guard let root = try? JSONDecoder().decode(JSONValue.self, from: Data(json.utf8)) else {
      throw ScalingError(
        .option,
        "\(file): this is no JSON; a pipeline is {\"layers\": [{\"type\": \"generator\"}, …]}")
    }
    guard case .object(let fields) = root, case .list(let list)? = fields["layers"], !list.isEmpty
    else {
      throw ScalingError(
        .option, "\(file): there is no list 'layers' with a layer in it; add one, first a generator"
      )
    }
    if let other = fields.keys.sorted().first(where: { $0 != "layers" }) {
      throw ScalingError(
        .option, "\(file): field '\(other)' is unknown; a pipeline has 'layers' alone")
    }
    layers = try list.enumerated().map { index, value throws(ScalingError) in
      guard let layer = Layer(value) else {
        throw ScalingError(
          .option,
          "\(file): layer \(index + 1) is \(value.kindName) without a text 'type'; write "
            + "{\"type\": \"generator\", …}")
      }
      return layer
    }
  }

  /// As the plugin's option `pipeline` takes it, and as files hold it.
  public var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let root = JSONValue.object(["layers": .list(layers.map(\.value))])
    // A tree of texts, numbers and lists can be written.
    return String(decoding: (try? encoder.encode(root)) ?? Data(), as: UTF8.self)
  }

  /// `generator(n=8) > ranker(keep=4) > voter`; long texts are cut and end in a number that tells them apart.
  public var description: String { layers.map(\.description).joined(separator: " > ") }

  /// One layer.
  public struct Layer: Sendable, Equatable, CustomStringConvertible {
    package let fields: [String: JSONValue]

    package init?(_ value: JSONValue) {
      guard case .object(let fields) = value, case .text? = fields["type"] else { return nil }
      self.fields = fields
    }

    private init(_ type: String, _ fields: [String: JSONValue?]) {
      self.fields = fields.compactMapValues(\.self).merging(["type": .text(type)]) { $1 }
    }

    package var type: String {
      if case .text(let type)? = fields["type"] { type } else { "" }
    }

    package var value: JSONValue { .object(fields) }

    public var description: String { Self.described(type, fields) }
  }

  /// Where a generator's answers come from: samples of a model, or another strategy.
  public struct Source: Sendable, Equatable {
    fileprivate let fields: [String: JSONValue]

    /// Samples.
    /// - Parameters:
    ///   - n: how many.
    ///   - prompt: with `{prompt}` for what was asked.
    ///   - model: the name of another model; nil for the run's own.
    ///   - sampling: rules, as in `martlet run --sampling`; a leading `+` changes the run's.
    public static func samples(
      n: Int = 1, prompt: String? = nil, model: String? = nil, sampling: String? = nil
    ) -> Source {
      let fields: [String: JSONValue?] = [
        "n": .integer(Int64(n)), "prompt": prompt.map { .text($0) },
        "model": model.map { .text($0) }, "sampling": sampling.map { .text($0) },
      ]
      return Source(fields: fields.compactMapValues(\.self))
    }

    /// Another strategy's answers.
    /// - Parameters:
    ///   - tokens: its part of the budget; nil for what is left.
    ///   - times: how often it runs.
    public static func strategy(
      _ id: String, options: [String: String] = [:], tokens: Int? = nil, times: Int = 1
    ) -> Source {
      let fields: [String: JSONValue?] = [
        "strategy": .text(id), "options": .object(options.mapValues { .text($0) }),
        "tokens": tokens.map { .integer(Int64($0)) }, "times": .integer(Int64(times)),
      ]
      return Source(fields: fields.compactMapValues(\.self))
    }
  }
}

extension Pipeline.Layer {
  /// Adds answers of one source.
  public static func generator(
    n: Int = 1, prompt: String? = nil, model: String? = nil, sampling: String? = nil
  ) -> Self {
    .generator(of: [.samples(n: n, prompt: prompt, model: model, sampling: sampling)])
  }

  /// Adds answers of several sources.
  public static func generator(of sources: [Pipeline.Source]) -> Self {
    sources.count == 1
      ? Self("generator", sources[0].fields.mapValues(Optional.some))
      : Self("generator", ["of": .list(sources.map { .object($0.fields) })])
  }

  /// Keeps the best by a scorer; nil for the run's own.
  public static func ranker(keep: Int = 1, scorer: String? = nil) -> Self {
    Self("ranker", ["keep": .integer(Int64(keep)), "scorer": scorer.map { .text($0) }])
  }

  /// Has a model say what is right and wrong with each answer, which fusers show.
  public static func critic(
    instruction: String? = nil, model: String? = nil, tokens: Int? = nil
  ) -> Self {
    Self(
      "critic",
      [
        "instruction": instruction.map { .text($0) }, "model": model.map { .text($0) },
        "tokens": tokens.map { .integer(Int64($0)) },
      ])
  }

  /// Has a model write `n` answers out of those there are, which they replace.
  public static func fuser(n: Int = 1, instruction: String? = nil, model: String? = nil) -> Self {
    Self(
      "fuser",
      [
        "n": .integer(Int64(n)), "instruction": instruction.map { .text($0) },
        "model": model.map { .text($0) },
      ])
  }

  /// Drops what a model holds wrong in fewer than `atLeast` of its verdicts.
  public static func verifier(
    verdicts: Int = 1, atLeast: Double = 0.5, instruction: String? = nil, verdict: String? = nil,
    yes: String? = nil, no: String? = nil, tokens: Int? = nil, model: String? = nil
  ) -> Self {
    Self(
      "verifier",
      [
        "verdicts": .integer(Int64(verdicts)), "at_least": .number(atLeast),
        "instruction": instruction.map { .text($0) }, "verdict": verdict.map { .text($0) },
        "yes": yes.map { .text($0) }, "no": no.map { .text($0) },
        "tokens": tokens.map { .integer(Int64($0)) }, "model": model.map { .text($0) },
      ])
  }

  /// Keeps those that say what most say.
  public static var voter: Self { Self("voter", [:]) }

  /// `type(field=value, …)`.
  fileprivate static func described(_ type: String, _ fields: [String: JSONValue]) -> String {
    func text(_ value: JSONValue) -> String {
      switch value {
      case .null: return "null"
      case .flag(let flag): return "\(flag)"
      case .integer(let number): return "\(number)"
      case .number(let number): return "\(number)"
      case .text(let text):
        if text.count <= 24 { return text.replacing("\n", with: "\\n") }
        return
          "\(text.prefix(16).replacing("\n", with: " "))…\(SHA256.hex(Data(text.utf8)).prefix(6))"
      case .list(let values): return values.map(text).joined(separator: " & ")
      case .object(let fields):
        if case .text(let strategy)? = fields["strategy"] {
          return described(strategy, fields.filter { $0.key != "strategy" })
        }
        return described("samples", fields)
      }
    }
    var (name, rest) = (type, fields.filter { $0.key != "type" })
    if case .text(let strategy)? = rest.removeValue(forKey: "strategy") { name += " \(strategy)" }
    // Sources and options stand for themselves.
    let parts = rest.sorted { $0.key < $1.key }.compactMap { name, value -> String? in
      if name == "of" { return text(value) }
      if name == "options", case .object(let options) = value {
        return options.isEmpty
          ? nil
          : options.sorted { $0.key < $1.key }.map { "\($0.key)=\(text($0.value))" }
            .joined(separator: ", ")
      }
      return "\(name)=\(text(value))"
    }
    return parts.isEmpty ? name : "\(name)(\(parts.joined(separator: ", ")))"
  }
}

extension RunRequest {
  /// A prompt for a pipeline.
  public init(prompt: String, pipeline: Pipeline) {
    self.init(prompt: prompt, strategy: "pipeline")
    options["pipeline"] = pipeline.json
  }
}

import FoundationEssentials
import MartletPlugin

/// One layer.
enum PipelineLayer {
  case generator([Generator])
  case ranker(keep: Int, scorer: String?)
  case critic(instruction: String, model: String, tokens: Int)
  case fuser(count: Int, instruction: String, model: String)
  case verifier(Verifier, times: Int, atLeast: Double)
  case voter

  /// What answers come from: samples of a model, or another strategy.
  enum Generator {
    case samples(count: Int, prompt: String, model: String, sampling: String?)
    case strategy(id: String, options: [String: String], tokens: Int?, times: Int)
  }

  var kind: String {
    switch self {
    case .generator: "generator"
    case .ranker: "ranker"
    case .critic: "critic"
    case .fuser: "fuser"
    case .verifier: "verifier"
    case .voter: "voter"
    }
  }
}

/// A pipeline as JSON describes it:
///
/// ```json
/// {"layers": [
///   {"type": "generator", "of": [{"n": 4}, {"n": 4, "sampling": "+temperature=0.5"},
///                                {"strategy": "beam-search", "options": {"width": 2}, "tokens": 400}]},
///   {"type": "critic"},
///   {"type": "ranker", "keep": 3},
///   {"type": "fuser", "n": 2},
///   {"type": "verifier", "verdicts": 2, "at_least": 0.5},
///   {"type": "voter"}]}
/// ```
///
/// A generator has `n`, `prompt`, `model` and `sampling`, or `strategy`, `options`, `tokens` and `times`; several stand in
/// `of`. A ranker has `keep` and `scorer`; a critic `instruction`, `model` and `tokens`; a fuser `n`, `instruction` and
/// `model`; a verifier `verdicts`, `at_least`, `instruction`, `verdict`, `yes`, `no`, `tokens` and `model`; a voter nothing.
struct PipelineDescription {
  let layers: [PipelineLayer]

  /// Reads and checks a description.
  init(_ text: String) throws(PluginError) {
    let root: JSONValue
    do {
      root = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
    } catch {
      throw PluginError(.argument, "pipeline is not JSON: \(error)")
    }
    guard case .object(let members) = root, case .list(let list)? = members["layers"] else {
      throw PluginError(.argument, "pipeline has no list 'layers'")
    }
    if let other = members.keys.sorted().first(where: { $0 != "layers" }) {
      throw PluginError(.argument, "pipeline has a field '\(other)'; it has 'layers' alone")
    }
    var layers: [PipelineLayer] = []
    for (index, value) in list.enumerated() {
      layers.append(try Self.layer(value, "layer \(index + 1)"))
      if index == 0, layers[0].kind != "generator" {
        throw PluginError(
          .argument, "layer 1 (\(layers[0].kind)): the first layer must be a generator")
      }
    }
    if layers.isEmpty { throw PluginError(.argument, "pipeline has no layer") }
    guard layers.count <= 64 else {
      throw PluginError(.argument, "pipeline has \(layers.count) layers; 64 are the most")
    }
    self.layers = layers
  }

  private static func layer(_ value: JSONValue, _ place: String) throws(PluginError)
    -> PipelineLayer
  {
    var fields = try LayerFields(value, place)
    let type = try fields.text("type", "")
    fields.place = "\(place) (\(type.isEmpty ? "without a type" : type))"
    let layer: PipelineLayer
    switch type {
    case "generator": layer = .generator(try generators(&fields))
    case "ranker":
      let scorer = try fields.text("scorer", "")
      layer = .ranker(
        keep: try fields.integer("keep", 1, 1...1024), scorer: scorer.isEmpty ? nil : scorer)
    case "critic":
      layer = .critic(
        instruction: try fields.text(
          "instruction",
          "{prompt}\n\nAnswer: {answer}\n\nWhat is right and what is wrong with this answer?"),
        model: try fields.text("model", ""), tokens: try fields.integer("tokens", 256, 1...65536))
    case "fuser":
      layer = .fuser(
        count: try fields.integer("n", 1, 1...1024),
        instruction: try fields.text(
          "instruction",
          "{prompt}\n\nSeveral answers were proposed:\n{answers}\nCompare them and write the right answer."
        ),
        model: try fields.text("model", ""))
    case "verifier":
      layer = .verifier(
        Verifier(
          instruction: try fields.text(
            "instruction",
            "Question: {prompt}\nProposed answer: {answer}\nCheck the answer step by step."),
          verdict: try fields.text("verdict", "\nIs the answer right? (Yes/No):"),
          yes: try fields.text("yes", " Yes"), no: try fields.text("no", " No"),
          tokens: try fields.integer("tokens", 128, 0...65536), model: try fields.text("model", "")),
        times: try fields.integer("verdicts", 1, 1...64),
        atLeast: try fields.number("at_least", 0.5, 0...1))
    case "voter": layer = .voter
    default:
      throw fields.fault(
        "type", "'\(type)' is none of generator, ranker, critic, fuser, verifier, voter")
    }
    try fields.requireNoOthers()
    return layer
  }

  private static func generators(
    _ fields: inout LayerFields
  ) throws(PluginError) -> [PipelineLayer.Generator] {
    guard let list = try fields.list("of") else { return [try generator(&fields)] }
    if list.isEmpty { throw fields.fault("of", "it is empty") }
    var generators: [PipelineLayer.Generator] = []
    for (index, value) in list.enumerated() {
      var own = try LayerFields(value, "\(fields.place), number \(index + 1) of 'of'")
      generators.append(try generator(&own))
      try own.requireNoOthers()
    }
    return generators
  }

  private static func generator(
    _ fields: inout LayerFields
  ) throws(PluginError) -> PipelineLayer.Generator {
    let id = try fields.text("strategy", "")
    guard !id.isEmpty else {
      let sampling = try fields.text("sampling", "")
      return .samples(
        count: try fields.integer("n", 1, 1...1024),
        prompt: try fields.text("prompt", "{prompt}"), model: try fields.text("model", ""),
        sampling: sampling.isEmpty ? nil : sampling)
    }
    if id == "pipeline" {
      throw fields.fault("strategy", "a pipeline does not run inside one; add its layers here")
    }
    let tokens = try fields.integer("tokens", 0, 0...1 << 40)
    return .strategy(
      id: id, options: try fields.options("options"), tokens: tokens == 0 ? nil : tokens,
      times: try fields.integer("times", 1, 1...64))
  }
}

/// A JSON value.
enum JSONValue: Decodable {
  case null
  case flag(Bool)
  case number(Double)
  case text(String)
  case list([JSONValue])
  case object([String: JSONValue])

  init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      self = .null
    } else if let flag = try? value.decode(Bool.self) {
      self = .flag(flag)
    } else if let number = try? value.decode(Double.self) {
      self = .number(number)
    } else if let text = try? value.decode(String.self) {
      self = .text(text)
    } else if let list = try? value.decode([JSONValue].self) {
      self = .list(list)
    } else {
      self = .object(try value.decode([String: JSONValue].self))
    }
  }
}

/// The fields of one layer, read one by one; what nobody read is a mistake.
private struct LayerFields {
  /// What errors call it.
  var place: String
  private var left: [String: JSONValue]

  init(_ value: JSONValue, _ place: String) throws(PluginError) {
    guard case .object(let members) = value else {
      throw PluginError(.argument, "\(place) is not an object")
    }
    (left, self.place) = (members, place)
  }

  func fault(_ field: String, _ message: String) -> PluginError {
    PluginError(.argument, "\(place), field '\(field)': \(message)")
  }

  mutating func text(_ field: String, _ otherwise: String) throws(PluginError) -> String {
    guard let value = left.removeValue(forKey: field) else { return otherwise }
    guard case .text(let text) = value else { throw fault(field, "a text is expected") }
    return text
  }

  mutating func number(
    _ field: String, _ otherwise: Double, _ range: ClosedRange<Double>
  ) throws(PluginError) -> Double {
    guard let value = left.removeValue(forKey: field) else { return otherwise }
    guard case .number(let number) = value, range.contains(number) else {
      throw fault(field, "a number from \(range.lowerBound) to \(range.upperBound) is expected")
    }
    return number
  }

  mutating func integer(
    _ field: String, _ otherwise: Int, _ range: ClosedRange<Int>
  ) throws(PluginError) -> Int {
    guard let value = left.removeValue(forKey: field) else { return otherwise }
    guard case .number(let number) = value, let integer = Int(exactly: number),
      range.contains(integer)
    else {
      throw fault(
        field, "a whole number from \(range.lowerBound) to \(range.upperBound) is expected")
    }
    return integer
  }

  mutating func list(_ field: String) throws(PluginError) -> [JSONValue]? {
    guard let value = left.removeValue(forKey: field) else { return nil }
    guard case .list(let list) = value else { throw fault(field, "a list is expected") }
    return list
  }

  /// Options of a strategy: texts, numbers and flags.
  mutating func options(_ field: String) throws(PluginError) -> [String: String] {
    guard let value = left.removeValue(forKey: field) else { return [:] }
    guard case .object(let members) = value else { throw fault(field, "an object is expected") }
    var options: [String: String] = [:]
    for (name, value) in members {
      switch value {
      case .text(let text): options[name] = text
      case .flag(let flag): options[name] = "\(flag)"
      case .number(let number):
        options[name] = Int(exactly: number).map { "\($0)" } ?? "\(number)"
      default: throw fault(field, "option '\(name)' is neither text, number nor flag")
      }
    }
    return options
  }

  func requireNoOthers() throws(PluginError) {
    if let field = left.keys.sorted().first {
      throw fault(field, "there is no such field here")
    }
  }
}

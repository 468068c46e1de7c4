import Foundation
public import MartletScaling

/// The pipelines that a search chooses among.
///
/// ```json
/// {"first": [{"type": "generator", "n": [1, 4, 16]},
///            {"type": "generator", "strategy": "particle-filter", "options": {"n": [4, 8]}}],
///  "then":  [{"type": "ranker", "keep": [1, 4]}, {"type": "voter"}],
///  "layers": 3}
/// ```
///
/// A pipeline begins with one of `first` and goes on with any of `then`, in any order, up to `layers` in all. A list in
/// place of a field's value stands for each of its members; in `of`, whose members stand together, for each of theirs.
public struct PipelineSpace: Sendable {
  /// More are not a search but a mistake.
  private static let mostPipelines = 20_000

  /// Those that differ in what they can answer.
  public let pipelines: [Pipeline]
  /// Those left out because a shorter or simpler one does the same: a ranker that keeps everything, a critic whom no
  /// fuser reads, a vote among one.
  public let leftOut: Int
  /// The layers that occur, each once.
  let layers: [(place: String, layer: Pipeline.Layer)]
  /// What errors call it.
  let name: String

  /// What is searched where no space is given: samples of several numbers and temperatures, and a particle filter, with
  /// every layer that the plugin has.
  public static let standard = """
    {"first": [{"type": "generator", "n": [1, 2, 4, 8, 16, 32]},
               {"type": "generator", "n": [4, 8, 16], "sampling": ["+temperature=0.5", "+temperature=1.1"]},
               {"type": "generator", "strategy": "particle-filter", "options": {"n": [4, 8]}}],
     "then": [{"type": "ranker", "keep": [1, 2, 4, 8]}, {"type": "voter"}, {"type": "verifier"},
              {"type": "critic", "tokens": 64}, {"type": "fuser", "n": [1, 4]}],
     "layers": 4}
    """

  /// Reads a space.
  /// - Parameter name: what errors call it: the file.
  /// - Throws: `data` naming the layer and the field.
  public init(_ text: String, name: String) throws(LabError) {
    func fault(_ message: String) -> LabError { LabError(.data, "\(name): \(message)") }
    guard
      case .object(var fields)? = try? JSONDecoder().decode(
        JSONValue.self, from: Data(text.utf8))
    else {
      throw fault(
        "this is no JSON object; a space is {\"first\": [layers], \"then\": [layers], \"layers\": 3}"
      )
    }
    let first = try Self.choices("first", &fields, name)
    guard !first.isEmpty else {
      throw fault("there is no layer in 'first'; add {\"type\": \"generator\", \"n\": [4, 8]}")
    }
    if let other = first.first(where: { $0.layer.type != "generator" }) {
      throw fault(
        "\(other.place) is a \(other.layer.type); a pipeline begins with a generator, so move it to 'then'"
      )
    }
    let then = try Self.choices("then", &fields, name)
    var most = 3
    if let value = fields.removeValue(forKey: "layers") {
      guard case .integer(let number) = value, (1...64).contains(number) else {
        throw fault("field 'layers' is \(value.written); give a whole number from 1 to 64")
      }
      most = Int(number)
    }
    if let other = fields.keys.min() {
      throw fault("field '\(other)' is unknown; a space has 'first', 'then' and 'layers'")
    }
    (self.name, layers) = (name, first + then)

    var found: [Pipeline] = []
    var seen: Set<String> = []
    var leftOut = 0
    var open = first.map { [$0.layer] }
    while !open.isEmpty {
      var next: [[Pipeline.Layer]] = []
      for stack in open {
        let meaning = StackMeaning(stack)
        if meaning.isComplete, seen.insert(meaning.key).inserted {
          found.append(Pipeline(stack))
        } else {
          leftOut += 1
        }
        guard stack.count < most else { continue }
        for (_, layer) in then {
          if meaning.gains(from: layer) { next.append(stack + [layer]) } else { leftOut += 1 }
        }
        guard found.count + next.count <= Self.mostPipelines else {
          throw fault(
            "it has more than \(Self.mostPipelines) pipelines; give fewer values, or a smaller 'layers'"
          )
        }
      }
      open = next
    }
    guard !found.isEmpty else {
      throw fault(
        "none of its pipelines chooses an answer; add a ranker, {\"type\": \"ranker\"}, or a voter to 'then'"
      )
    }
    (pipelines, self.leftOut) = (found, leftOut)
  }

  /// `count` of them, drawn without putting back and in the space's own order; all where there are no more.
  public func drawn(_ count: Int, seed: UInt64) -> [Pipeline] {
    guard count < pipelines.count else { return pipelines }
    var generator = SplitMix64(seed: SplitMix64.mixed(seed, "pipelines"))
    let chosen = pipelines.indices.shuffled(using: &generator).prefix(count)
    return chosen.sorted().map { pipelines[$0] }
  }

  /// Asks the plugin about every layer before anything is run, and the host about what layers name.
  /// - Throws: `data` naming the layer, the field and what to do.
  public func validate(in session: ScalingSession) async throws(LabError) {
    for (place, layer) in layers {
      let isFirst = layer.type == "generator"
      let pipeline = Pipeline(isFirst ? [layer] : [.generator(), layer])
      do throws(ScalingError) {
        for spec in layer.strategies { try session.validate(spec.request("")) }
        if case .text(let scorer)? = layer.fields["scorer"] {
          var request = RunRequest(prompt: "")
          request.scorer = scorer
          try session.validate(request)
        }
        // The plugin reads its pipeline before it draws a token; one token shows that it could.
        var request = RunRequest(prompt: "?", pipeline: pipeline)
        request.budget.tokens = 1
        let result = try await session.run(request)
        if let failure = result.failure { throw ScalingError(.option, failure) }
      } catch {
        let message = error.message.replacing("layer 2", with: "it").replacing(
          "layer 1", with: "it")
        throw LabError(.data, "\(name): \(place): \(message)")
      }
    }
  }

  private static func choices(
    _ field: String, _ fields: inout [String: JSONValue], _ name: String
  ) throws(LabError) -> [(place: String, layer: Pipeline.Layer)] {
    guard let value = fields.removeValue(forKey: field) else { return [] }
    guard case .list(let list) = value else {
      throw LabError(.data, "\(name): field '\(field)' is \(value.kindName); give a list of layers")
    }
    var layers: [(String, Pipeline.Layer)] = []
    for (index, value) in list.enumerated() {
      let place = "number \(index + 1) of '\(field)'"
      for chosen in try expanded(value, "\(name): \(place)") {
        guard let layer = Pipeline.Layer(chosen) else {
          throw LabError(
            .data,
            "\(name): \(place) is \(value.kindName) without a text 'type'; write "
              + "{\"type\": \"generator\", …}, or ranker, critic, fuser, verifier or voter")
        }
        layers.append((place, layer))
      }
    }
    return layers
  }

  /// Each value that one with lists in place of values stands for.
  private static func expanded(
    _ value: JSONValue, _ place: String, standsTogether: Bool = false
  ) throws(LabError) -> [JSONValue] {
    switch value {
    case .object(let fields):
      var found: [[String: JSONValue]] = [[:]]
      for (name, value) in fields.sorted(by: { $0.key < $1.key }) {
        let values = try expanded(
          value, "\(place), field '\(name)'", standsTogether: name == "of")
        found = found.flatMap { known in values.map { known.merging([name: $0]) { $1 } } }
      }
      return found.map { .object($0) }
    case .list(let values):
      if values.isEmpty { throw LabError(.data, "\(place) is an empty list; give it a value") }
      var each: [[JSONValue]] = []
      for value in values { each.append(try expanded(value, place)) }
      guard standsTogether else { return each.flatMap(\.self) }
      return each.reduce([[]]) { known, values in
        known.flatMap { list in values.map { list + [$0] } }
      }.map { .list($0) }
    default: return [value]
    }
  }
}

/// What a stack of layers can come to, as far as its fields tell.
struct StackMeaning {
  /// The most answers that come out of it.
  private var answers = 0
  /// Whether its best answer was chosen, and not just the first to come.
  private var isChosen = true
  private var hasUnreadCriticism = false
  private var hasVoted = false
  private let last: Pipeline.Layer?
  /// Two stacks with one key give the same answer.
  let key: String

  init(_ stack: [Pipeline.Layer]) {
    last = stack.last
    for layer in stack {
      let count = layer.integer("n") ?? 1
      switch layer.type {
      case "generator":
        answers += layer.answers
        isChosen = answers == 1
      case "ranker":
        answers = min(answers, layer.integer("keep") ?? 1)
        isChosen = true
      case "fuser":
        (answers, hasUnreadCriticism) = (count, false)
        isChosen = count == 1
      case "critic": hasUnreadCriticism = true
      case "voter": (isChosen, hasVoted) = (true, true)
      default: isChosen = true
      }
    }
    // How many a ranker leaves is nothing to an answer that is chosen already.
    let isRanked = stack.last?.type == "ranker"
    key = Pipeline(isRanked ? stack.dropLast() : stack).json + (isRanked ? stack.last!.rule : "")
  }

  /// Whether it chooses its answer, and reads all that it has written.
  var isComplete: Bool { isChosen && !hasUnreadCriticism }

  /// Whether one more layer can change the answer.
  func gains(from layer: Pipeline.Layer) -> Bool {
    if hasVoted { return false }
    switch layer.type {
    case "ranker":
      let keep = layer.integer("keep") ?? 1
      // One after another like it keeps what it would have kept at once.
      return answers > 1 && keep < answers && !(last?.type == "ranker" && last?.rule == layer.rule)
    case "voter", "verifier": return answers > 1
    case "critic": return !hasUnreadCriticism
    default: return true
    }
  }
}

extension Pipeline.Layer {
  fileprivate func integer(_ field: String) -> Int? {
    if case .integer(let value)? = fields[field] { Int(value) } else { nil }
  }

  /// A ranker without how many it keeps.
  fileprivate var rule: String {
    var fields = fields
    fields["keep"] = nil
    return fields.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.written)" }
      .joined(separator: ",")
  }

  private var sources: [[String: JSONValue]] {
    guard case .list(let members)? = fields["of"] else { return [fields] }
    return members.compactMap { if case .object(let fields) = $0 { fields } else { nil } }
  }

  /// How many answers a generator adds; numbers beyond all reason, which are refused later, count as less.
  fileprivate var answers: Int {
    sources.reduce(0) { sum, source in
      let field = source["strategy"] == nil ? "n" : "times"
      if case .integer(let count)? = source[field] { return sum + Int(min(count, 1 << 32)) }
      return sum + 1
    }
  }

  /// The strategies that a generator runs.
  fileprivate var strategies: [StrategySpec] {
    guard type == "generator" else { return [] }
    return sources.compactMap { source in
      guard case .text(let id)? = source["strategy"], id != "pipeline" else { return nil }
      var options: [String: String] = [:]
      if case .object(let values)? = source["options"] {
        options = values.mapValues { $0.written }
      }
      return StrategySpec(id: id, options: options)
    }
  }
}

extension JSONValue {
  /// As text: what stands between quotes without them.
  fileprivate var written: String {
    switch self {
    case .text(let text): text
    case .integer(let number): "\(number)"
    case .number(let number): "\(number)"
    case .flag(let flag): "\(flag)"
    default: kindName
    }
  }
}

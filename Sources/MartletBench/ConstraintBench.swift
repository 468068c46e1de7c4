import Dispatch
import Martlet
import MartletMachine

/// Measures the masks of constrained decoding: of places that are new, of places that are known, and
/// what must be made before.
public enum ConstraintBench {
  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    public var vocabularies = [32_000, 128_256]
    public var repetitions = 15
    public var command = "martlet bench constrain"
    public var version = ""

    /// The defaults.
    public init() {}

    func validate() throws(BenchError) {
      try BenchError.require("vocab", vocabularies, in: 257...1 << 20)
      try BenchError.require("repetitions", [repetitions], in: 1...10_000)
    }
  }

  /// One vocabulary, one constraint, one text so far.
  public struct Row: BenchRow {
    public let vocab: Int
    public let constraint: String
    /// The text so far.
    public let text: String
    /// Tokens that may come next.
    public let allowed: Int
    /// Compiling the constraint, and making the vocabulary's trie, once each.
    public let compileNs: Double
    public let trieNs: Double
    /// A mask where nothing is remembered but the automaton and the trie; median. Places that the
    /// text went through are found again in this time too.
    public let freshNs: Double
    /// The same the second time.
    public let cachedNs: Double
    public let samplesNs: [Double]
    public let command: String

    public static let header = [
      "vocab", "constraint", "text", "allowed", "compile ms", "trie ms", "fresh µs", "cached ns",
    ]
    public var cells: [String] {
      [
        "\(vocab)", constraint, text.isEmpty ? "(start)" : text, "\(allowed)",
        short(compileNs / 1e6), short(trieNs / 1e6), short(freshNs / 1e3), short(cachedNs),
      ]
    }
  }

  /// Constraints, and texts at whose end masks are measured.
  private static let cases:
    [(name: String, make: @Sendable () throws -> Constraint, texts: [String])] =
      [
        (
          "schema", { try .jsonSchema(schema) },
          [
            "", #"{"name""#, #"{"name": "Bo"#, #"{"name": "Bob", "age": 1"#,
            #"{"name": "Bob", "age": 1, "tags": ["x"#,
            #"{"name": "Bob", "age": 1, "kind": "cat", "more": "#,
          ]
        ),
        ("any JSON", { try .jsonSchema("true") }, ["", #"[{"a": [1, 2.5, {"b": "x"#, "[[1, "]),
        ("[a-z ]+", { try .regex("[a-z ]+") }, [""]), (".*", { try .regex(".*") }, [""]),
        ("(cat|dog)+", { try .regex("(cat|dog)+") }, ["cat"]),
      ]

  private static let schema = """
    {"type": "object", "required": ["name", "age", "kind"], "properties": {"name": {"type": "string"},
    "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 30}},
    "kind": {"enum": ["cat", "dog", "bird"]}, "more": true}}
    """

  /// Runs the benchmark on synthetic vocabularies.
  /// - Throws: `BenchError`, `EngineError`.
  public static func run(
    _ settings: Settings, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try settings.validate()
    // Masks are made by one thread.
    var context = BenchContext(
      bench: "constrain", version: settings.version, team: try ThreadTeam(threads: 1),
      settings: ["repetitions": "\(settings.repetitions)", "vocabulary": "synthetic"])
    context.formula = "fresh: the median mask where nothing is remembered; cached: the same again"
    var rows: [Row] = []
    for (index, vocabulary) in settings.vocabularies.enumerated() {
      progress(Double(index) / Double(settings.vocabularies.count), "vocabulary \(vocabulary)")
      let codec = SyntheticVocabulary(size: vocabulary)
      for item in cases {
        let (constraint, compileNs) = try timed { try item.make() }
        for text in item.texts {
          rows.append(try measure(settings, codec, item.name, constraint, compileNs, text))
        }
      }
    }
    return BenchReport(context: context, rows: rows)
  }

  private static func measure(
    _ settings: Settings, _ codec: SyntheticVocabulary, _ name: String, _ constraint: Constraint,
    _ compileNs: Double, _ text: String
  ) throws -> Row {
    // With no memory for anything, every mask is made anew.
    let (forgetful, trieNs) = try timed {
      try TokenConstraint(constraint, codec: codec, memoryLimit: 0)
    }
    let tokens = codec.encode(text, addSpecial: false, parseSpecial: false)
    var samples = Samples()
    var allowed = 0
    for _ in 0..<settings.repetitions {
      var state = forgetful.makeState()
      try forgetful.append(tokens, to: &state)
      let (mask, nanoseconds) = try timed { try forgetful.mask(of: &state) }
      samples.append(nanoseconds)
      allowed = mask.count
    }
    let keeping = try TokenConstraint(constraint, codec: codec)
    var state = keeping.makeState()
    try keeping.append(tokens, to: &state)
    _ = try keeping.mask(of: &state)
    let (_, cachedNs) = try timed {
      for _ in 0..<1000 { _ = try keeping.mask(of: &state) }
    }
    return Row(
      vocab: codec.vocabularySize, constraint: name, text: text, allowed: allowed,
      compileNs: compileNs, trieNs: trieNs, freshNs: samples.median, cachedNs: cachedNs / 1000,
      samplesNs: samples.nanoseconds, command: "\(settings.command) --vocab \(codec.vocabularySize)"
    )
  }

  private static func timed<R>(_ body: () throws -> R) rethrows -> (R, Double) {
    let start = DispatchTime.now().uptimeNanoseconds
    let result = try body()
    return (result, Double(DispatchTime.now().uptimeNanoseconds - start))
  }
}

import Foundation

/// The problems of an evaluation.
///
/// A suite is written as `NAME`, `NAME:GRADE`, a path that ends in `.jsonl`, or several of these joined
/// by `+`, which take turns.
public struct Suite: Sendable {
  /// How it was written.
  public let name: String
  /// The problems, in the order in which they are run.
  public let problems: [Problem]

  /// A suite of given problems.
  public init(name: String, problems: [Problem]) { (self.name, self.problems) = (name, problems) }

  /// The suites that are generated.
  public static let generated = [
    "make": "the embedded model's problems with an exact checker",
    "calc": "the embedded model's problems without one",
    "embedded": "make and calc in turns",
    "arithmetic": "sums, differences and products in words",
    "sudoku": "grids of four by four cells",
    "logic": "who owns which animal",
    "procedure": "instructions on a list",
  ]

  /// Draws or reads the problems.
  ///
  /// The first problems are the same whatever `limit` is.
  /// - Parameters:
  ///   - seed: of the generated problems; files are read in their own order.
  ///   - limit: the most problems; nil for all of a file, and 100 where problems are generated.
  /// - Throws: `argument` for a suite that does not exist, `input` or `data` for a file, naming the
  ///   line.
  public init(parsing text: String, seed: UInt64, limit: Int?) throws(LabError) {
    let parts = text.split(separator: "+", omittingEmptySubsequences: false).map(String.init)
    guard Set(parts).count == parts.count else {
      throw LabError(.argument, "suite '\(text)' names a part twice; name it once")
    }
    let isFile = parts.allSatisfy { $0.hasSuffix(".jsonl") }
    let count = limit ?? (isFile ? Int.max : 100)
    var sources: [[Problem]] = []
    for part in parts {
      sources.append(
        try part.hasSuffix(".jsonl")
          ? UserSuite.problems(path: part)
          : Self.generate(part, seed: seed, count: (count - 1) / parts.count + 1))
    }
    var problems: [Problem] = []
    for turn in 0..<(sources.map(\.count).max() ?? 0) {
      for source in sources where turn < source.count { problems.append(source[turn]) }
    }
    problems = Array(problems.prefix(count))
    var seen: Set<String> = []
    for problem in problems where !seen.insert(problem.id).inserted {
      throw LabError(
        .data, "suite '\(text)' has two problems with the id '\(problem.id)'; rename one")
    }
    (name, self.problems) = (text, problems)
  }

  private static func generate(
    _ text: String, seed: UInt64, count: Int
  ) throws(LabError) -> [Problem] {
    let pair = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      .map(String.init)
    var grade = Grade.standard
    if pair.count == 2 {
      guard let named = Grade(rawValue: pair[1]) else {
        let known = Grade.allCases.map(\.rawValue).joined(separator: ", ")
        throw LabError(.argument, "suite '\(text)' has no grade '\(pair[1])'; there are \(known)")
      }
      grade = named
    }
    let name = pair.first ?? ""
    switch name {
    case "make", "calc", "embedded":
      let families = EmbeddedFamily(rawValue: name).map { [$0] } ?? EmbeddedFamily.allCases
      let drawn = EmbeddedProblem.draw(seed: seed, count: count, families: families, grade: grade)
      return place(drawn.map(DrawnProblem.init), text)
    case "arithmetic": return draw(text, grade, seed, count, ArithmeticSuite.problem)
    case "sudoku": return draw(text, grade, seed, count, SudokuSuite.problem)
    case "logic": return draw(text, grade, seed, count, LogicSuite.problem)
    case "procedure": return draw(text, grade, seed, count, ProcedureSuite.problem)
    default:
      throw LabError(
        .argument,
        "there is no suite '\(name)'; there are \(generated.keys.sorted().joined(separator: ", ")) "
          + "and files that end in .jsonl")
    }
  }

  private static func draw(
    _ name: String, _ grade: Grade, _ seed: UInt64, _ count: Int,
    _ make: (Grade, inout SplitMix64) -> DrawnProblem
  ) -> [Problem] {
    var generator = SplitMix64(seed: SplitMix64.mixed(seed, name))
    return place((0..<count).map { _ in make(grade, &generator) }, name)
  }

  private static func place(_ drawn: [DrawnProblem], _ name: String) -> [Problem] {
    drawn.enumerated().map { index, problem in
      Problem(
        id: "\(name)-\(index + 1)", question: problem.question, group: problem.group,
        expected: problem.expected, check: problem.check)
    }
  }
}

extension DrawnProblem {
  init(_ problem: EmbeddedProblem) {
    let unit = problem.family == .make ? "numbers" : problem.size == 1 ? "operation" : "operations"
    self.init(
      question: problem.prompt, group: "\(problem.family.rawValue), \(problem.size) \(unit)",
      expected: problem.family == .calc ? "\(problem.answer)" : nil,
      check: EmbeddedCheck(problem: problem))
  }
}

/// The embedded model's two task families.
public enum EmbeddedFamily: String, Sendable, CaseIterable {
  case make, calc
}

/// A problem of the embedded model's task families, and what a right answer to it is.
///
/// The distribution is that of `Benchmarks/Model/tasks.py`, drawn here from SplitMix64. Only problems
/// whose content hash marks them as held out are drawn, so the model never trained on any of them.
public struct EmbeddedProblem: Sendable, Equatable {
  /// Its family.
  public let family: EmbeddedFamily
  /// What the model is asked.
  public let prompt: String
  /// The target of `make`, the result of `calc`.
  public let answer: Int
  /// The given numbers of `make`, the operations of `calc`.
  public let size: Int

  /// Whether a text answers it: its first line, as the model's own checker judges it.
  public func isRight(_ text: String) -> Bool {
    switch family {
    case .make: MakeCheck(prompt: prompt)?.isRight(text) ?? false
    case .calc: CalcCheck.answer(in: text) == answer
    }
  }

  /// `count` different held-out problems, the families taking turns; the same for the same seed, and
  /// the first ones of any larger count.
  public static func draw(
    seed: UInt64, count: Int, families: [EmbeddedFamily] = EmbeddedFamily.allCases,
    grade: Grade = .standard
  ) -> [EmbeddedProblem] {
    var generator = SplitMix64(seed: seed)
    var problems: [EmbeddedProblem] = []
    var prompts: Set<String> = []
    while problems.count < count {
      let (problem, key) =
        switch families[problems.count % families.count] {
        case .make: drawMake(MakeDifficulty(grade), from: &generator)
        case .calc: drawCalc(CalcDifficulty(grade), from: &generator)
        }
      if Checksum.crc32(key) % 8 == 0, prompts.insert(problem.prompt).inserted {
        problems.append(problem)
      }
    }
    return problems
  }

  /// Combines given numbers two at a time until one is left; that one is the target.
  private static func drawMake(
    _ difficulty: MakeDifficulty, from generator: inout SplitMix64
  ) -> (EmbeddedProblem, key: String) {
    let count = Int.random(in: 0..<4, using: &generator) < difficulty.quartersOfFour ? 4 : 3
    while true {
      let given = (0..<count).map { _ in
        Int.random(in: 1...difficulty.largest, using: &generator)
      }
      var pool = given
      while pool.count > 1 {
        pool.shuffle(using: &generator)
        var (left, right) = (pool.removeLast(), pool.removeLast())
        let operation = "+-*".randomElement(using: &generator)!
        if operation == "-", left < right { swap(&left, &right) }
        let result = apply(operation, left, right)
        guard (1...999).contains(result) else { break }
        pool.append(result)
        if pool.count == 1, result <= 500 {
          let prompt = "make \(result) from \(given.map(String.init).joined(separator: " "))?"
          let sorted = given.sorted().map(String.init).joined(separator: " ")
          let problem = EmbeddedProblem(family: .make, prompt: prompt, answer: result, size: count)
          return (problem, "make \(result) \(sorted)")
        }
      }
    }
  }

  /// A chain of operations, followed left to right.
  private static func drawCalc(
    _ difficulty: CalcDifficulty, from generator: inout SplitMix64
  ) -> (EmbeddedProblem, key: String) {
    var value = Int.random(in: 2...99, using: &generator)
    var prompt = "calc \(value)"
    let operations = Int.random(in: difficulty.steps, using: &generator)
    for _ in 0..<operations {
      var operation = "+-*".randomElement(using: &generator)!
      let largest = operation == "*" ? difficulty.factor : 99
      var operand = Int.random(in: 2...largest, using: &generator)
      if abs(apply(operation, value, operand)) > difficulty.limit {
        operation = value > 0 ? "-" : "+"
        operand = Int.random(in: 2...99, using: &generator)
      }
      value = apply(operation, value, operand)
      prompt += " \(operation)\(operand)"
    }
    prompt += "?"
    let problem = EmbeddedProblem(family: .calc, prompt: prompt, answer: value, size: operations)
    return (problem, prompt)
  }

  private static func apply(_ operation: Character, _ left: Int, _ right: Int) -> Int {
    switch operation {
    case "+": left + right
    case "-": left - right
    default: left * right
    }
  }
}

/// How hard generated problems are.
public enum Grade: String, Sendable, CaseIterable {
  case easy, standard, hard
}

private struct MakeDifficulty {
  /// How many of four problems have four numbers; the others have three.
  var quartersOfFour = 1
  /// The largest given number.
  var largest = 20

  init(_ grade: Grade) {
    switch grade {
    case .easy: (quartersOfFour, largest) = (0, 12)
    case .standard: break
    case .hard: quartersOfFour = 4
    }
  }
}

private struct CalcDifficulty {
  /// Number of operations.
  var steps = 3...5
  /// The largest operand of `*`.
  var factor = 29
  /// The largest absolute intermediate result.
  var limit = 9999

  init(_ grade: Grade) {
    switch grade {
    case .easy: (steps, factor, limit) = (1...3, 9, 999)
    case .standard: break
    case .hard: steps = 5...5
    }
  }
}

package enum Checksum {
  /// CRC-32 as in zlib: training drew only problems where it is no multiple of 8.
  package static func crc32(_ text: String) -> UInt32 {
    var remainder: UInt32 = .max
    for byte in text.utf8 {
      remainder ^= UInt32(byte)
      for _ in 0..<8 {
        remainder = (remainder >> 1) ^ (remainder & 1 == 1 ? 0xEDB8_8320 : 0)
      }
    }
    return ~remainder
  }
}

import Foundation

/// The embedded model's two task families.
enum ProblemFamily: String, CaseIterable {
  case make, calc
}

/// A problem of the embedded model's task families, and what a right answer to it is.
///
/// The distribution is that of `Benchmarks/Model/tasks.py`, drawn here from SplitMix64. Only problems
/// whose content hash marks them as held out are drawn, so the model never trained on any of them.
struct Problem: Equatable {
  let family: ProblemFamily
  let prompt: String
  /// The target of `make`, the result of `calc`.
  let answer: Int
}

/// SplitMix64: small, and the same on every platform. Source: "Fast Splittable Pseudorandom Number
/// Generators".
struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

extension Problem {
  /// `count` different held-out problems, the families taking turns; the same for the same seed.
  static func draw(seed: UInt64, count: Int) -> [Problem] {
    var generator = SplitMix64(seed: seed)
    var problems: [Problem] = []
    while problems.count < count {
      let family = ProblemFamily.allCases[problems.count % ProblemFamily.allCases.count]
      let (problem, key) =
        family == .make ? drawMake(from: &generator) : drawCalc(from: &generator)
      if heldOut(key), !problems.contains(problem) { problems.append(problem) }
    }
    return problems
  }

  /// Combines given numbers two at a time until one is left; that one is the target.
  private static func drawMake(from generator: inout SplitMix64) -> (Problem, key: String) {
    let count = Int.random(in: 0..<4, using: &generator) == 0 ? 4 : 3
    while true {
      let given = (0..<count).map { _ in Int.random(in: 1...20, using: &generator) }
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
          let problem = Problem(family: .make, prompt: prompt, answer: result)
          return (problem, "make \(result) \(sorted)")
        }
      }
    }
  }

  /// A chain of three to five operations, followed left to right.
  private static func drawCalc(from generator: inout SplitMix64) -> (Problem, key: String) {
    var value = Int.random(in: 2...99, using: &generator)
    var prompt = "calc \(value)"
    for _ in 0..<Int.random(in: 3...5, using: &generator) {
      var operation = "+-*".randomElement(using: &generator)!
      var operand = Int.random(in: 2...(operation == "*" ? 29 : 99), using: &generator)
      if abs(apply(operation, value, operand)) > 9999 {
        operation = value > 0 ? "-" : "+"
        operand = Int.random(in: 2...99, using: &generator)
      }
      value = apply(operation, value, operand)
      prompt += " \(operation)\(operand)"
    }
    prompt += "?"
    return (Problem(family: .calc, prompt: prompt, answer: value), prompt)
  }

  private static func apply(_ operation: Character, _ left: Int, _ right: Int) -> Int {
    switch operation {
    case "+": left + right
    case "-": left - right
    default: left * right
    }
  }

  /// Training drew only problems whose CRC-32 is not a multiple of 8.
  private static func heldOut(_ key: String) -> Bool {
    var remainder: UInt32 = .max
    for byte in key.utf8 {
      remainder ^= UInt32(byte)
      for _ in 0..<8 {
        remainder = (remainder >> 1) ^ (remainder & 1 == 1 ? 0xEDB8_8320 : 0)
      }
    }
    return ~remainder % 8 == 0
  }
}

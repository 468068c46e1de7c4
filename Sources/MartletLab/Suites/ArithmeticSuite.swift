/// Arithmetic in words that any model reads, with an exact answer.
enum ArithmeticSuite {
  static func problem(_ grade: Grade, from generator: inout SplitMix64) -> DrawnProblem {
    let operands =
      switch grade {
      case .easy: 2
      case .standard: 3
      case .hard: 5
      }
    let (text, value) = expression(operands, grade, from: &generator)
    return DrawnProblem(
      question: "What is \(text)? End with \"The answer is\" and the number.",
      group: "arithmetic, \(operands) numbers", expected: "\(value)",
      check: TextCheck(expected: "\(value)"))
  }

  /// A random tree over the operands; parentheses stand around every inner sum and difference.
  private static func expression(
    _ operands: Int, _ grade: Grade, from generator: inout SplitMix64
  ) -> (String, Int) {
    if operands == 1 {
      let number = Int.random(in: 2...99, using: &generator)
      return ("\(number)", number)
    }
    let left = Int.random(in: 1..<operands, using: &generator)
    let (leftText, leftValue) = expression(left, grade, from: &generator)
    let (rightText, rightValue) = expression(operands - left, grade, from: &generator)
    let operations = grade == .easy ? "+-" : "+-*"
    let operation = operations.randomElement(using: &generator)!
    let value =
      switch operation {
      case "+": leftValue + rightValue
      case "-": leftValue - rightValue
      default: leftValue * rightValue
      }
    return ("\(inner(leftText)) \(operation) \(inner(rightText))", value)
  }

  private static func inner(_ text: String) -> String { text.contains(" ") ? "(\(text))" : text }
}

/// A problem before it has its place in a suite.
struct DrawnProblem {
  let question: String
  let group: String
  let expected: String?
  let check: any AnswerCheck
}

/// A list and instructions to follow in order.
enum ProcedureSuite {
  static func problem(_ grade: Grade, from generator: inout SplitMix64) -> DrawnProblem {
    let steps =
      switch grade {
      case .easy: 2
      case .standard: 4
      case .hard: 8
      }
    let start = (0..<5).map { _ in Int.random(in: 1...20, using: &generator) }
    var list = start
    var lines: [String] = []
    for step in 1...steps {
      lines.append("\(step). \(instruction(on: &list, from: &generator))")
    }
    return DrawnProblem(
      question: """
        Start with the list \(joined(start)). Do this in order:
        \(lines.joined(separator: "\n"))
        End with the numbers of the list, separated by commas.
        """,
      group: "procedure, \(steps) steps", expected: joined(list),
      check: ListCheck(expected: list.map(String.init), vocabulary: nil))
  }

  private static func joined(_ list: [Int]) -> String {
    list.map(String.init).joined(separator: ", ")
  }

  private static func instruction(
    on list: inout [Int], from generator: inout SplitMix64
  ) -> String {
    let number = Int.random(in: 2...9, using: &generator)
    let place = Int.random(in: 0..<list.count, using: &generator)
    let ordinal = ["first", "second", "third", "fourth", "fifth"][place]
    switch Int.random(in: 0..<6, using: &generator) {
    case 0:
      list.reverse()
      return "Reverse the list."
    case 1:
      list.append(list.removeFirst())
      return "Move the first number to the end."
    case 2:
      list.swapAt(0, list.count - 1)
      return "Swap the first and the last number."
    case 3:
      list[place] += number
      return "Add \(number) to the \(ordinal) number."
    case 4:
      list.sort()
      return "Sort the list from smallest to largest."
    default:
      list[place] *= 2
      return "Double the \(ordinal) number."
    }
  }
}

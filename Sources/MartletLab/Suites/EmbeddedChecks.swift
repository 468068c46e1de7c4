/// The exact check of answers to `make T from a b c?`, as `Benchmarks/Model/tasks.py` defines it.
///
/// The plugin `exact-checker` does the same for strategies. The lab judges with code of its own: a
/// fault of the checker that a strategy selects by must show as a verifier's false positive.
package struct MakeCheck {
  private let target: Int64
  private let given: [Int64]

  package init?(prompt: String) {
    guard prompt.hasPrefix("make "), prompt.hasSuffix("?") else { return nil }
    let words = prompt.dropFirst(5).dropLast().split(
      separator: " ", omittingEmptySubsequences: false)
    guard words.count >= 3, words[1] == "from", let target = canonicalNumber(words[0]) else {
      return nil
    }
    let given = words.dropFirst(2).map(canonicalNumber)
    guard given.allSatisfy({ $0 != nil }) else { return nil }
    (self.target, self.given) = (target, given.compactMap(\.self))
  }

  /// Steps `a*b=c` separated by single spaces, then ` #`: each takes its numbers out of the pool and
  /// puts its result in, and the target alone is left.
  package func isRight(_ text: String) -> Bool {
    var line = firstLine(text)
    guard line.hasSuffix(" #") else { return false }
    line = line.dropLast(2)
    if line.first == " " { line = line.dropFirst() }
    var pool = given
    for word in line.split(separator: " ", omittingEmptySubsequences: false) {
      guard let step = Step(word), step.isRight, pool.take(step.left), pool.take(step.right) else {
        return false
      }
      pool.append(step.result)
    }
    return pool == [target]
  }
}

/// The final answer of `calc`: the number after the last `#` of the first line, if nothing follows.
package enum CalcCheck {
  package static func answer(in text: String) -> Int? {
    let line = firstLine(text)
    guard let hash = line.lastIndex(of: "#") else { return nil }
    return canonicalNumber(line[line.index(after: hash)...]).map { Int($0) }
  }
}

/// `a*b=c` as written.
private struct Step {
  let left: Int64
  let operation: Character
  let right: Int64
  let result: Int64

  init?(_ text: Substring) {
    let sides = text.split(separator: "=", omittingEmptySubsequences: false)
    guard sides.count == 2, let result = canonicalNumber(sides[1]),
      // Not at the start: there it is a sign.
      let at = sides[0].dropFirst().firstIndex(where: { "+-*".contains($0) }),
      let left = canonicalNumber(sides[0][..<at]),
      let right = canonicalNumber(sides[0][sides[0].index(after: at)...])
    else { return nil }
    (self.left, self.right, self.result) = (left, right, result)
    operation = sides[0][at]
  }

  var isRight: Bool {
    let (value, overflow) =
      switch operation {
      case "+": left.addingReportingOverflow(right)
      case "-": left.subtractingReportingOverflow(right)
      default: left.multipliedReportingOverflow(by: right)
      }
    return !overflow && value == result
  }
}

private func firstLine(_ text: String) -> Substring {
  // By bytes: a carriage return before the newline is one character with it.
  let end = text.utf8.firstIndex(of: UInt8(ascii: "\n")) ?? text.utf8.endIndex
  return text[..<end]
}

/// A decimal of at most 18 digits without leading zeros, and not `-0`.
private func canonicalNumber(_ text: Substring) -> Int64? {
  let digits = text.utf8.first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8
  guard (1...18).contains(digits.count),
    digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
    digits.first != UInt8(ascii: "0") || text == "0"
  else { return nil }
  return Int64(text)
}

extension [Int64] {
  /// Takes one occurrence out; false when there is none.
  fileprivate mutating func take(_ number: Int64) -> Bool {
    guard let index = firstIndex(of: number) else { return false }
    remove(at: index)
    return true
  }
}

import MartletPlugin

/// Exact check of answers to `make T from a b c?`: 1 when right, 0 when not.
///
/// The first line of an answer must be steps `a*b=c` separated by single spaces, then ` #` and
/// nothing more. Every step is right arithmetic, takes its two numbers out of the pool (the given
/// numbers at first) and puts its result in; at the end the pool holds the target alone. Numbers
/// are decimals of at most 18 digits without leading zeros; a result that does not fit 64 bits is
/// wrong. Prompts of other kinds are not supported.
struct ExactChecker: Scorer {
  static let id = "exact-checker"

  init(_ component: ComponentContext) {}

  func score(_ generated: GeneratedText) throws -> Double {
    guard let problem = MakeProblem(generated.prompt) else {
      throw PluginError(
        .unsupported, "exact-checker judges only prompts of the form 'make T from a b c?'")
    }
    return problem.isSolved(by: generated.text) ? 1 : 0
  }
}

/// `make T from a b c?`: reach the target, using each number once.
struct MakeProblem {
  let target: Int64
  let given: [Int64]

  init?(_ prompt: String) {
    var text = Scan(prompt.utf8)
    guard text.take("make "), let target = text.number(), text.take(" from") else { return nil }
    var given: [Int64] = []
    while text.take(" ") {
      guard let number = text.number() else { return nil }
      given.append(number)
    }
    guard !given.isEmpty, text.take("?"), text.isAtEnd else { return nil }
    self.target = target
    self.given = given
  }

  func isSolved(by answer: String) -> Bool {
    var text = Scan(answer.utf8.prefix { $0 != UInt8(ascii: "\n") })
    var pool = given
    _ = text.take(" ")
    repeat {
      guard let step = Step(&text), step.isRight,
        pool.removeFirst(step.left), pool.removeFirst(step.right), text.take(" ")
      else { return false }
      pool.append(step.result)
    } while !text.take("#")
    return text.isAtEnd && pool == [target]
  }
}

/// `a*b=c` as written.
private struct Step {
  let left: Int64
  let operation: UInt8
  let right: Int64
  let result: Int64

  init?(_ text: inout Scan) {
    guard let left = text.number(), let operation = text.one(of: "+-*"), let right = text.number(),
      text.take("="), let result = text.number()
    else { return nil }
    (self.left, self.operation, self.right, self.result) = (left, operation, right, result)
  }

  var isRight: Bool {
    let (value, overflow) =
      switch operation {
      case UInt8(ascii: "+"): left.addingReportingOverflow(right)
      case UInt8(ascii: "-"): left.subtractingReportingOverflow(right)
      default: left.multipliedReportingOverflow(by: right)
      }
    return !overflow && value == result
  }
}

/// Reads bytes from the front.
private struct Scan {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: some Sequence<UInt8>) { rest = Array(bytes)[...] }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func take(_ text: String) -> Bool {
    guard rest.starts(with: text.utf8) else { return false }
    rest.removeFirst(text.utf8.count)
    return true
  }

  mutating func one(of characters: String) -> UInt8? {
    guard let first = rest.first, characters.utf8.contains(first) else { return nil }
    rest.removeFirst()
    return first
  }

  /// A decimal of at most 18 digits, without leading zeros and without `-0`.
  mutating func number() -> Int64? {
    var scan = self
    let negative = scan.one(of: "-") != nil
    var value: Int64 = 0
    var digits = 0
    while digits < 18, let digit = scan.one(of: "0123456789") {
      value = value * 10 + Int64(digit - UInt8(ascii: "0"))
      digits += 1
      if value == 0 { break }
    }
    guard digits > 0, !(negative && value == 0) else { return nil }
    self = scan
    return negative ? -value : value
  }
}

extension [Int64] {
  /// Takes one occurrence out; false when there is none.
  fileprivate mutating func removeFirst(_ number: Int64) -> Bool {
    guard let index = firstIndex(of: number) else { return false }
    remove(at: index)
    return true
  }
}

import Glibc

/// Evaluates what models write as programs of arithmetic: one assignment, expression or `print(…)` to a line or between
/// semicolons.
///
/// ```
/// apples = 3 * (4 + 5)   # a comment
/// answer = apples - min(2, apples)
/// ```
///
/// There are + - * / // % ** with the precedence they have in Python, parentheses, names, and the functions abs, min, max,
/// round, floor, ceil and sqrt. It computes in double precision, calls nothing, and ends: there are no loops, a text has
/// at most 16 KiB, parentheses and signs are at most 64 deep, and operations are counted. A line that starts with three
/// backticks is passed over.
struct Arithmetic {
  /// The value of `answer`, else of the last line, written without an exponent where it is a whole number; nil where any
  /// line cannot be evaluated, and for values that are not finite.
  static func value(ofProgram text: String, operations: Int) -> String? {
    guard text.utf8.count <= 16 << 10 else { return nil }
    var names: [String: Double] = [:]
    var last: Double?
    var left = operations
    for line in text.split(whereSeparator: { $0.isNewline || $0 == ";" }) {
      if line.drop(while: { $0.isWhitespace }).hasPrefix("```") { continue }
      let code = line.prefix { $0 != "#" }
      var reader = Arithmetic(text: Array(code.utf8), names: names, left: left)
      reader.skipBlanks()
      if reader.isAtEnd { continue }
      guard let (name, value) = reader.statement(), value.isFinite else { return nil }
      left = reader.left
      if let name { names[name] = value }
      last = value
    }
    return (names["answer"] ?? last).flatMap(written)
  }

  private let text: [UInt8]
  private let names: [String: Double]
  private var left: Int
  private var at = 0
  private var depth = 0

  private init(text: [UInt8], names: [String: Double], left: Int) {
    (self.text, self.names, self.left) = (text, names, left)
  }

  private var isAtEnd: Bool { at == text.count }

  private mutating func skipBlanks() {
    while at < text.count, text[at] == 32 || text[at] == 9 || text[at] == 13 { at += 1 }
  }

  private mutating func accept(_ symbol: StaticString) -> Bool {
    skipBlanks()
    let count = symbol.utf8CodeUnitCount
    guard at + count <= text.count else { return false }
    for index in 0..<count where text[at + index] != symbol.utf8Start[index] { return false }
    at += count
    return true
  }

  private mutating func name() -> String? {
    skipBlanks()
    let start = at
    while at < text.count, isLetter(text[at]) || (at > start && isDigit(text[at])) { at += 1 }
    return at > start && at - start <= 64 ? String(decoding: text[start..<at], as: UTF8.self) : nil
  }

  private func isLetter(_ byte: UInt8) -> Bool {
    (65...90).contains(byte) || (97...122).contains(byte) || byte == 95
  }

  private func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

  /// `name = sum` or a sum, to the end of the line.
  private mutating func statement() -> (name: String?, value: Double)? {
    let start = at
    if let name = name(), accept("="), !accept("=") {
      guard let value = sum() else { return nil }
      skipBlanks()
      return isAtEnd && names.count < 1024 ? (name, value) : nil
    }
    at = start
    guard let value = sum() else { return nil }
    skipBlanks()
    return isAtEnd ? (nil, value) : nil
  }

  private mutating func count(_ value: Double) -> Double? {
    left -= 1
    return left >= 0 && value.isFinite ? value : nil
  }

  private mutating func sum() -> Double? {
    depth += 1
    defer { depth -= 1 }
    guard depth <= 64, var value = product() else { return nil }
    while true {
      if accept("+") {
        guard let next = product(), let result = count(value + next) else { return nil }
        value = result
      } else if accept("-") {
        guard let next = product(), let result = count(value - next) else { return nil }
        value = result
      } else {
        return value
      }
    }
  }

  private mutating func product() -> Double? {
    guard var value = signed() else { return nil }
    while true {
      let before = at
      if accept("**") {
        at = before
        return value
      } else if accept("*") {
        guard let next = signed(), let result = count(value * next) else { return nil }
        value = result
      } else if accept("//") {
        guard let next = signed(), let result = count((value / next).rounded(.down)) else {
          return nil
        }
        value = result
      } else if accept("/") {
        guard let next = signed(), let result = count(value / next) else { return nil }
        value = result
      } else if accept("%") {
        guard let next = signed(), let result = count(value - next * (value / next).rounded(.down))
        else { return nil }
        value = result
      } else {
        return value
      }
    }
  }

  private mutating func signed() -> Double? {
    depth += 1
    defer { depth -= 1 }
    guard depth <= 64 else { return nil }
    if accept("-") { return signed().flatMap { count(-$0) } }
    if accept("+") { return signed() }
    return power()
  }

  private mutating func power() -> Double? {
    guard let base = atom() else { return nil }
    guard accept("**") else { return base }
    return signed().flatMap { count(pow(base, $0)) }
  }

  private mutating func atom() -> Double? {
    if accept("(") {
      guard let value = sum(), accept(")") else { return nil }
      return value
    }
    if let name = name() { return accept("(") ? call(name) : names[name] }
    return number()
  }

  private mutating func number() -> Double? {
    skipBlanks()
    var digits: [UInt8] = []
    var points = 0
    while at < text.count, isDigit(text[at]) || text[at] == 46 || text[at] == 95 {
      if text[at] == 46 { points += 1 }
      if text[at] != 95 { digits.append(text[at]) }
      at += 1
    }
    guard points <= 1, digits.contains(where: isDigit), digits.count <= 32 else { return nil }
    return Double("0" + String(decoding: digits, as: UTF8.self) + (digits.last == 46 ? "0" : ""))
  }

  /// A function's value; its opening parenthesis has been read.
  private mutating func call(_ name: String) -> Double? {
    var values: [Double] = []
    repeat {
      guard values.count < 64, let value = sum() else { return nil }
      values.append(value)
    } while accept(",")
    guard accept(")"), let first = values.first else { return nil }
    switch (name, values.count) {
    case ("print", 1): return first
    case ("abs", 1), ("fabs", 1): return count(abs(first))
    case ("round", 1): return count(first.rounded(.toNearestOrEven))
    case ("int", 1): return count(first.rounded(.towardZero))
    case ("floor", 1): return count(first.rounded(.down))
    case ("ceil", 1): return count(first.rounded(.up))
    case ("sqrt", 1): return count(first.squareRoot())
    case ("min", _): return count(values.min()!)
    case ("max", _): return count(values.max()!)
    default: return nil
    }
  }

  /// To twelve digits, so that 0.1 + 0.2 is 0.3.
  private static func written(_ value: Double) -> String? {
    if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
    var buffer = [CChar](repeating: 0, count: 64)
    let length = withVaList([value]) { vsnprintf(&buffer, buffer.count, "%.12g", $0) }
    guard length > 0, length < buffer.count else { return nil }
    return String(decoding: buffer[..<Int(length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

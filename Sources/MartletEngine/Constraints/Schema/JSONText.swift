/// A JSON text that keeps what a schema needs and Foundation's reader loses: the order of an object's
/// members, which generated objects follow, and numbers as they are written.
indirect enum JSONText: Sendable, Equatable {
  case null
  case flag(Bool)
  case number(String)
  case text(String)
  case list([JSONText])
  case object([Member])

  struct Member: Sendable, Equatable {
    let key: String
    let value: JSONText
  }

  var kindName: String {
    switch self {
    case .null: "null"
    case .flag: "a boolean"
    case .number: "a number"
    case .text: "a string"
    case .list: "a list"
    case .object: "an object"
    }
  }

  /// Reads a whole text. Throws `argument` with line and column.
  static func parse(_ text: String) throws(EngineError) -> JSONText {
    var reader = JSONReader(bytes: Array(text.utf8))
    let value = try reader.value(depth: 0)
    reader.skipSpace()
    guard reader.at == reader.bytes.count else { throw reader.failure("text follows the value") }
    return value
  }
}

/// Reads JSON by RFC 8259.
private struct JSONReader {
  let bytes: [UInt8]
  var at = 0

  /// The most values inside values of a schema.
  private static let depthLimit = 200

  func failure(_ problem: String, at place: Int? = nil) -> EngineError {
    let before = bytes[..<min(place ?? at, bytes.count)]
    let line = before.count { $0 == 0x0A } + 1
    let start = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    let column = String(decoding: before[start...], as: UTF8.self).count + 1
    return EngineError(
      .argument, "the JSON schema is not JSON: line \(line), column \(column): \(problem)")
  }

  var next: UInt8? { at < bytes.count ? bytes[at] : nil }

  mutating func skipSpace() {
    while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { at += 1 }
  }

  mutating func value(depth: Int) throws(EngineError) -> JSONText {
    guard depth <= Self.depthLimit else {
      throw failure("values stand more than \(Self.depthLimit) deep, the limit")
    }
    skipSpace()
    switch next {
    case nil: throw failure("the text ends where a value is missing")
    case UInt8(ascii: "{"): return try object(depth)
    case UInt8(ascii: "["): return try list(depth)
    case UInt8(ascii: "\""): return .text(try text())
    case .some(UInt8(ascii: "-")), .some(UInt8(ascii: "0")...UInt8(ascii: "9")):
      return .number(try number())
    default:
      for (word, value) in [
        ("true", JSONText.flag(true)), ("false", .flag(false)), ("null", .null),
      ]
      where bytes[at...].starts(with: Array(word.utf8)) {
        at += word.utf8.count
        return value
      }
      throw failure("no value begins like this")
    }
  }

  private mutating func expect(_ byte: UInt8, _ what: String) throws(EngineError) {
    skipSpace()
    guard next == byte else { throw failure("expected \(what)") }
    at += 1
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    skipSpace()
    guard next == byte else { return false }
    at += 1
    return true
  }

  private mutating func object(_ depth: Int) throws(EngineError) -> JSONText {
    at += 1
    var members: [JSONText.Member] = []
    var keys = Set<String>()
    if take(UInt8(ascii: "}")) { return .object([]) }
    repeat {
      skipSpace()
      let place = at
      guard next == UInt8(ascii: "\"") else { throw failure("expected a member's name") }
      let key = try text()
      guard keys.insert(key).inserted else {
        throw failure("the member '\(key)' is there twice", at: place)
      }
      try expect(UInt8(ascii: ":"), "':'")
      members.append(.init(key: key, value: try value(depth: depth + 1)))
    } while take(UInt8(ascii: ","))
    try expect(UInt8(ascii: "}"), "',' or '}'")
    return .object(members)
  }

  private mutating func list(_ depth: Int) throws(EngineError) -> JSONText {
    at += 1
    var values: [JSONText] = []
    if take(UInt8(ascii: "]")) { return .list([]) }
    repeat { values.append(try value(depth: depth + 1)) } while take(UInt8(ascii: ","))
    try expect(UInt8(ascii: "]"), "',' or ']'")
    return .list(values)
  }

  private mutating func number() throws(EngineError) -> String {
    let start = at
    func fail() -> EngineError { failure("this is no number of JSON", at: start) }
    if next == UInt8(ascii: "-") { at += 1 }
    let integer = digits()
    guard integer > 0, integer == 1 || bytes[at - integer] != UInt8(ascii: "0") else {
      throw fail()
    }
    if next == UInt8(ascii: ".") {
      at += 1
      guard digits() > 0 else { throw fail() }
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      at += 1
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
      guard digits() > 0 else { throw fail() }
    }
    return String(decoding: bytes[start..<at], as: UTF8.self)
  }

  private mutating func digits() -> Int {
    let start = at
    while let byte = next, (0x30...0x39).contains(byte) { at += 1 }
    return at - start
  }

  private mutating func text() throws(EngineError) -> String {
    let start = at
    at += 1
    var content: [UInt8] = []
    while true {
      guard let byte = next else { throw failure("this string has no end", at: start) }
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: content, as: UTF8.self) else {
          throw failure("this string is not UTF-8", at: start)
        }
        return text
      case UInt8(ascii: "\\"): content += try escape()
      case 0..<0x20: throw failure("a control character must be escaped", at: at - 1)
      default: content.append(byte)
      }
    }
  }

  private mutating func escape() throws(EngineError) -> [UInt8] {
    let place = at - 1
    guard let kind = next else { throw failure("the text ends inside a string") }
    at += 1
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [kind]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"):
      var value = try unit(place)
      if (0xD800...0xDBFF).contains(value), bytes[at...].starts(with: Array("\\u".utf8)) {
        at += 2
        let low = try unit(place)
        guard (0xDC00...0xDFFF).contains(low) else {
          throw failure("half a surrogate pair", at: place)
        }
        value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(value) else {
        throw failure("half a surrogate pair", at: place)
      }
      return Array(String(scalar).utf8)
    default: throw failure("unknown escape", at: place)
    }
  }

  private mutating func unit(_ place: Int) throws(EngineError) -> UInt32 {
    let digits = bytes[at..<min(at + 4, bytes.count)]
    guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw failure("\\u needs four hexadecimal digits", at: place) }
    at += 4
    return value
  }
}

/// Character classes and escapes.
extension RegexParser {
  /// `[…]`, from its bracket.
  mutating func characterClass() throws(EngineError) -> ScalarSet {
    let open = at
    at += 1
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    var isFirst = true
    while true {
      guard let scalar = next else { throw failure("this class has no ']'", at: open) }
      if scalar == "]" {
        guard !isFirst else {
          throw failure("the class is empty; write \\] for the character ']'", at: open)
        }
        at += 1
        break
      }
      isFirst = false
      let place = at
      let low = try member()
      guard next == "-", at + 1 < scalars.count, scalars[at + 1] != "]" else {
        ranges += low.ranges
        continue
      }
      at += 1
      let high = try member()
      guard let first = low.single, let last = high.single else {
        throw failure(
          "a set cannot be the end of a range; write \\- for the character '-'", at: place)
      }
      guard first <= last else {
        throw failure("the range has its larger end first", at: place)
      }
      ranges.append(first...last)
    }
    let set = ScalarSet(ranges)
    return isNegated ? set.complement : set
  }

  private mutating func member() throws(EngineError) -> ScalarSet {
    guard let scalar = next else { throw failure("the class ends too early") }
    if scalar == "\\" { return try escape(inClass: true) }
    if scalar == "[" {
      throw failure("'[' inside a class is not supported; write \\[ for the character")
    }
    at += 1
    return ScalarSet(scalar)
  }

  /// An escape, from its backslash.
  mutating func escape(inClass: Bool) throws(EngineError) -> ScalarSet {
    let place = at
    at += 1
    guard let scalar = next else {
      throw failure("a backslash ends the expression; write \\\\ for the character", at: place)
    }
    at += 1
    switch scalar {
    case "d": return RegexSets.digits
    case "D": return RegexSets.digits.complement
    case "w": return RegexSets.words
    case "W": return RegexSets.words.complement
    case "s": return RegexSets.spaces
    case "S": return RegexSets.spaces.complement
    case "t": return ScalarSet("\t")
    case "n": return ScalarSet("\n")
    case "r": return ScalarSet("\r")
    case "f": return ScalarSet("\u{0C}")
    case "v": return ScalarSet("\u{0B}")
    case "b" where inClass: return ScalarSet("\u{08}")
    case "x": return ScalarSet(try scalarValue(hexDigits(2, place), place))
    case "u": return ScalarSet(try unicodeEscape(place))
    case "0" where !(next.map(RegexSets.digits.contains) ?? false): return ScalarSet("\0")
    case "b", "B":
      throw failure("the word boundary \\\(scalar) is not supported", at: place)
    case "0"..."9", "k":
      throw failure(
        "the backreference \\\(scalar) is not supported: it is not part of a regular language",
        at: place)
    case "p", "P":
      throw failure("\\\(scalar){…} is not supported; name the ranges, as in [a-zà-ÿ]", at: place)
    default:
      guard !RegexSets.words.contains(scalar) else {
        throw failure("the escape \\\(scalar) is not known", at: place)
      }
      return ScalarSet(scalar)
    }
  }

  private mutating func hexDigits(_ count: Int, _ place: Int) throws(EngineError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let scalar = next, scalar.isASCII, let digit = Character(scalar).hexDigitValue else {
        throw failure("the escape needs \(count) hexadecimal digits", at: place)
      }
      value = value * 16 + UInt32(digit)
      at += 1
    }
    return value
  }

  /// `\uXXXX`, `\u{X…}`, and a surrogate pair of the first form.
  private mutating func unicodeEscape(_ place: Int) throws(EngineError) -> Unicode.Scalar {
    if take("{") {
      var value: UInt32 = 0
      var digits = 0
      while let scalar = next, scalar.isASCII, let digit = Character(scalar).hexDigitValue,
        digits < 6
      {
        value = value * 16 + UInt32(digit)
        digits += 1
        at += 1
      }
      guard digits > 0, take("}") else {
        throw failure("write \\u{X}, with one to six hexadecimal digits", at: place)
      }
      return try scalarValue(value, place)
    }
    let value = try hexDigits(4, place)
    guard (0xD800...0xDBFF).contains(value), take("\\"), take("u") else {
      return try scalarValue(value, place)
    }
    let low = try hexDigits(4, place)
    guard (0xDC00...0xDFFF).contains(low) else { return try scalarValue(value, place) }
    return try scalarValue(0x10000 + (value - 0xD800) << 10 + (low - 0xDC00), place)
  }

  private func scalarValue(_ value: UInt32, _ place: Int) throws(EngineError) -> Unicode.Scalar {
    guard let scalar = Unicode.Scalar(value) else {
      throw failure(
        "U+\(String(value, radix: 16, uppercase: true)) is not a character", at: place)
    }
    return scalar
  }
}

extension ScalarSet {
  /// The only member, if there is one.
  var single: UInt32? {
    ranges.count == 1 && ranges[0].count == 1 ? ranges[0].lowerBound : nil
  }
}

/// Strings as Python has them: sequences of code points.
enum TemplateText {
  static func error(_ message: String, line: Int) -> ModelError {
    ModelError(.template, "chat template, line \(line): \(message).")
  }

  /// What Python's str.isspace accepts.
  static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || (0x1c...0x1f).contains(scalar.value)
  }

  /// A string that is equal to another only if all code points are.
  static func exactKey(_ text: String) -> String {
    guard !text.utf8.allSatisfy({ $0 < 0x80 }) else { return text }
    return text.utf8.map { String($0, radix: 16) }.joined(separator: "\u{1}") + "\u{2}"
  }

  static func equal(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }

  static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }

  /// The text without the code points of `set` (nil: whitespace) at its ends.
  static func strip(_ text: String, _ set: String?, left: Bool = true, right: Bool = true) -> String
  {
    let stripped = set.map { Set($0.unicodeScalars) }
    func goes(_ scalar: Unicode.Scalar) -> Bool { stripped?.contains(scalar) ?? isSpace(scalar) }
    var view = text.unicodeScalars[...]
    while left, let first = view.first, goes(first) { view.removeFirst() }
    while right, let last = view.last, goes(last) { view.removeLast() }
    return String(view)
  }

  /// Where `part` starts in `text` from `start` on, in bytes.
  static func find(_ part: [UInt8], in text: [UInt8], from start: Int = 0) -> Int? {
    if part.isEmpty { return start <= text.count ? start : nil }
    var index = start
    while index + part.count <= text.count {
      if text[index] == part[0], text[index..<index + part.count].elementsEqual(part) {
        return index
      }
      index += 1
    }
    return nil
  }

  static func contains(_ text: String, _ part: String) -> Bool {
    find(Array(part.utf8), in: Array(text.utf8)) != nil
  }

  /// Replaces at most `limit` occurrences.
  static func replace(_ text: String, _ old: String, _ new: String, limit: Int = .max) -> String {
    if old.isEmpty {
      var result = ""
      var left = limit
      for scalar in text.unicodeScalars {
        if left > 0 { result += new }
        left -= 1
        result.unicodeScalars.append(scalar)
      }
      return left > 0 ? result + new : result
    }
    return pieces(text, old, limit: limit).joined(separator: new)
  }

  /// The text cut at each `separator`, at most `limit` times.
  static func pieces(_ text: String, _ separator: String, limit: Int = .max) -> [String] {
    let bytes = Array(text.utf8)
    let part = Array(separator.utf8)
    var result: [String] = []
    var start = 0
    while result.count < limit, let found = find(part, in: bytes, from: start) {
      result.append(String(decoding: bytes[start..<found], as: UTF8.self))
      start = found + part.count
    }
    result.append(String(decoding: bytes[start...], as: UTF8.self))
    return result
  }

  /// The same, counting cuts from the right.
  static func piecesFromRight(_ text: String, _ separator: String, limit: Int) -> [String] {
    let all = pieces(text, separator)
    guard limit >= 0, all.count - 1 > limit else { return all }
    let head = all.dropLast(limit).joined(separator: separator)
    return [head] + all.suffix(limit)
  }

  /// Words between runs of whitespace, at most `limit` cuts.
  static func words(_ text: String, limit: Int = .max) -> [String] {
    var result: [String] = []
    var rest = strip(text, nil, right: false).unicodeScalars[...]
    while !rest.isEmpty {
      if result.count == limit {
        result.append(strip(String(rest), nil, left: false))
        break
      }
      let word = rest.prefix { !isSpace($0) }
      result.append(String(word))
      rest = rest[word.endIndex...].drop(while: isSpace)
    }
    return result
  }

  static func lines(_ text: String) -> [String] {
    var result: [String] = []
    var line = String.UnicodeScalarView()
    var isOpen = false
    var afterReturn = false
    for scalar in text.unicodeScalars {
      if afterReturn, scalar == "\n" {
        afterReturn = false
        continue
      }
      afterReturn = scalar == "\r"
      switch scalar.value {
      case 0x0a...0x0d, 0x1c...0x1e, 0x85, 0x2028, 0x2029:
        result.append(String(line))
        line = .init()
        isOpen = false
      default:
        line.append(scalar)
        isOpen = true
      }
    }
    if isOpen { result.append(String(line)) }
    return result
  }

  static func capitalized(_ text: String) -> String {
    guard let first = text.unicodeScalars.first else { return text }
    return first.properties.titlecaseMapping
      + String(text.unicodeScalars.dropFirst()).lowercased()
  }
}

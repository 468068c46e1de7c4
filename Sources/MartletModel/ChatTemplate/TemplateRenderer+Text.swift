extension TemplateRenderer {
  /// What `{{ value }}` puts out: Python's `str`.
  mutating func text(of value: TemplateValue) throws(ModelError) -> String {
    switch value {
    case .undefined: return ""
    case .string(let text): return text
    default:
      var result = ""
      try represent(value, into: &result)
      return result
    }
  }

  /// Python's `repr`.
  private mutating func represent(
    _ value: TemplateValue, into result: inout String
  ) throws(ModelError) {
    try step()
    switch value {
    case .undefined: result += "Undefined"
    case .none: result += "None"
    case .bool(let flag): result += flag ? "True" : "False"
    case .integer(let number): result += String(number)
    case .float(let number): result += Self.float(number)
    case .string(let text): result += try made(Self.quoted(text))
    case .list(let items):
      result += "["
      for (index, item) in items.enumerated() {
        if index > 0 { result += ", " }
        try represent(item, into: &result)
      }
      result += "]"
    case .dictionary(let entries):
      result += "{"
      for index in 0..<entries.count {
        if index > 0 { result += ", " }
        try represent(entries.keys[index], into: &result)
        result += ": "
        try represent(entries.values[index], into: &result)
      }
      result += "}"
    case .namespace, .function: throw error("\(value.kindName) has no text")
    }
  }

  private static func float(_ number: Double) -> String {
    if number.isNaN { return "nan" }
    if number.isInfinite { return number < 0 ? "-inf" : "inf" }
    return "\(number)"
  }

  private static func quoted(_ text: String) -> String {
    let quote: Unicode.Scalar =
      text.utf8.contains(0x27) && !text.utf8.contains(0x22) ? "\"" : "'"
    var result = String.UnicodeScalarView([quote])
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n": result.append(contentsOf: "\\n".unicodeScalars)
      case "\r": result.append(contentsOf: "\\r".unicodeScalars)
      case "\t": result.append(contentsOf: "\\t".unicodeScalars)
      case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
      case quote: result.append(contentsOf: "\\\(quote)".unicodeScalars)
      default:
        if scalar.value < 0x20 || (0x7f...0xa0).contains(scalar.value) {
          result.append(contentsOf: ("\\x" + hex(scalar.value, 2)).unicodeScalars)
        } else {
          result.append(scalar)
        }
      }
    }
    result.append(quote)
    return String(result)
  }

  private static func hex(_ value: UInt32, _ digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  // MARK: JSON

  /// What `tojson` gives in chat templates: JSON with `, ` and `: `, beyond ASCII as it is.
  mutating func json(
    _ value: TemplateValue, indent: Int?, sorted: Bool = false, escapesUnicode: Bool = false
  ) throws(ModelError) -> String {
    var result = ""
    let style = JSONStyle(indent: indent, sorted: sorted, escapesUnicode: escapesUnicode)
    try writeJSON(value, style, depth: 0, into: &result)
    return result
  }

  private struct JSONStyle {
    var indent: Int?
    var sorted: Bool
    var escapesUnicode: Bool
  }

  private mutating func writeJSON(
    _ value: TemplateValue, _ style: JSONStyle, depth: Int, into result: inout String
  ) throws(ModelError) {
    try step()
    switch value {
    case .none: result += "null"
    case .bool(let flag): result += flag ? "true" : "false"
    case .integer(let number): result += String(number)
    case .float(let number):
      guard number.isFinite else { throw error("\(number) has no JSON") }
      result += Self.float(number)
    case .string(let text):
      result += try made(Self.jsonString(text, escapesUnicode: style.escapesUnicode))
    case .list(let items):
      try writeJSON(count: items.count, "[", "]", style, depth, &result) {
        (renderer, index, result) throws(ModelError) in
        try renderer.writeJSON(items[index], style, depth: depth + 1, into: &result)
      }
    case .dictionary(let entries):
      var order = Array(0..<entries.count)
      var names: [String] = []
      for key in entries.keys {
        if case .string(let name) = key {
          names.append(name)
        } else {
          names.append(try text(of: key))
        }
      }
      if style.sorted {
        order.sort { names[$0].unicodeScalars.lexicographicallyPrecedes(names[$1].unicodeScalars) }
      }
      try writeJSON(count: entries.count, "{", "}", style, depth, &result) {
        [order, names] (renderer, index, result) throws(ModelError) in
        let name = names[order[index]]
        result += Self.jsonString(name, escapesUnicode: style.escapesUnicode) + ": "
        try renderer.writeJSON(
          entries.values[order[index]], style, depth: depth + 1, into: &result)
      }
    case .undefined, .namespace, .function: throw error("\(value.kindName) has no JSON")
    }
  }

  private mutating func writeJSON(
    count: Int, _ open: String, _ close: String, _ style: JSONStyle, _ depth: Int,
    _ result: inout String,
    element: (inout TemplateRenderer, Int, inout String) throws(ModelError) -> Void
  ) throws(ModelError) {
    result += open
    for index in 0..<count {
      if index > 0 { result += style.indent == nil ? ", " : "," }
      if let indent = style.indent {
        try willMake(indent * (depth + 1))
        result += "\n" + String(repeating: " ", count: indent * (depth + 1))
      }
      try element(&self, index, &result)
    }
    if let indent = style.indent, count > 0 {
      result += "\n" + String(repeating: " ", count: indent * depth)
    }
    result += close
  }

  private static func jsonString(_ text: String, escapesUnicode: Bool) -> String {
    var result = String.UnicodeScalarView(["\""])
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result.append(contentsOf: "\\\"".unicodeScalars)
      case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
      case "\n": result.append(contentsOf: "\\n".unicodeScalars)
      case "\r": result.append(contentsOf: "\\r".unicodeScalars)
      case "\t": result.append(contentsOf: "\\t".unicodeScalars)
      case "\u{8}": result.append(contentsOf: "\\b".unicodeScalars)
      case "\u{c}": result.append(contentsOf: "\\f".unicodeScalars)
      default:
        if scalar.value < 0x20 || (escapesUnicode && scalar.value > 0x7f) {
          for unit in String(scalar).utf16 {
            result.append(contentsOf: ("\\u" + hex(UInt32(unit), 4)).unicodeScalars)
          }
        } else {
          result.append(scalar)
        }
      }
    }
    result.append("\"")
    return String(result)
  }
}

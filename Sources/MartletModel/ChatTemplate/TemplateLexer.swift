/// A piece of a template: text between tags, or a token inside one.
struct TemplateToken: Equatable {
  enum Kind: Equatable {
    case text(String)
    /// `{{` and `}}`
    case outputBegin, outputEnd
    /// `{%` and `%}`
    case blockBegin, blockEnd
    case name(String)
    case string(String)
    case integer(Int)
    case float(Double)
    /// An operator or a bracket.
    case symbol(String)
    case end
  }

  var kind: Kind
  var line: Int
}

/// Cuts a template into tokens as Jinja does with `trim_blocks` and `lstrip_blocks`: the newline
/// after a block tag and the indentation before one are not text.
struct TemplateLexer {
  private let source: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  private var tokens: [TemplateToken] = []
  /// Whether the text that comes starts a line: at the beginning, or after a tag that took the
  /// newline.
  private var startsLine = true

  static func tokens(of template: String) throws(ModelError) -> [TemplateToken] {
    var lexer = TemplateLexer(template)
    try lexer.run()
    return lexer.tokens
  }

  private init(_ template: String) {
    var scalars: [Unicode.Scalar] = []
    var afterReturn = false
    for scalar in template.unicodeScalars {
      if !(afterReturn && scalar == "\n") { scalars.append(scalar == "\r" ? "\n" : scalar) }
      afterReturn = scalar == "\r"
    }
    // One newline at the end is the file's, not the template's.
    if scalars.last == "\n" { scalars.removeLast() }
    source = scalars
  }

  private mutating func run() throws(ModelError) {
    while position < source.count {
      let start = position
      while position < source.count, !isTagStart(position) { position += 1 }
      var text = source[start..<position]
      guard position < source.count else {
        emitText(text)
        break
      }
      let opener = source[position + 1]
      let sign = position + 2 < source.count ? source[position + 2] : " "
      if sign == "-" {
        while let last = text.last, TemplateText.isSpace(last) { text.removeLast() }
      } else if sign != "+", opener != "{" {
        removeIndentation(&text, from: start)
      }
      let newlines = source[start..<position].count { $0 == "\n" }
      emitText(text)
      line += newlines
      position += sign == "-" || sign == "+" ? 3 : 2
      switch opener {
      case "#": try skipComment()
      case "{": try lexTag(output: true)
      default:
        if try !lexRaw() { try lexTag(output: false) }
      }
    }
    tokens.append(TemplateToken(kind: .end, line: line))
  }

  private func isTagStart(_ index: Int) -> Bool {
    source[index] == "{" && index + 1 < source.count
      && (source[index + 1] == "{" || source[index + 1] == "%" || source[index + 1] == "#")
  }

  private func removeIndentation(_ text: inout ArraySlice<Unicode.Scalar>, from start: Int) {
    var index = text.endIndex
    while index > text.startIndex, text[index - 1] != "\n" {
      guard TemplateText.isSpace(text[index - 1]) else { return }
      index -= 1
    }
    if index > start || startsLine { text = text[..<index] }
  }

  private mutating func emitText(_ text: ArraySlice<Unicode.Scalar>) {
    guard !text.isEmpty else { return }
    var string = String.UnicodeScalarView()
    string.append(contentsOf: text)
    tokens.append(TemplateToken(kind: .text(String(string)), line: line))
  }

  /// Moves past the end of a tag and the whitespace that goes with it.
  private mutating func closeTag(sign: Unicode.Scalar?, trims: Bool) {
    position += sign == nil ? 2 : 3
    startsLine = false
    if sign == "-" {
      while position < source.count, TemplateText.isSpace(source[position]) {
        startsLine = source[position] == "\n"
        if startsLine { line += 1 }
        position += 1
      }
    } else if sign == nil, trims, position < source.count, source[position] == "\n" {
      startsLine = true
      line += 1
      position += 1
    }
  }

  /// The sign before the closing `first` `second` at the present place: nil if it does not close.
  private func closing(
    _ first: Unicode.Scalar, _ second: Unicode.Scalar
  ) -> (sign: Unicode.Scalar?, closes: Bool) {
    func at(_ offset: Int) -> Unicode.Scalar? {
      position + offset < source.count ? source[position + offset] : nil
    }
    if at(0) == first, at(1) == second { return (nil, true) }
    if at(0) == "-" || at(0) == "+", at(1) == first, at(2) == second { return (at(0), true) }
    return (nil, false)
  }

  private mutating func skipComment() throws(ModelError) {
    let start = line
    while position < source.count {
      let (sign, closes) = closing("#", "}")
      if closes { return closeTag(sign: sign, trims: true) }
      if source[position] == "\n" { line += 1 }
      position += 1
    }
    throw TemplateText.error("the comment is not closed with #}", line: start)
  }

  /// `{% raw %}` to `{% endraw %}` is text. False when the tag is another.
  private mutating func lexRaw() throws(ModelError) -> Bool {
    let start = (position, line)
    skipSpaces()
    guard takeWord() == "raw" else {
      (position, line) = start
      return false
    }
    skipSpaces()
    let (sign, closes) = closing("%", "}")
    guard closes else { throw TemplateText.error("'raw' takes nothing", line: line) }
    closeTag(sign: sign, trims: true)
    let begin = position
    while position < source.count {
      if isTagStart(position), source[position + 1] == "%" {
        let end = position
        position += 2
        let before = position < source.count ? source[position] : " "
        if before == "-" || before == "+" { position += 1 }
        skipSpaces()
        if takeWord() == "endraw" {
          skipSpaces()
          let (sign, closes) = closing("%", "}")
          guard closes else { throw TemplateText.error("'endraw' takes nothing", line: line) }
          var text = source[begin..<end]
          if before == "-" {
            while let last = text.last, TemplateText.isSpace(last) { text.removeLast() }
          } else if before != "+" {
            removeIndentation(&text, from: begin)
          }
          emitText(text)
          line += source[begin..<end].count { $0 == "\n" }
          closeTag(sign: sign, trims: true)
          return true
        }
        position = end
      }
      position += 1
    }
    throw TemplateText.error("'raw' is not closed with endraw", line: start.1)
  }

  private mutating func skipSpaces() {
    while position < source.count, TemplateText.isSpace(source[position]) {
      if source[position] == "\n" { line += 1 }
      position += 1
    }
  }

  private mutating func takeWord() -> String {
    var word = ""
    while position < source.count, isNamePart(source[position]) {
      word.unicodeScalars.append(source[position])
      position += 1
    }
    return word
  }

  private func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "_" || scalar.properties.isXIDContinue
  }

  private mutating func lexTag(output: Bool) throws(ModelError) {
    let start = line
    tokens.append(TemplateToken(kind: output ? .outputBegin : .blockBegin, line: line))
    var brackets = 0
    while true {
      skipSpaces()
      guard position < source.count else {
        throw TemplateText.error("the tag is not closed", line: start)
      }
      let (sign, closes) = output ? closing("}", "}") : closing("%", "}")
      if closes, brackets == 0 {
        tokens.append(TemplateToken(kind: output ? .outputEnd : .blockEnd, line: line))
        return closeTag(sign: sign, trims: !output)
      }
      let kind = try lexToken()
      if case .symbol(let symbol) = kind {
        if "([{".contains(symbol) { brackets += 1 }
        if ")]}".contains(symbol) { brackets = max(0, brackets - 1) }
      }
      tokens.append(TemplateToken(kind: kind, line: line))
    }
  }

  private mutating func lexToken() throws(ModelError) -> TemplateToken.Kind {
    let scalar = source[position]
    if scalar == "'" || scalar == "\"" { return .string(try lexString(quote: scalar)) }
    if ("0"..."9").contains(scalar) { return try lexNumber() }
    if scalar == "_" || scalar.properties.isXIDStart { return .name(takeWord()) }
    if position + 1 < source.count {
      let two = String(String.UnicodeScalarView([scalar, source[position + 1]]))
      if ["==", "!=", "<=", ">=", "//", "**"].contains(two) {
        position += 2
        return .symbol(two)
      }
    }
    let one = String(scalar)
    guard "+-*/%~()[]{}.,:|=<>".contains(one) else {
      throw TemplateText.error("the character '\(one)' has no meaning here", line: line)
    }
    position += 1
    return .symbol(one)
  }

  private mutating func lexNumber() throws(ModelError) -> TemplateToken.Kind {
    var text = ""
    var isFloat = false
    while position < source.count {
      let scalar = source[position]
      let next = position + 1 < source.count ? source[position + 1] : " "
      if ("0"..."9").contains(scalar) {
        text.unicodeScalars.append(scalar)
      } else if scalar == ".", !isFloat, ("0"..."9").contains(next) {
        isFloat = true
        text.append(".")
      } else if scalar == "e" || scalar == "E", let length = exponentLength() {
        isFloat = true
        text += TemplateText.string(source[position..<position + length])
        position += length
        break
      } else if scalar != "_" || !("0"..."9").contains(next) {
        break
      }
      position += 1
    }
    if isFloat, let value = Double(text) { return .float(value) }
    guard let value = Int(text) else {
      throw TemplateText.error("the number \(text) is too large", line: line)
    }
    return .integer(value)
  }

  /// The length of `e`, a sign and digits at the present place.
  private func exponentLength() -> Int? {
    var end = position + 1
    if end < source.count, source[end] == "+" || source[end] == "-" { end += 1 }
    let digits = end
    while end < source.count, ("0"..."9").contains(source[end]) { end += 1 }
    return end > digits ? end - position : nil
  }

  private mutating func lexString(quote: Unicode.Scalar) throws(ModelError) -> String {
    let start = line
    var result = String.UnicodeScalarView()
    position += 1
    while position < source.count, source[position] != quote {
      if source[position] == "\n" { line += 1 }
      if source[position] == "\\", position + 1 < source.count {
        position += 1
        lexEscape(&result)
      } else {
        result.append(source[position])
        position += 1
      }
    }
    guard position < source.count else {
      throw TemplateText.error("the string is not closed", line: start)
    }
    position += 1
    return String(result)
  }

  private mutating func lexEscape(_ result: inout String.UnicodeScalarView) {
    let scalar = source[position]
    position += 1
    let plain: [Unicode.Scalar: Unicode.Scalar] = [
      "n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", "\"": "\"", "a": "\u{7}",
      "b": "\u{8}", "f": "\u{c}", "v": "\u{b}", "0": "\0",
    ]
    if let value = plain[scalar] {
      result.append(value)
      return
    }
    if scalar == "\n" { return }
    let lengths: [Unicode.Scalar: Int] = ["x": 2, "u": 4, "U": 8]
    if let length = lengths[scalar], position + length <= source.count {
      let digits = String(String.UnicodeScalarView(source[position..<position + length]))
      if let value = UInt32(digits, radix: 16), let decoded = Unicode.Scalar(value) {
        result.append(decoded)
        position += length
        return
      }
    }
    result.append("\\")
    result.append(scalar)
  }
}

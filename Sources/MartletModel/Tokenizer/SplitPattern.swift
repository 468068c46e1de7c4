/// One step of a pattern: a run of code points of a class, or a condition on what follows.
struct PatternElement: Sendable {
  enum Kind: Sendable {
    /// `minimum...maximum` code points of `set`, as many as possible.
    case run
    /// Like `run`, of code points within (or, negated, outside) `ranges`.
    case ranges
    /// Any whitespace that ends in a newline: `\s*[\r\n]+`.
    case throughNewline
    /// 's 't 're 've 'm 'll 'd.
    case contraction
    /// The same in any case.
    case anyCaseContraction
    /// Letters with their marks, joined by single spaces.
    case phrase
    /// Exactly the code points of `ranges`, in order.
    case literal
    /// Whitespace or the end of the text comes next: `(?!\S)`.
    case beforeWhitespace
  }

  var kind: Kind
  var set: ScalarClass = []
  var minimum = 1
  var maximum = 1
  var ranges: [ClosedRange<UInt32>] = []
  var negated = false

  static func one(_ set: ScalarClass) -> Self { Self(kind: .run, set: set) }
  static func optional(_ set: ScalarClass) -> Self { Self(kind: .run, set: set, minimum: 0) }
  static func some(_ set: ScalarClass) -> Self { Self(kind: .run, set: set, maximum: .max) }
  static func any(_ set: ScalarClass) -> Self {
    Self(kind: .run, set: set, minimum: 0, maximum: .max)
  }
  static func between(_ minimum: Int, _ maximum: Int, _ set: ScalarClass) -> Self {
    Self(kind: .run, set: set, minimum: minimum, maximum: maximum)
  }
  static func one(in ranges: [ClosedRange<UInt32>]) -> Self { Self(kind: .ranges, ranges: ranges) }
  static func between(_ minimum: Int, _ maximum: Int, in ranges: [ClosedRange<UInt32>]) -> Self {
    Self(kind: .ranges, minimum: minimum, maximum: maximum, ranges: ranges)
  }
  static func some(in ranges: [ClosedRange<UInt32>]) -> Self {
    Self(kind: .ranges, maximum: .max, ranges: ranges)
  }
  static func some(outside ranges: [ClosedRange<UInt32>]) -> Self {
    Self(kind: .ranges, maximum: .max, ranges: ranges, negated: true)
  }
  static func literal(_ text: String) -> Self {
    Self(kind: .literal, ranges: text.unicodeScalars.map { $0.value...$0.value })
  }
  static let throughNewline = Self(kind: .throughNewline)
  static let contraction = Self(kind: .contraction)
  static let anyCaseContraction = Self(kind: .anyCaseContraction)
  static let optionalAnyCaseContraction = Self(kind: .anyCaseContraction, minimum: 0)
  static let phrase = Self(kind: .phrase)
  static let beforeWhitespace = Self(kind: .beforeWhitespace)
}

/// Alternatives tried in order at each place; the first that matches is one piece, and code points
/// between matches are one piece too: how a regular expression splits text in isolated mode.
///
/// Matching is greedy and backtracks inside an alternative, like the ECMAScript expressions that
/// model files name. Everything is hand-scanned over `ScalarClass`: no regular expression engine.
struct SplitPattern: Sendable {
  var alternatives: [[PatternElement]]

  init(_ alternatives: [PatternElement]...) { self.alternatives = alternatives }

  /// Appends the end of every piece of `range` to `ends`.
  func split(_ text: ScalarText, _ range: Range<Int>, _ ends: inout [Int32]) {
    var scanner = PatternScanner(text: text, end: range.upperBound)
    var position = range.lowerBound
    var unmatched = false
    while position < range.upperBound {
      let end = match(&scanner, position)
      guard end > position else {
        unmatched = true
        position += 1
        continue
      }
      if unmatched { ends.append(Int32(position)) }
      unmatched = false
      ends.append(Int32(end))
      position = end
    }
    if unmatched { ends.append(Int32(position)) }
  }

  /// The end of the piece at the start of `range`: a match, or else one code point.
  func first(_ text: ScalarText, _ range: Range<Int>) -> Int {
    var scanner = PatternScanner(text: text, end: range.upperBound)
    let end = match(&scanner, range.lowerBound)
    return end > range.lowerBound ? end : range.lowerBound + 1
  }

  private func match(_ scanner: inout PatternScanner, _ position: Int) -> Int {
    for index in alternatives.indices {
      let end = alternatives[index].withSpan { scanner.match($0, 0, position) }
      if end > position { return end }
    }
    return -1
  }
}

extension Array {
  /// The elements as a span, for the length of a call.
  fileprivate func withSpan<R>(_ body: (Span<Element>) -> R) -> R { body(span) }
}

/// Matches elements at places of one text.
private struct PatternScanner {
  let text: ScalarText
  let end: Int
  /// The whitespace run last looked at ends here, and its last newline ends there (0: none).
  private var whitespaceEnd = 0
  private var newlineEnd = 0

  init(text: ScalarText, end: Int) {
    self.text = text
    self.end = end
  }

  /// Where a match of `elements[index...]` at `position` ends, or -1.
  mutating func match(_ elements: Span<PatternElement>, _ index: Int, _ position: Int) -> Int {
    guard index < elements.count else { return position }
    switch elements[index].kind {
    case .run, .ranges:
      let minimum = elements[index].minimum
      let limit = min(end - position, elements[index].maximum)
      var taken = 0
      if elements[index].kind == .run {
        let set = elements[index].set
        while taken < limit, !text.classes[position + taken].isDisjoint(with: set) { taken += 1 }
      } else {
        while taken < limit, contains(elements[index], position + taken) { taken += 1 }
      }
      while taken >= minimum {
        let result = match(elements, index + 1, position + taken)
        if result >= 0 { return result }
        taken -= 1
      }
      return -1
    case .throughNewline:
      let through = throughNewline(position)
      return through > position ? match(elements, index + 1, through) : -1
    case .contraction, .anyCaseContraction:
      let anyCase = elements[index].kind == .anyCaseContraction
      let size = text.contractionLength(at: position, end: end, anyCase: anyCase)
      if size > 0 { return match(elements, index + 1, position + size) }
      return elements[index].minimum == 0 ? match(elements, index + 1, position) : -1
    case .phrase:
      let through = phrase(position)
      return through > position ? match(elements, index + 1, through) : -1
    case .literal:
      let ranges = elements[index].ranges
      guard end - position >= ranges.count else { return -1 }
      for offset in ranges.indices
      where ranges[offset].lowerBound != text.scalars[position + offset] {
        return -1
      }
      return match(elements, index + 1, position + ranges.count)
    case .beforeWhitespace:
      guard position == end || !text.classes[position].isDisjoint(with: .whitespace) else {
        return -1
      }
      return match(elements, index + 1, position)
    }
  }

  /// Whitespace beyond ASCII counts as a vertical tab, as in the reference.
  private func contains(_ element: PatternElement, _ position: Int) -> Bool {
    let spelled = text.scalars[position]
    let isOther = spelled >= 0x80 && text.classes[position] == .otherWhitespace
    let scalar = isOther ? 0x0b : spelled
    var low = 0
    var high = element.ranges.count
    while low < high {
      let middle = (low + high) / 2
      if element.ranges[middle].upperBound < scalar { low = middle + 1 } else { high = middle }
    }
    let inside = low < element.ranges.count && element.ranges[low].lowerBound <= scalar
    return inside != element.negated
  }

  private func phrase(_ start: Int) -> Int {
    var position = start
    while true {
      let spaced = position > start && position < end && text.classes[position] == .space
      let letter = position + (spaced ? 1 : 0)
      guard letter < end, !text.classes[letter].isDisjoint(with: .letter) else { return position }
      position = letter + 1
      while position < end, text.classes[position] == .mark { position += 1 }
    }
  }

  private mutating func throughNewline(_ position: Int) -> Int {
    if position >= whitespaceEnd {
      whitespaceEnd = position
      newlineEnd = 0
      while whitespaceEnd < end,
        !text.classes[whitespaceEnd].isDisjoint(with: .whitespace)
      {
        whitespaceEnd += 1
        if !text.classes[whitespaceEnd - 1].isDisjoint(with: .newline) {
          newlineEnd = whitespaceEnd
        }
      }
    }
    return newlineEnd
  }
}

extension ScalarText {
  /// The length of 's 't 're 've 'm 'll 'd at `position`, or 0.
  func contractionLength(at position: Int, end: Int, anyCase: Bool) -> Int {
    guard position + 1 < end, scalars[position] == 0x27 else { return 0 }
    func letter(_ offset: Int) -> UInt32 {
      guard position + offset < end else { return 0 }
      let scalar = scalars[position + offset]
      return anyCase && (0x41...0x5a).contains(scalar) ? scalar | 0x20 : scalar
    }
    switch (letter(1), letter(2)) {
    case (0x73, _), (0x74, _), (0x6d, _), (0x64, _): return 2
    case (0x72, 0x65), (0x76, 0x65), (0x6c, 0x6c): return 3
    default: return 0
    }
  }
}

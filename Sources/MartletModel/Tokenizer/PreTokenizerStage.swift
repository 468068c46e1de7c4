/// One pass of a pre-tokenizer: splits every piece that the pass before left.
enum PreTokenizerStage: Sendable {
  /// Alternatives tried at each place.
  case pattern(SplitPattern)
  /// Runs of digits cut in threes from the right; see `digitTriples`.
  case digitTriples
  /// Before every group of three that ends a run of ASCII digits: `(?=(\d{3})+(?!\d))`.
  case beforeDigitTriples
  /// Whitespace at the end of a piece: `\s+$`.
  case trailingWhitespace
  /// Kimi K2's words, which keep Han apart.
  case kimi

  /// Appends the end of every piece of `range` to `ends`.
  func split(_ text: ScalarText, _ range: Range<Int>, _ ends: inout [Int32]) {
    switch self {
    case .pattern(let pattern): pattern.split(text, range, &ends)
    case .digitTriples: Self.digitTriples(text, range, &ends)
    case .beforeDigitTriples: Self.beforeDigitTriples(text, range, &ends)
    case .trailingWhitespace:
      var start = range.upperBound
      while start > range.lowerBound, !text.classes[start - 1].isDisjoint(with: .whitespace) {
        start -= 1
      }
      if start > range.lowerBound { ends.append(Int32(start)) }
      if start < range.upperBound { ends.append(Int32(range.upperBound)) }
    case .kimi: Self.kimi(text, range, &ends)
    }
  }

  /// What stands before a run of digits goes with the run's first group, as in llama.cpp.
  private static func digitTriples(
    _ text: ScalarText, _ range: Range<Int>, _ ends: inout [Int32]
  ) {
    var position = range.lowerBound
    var last = range.lowerBound
    while position < range.upperBound {
      guard !text.classes[position].isDisjoint(with: .number) else {
        position += 1
        continue
      }
      let start = position
      while position < range.upperBound, !text.classes[position].isDisjoint(with: .number) {
        position += 1
      }
      let remainder = (position - start) % 3
      var cut = start + (remainder > 0 ? remainder : 3)
      while cut <= position {
        ends.append(Int32(cut))
        last = cut
        cut += 3
      }
    }
    if last < range.upperBound { ends.append(Int32(range.upperBound)) }
  }

  private static func beforeDigitTriples(
    _ text: ScalarText, _ range: Range<Int>, _ ends: inout [Int32]
  ) {
    var position = range.lowerBound
    while position < range.upperBound {
      guard text.classes[position] == .asciiDigit else {
        position += 1
        continue
      }
      let start = position
      while position < range.upperBound, text.classes[position] == .asciiDigit { position += 1 }
      var cut = start + (position - start) % 3
      while cut < position {
        if cut > range.lowerBound { ends.append(Int32(cut)) }
        cut += 3
      }
    }
    if position > range.lowerBound { ends.append(Int32(position)) }
  }

  private static func kimi(_ text: ScalarText, _ range: Range<Int>, _ ends: inout [Int32]) {
    var position = range.lowerBound
    while position < range.upperBound {
      var end = position
      while end < range.upperBound, isHan(text.scalars[end]) { end += 1 }
      if end == position { end = kimiWord(text, position, range.upperBound) ?? position }
      if end == position {
        end = PreTokenizerPatterns.kimiRest.first(text, position..<range.upperBound)
      }
      ends.append(Int32(end))
      position = end
    }
  }

  /// A word of letters that are not Han, perhaps after one other character and before a
  /// contraction.
  private static func kimiWord(_ text: ScalarText, _ position: Int, _ end: Int) -> Int? {
    func isLetter(_ index: Int) -> Bool {
      index < end && !text.classes[index].isDisjoint(with: .letter) && !isHan(text.scalars[index])
    }
    var current = position
    if !isLetter(current) {
      guard text.classes[current].isDisjoint(with: [.newline, .letter, .number]),
        isLetter(current + 1)
      else { return nil }
      current += 1
    }
    while isLetter(current) { current += 1 }
    return current + text.contractionLength(at: current, end: end, anyCase: true)
  }

  private static func isHan(_ scalar: UInt32) -> Bool {
    scalar >= 0x3400 && PreTokenizerRanges.han.contains { $0.contains(scalar) }
  }
}

import MartletPlugin

/// Finds the final answer of a text, in a form in which equal answers are equal texts.
///
/// In this order: what follows the last `#` (`#90`, `#### 42`), or the line before it when the text
/// ends there (a derivation such as `3*7=21 21+25=46 #` is its own answer); the last `\boxed{}`;
/// what follows the last "answer is" or "answer:"; the last number. A number is written without grouping commas,
/// currency or percent sign, leading zeros, trailing zeros after the point, or a plus.
struct FinalAnswer: Extractor {
  static let id = "final-answer"

  init(_ component: ComponentContext) {}

  func extract(_ generated: GeneratedText) -> String? {
    let text = Array(generated.text)
    return afterHash(text) ?? boxed(text) ?? afterAnswerIs(text)
      ?? lastNumber(in: text[...]).map { String($0) }
  }

  /// `#90` and `#### 42`. A lone `#` before a space counts only with a number after it, because it
  /// may be a heading.
  private func afterHash(_ text: [Character]) -> String? {
    guard let hash = text.lastIndex(of: "#") else { return nil }
    let line = text[(hash + 1)...].prefix { !$0.isNewline }
    guard let answer = canonical(line) else { return derivation(text, endingAt: hash) }
    let isHeading = line.first == " " && !(hash >= 3 && text[hash - 3..<hash] == ["#", "#", "#"])
    return isHeading && canonicalNumber(trimmed(line)) == nil ? nil : answer
  }

  /// The line that a final ` #` closes.
  private func derivation(_ text: [Character], endingAt hash: Int) -> String? {
    guard text[(hash + 1)...].allSatisfy(\.isWhitespace) else { return nil }
    let start = text[..<hash].lastIndex { $0.isNewline }.map { $0 + 1 } ?? 0
    let steps = text[start..<hash].drop { $0.isWhitespace }
    return steps.last == " " ? String(steps) + "#" : nil
  }

  private func boxed(_ text: [Character]) -> String? {
    let marker = Array("\\boxed{")
    guard let start = lastRange(of: marker, in: text)?.upperBound else { return nil }
    var depth = 1
    for index in start..<text.count {
      if text[index] == "{" { depth += 1 }
      if text[index] == "}" { depth -= 1 }
      if depth == 0 { return canonical(text[start..<index]) }
    }
    return nil
  }

  private func afterAnswerIs(_ text: [Character]) -> String? {
    let lowered = text.map { Character($0.lowercased().first.map(String.init) ?? String($0)) }
    let starts = ["answer is", "answer:"].compactMap {
      lastRange(of: Array($0), in: lowered)?.upperBound
    }
    guard let start = starts.max() else { return nil }
    var sentence = text[start...].prefix { !$0.isNewline }
    if sentence.first == ":" { sentence = sentence.dropFirst() }
    // "The answer is 42 apples." means 42; without a number the phrase itself is the answer.
    if let number = firstNumber(in: sentence) { return number }
    return canonical(sentence)
  }

  private func lastRange(of pattern: [Character], in text: [Character]) -> Range<Int>? {
    guard text.count >= pattern.count else { return nil }
    for start in stride(from: text.count - pattern.count, through: 0, by: -1)
    where text[start..<start + pattern.count] == pattern[...] {
      return start..<start + pattern.count
    }
    return nil
  }
}

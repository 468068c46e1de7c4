import Foundation

/// Finds the final answer in a model's text, so that strategies without an extractor are judged by the
/// same rule as those with one.
enum FinalAnswerText {
  /// What follows the last `####`, stands in the last `\boxed{}`, or follows the last "answer is" or
  /// "answer:"; else the last number where one is asked for, else the last line that is not empty.
  static func last(in text: String, isNumber: Bool) -> String {
    for marker in ["####", "\\boxed{", "answer is", "answer:"] {
      guard let found = text.range(of: marker, options: [.backwards, .caseInsensitive]) else {
        continue
      }
      let isBoxed = marker.hasSuffix("{")
      let rest = text[found.upperBound...].prefix { !$0.isNewline && !(isBoxed && $0 == "}") }
      if isNumber, let number = numbers(in: rest).first { return number }
      return normalized(rest)
    }
    if isNumber { return numbers(in: text[...]).last ?? "" }
    return normalized(text.split(whereSeparator: \.isNewline).last { !isBlank($0) } ?? "")
  }

  /// Equal answers as equal texts: `1,200.50` is `1200.5`, `"The Cat."` is `the cat`.
  static func normalized(_ text: Substring) -> String {
    let trimmed = text.trimmingCharacters(in: wrapping).lowercased()
    return number(trimmed) ?? trimmed
  }

  private static let wrapping = CharacterSet.whitespacesAndNewlines
    .union(CharacterSet(charactersIn: ".:;,!*$\"'`%="))

  private static func isBlank(_ line: Substring) -> Bool { line.allSatisfy(\.isWhitespace) }

  private static func numbers(in text: Substring) -> [String] {
    text.split { !($0.isASCII && ($0.isNumber || $0 == "-" || $0 == "." || $0 == ",")) }
      .compactMap { word in
        // `12-5` ends in 5; a sign counts at the start alone.
        let from = word.lastIndex(of: "-") ?? word.startIndex
        let signed =
          from == word.startIndex || word.count == 1 ? word : word[word.index(after: from)...]
        return number(signed.trimmingCharacters(in: CharacterSet(charactersIn: ".,")))
      }
  }

  /// The shortest decimal of a number; nil for other texts.
  private static func number(_ text: String) -> String? {
    let plain = text.replacingOccurrences(of: ",", with: "")
    guard plain.first.map({ $0.isNumber || "-+.".contains($0) }) == true,
      plain.allSatisfy({ $0.isASCII && ($0.isNumber || "-+.".contains($0)) }),
      let value = Double(plain), value.isFinite
    else { return nil }
    return Int64(exactly: value).map(String.init) ?? "\(value)"
  }
}

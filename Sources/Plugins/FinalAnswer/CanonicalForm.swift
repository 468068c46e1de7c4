// How answers are written so that equal answers are equal texts.

/// The canonical form of an answer: a number where it is one, else the phrase without surrounding
/// space, emphasis, currency signs and final punctuation. Nil when nothing is left.
func canonical(_ answer: ArraySlice<Character>) -> String? {
  let phrase = trimmed(answer)
  if phrase.isEmpty { return nil }
  return canonicalNumber(phrase) ?? String(phrase)
}

/// Drops surrounding space, `*`, `$`, backquotes and a final `.`, `,` or `;`.
func trimmed(_ answer: ArraySlice<Character>) -> ArraySlice<Character> {
  var rest = answer
  func isWrapping(_ character: Character) -> Bool {
    character.isWhitespace || "*$`".contains(character)
  }
  while let first = rest.first, isWrapping(first) { rest.removeFirst() }
  while let last = rest.last, isWrapping(last) || ".,;".contains(last) { rest.removeLast() }
  return rest
}

/// A decimal number without grouping commas, currency or percent sign, needless zeros or a plus;
/// nil when the text is not one number.
func canonicalNumber(_ text: ArraySlice<Character>) -> String? {
  var rest = text
  var negative = false
  if let sign = rest.first, "+-\u{2212}".contains(sign) {
    negative = sign != "+"
    rest.removeFirst()
  }
  if rest.first == "$" { rest.removeFirst() }
  if rest.last == "%" { rest.removeLast() }
  var whole: [Character] = []
  var fraction: [Character] = []
  var seenPoint = false
  var lastWasComma = false
  for character in rest {
    if isDigit(character) {
      if seenPoint { fraction.append(character) } else { whole.append(character) }
    } else if character == ".", !seenPoint, !lastWasComma {
      seenPoint = true
    } else if character == ",", !seenPoint, !whole.isEmpty, !lastWasComma {
      lastWasComma = true
      continue
    } else {
      return nil
    }
    lastWasComma = false
  }
  guard !whole.isEmpty || !fraction.isEmpty, !lastWasComma else { return nil }
  whole = Array(whole.drop { $0 == "0" })
  while fraction.last == "0" { fraction.removeLast() }
  var number = whole.isEmpty ? "0" : String(whole)
  if !fraction.isEmpty { number += "." + String(fraction) }
  return negative && number != "0" ? "-" + number : number
}

/// The last number in a text, canonical.
func lastNumber(in text: ArraySlice<Character>) -> String? { numbers(in: text).last }

/// The first number in a text, canonical.
func firstNumber(in text: ArraySlice<Character>) -> String? { numbers(in: text).first }

/// Every number in a text. A sign belongs to the number unless a digit, letter or bracket stands
/// before it, where it is an operator.
private func numbers(in text: ArraySlice<Character>) -> [String] {
  var found: [String] = []
  var index = text.startIndex
  while index < text.endIndex {
    guard isDigit(text[index]) else {
      index += 1
      continue
    }
    var start = index
    if start > text.startIndex, "-\u{2212}".contains(text[start - 1]) {
      let before = start - 2 >= text.startIndex ? text[start - 2] : " "
      if !(before.isLetter || before.isNumber || ")]".contains(before)) { start -= 1 }
    }
    while index < text.endIndex, isDigit(text[index]) || ".,".contains(text[index]) { index += 1 }
    var end = index
    while end > start, ".,".contains(text[end - 1]) { end -= 1 }
    // "1,2,3" and "1.2.3" are not one number: take their last part as it is.
    found.append(
      canonicalNumber(text[start..<end])
        ?? String(text[start..<end].reversed().prefix { isDigit($0) }.reversed()))
  }
  return found
}

private func isDigit(_ character: Character) -> Bool { ("0"..."9").contains(character) }

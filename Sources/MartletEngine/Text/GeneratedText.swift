/// The bytes of a branch's generated tokens, and where its text ends.
struct GeneratedText: Sendable {
  private(set) var bytes: [UInt8] = []
  /// End of each token's bytes.
  private var ends: [Int] = []
  /// End of the text when a stop string cut it.
  private(set) var cut: Int?

  /// End of the text in `bytes`.
  var end: Int { cut ?? bytes.count }

  /// End of the text without an unfinished character at the end.
  var completeEnd: Int { UTF8Boundary.complete(bytes, from: 0, to: end) }

  mutating func append(_ tokenBytes: [UInt8]) {
    bytes += tokenBytes
    ends.append(bytes.count)
  }

  /// Ends the text at `offset`.
  mutating func cut(at offset: Int) { cut = offset }

  /// Keeps the first `count` tokens.
  mutating func truncate(toTokens count: Int) {
    guard count < ends.count else { return }
    bytes.removeLast(bytes.count - byteCount(ofTokens: count))
    ends.removeLast(ends.count - count)
    cut = nil
  }

  /// Takes the bytes of some tokens out of a text that no stop string has cut.
  mutating func remove(tokens range: Range<Int>) {
    let (begin, end) = (
      byteCount(ofTokens: range.lowerBound), byteCount(ofTokens: range.upperBound)
    )
    bytes.removeSubrange(begin..<end)
    ends.removeSubrange(range)
    for index in range.lowerBound..<ends.count { ends[index] -= end - begin }
  }

  /// How many tokens lie wholly before the end of the text.
  var tokensInText: Int { cut == nil ? ends.count : ends.prefix { $0 <= end }.count }

  /// The text that remains after the first `count` tokens.
  func rest(afterTokens count: Int) -> String {
    string(byteCount(ofTokens: count), UTF8Boundary.complete(bytes, from: 0, to: end))
  }

  func byteCount(ofTokens count: Int) -> Int { count == 0 ? 0 : ends[count - 1] }

  /// The text of the first `count` tokens, without an unfinished character at the end.
  func string(tokens count: Int) -> String {
    let end = count == ends.count ? self.end : byteCount(ofTokens: count)
    return string(0, UTF8Boundary.complete(bytes, from: 0, to: end))
  }

  func string(_ start: Int, _ end: Int) -> String {
    start >= end ? "" : String(decoding: bytes[start..<end], as: UTF8.self)
  }

  /// The lowest offset at or after `floor` where one of `patterns` begins, among occurrences that
  /// end after `end`.
  func firstMatch(of patterns: [[UInt8]], endingAfter end: Int, from floor: Int = 0) -> Int? {
    var best: Int?
    for pattern in patterns {
      let start = max(floor, end - pattern.count + 1)
      if let found = find(pattern, from: start, before: best ?? bytes.count) { best = found }
    }
    return best
  }

  /// How many bytes at the end could be the beginning of one of `patterns`.
  func heldBack(by patterns: [[UInt8]]) -> Int {
    var most = 0
    for pattern in patterns where pattern.count > 1 {
      var length = min(pattern.count - 1, bytes.count)
      while length > most {
        if bytes.suffix(length).elementsEqual(pattern.prefix(length)) { most = length }
        length -= 1
      }
    }
    return most
  }

  private func find(_ pattern: [UInt8], from start: Int, before limit: Int) -> Int? {
    var at = max(0, start)
    while at < limit && at + pattern.count <= bytes.count {
      if bytes[at] == pattern[0]
        && bytes[at..<at + pattern.count].elementsEqual(pattern)
      {
        return at
      }
      at += 1
    }
    return nil
  }
}

/// Where whole UTF-8 characters end.
enum UTF8Boundary {
  /// The end of `bytes[start..<end]` without a character that has begun and could still be
  /// completed. Invalid bytes count as whole.
  static func complete(_ bytes: [UInt8], from start: Int, to end: Int) -> Int {
    var lead = end - 1
    while lead >= start && lead > end - 4 && bytes[lead] & 0xC0 == 0x80 { lead -= 1 }
    guard lead >= start, lead >= end - 3 else { return end }
    let length: Int
    switch bytes[lead] {
    case 0xC2...0xDF: length = 2
    case 0xE0...0xEF: length = 3
    case 0xF0...0xF4: length = 4
    default: return end
    }
    guard end - lead < length else { return end }
    if end - lead > 1 {
      // The second byte may already rule the character out.
      let second = bytes[lead + 1]
      let valid: ClosedRange<UInt8>
      switch bytes[lead] {
      case 0xE0: valid = 0xA0...0xBF
      case 0xED: valid = 0x80...0x9F
      case 0xF0: valid = 0x90...0xBF
      case 0xF4: valid = 0x80...0x8F
      default: valid = 0x80...0xBF
      }
      guard valid.contains(second) else { return end }
    }
    return lead
  }
}

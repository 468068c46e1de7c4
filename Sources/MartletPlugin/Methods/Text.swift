// What methods do with text, without Foundation, which a plugin need not load.

extension String {
  /// Without white space at either end.
  public var trimmed: String {
    let start = drop { $0.isWhitespace }
    let end = start.lastIndex { !$0.isWhitespace }
    return end.map { String(start[...$0]) } ?? ""
  }

  /// What stands before and after the first occurrence of a marker; nil where it does not appear.
  /// - Parameter marker: not empty.
  public func cut(at marker: String) -> (before: String, after: String)? {
    let (source, target) = (Array(utf8), Array(marker.utf8))
    precondition(!target.isEmpty, "the marker is empty")
    guard source.count >= target.count else { return nil }
    for at in 0...source.count - target.count
    where source[at..<at + target.count].elementsEqual(target) {
      return (
        String(decoding: source[..<at], as: UTF8.self),
        String(decoding: source[(at + target.count)...], as: UTF8.self)
      )
    }
    return nil
  }

  /// What stands between occurrences of a separator, trimmed; empty parts are left out.
  /// - Parameter separator: not empty.
  public func parts(separatedBy separator: String) -> [String] {
    var parts: [String] = []
    var rest = self
    while let (before, after) = rest.cut(at: separator) {
      parts.append(before)
      rest = after
    }
    return (parts + [rest]).map(\.trimmed).filter { !$0.isEmpty }
  }
}

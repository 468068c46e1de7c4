/// A decimal number of any size, as JSON writes it.
struct DecimalNumber: Sendable, Equatable {
  let isNegative: Bool
  /// Digits before the point, without leading zeros; none for 0.
  let whole: [UInt8]
  /// Digits after the point, without trailing zeros.
  let fraction: [UInt8]

  var isZero: Bool { whole.isEmpty && fraction.isEmpty }
  var isInteger: Bool { fraction.isEmpty }

  init(isNegative: Bool, whole: [UInt8], fraction: [UInt8]) {
    self.whole = Array(whole.drop { $0 == 0 })
    var trimmed = fraction
    while trimmed.last == 0 { trimmed.removeLast() }
    self.fraction = trimmed
    self.isNegative = isNegative && !(self.whole.isEmpty && trimmed.isEmpty)
  }

  /// nil for what is no number of JSON, or has an exponent beyond ±400.
  init?(_ text: String) {
    let parts = text.lowercased().split(separator: "e", omittingEmptySubsequences: false)
    guard let mantissa = parts.first, parts.count <= 2 else { return nil }
    let exponent = parts.count == 2 ? Int(parts[1]) : 0
    guard let exponent, abs(exponent) <= 400 else { return nil }
    let isNegative = mantissa.hasPrefix("-")
    let halves = mantissa.drop { $0 == "-" }.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(halves.count) else { return nil }
    var whole = halves[0].utf8.map { $0 &- 0x30 }
    var fraction = halves.count == 2 ? halves[1].utf8.map { $0 &- 0x30 } : []
    guard (whole + fraction).allSatisfy({ $0 < 10 }) else { return nil }
    for _ in 0..<max(0, exponent) { whole.append(fraction.isEmpty ? 0 : fraction.removeFirst()) }
    for _ in 0..<max(0, -exponent) { fraction.insert(whole.popLast() ?? 0, at: 0) }
    self.init(isNegative: isNegative, whole: whole, fraction: fraction)
  }

  var negated: DecimalNumber {
    DecimalNumber(isNegative: !isNegative, whole: whole, fraction: fraction)
  }

  /// The digits before the point as an integer; nil beyond 18 digits.
  var wholeValue: Int64? {
    whole.count <= 18 ? whole.reduce(0) { $0 * 10 + Int64($1) } : nil
  }

  static func < (a: DecimalNumber, b: DecimalNumber) -> Bool {
    if a.isNegative != b.isNegative { return a.isNegative }
    if a.isNegative { return b.negated < a.negated }
    if a.whole.count != b.whole.count { return a.whole.count < b.whole.count }
    if a.whole != b.whole { return a.whole.lexicographicallyPrecedes(b.whole) }
    return a.fraction.lexicographicallyPrecedes(b.fraction)
  }

  /// All its spellings without an exponent, as a regular expression.
  var spellings: String {
    let sign = isZero ? "-?" : isNegative ? "-" : ""
    let digits = whole.isEmpty ? "0" : whole.map(String.init).joined()
    let rest =
      fraction.isEmpty ? "(\\.0+)?" : "\\." + fraction.map(String.init).joined() + "0*"
    return sign + digits + rest
  }
}

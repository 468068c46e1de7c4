import Foundation

/// Numbers as reports write them.
enum Format {
  /// `84.5 % (79.2 to 88.6)`.
  static func share(_ value: Estimate) -> String {
    "\(percent(value.mean)) % (\(percent(value.low)) to \(percent(value.high)))"
  }

  /// `12.5`.
  static func percent(_ value: Double) -> String { String(format: "%.1f", 100 * value + 0.0) }

  /// `+12.0 points, 95 % interval +7.1 to +16.8, corrected p = 0.0004`.
  static func difference(_ entry: EvalAnalysis.Comparison) -> String {
    let (low, high) = (points(entry.difference.low), points(entry.difference.high))
    return "\(points(entry.difference.mean)) points, 95 % interval \(low) to \(high), "
      + "corrected \(probability(entry.adjustedPValue))"
  }

  /// Points with their sign.
  static func points(_ value: Double) -> String {
    let text = String(format: "%+.1f", 100 * value)
    return text == "-0.0" ? "+0.0" : text.replacing("-", with: "−")
  }

  static func probability(_ value: Double) -> String {
    value < 0.0001 ? "p < 0.0001" : "p = \(String(format: value < 0.01 ? "%.4f" : "%.2f", value))"
  }

  /// `312`, `14,952`, `1.2 M`.
  static func count(_ value: Double) -> String {
    if value >= 1e6 { return String(format: "%.1f M", value / 1e6) }
    if value < 10, value != value.rounded() { return String(format: "%.1f", value) }
    var digits = String(Int(value.rounded()))
    var parts: [Substring] = []
    while digits.count > 3 {
      parts.insert(digits.suffix(3), at: 0)
      digits = String(digits.dropLast(3))
    }
    return ([digits[...]] + parts).joined(separator: ",")
  }

  /// `1 budget`, `2 budgets`.
  static func count(_ value: Int, of one: String, _ many: String? = nil) -> String {
    "\(count(Double(value))) \(value == 1 ? one : many ?? one + "s")"
  }

  /// Seconds with three significant digits.
  static func seconds(_ value: Double) -> String { String(format: "%.3g s", value) }

  static func bytes(_ value: Double) -> String {
    let kilobytes = value / 1024
    if kilobytes >= 1024 * 1024 { return String(format: "%.2f GiB", kilobytes / 1024 / 1024) }
    if kilobytes >= 1024 { return String(format: "%.1f MiB", kilobytes / 1024) }
    return String(format: "%.0f KiB", kilobytes)
  }

  /// Text inside HTML whose figures do not break at the end of a line.
  static func unbroken(_ text: String) -> String {
    html(text).replacing(" %", with: "&nbsp;%").replacing(" = ", with: "&nbsp;=&nbsp;")
      .replacing(" &lt; ", with: "&nbsp;&lt;&nbsp;")
  }

  /// Text inside HTML.
  static func html(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;")
  }
}

extension Format {
  /// Two decimals, with a minus that is one.
  static func signed(_ value: Double) -> String {
    String(format: "%.2f", value).replacing("-", with: "−")
  }
}

import Foundation

/// The date that `strftime_now` shows.
struct TemplateDate: Sendable {
  private let parts: DateComponents

  init(_ date: Date, timeZone: TimeZone) {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = timeZone
    parts = calendar.dateComponents(
      [.year, .month, .day, .hour, .minute, .second, .weekday, .dayOfYear], from: date)
  }

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
  ]
  private static let days = [
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
  ]

  /// The date in strftime's notation, in English; nil for a directive that is not known.
  func formatted(_ format: String) -> String? {
    var result = ""
    var directives = format.unicodeScalars[...]
    while let scalar = directives.popFirst() {
      guard scalar == "%" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      var directive = directives.popFirst()
      let unpadded = directive == "-"
      if unpadded { directive = directives.popFirst() }
      guard let directive, let text = field(directive, unpadded: unpadded) else { return nil }
      result += text
    }
    return result
  }

  private func field(_ directive: Unicode.Scalar, unpadded: Bool) -> String? {
    func number(_ value: Int?, _ width: Int) -> String {
      let text = String(value ?? 0)
      return unpadded ? text : String(repeating: "0", count: max(0, width - text.count)) + text
    }
    let month = Self.months[max(0, min(11, (parts.month ?? 1) - 1))]
    let day = Self.days[max(0, min(6, (parts.weekday ?? 1) - 1))]
    let hour = parts.hour ?? 0
    switch directive {
    case "Y": return number(parts.year, 4)
    case "y": return number((parts.year ?? 0) % 100, 2)
    case "m": return number(parts.month, 2)
    case "d": return number(parts.day, 2)
    case "B": return month
    case "b": return String(month.prefix(3))
    case "A": return day
    case "a": return String(day.prefix(3))
    case "H": return number(hour, 2)
    case "I": return number((hour + 11) % 12 + 1, 2)
    case "M": return number(parts.minute, 2)
    case "S": return number(parts.second, 2)
    case "p": return hour < 12 ? "AM" : "PM"
    case "j": return number(parts.dayOfYear, 3)
    case "%": return "%"
    default: return nil
    }
  }
}

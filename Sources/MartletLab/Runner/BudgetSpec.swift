public import MartletScaling

/// A budget with its name in reports.
public struct BudgetSpec: Sendable, Equatable {
  /// `tokens=200`, `tokens=200+seconds=2` or `none`.
  public let label: String
  /// What runs may use.
  public let budget: Budget

  /// No limit but the strategy's own.
  public static let none = BudgetSpec(label: "none", budget: Budget())

  /// Reads budgets separated by commas, the limits of one joined by `+`: `tokens=200,seconds=2` are
  /// two budgets, `tokens=200+seconds=2` is one.
  /// - Throws: `budget` for a limit that cannot be used, `argument` for a budget given twice.
  public static func list(parsing text: String) throws -> [BudgetSpec] {
    var specs: [BudgetSpec] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
      let spec =
        part == "none"
        ? none
        : BudgetSpec(
          label: part,
          budget: try Budget(parsing: part.replacing("+", with: ",")))
      guard !specs.contains(where: { $0.label == spec.label }) else {
        throw LabError(.argument, "budget '\(part)' is given twice; give it once")
      }
      specs.append(spec)
    }
    return specs
  }
}

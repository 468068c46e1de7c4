/// What a pass of so many rows costs relative to one of a single row: by the engine's cost curve where
/// it is known, else by the passes that were made.
///
/// The estimate is a line through recent decoding passes, older ones fading, drawn toward a line that
/// any CPU comes near (a row adds a twelfth) as far as their widths do not tell. So a run that drafts
/// need not wait for a measurement, and learns within some passes what rows really cost.
struct RowCost {
  /// The engine's curve, once it is known.
  var curve: CostCurve?

  private static let fading = 0.98
  /// A row's share of the time of a pass of one row, before anything is known.
  private static let priorSlope = 1.0 / 12
  /// How many squared rows of spread weigh as much as the prior.
  private static let priorSpread = 64.0

  private var weight = 0.0
  private var rows = 0.0
  private var seconds = 0.0
  /// Sums of squared and mixed deviations from the running means.
  private var spread = 0.0
  private var mixed = 0.0

  /// Takes in a pass that only decoded.
  mutating func learn(rows count: Int, seconds measured: Double) {
    guard measured > 0 else { return }
    // A pass that was held up by something else tells little about rows.
    let value = weight > 4 ? min(measured, 3 * estimate(count)) : measured
    weight = weight * Self.fading + 1
    let apart = Double(count) - rows
    rows += apart / weight
    seconds += (value - seconds) / weight
    spread = spread * Self.fading + apart * (Double(count) - rows)
    mixed = mixed * Self.fading + apart * (value - seconds)
  }

  /// The cost of `count` rows, 1 for one.
  func callAsFunction(_ count: Int) -> Double {
    if let curve { return curve.cost(count) }
    guard weight > 0 else { return 1 + Self.priorSlope * Double(count - 1) }
    return max(1, estimate(count) / max(estimate(1), 1e-12))
  }

  /// Seconds of a pass, never falling with its rows.
  private func estimate(_ count: Int) -> Double {
    // The prior's slope in seconds: that of a pass as long as the mean at the mean's rows.
    let prior = seconds * Self.priorSlope / (1 + Self.priorSlope * (rows - 1))
    let slope = max(
      0.1 * prior, (mixed + Self.priorSpread * prior) / (spread + Self.priorSpread))
    // Never less at one row than a tenth of the mean.
    return max(0.1 * seconds, seconds + slope * (Double(count) - rows))
  }
}

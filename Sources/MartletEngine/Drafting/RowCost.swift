/// What a pass of so many rows costs relative to one of a single row.
///
/// By the engine's cost curve where that is known, else by a line through recent decoding passes,
/// older ones fading, drawn toward a line that any CPU comes near (a row adds a twelfth) as far as
/// their widths do not tell. So a run that drafts need not wait for a measurement. Either is then
/// corrected by what passes of exactly that many rows really took: kernels take rows in groups, and
/// the first row of a group may cost as much as the whole.
struct RowCost {
  /// The engine's curve, once it is known.
  private(set) var curve: CostCurve?

  private static let fading = 0.98
  /// A row's share of the time of a pass of one row, before anything is known.
  private static let priorSlope = 1.0 / 12
  /// How many squared rows of spread weigh as much as the prior.
  private static let priorSpread = 64.0
  /// Passes of one width that weigh as much as the curve or line.
  private static let priorPasses = 2.0
  private static let mostPasses = 16.0
  /// What rows add beside few, times this, they are taken to add at least beside many: passes with
  /// prompts are not measured, and curves have steps.
  private static let leastShare = 0.5

  /// Rows that are processed anyway, and the rows that decode beside them.
  private var others = 0
  private var decodes = 0

  /// Weight, means, and sums of squared and mixed deviations of rows and seconds.
  private var weight = 0.0
  private var rows = 0.0
  private var seconds = 0.0
  private var spread = 0.0
  private var mixed = 0.0
  /// By rows: how many passes, and what they took relative to the curve or line.
  private var corrections = [(passes: Double, ratio: Double, last: Int)](
    repeating: (0, 1, 0), count: 129)
  /// Passes taken in.
  private var passes = 0

  /// Uses a curve from now on. One that a backend states is exact and corrected by nothing.
  mutating func use(_ curve: CostCurve) { self.curve = curve }

  /// Takes in a pass that only decoded.
  mutating func learn(rows count: Int, seconds measured: Double) {
    guard measured > 0, curve?.origin != .stated else { return }
    passes += 1
    let expected = base(count)
    // A pass that was held up by something else tells little about rows.
    let value = weight > 4 ? min(measured, 3 * expected) : measured
    weight = weight * Self.fading + 1
    let apart = Double(count) - rows
    rows += apart / weight
    seconds += (value - seconds) / weight
    spread = spread * Self.fading + apart * (Double(count) - rows)
    mixed = mixed * Self.fading + apart * (value - seconds)
    guard weight > 4, count < corrections.count else { return }
    var own = corrections[count]
    own.passes = min(own.passes + 1, Self.mostPasses)
    own.last = passes
    own.ratio += (value / expected - own.ratio) / (own.passes + Self.priorPasses)
    corrections[count] = own
  }

  /// Whether no pass of `count` rows was among late ones, so that what one takes is a guess. Guesses
  /// are judged by what a pass without them takes, so now and then there must be one.
  func mustSee(rows count: Int) -> Bool {
    guard curve?.origin != .stated, count < corrections.count else { return false }
    return corrections[count].passes == 0 || passes - corrections[count].last > Self.longestUnseen
  }

  /// Of 96 passes one more without guesses costs a hundredth of what they gain.
  private static let longestUnseen = 96

  /// Whether time is what a backend says it is, and nothing is measured.
  var isStated: Bool { curve?.origin == .stated }

  /// The same for `decodes` rows that share their pass with `others`, which are processed anyway: what
  /// the decoding rows would cost alone, and for every row more what it adds to the shared pass. A
  /// token gained is worth what a pass without the others takes for one.
  func beside(_ others: Int, decodes: Int) -> RowCost {
    var cost = self
    cost.others = others
    cost.decodes = decodes
    return cost
  }

  /// The cost of `count` rows, 1 for one.
  func callAsFunction(_ count: Int) -> Double {
    guard others > 0 else { return alone(count) }
    let shared = max(0, alone(count + others) - alone(decodes + others))
    return alone(decodes) + max(shared, Self.leastShare * (alone(count) - alone(decodes)))
  }

  private func alone(_ count: Int) -> Double {
    if let curve, curve.origin == .stated { return curve.cost(count) }
    guard weight > 0 else { return curve?.cost(count) ?? 1 + Self.priorSlope * Double(count - 1) }
    return max(1e-3, estimate(count) / max(estimate(1), 1e-12))
  }

  /// Seconds of a pass of `count` rows, once one was seen.
  func seconds(_ count: Int) -> Double? {
    if let curve, curve.origin == .stated { return curve.seconds(count) }
    return weight > 0 ? estimate(count) : nil
  }

  /// A number of rows that no pass had yet is taken to cost as much as the whole group of rows that its
  /// last one begins.
  private func estimate(_ count: Int) -> Double {
    guard count < corrections.count, corrections[count].passes > 0 else {
      // One row is what all others are compared with.
      return base(count <= 1 ? count : (count + Self.group - 1) / Self.group * Self.group)
    }
    return base(count) * corrections[count].ratio
  }

  /// Rows that kernels take together, about.
  private static let group = 4

  /// Seconds by the curve or line alone.
  private func base(_ count: Int) -> Double {
    if let curve {
      // As long as the passes so far say, which is what their context makes of it.
      return seconds * curve.cost(count) / max(1, curve.cost(max(1, Int(rows.rounded()))))
    }
    // The prior's slope in seconds: that of a pass as long as the mean at the mean's rows.
    let prior = seconds * Self.priorSlope / (1 + Self.priorSlope * (rows - 1))
    let slope = max(
      0.1 * prior, (mixed + Self.priorSpread * prior) / (spread + Self.priorSpread))
    // Never less at one row than a tenth of the mean.
    return max(0.1 * seconds, seconds + slope * (Double(count) - rows))
  }
}

/// Whether confidence means anything, and what abstaining by it would gain.
struct CalibrationSection {
  /// Curves that can be followed by eye; the note has the figure of every strategy.
  private static let charted = 4
  /// A share of fewer runs says nothing.
  private static let fewestRuns = 5

  private let analysis: EvalAnalysis
  private let styles: [String: Int]

  init(_ analysis: EvalAnalysis, _ styles: [String: Int]) {
    (self.analysis, self.styles) = (analysis, styles)
  }

  var html: String {
    let cells = analysis.strategies.compactMap { strategy in
      analysis.cells.last { $0.strategy == strategy && $0.calibration != nil }
    }
    let styled = cells.compactMap { cell in styles[cell.strategy].map { (cell, $0) } }
    let charted = Array(styled.sorted { $0.1 < $1.1 }.prefix(Self.charted))
    guard !charted.isEmpty else { return "" }
    let reliability = Chart(
      title: "Share right by confidence", xLabel: "confidence", yLabel: "right", xRange: 0...1,
      hasDiagonal: true, xText: { "\(Int((100 * $0).rounded())) %" },
      series: charted.map { cell, style in Self.reliability(cell, style) })
    let abstention = Chart(
      title: "Share right among answered, the surest first", xLabel: "answered",
      yLabel: "right among answered", xRange: 0...1,
      xText: { "\(Int((100 * $0).rounded())) %" },
      series: charted.map { cell, style in Self.abstention(cell, style) })
    let shown = Dictionary(uniqueKeysWithValues: charted.map { ($0.0.strategy, $0.1) })
    let errors = cells.map { cell in
      let calibration = cell.calibration!
      let source = calibration.source == .score ? "score" : "share of votes"
      return "\(Format.html(cell.strategy)) (\(source)) \(Format.percent(calibration.error)) points"
    }
    return """
      <section><h2>Calibration and abstention</h2>\(Legend.html(shown))
      <div class="charts">\(reliability.html)\(abstention.html)</div>
      <p class="note">Confidence is the winning candidate’s score where scores lie from 0 to 1, else \
      the share of candidates with its answer; points of fewer than \(Self.fewestRuns) runs are left \
      out. Mean distance from the diagonal: \
      \(errors.joined(separator: ", ")).</p></section>
      """
  }

  private static func reliability(_ cell: EvalAnalysis.Cell, _ style: Int) -> Chart.Series {
    Chart.Series(
      style: style,
      points: cell.calibration!.bins.filter { $0.runs >= fewestRuns }.map {
        Chart.Point(
          x: $0.confidence, y: $0.right.mean, interval: $0.right.low...$0.right.high,
          title: "\(cell.strategy): \($0.runs) runs, \(Format.share($0.right)) right")
      })
  }

  private static func abstention(_ cell: EvalAnalysis.Cell, _ style: Int) -> Chart.Series {
    let points = cell.calibration!.abstention
    return Chart.Series(
      style: style,
      points: points.map {
        Chart.Point(
          x: $0.answered, y: $0.right.mean,
          title: "\(cell.strategy): confidence \(Format.signed($0.confidence)) or more answers "
            + "\(Format.percent($0.answered)) %, \(Format.share($0.right)) right")
      }, hasMarks: points.count <= 24)
  }
}

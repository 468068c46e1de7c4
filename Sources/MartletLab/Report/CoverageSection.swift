/// pass@k with the fitted law.
struct CoverageSection {
  private let analysis: EvalAnalysis
  private let styles: [String: Int]

  init(_ analysis: EvalAnalysis, _ styles: [String: Int]) {
    (self.analysis, self.styles) = (analysis, styles)
  }

  var html: String {
    // Of several budgets the one that leaves most candidates: the last one that has any.
    let cells = analysis.strategies.compactMap { strategy in
      analysis.cells.last { $0.strategy == strategy && $0.coverage != nil }
    }
    guard !cells.isEmpty else { return "" }
    let charted = cells.compactMap { cell in styles[cell.strategy].map { (cell, $0) } }
    let series = charted.flatMap { cell, style in Self.series(cell, style) }
    let chart = Chart(
      title: "At least one of k candidates is right (dashed: the law)", xLabel: "candidates k",
      yLabel: "pass@k", isLogarithmic: true, series: series)
    let shown = Dictionary(uniqueKeysWithValues: charted.map { ($0.0.strategy, $0.1) })
    let figure =
      series.isEmpty
      ? ""
      : "\(Legend.html(shown, left: cells.count - shown.count))<div class=\"charts\">\(chart.html)</div>"
    return """
      <section><h2>Coverage</h2>\(figure)<div class="wide"><table><thead><tr><th>strategy</th>\
      \(analysis.budgets.count > 1 ? "<th>budget</th>" : "")<th class="number">k</th>\
      <th class="number">pass@1</th><th class="number">pass@k</th><th>law</th>\
      <th class="number">expected at 4k</th><th class="number">chosen right</th></tr></thead>
      <tbody>\(cells.map(row).joined(separator: "\n"))</tbody></table></div>
      <p class="note">Unbiased for candidates drawn independently; of a strategy that looks at its \
      candidates before it goes on, this says what its candidates covered. The law is \
      exp(a·k<sup>b</sup>). What is covered and not chosen is what a better selection could gain.</p>
      </section>
      """
  }

  private func row(_ cell: EvalAnalysis.Cell) -> String {
    let coverage = cell.coverage!
    let (first, last) = (coverage.points[0], coverage.points[coverage.points.count - 1])
    let law = coverage.law.map {
      "exp(\(Format.signed($0.a))·k<sup>\(Format.signed($0.b))</sup>), R² \(Format.signed($0.fit))"
    }
    let expected = coverage.law.map { Format.percent($0.coverage(4 * Double(last.k))) + " %" }
    return """
      <tr>\(Report.name(cell, analysis))<td class="number">\(last.k)</td>\
      <td class="number">\(Format.share(first.share))</td>\
      <td class="number">\(Format.share(last.share))</td><td>\(law ?? "too few points")</td>\
      <td class="number">\(expected ?? "")</td>\
      <td class="number">\(Format.percent(cell.right.mean)) %</td></tr>
      """
  }

  private static func series(_ cell: EvalAnalysis.Cell, _ style: Int) -> [Chart.Series] {
    let points = cell.coverage!.points
    var series = [
      Chart.Series(
        style: style,
        points: points.map {
          Chart.Point(
            x: Double($0.k), y: $0.share.mean, interval: $0.share.low...$0.share.high,
            title: "\(cell.strategy), pass@\($0.k): \(Format.share($0.share))")
        }, hasLine: cell.coverage!.law == nil)
    ]
    if let law = cell.coverage!.law, let last = points.last {
      let places = (0...24).map { Double(last.k) * Double($0) / 24 }.filter { $0 >= 1 }
      series.append(
        Chart.Series(
          style: style, points: ([1] + places).map { Chart.Point(x: $0, y: law.coverage($0)) },
          hasMarks: false, isDashed: true))
    }
    return series
  }
}

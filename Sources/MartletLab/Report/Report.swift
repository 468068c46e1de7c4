import Foundation
import MartletScaling

/// One HTML page that needs nothing else: no script, no file from elsewhere.
public struct Report: Sendable {
  /// Strategies that charts show; tables show all.
  static let charted = 8

  let settings: EvalSettings
  public let records: [RunRecord]
  public let analysis: EvalAnalysis

  /// A report on the records of a folder.
  public init(settings: EvalSettings, records: [RunRecord]) {
    (self.settings, self.records) = (settings, records)
    analysis = EvalAnalysis(records)
  }

  /// Reads a folder that an evaluation wrote.
  /// - Throws: `input` or `data` naming the file.
  public init(folder: String) throws(LabError) {
    let settings = try EvalSettings(folder: folder)
    let content = try RecordFile.read("\(folder)/records.jsonl")
    guard !content.records.isEmpty else {
      throw LabError(.data, "\(folder)/records.jsonl: there is no record yet; run the evaluation")
    }
    self.init(settings: settings, records: content.records)
  }

  /// Writes `report.html` and `summary.json` into a folder.
  public func write(to folder: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.writeAllFloats()
    try OutputFile.save(
      encoder.encode(Summary(schema: 1, settings: settings, analysis: analysis)),
      to: "\(folder)/summary.json")
    try OutputFile.save(Data(html.utf8), to: "\(folder)/report.html")
  }

  private struct Summary: Encodable {
    let schema: Int
    let settings: EvalSettings
    let analysis: EvalAnalysis
  }

  /// The findings as plain text, a paragraph for each budget.
  public var sentences: [String] {
    Findings(analysis).entries.map { $0.sentences.joined(separator: " ") }
  }

  /// The page.
  public var html: String {
    let title = "\(settings.suite) on \(settings.model)"
    let body = [
      heading(title), findings, StrategyTable(analysis).html, costCharts, groupTable,
      CoverageSection(analysis, styles).html, CalibrationSection(analysis, styles).html, anytime,
      verifiers, ProblemSection(records, analysis).html, method,
    ]
    return """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(Format.html(title))</title><style>
      \(ReportStyle.css)
      </style></head><body><main>
      \(body.joined(separator: "\n"))
      </main></body></html>

      """
  }

  private func heading(_ title: String) -> String {
    let tokens = settings.maxTokens.map { ", at most \($0) tokens a branch" } ?? ""
    return """
      <header><h1>\(Format.html(title))</h1>
      <p class="meta">\(Format.count(analysis.problems, of: "problem")), \
      \(Format.count(analysis.strategies.count, of: "strategy", "strategies")), \
      \(Format.count(analysis.budgets.count, of: "budget")), \
      \(Format.count(records.count, of: "run")). \
      Sampling \(Format.html(settings.sampling))\(tokens)\(settings.chat ? ", chat template" : ""). \
      Problem seed \(settings.problemSeed).</p></header>
      """
  }

  private var findings: String {
    return """
      <section class="findings"><h2>Best at each budget</h2>
      \(Findings(analysis).html)
      <p class="note">Intervals are 95 %. Probabilities are exact paired tests after Holm’s \
      correction over all \(analysis.comparisons.count) comparisons of this page; a difference is \
      called real below 0.05.</p></section>
      """
  }

  /// Colours and marks: the baseline, the best of each budget, then by the best share right.
  var styles: [String: Int] {
    var order = [Findings.baseline(analysis)] + Findings(analysis).entries.map(\.best)
    order += analysis.cells.sorted { $0.right.mean > $1.right.mean }.map(\.strategy)
    var styles: [String: Int] = [:]
    for strategy in order where styles[strategy] == nil && styles.count < Self.charted {
      styles[strategy] = styles.count
    }
    return styles
  }

  private var costCharts: String {
    func chart(
      _ title: String, _ label: String, _ cost: KeyPath<EvalAnalysis.Cell, Estimate>,
      _ text: @escaping (Double) -> String, unit: Double = 1
    ) -> String {
      Chart(
        title: "Share right by \(title)", xLabel: label, yLabel: "right",
        isLogarithmic: true, xText: text, series: series(cost, text, unit)
      ).html
    }
    let charts = [
      chart("generated tokens", "tokens per problem", \.generatedTokens, Format.count),
      chart("tokens of all kinds", "tokens per problem", \.totalTokens, Format.count),
      chart("CPU time", "seconds of all CPUs per problem", \.cpuSeconds, Format.seconds),
      chart(
        "peak keys and values", "MiB", \.peakKVBytes, { String(format: "%.3g", $0) },
        unit: 1_048_576),
    ]
    return """
      <section><h2>What it costs</h2>\(Legend.html(styles, left: analysis.strategies.count - styles.count))
      <div class="charts">\(charts.joined(separator: "\n"))</div>
      <p class="note">A line joins the budgets of one strategy. Upright lines are intervals.</p>
      </section>
      """
  }

  private func series(
    _ cost: KeyPath<EvalAnalysis.Cell, Estimate>, _ text: (Double) -> String, _ unit: Double
  ) -> [Chart.Series] {
    styles.sorted { $0.value < $1.value }.map { strategy, style in
      let cells = analysis.cells.filter { $0.strategy == strategy }
        .sorted { $0[keyPath: cost].mean < $1[keyPath: cost].mean }
      return Chart.Series(
        style: style,
        points: cells.map { cell in
          Chart.Point(
            x: cell[keyPath: cost].mean / unit, y: cell.right.mean,
            interval: cell.right.low...cell.right.high,
            title: "\(strategy), budget \(cell.budget): \(Format.share(cell.right)), "
              + text(cell[keyPath: cost].mean / unit))
        })
    }
  }

  private var groupTable: String {
    guard analysis.groups.count > 1 else { return "" }
    let rows = analysis.cells.map { cell in
      let values = analysis.groups.map { group -> String in
        guard let share = cell.groups[group] else { return "<td></td>" }
        let strength = Int((100 * share.mean).rounded())
        return "<td class=\"heat\" style=\"--share:\(strength)%\" "
          + "title=\"\(Format.share(share))\">\(Format.percent(share.mean)) %</td>"
      }
      return "<tr>\(Self.name(cell, analysis))\(values.joined())</tr>"
    }
    return """
      <section><h2>By kind and difficulty</h2><div class="wide"><table>
      <thead><tr><th>strategy</th>\(analysis.budgets.count > 1 ? "<th>budget</th>" : "")\
      \(analysis.groups.map { "<th class=\"number\">\(Format.html($0))</th>" }.joined())</tr></thead>
      <tbody>\(rows.joined(separator: "\n"))</tbody></table></div></section>
      """
  }

  private var anytime: String {
    let budget = analysis.budgets.last ?? ""
    let series = styles.sorted { $0.value < $1.value }.compactMap { strategy, style in
      analysis.cell(strategy, budget)?.anytime.map { curve in
        Chart.Series(
          style: style,
          points: curve.points.map {
            Chart.Point(
              x: Double($0.tokens), y: $0.right.mean,
              title: "\(strategy) after \($0.tokens) tokens: \(Format.share($0.right))")
          }, hasMarks: curve.points.count == 1)
      }
    }
    guard !series.isEmpty else { return "" }
    let chart = Chart(
      title: "Right if every run is stopped at so many tokens"
        + (budget == "none" ? "" : ", budget \(budget)"),
      xLabel: "generated tokens per problem", yLabel: "right", isLogarithmic: true, series: series)
    return """
      <section><h2>Stopped early</h2>\(Legend.html(styles, left: analysis.strategies.count - styles.count))
      <div class="charts">\(chart.html)</div>
      <p class="note">A run that has named no answer yet counts as wrong; strategies that name \
      answers on the way rise early.</p></section>
      """
  }

  private var verifiers: String {
    let rows = analysis.cells.compactMap { cell in
      cell.verifier.map { quality in
        """
        <tr>\(Self.name(cell, analysis))<td>\(Format.html(quality.scorer))</td>\
        <td class="number">\(Format.share(quality.falsePositives))</td>\
        <td class="number">\(Format.share(quality.falseNegatives))</td>\
        <td class="number">\(quality.cap.map(Format.share) ?? "accepts none")</td>\
        <td class="number">\(Format.percent(quality.unanswered)) %</td></tr>
        """
      }
    }
    guard !rows.isEmpty else { return "" }
    return """
      <section><h2>Scorers as verifiers</h2><div class="wide"><table><thead><tr><th>strategy</th>\
      \(analysis.budgets.count > 1 ? "<th>budget</th>" : "")<th>scorer</th>\
      <th class="number">wrong accepted</th><th class="number">right rejected</th>\
      <th class="number">cap</th><th class="number">problems with none accepted</th></tr></thead>
      <tbody>\(rows.joined(separator: "\n"))</tbody></table></div>
      <p class="note">Accepted is a score of 0.5 or more; scorers with other ranges are left out. The \
      cap is what is right among accepted answers, problem by problem: sampling until the scorer \
      accepts cannot get further, however long.</p></section>
      """
  }

  private var method: String {
    """
    <section><h2>How to read it</h2><p class="note">Shares have Wilson intervals; with several runs \
    of a problem, for the number of independent runs that would vary as much. Differences are between \
    runs of the same problem and seed: Bonett and Price’s interval and McNemar’s exact test, or, with \
    several runs of a problem, a bootstrap over problems and the exact test over signs. CPU time is \
    shared alike among runs in progress together. Every run is a line of <code>records.jsonl</code>, \
    the figures of this page are in <code>summary.json</code>.</p></section>
    """
  }

  /// The first cells of a row.
  static func name(_ cell: EvalAnalysis.Cell, _ analysis: EvalAnalysis) -> String {
    "<th scope=\"row\">\(Format.html(cell.strategy))</th>"
      + (analysis.budgets.count > 1 ? "<td>\(Format.html(cell.budget))</td>" : "")
  }
}

/// Names of the series, in their colours and marks.
enum Legend {
  /// - Parameter left: strategies that the charts leave out.
  static func html(_ styles: [String: Int], left: Int = 0) -> String {
    let names = styles.sorted { $0.value < $1.value }.map {
      "<span>\(Mark.legend($0.value))\(Format.html($0.key))</span>"
    }
    let note = left > 0 ? "<span class=\"note\">and \(left) more in the tables</span>" : ""
    return "<p class=\"legend\">\(names.joined())\(note)</p>"
  }
}

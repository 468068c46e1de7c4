/// Every strategy under every budget, with what it got right and what that took.
struct StrategyTable {
  private let analysis: EvalAnalysis

  init(_ analysis: EvalAnalysis) { self.analysis = analysis }

  var html: String {
    let baseline = Findings.baseline(analysis)
    let tables = analysis.budgets.map { budget in
      let cells = analysis.cells.filter { $0.budget == budget }.sorted {
        ($1.right.mean, $0.totalTokens.mean) < ($0.right.mean, $1.totalTokens.mean)
      }
      let title = analysis.budgets.count > 1 ? "<h3>Budget \(Format.html(budget))</h3>" : ""
      return """
        \(title)<div class="wide"><table><thead><tr><th>strategy</th><th>right</th>\
        <th class="number">interval</th><th class="number">against \(Format.html(baseline))</th>\
        <th class="number">generated</th><th class="number">all tokens</th>\
        <th class="number">CPU</th><th class="number">peak KV</th></tr></thead>
        <tbody>\(cells.map { row($0, baseline) }.joined(separator: "\n"))</tbody></table></div>
        """
    }
    return "<section><h2>Strategies</h2>\(tables.joined(separator: "\n"))</section>"
  }

  private func row(_ cell: EvalAnalysis.Cell, _ baseline: String) -> String {
    let right = cell.right
    let bar = """
      <span class="bar" style="--low:\(Format.percent(right.low))%;\
      --high:\(Format.percent(right.high))%;--mean:\(Format.percent(right.mean))%"></span>
      """
    return """
      <tr><th scope="row">\(Format.html(cell.strategy))\(endings(cell))</th>\
      <td class="share">\(Format.percent(right.mean)) %\(bar)</td>\
      <td class="number">\(Format.percent(right.low)) to \(Format.percent(right.high))</td>\
      <td class="number">\(difference(cell, baseline))</td>\
      \(number(cell.generatedTokens, Format.count))\(number(cell.totalTokens, Format.count))\
      \(number(cell.cpuSeconds, Format.seconds))\(number(cell.peakKVBytes, Format.bytes))</tr>
      """
  }

  private func difference(_ cell: EvalAnalysis.Cell, _ baseline: String) -> String {
    guard let entry = analysis.comparison(cell.budget, cell.strategy, baseline) else { return "" }
    let difference = entry.difference
    let text =
      "\(Format.points(difference.mean)) <small>(\(Format.points(difference.low)) to "
      + "\(Format.points(difference.high)), \(Format.html(Format.probability(entry.adjustedPValue))))"
      + "</small>"
    return entry.isReal ? "<b>\(text)</b>" : text
  }

  private func number(_ value: Estimate, _ text: (Double) -> String) -> String {
    "<td class=\"number\" title=\"\(text(max(0, value.low))) to \(text(value.high))\">"
      + "\(text(value.mean))</td>"
  }

  /// What did not end by itself.
  private func endings(_ cell: EvalAnalysis.Cell) -> String {
    let parts = [
      (cell.cutShort, "cut short by the budget"), (cell.abstained, "abstained"),
      (cell.failed, "failed"),
    ]
    .filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
    return parts.isEmpty ? "" : "<small>\(parts.joined(separator: ", "))</small>"
  }
}

/// What an analysis says, in sentences.
struct Findings {
  /// The findings under one budget.
  struct Entry {
    let budget: String
    /// The best strategy's label.
    let best: String
    let right: Estimate
    /// Against the others, the one with most right first.
    let others: [EvalAnalysis.Comparison]
    /// Of the best and those that it is not told apart from.
    let cheapest: EvalAnalysis.Cell
    let sentences: [String]

    /// Those that the best is not told apart from.
    var equals: [EvalAnalysis.Comparison] { others.filter { !$0.isReal } }
  }

  private let analysis: EvalAnalysis

  init(_ analysis: EvalAnalysis) { self.analysis = analysis }

  /// What the other strategies are compared with: greedy where it ran, else the first.
  static func baseline(_ analysis: EvalAnalysis) -> String {
    analysis.strategies.contains("greedy") ? "greedy" : analysis.strategies.first ?? ""
  }

  var entries: [Entry] {
    analysis.budgets.compactMap { budget in
      let cells = analysis.cells.filter { $0.budget == budget }.sorted {
        ($1.right.mean, $0.totalTokens.mean) < ($0.right.mean, $1.totalTokens.mean)
      }
      return cells.first.map { best in
        let others = cells.dropFirst().compactMap { other in
          analysis.comparison(budget, best.strategy, other.strategy)
        }
        let equals = others.filter { !$0.isReal }
        let cheapest = ([best] + equals.compactMap { analysis.cell($0.second, budget) })
          .min { $0.totalTokens.mean < $1.totalTokens.mean }!
        return Entry(
          budget: budget, best: best.strategy, right: best.right, others: others,
          cheapest: cheapest, sentences: sentences(best, cells, others, cheapest))
      }
    }
  }

  private func sentences(
    _ best: EvalAnalysis.Cell, _ cells: [EvalAnalysis.Cell],
    _ others: [EvalAnalysis.Comparison], _ cheapest: EvalAnalysis.Cell
  ) -> [String] {
    let place = best.budget == "none" ? "Without a budget" : "Within \(best.budget)"
    let share = Format.share(best.right)
    guard cells.count > 1 else {
      return ["\(place) only \(best.strategy) ran: \(share) of \(best.problems) problems right."]
    }
    var text = ["\(place) \(best.strategy) got most right: \(share) of \(best.problems) problems."]
    let equals = others.filter { !$0.isReal }
    if equals.isEmpty, let next = others.first {
      text.append(
        others.count == 1
          ? "The difference to \(next.second) is real: \(Format.difference(next))."
          : "That is really better than each of the other \(others.count); the next is "
            + "\(next.second) (\(Format.difference(next))).")
    } else {
      let names = equals.prefix(4).map { "\($0.second) (\(Format.difference($0)))" }
      let more = equals.count > 4 ? " and \(equals.count - 4) more" : ""
      text.append(
        "These problems do not tell it apart from \(names.joined(separator: ", "))\(more): the "
          + "difference may be chance.")
      text.append(price(of: cheapest, best))
    }
    let baseline = Self.baseline(analysis)
    // Where it is the next or among the equals, it was named.
    if baseline != best.strategy, !equals.contains(where: { $0.second == baseline }),
      !(equals.isEmpty && others.first?.second == baseline),
      let entry = analysis.comparison(best.budget, best.strategy, baseline)
    {
      text.append("Over \(baseline) it gains \(Format.difference(entry)).")
    }
    return text
  }

  private func price(of cheapest: EvalAnalysis.Cell, _ best: EvalAnalysis.Cell) -> String {
    let tokens = Format.count(cheapest.totalTokens.mean)
    if cheapest.strategy == best.strategy {
      return "It is also the cheapest of these, with \(tokens) tokens a problem."
    }
    return "The cheapest of these is \(cheapest.strategy): \(tokens) tokens a problem in place of "
      + "\(Format.count(best.totalTokens.mean))."
  }
}

extension Findings {
  /// What comes first on the page: the best at each budget, and whether that is more than chance.
  var html: String {
    let entries = entries
    let rows = entries.map { entry in
      """
      <tr><th scope="row">\(Format.html(entry.budget == "none" ? "no budget" : entry.budget))</th>\
      <td data-label="best"><b>\(Format.html(entry.best))</b></td>\
      <td data-label="right">\(Format.unbroken(Format.share(entry.right)))</td>\
      <td data-label="is that real?">\(verdict(entry))</td>\
      <td data-label="cheapest of these">\(Format.html(entry.cheapest.strategy)), \
      \(Format.count(entry.cheapest.totalTokens.mean)) tokens</td></tr>
      """
    }
    let words = entries.map { "<p>\(Format.unbroken($0.sentences.joined(separator: " ")))</p>" }
    return """
      <table class="answer"><thead><tr><th>budget</th><th>best</th><th>right</th><th>is that real?</th>\
      <th>cheapest of these</th></tr></thead>
      <tbody>\(rows.joined(separator: "\n"))</tbody></table>
      <details><summary>In words, with every figure</summary>
      \(words.joined(separator: "\n"))</details>
      """
  }

  /// Whether the best of a budget is really better, and than which others.
  private func verdict(_ entry: Entry) -> String {
    let equals = entry.equals
    if entry.others.isEmpty { return "<span class=\"open\">ran alone</span>" }
    if equals.isEmpty {
      let count = entry.others.count
      return
        "<span class=\"real\">yes, better than \(count == 1 ? "the other" : "all \(count) others")</span>"
    }
    let names = equals.prefix(3).map {
      "\(Format.html($0.second)) <small>(\(Format.points($0.difference.mean)), "
        + "\(Format.unbroken(Format.probability($0.adjustedPValue))))</small>"
    }
    let more = equals.count > 3 ? " and \(equals.count - 3) more" : ""
    let better = entry.others.count - equals.count
    let rest =
      better > 0 ? "<br><span class=\"real\">yes</span> against the other \(better)" : ""
    return "<span class=\"open\">not</span> against \(names.joined(separator: ", "))\(more)\(rest)"
  }
}

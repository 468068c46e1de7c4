/// What an analysis says, in sentences.
struct Findings {
  /// The findings under one budget.
  struct Entry {
    let budget: String
    /// The best strategy's label.
    let best: String
    let sentences: [String]
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
        Entry(budget: budget, best: best.strategy, sentences: sentences(best, cells))
      }
    }
  }

  private func sentences(
    _ best: EvalAnalysis.Cell, _ cells: [EvalAnalysis.Cell]
  ) -> [String] {
    let place = best.budget == "none" ? "Without a budget" : "Within \(best.budget)"
    let share = Format.share(best.right)
    guard cells.count > 1 else {
      return ["\(place) only \(best.strategy) ran: \(share) of \(best.problems) problems right."]
    }
    var text = ["\(place) \(best.strategy) got most right: \(share) of \(best.problems) problems."]
    let others = cells.dropFirst().compactMap { other in
      analysis.comparison(best.budget, best.strategy, other.strategy)
    }
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
      text += [cheapest(of: [best] + equals.compactMap { analysis.cell($0.second, best.budget) })]
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

  private func cheapest(of cells: [EvalAnalysis.Cell]) -> String {
    let cheapest = cells.min { $0.totalTokens.mean < $1.totalTokens.mean }!
    let tokens = Format.count(cheapest.totalTokens.mean)
    if cheapest.strategy == cells[0].strategy {
      return "It is also the cheapest of these, with \(tokens) tokens a problem."
    }
    return "The cheapest of these is \(cheapest.strategy): \(tokens) tokens a problem in place of "
      + "\(Format.count(cells[0].totalTokens.mean))."
  }
}

import Foundation

/// What `--strategy auto` chooses by: how often each strategy was right and what it took, by kind of prompt and by how hard
/// problems looked.
///
/// The kind is which scorer judges a prompt with scores from 0 to 1, if any: with a checker other strategies are best than
/// without. How hard a problem looks is told by the first answers that best-of-n drew for it: their agreement, likelihood
/// and scores. A logistic regression predicts from these the chance that one answer is right (fitted to the answers after
/// the first ones); problems are then divided into bins of equal size by that chance. Shares of a bin, which are of few
/// problems, are drawn towards what the strategy and the bin alone would give: a strategy is best on hard problems only if
/// the figures say so.
public struct ChoiceTable: Sendable {
  /// A kind or a bin of fewer problems says too little.
  private static let fewest = 20
  private static let fewestOfBin = 50
  /// How many problems a share of a bin is worth less than what strategy and bin alone give.
  private static let prior = 50.0

  /// The table as the strategy `auto` reads it.
  public let text: String

  /// Learns from records of an evaluation.
  /// - Parameters:
  ///   - pilot: answers that show how hard a problem is.
  ///   - bins: the most kinds of problems by predicted chance.
  /// - Throws: `data` where the records lack best-of-n or have other budgets than of tokens, or hold fewer than 20
  ///   problems.
  public init(_ records: [RunRecord], pilot: Int = 4, bins: Int = 4) throws(LabError) {
    let looks = Self.looks(records, pilot)
    guard looks.count >= Self.fewest else {
      throw LabError(
        .data,
        "choices are learned from best-of-n with n of more than \(pilot) on 20 problems or more; the "
          + "records have \(looks.count). Add best-of-n:n=32 to --strategies")
    }
    let cells = Self.cells(records)
    guard !cells.isEmpty else {
      throw LabError(
        .data,
        "choices are learned from runs without a budget or with one of tokens alone; the records have none. "
          + "Give --budgets none or tokens=N")
    }
    var lines = ["martlet-choices 2"]
    let kinds = Dictionary(grouping: looks) { $0.value.kind }
    if kinds.count > 1 {
      for (kind, members) in kinds.sorted(by: { $0.key < $1.key })
      where members.count >= Self.fewest {
        let own = Dictionary(uniqueKeysWithValues: members.map { ($0.key, $0.value) })
        lines += Self.lines(kind, own, cells, pilot, bins)
      }
    }
    lines += Self.lines("*", looks, cells, pilot, bins)
    text = lines.joined(separator: "\n") + "\n"
  }

  /// One strategy under one limit.
  private struct Cell {
    let spec: String
    let limit: Int
    var runs: [RunRecord] = []

    /// Whether its limit changed no run that a lower one did not change either.
    func onlyRepeats(_ other: Cell) -> Bool {
      func tokens(_ cell: Cell) -> [RunRecord.Place: Int] {
        Dictionary(
          cell.runs.map { ($0.place, $0.usage.generatedTokens) }, uniquingKeysWith: { $1 })
      }
      return spec == other.spec && other.limit > 0 && (limit == 0 || limit > other.limit)
        && runs.count == other.runs.count && tokens(self) == tokens(other)
    }
  }

  private static func cells(_ records: [RunRecord]) -> [Cell] {
    var cells: [String: Cell] = [:]
    for record in records {
      let id = String(record.strategy.prefix { $0 != ":" })
      guard id != "auto", let limit = limit(record.budget) else { continue }
      // A row is words of one line.
      let spec = StrategySpec(id: id, options: record.options).label
        .replacingOccurrences(of: " ", with: "\\s").replacingOccurrences(of: "\n", with: "\\n")
      cells["\(spec) \(limit)", default: Cell(spec: spec, limit: limit)].runs.append(record)
    }
    return cells.sorted { $0.key < $1.key }.map(\.value).filter { cell in
      !cells.values.contains { cell.onlyRepeats($0) }
    }
  }

  /// What is known of one kind of prompt.
  private static func lines(
    _ kind: String, _ looks: [RunRecord.Place: Look], _ cells: [Cell], _ pilot: Int, _ bins: Int
  ) -> [String] {
    let model = LogisticModel(looks.values.map { ($0.features, $0.right, $0.drawn) })
    let chances = looks.mapValues { model.chance($0.features) }
    let ordered = chances.values.sorted()
    let wanted = max(1, min(bins, looks.count / fewestOfBin))
    var edges: [Double] = []
    for bin in 1..<max(2, wanted) where wanted > 1 {
      let edge = ordered[bin * ordered.count / wanted]
      if edge > edges.last ?? ordered[0] { edges.append(edge) }
    }
    let binOf = chances.mapValues { chance in edges.count { $0 <= chance } }

    let tokens = looks.values.map(\.tokens)
    let words =
      ["kind", kind, "\(pilot)", short(mean(tokens)), short(most(tokens))]
      + [short(most(looks.values.map(\.seconds)))] + model.weights.map(short) + edges.map(short)
    var lines = [words.joined(separator: " ")]

    var rows: [Row] = []
    for cell in cells {
      let runs = cell.runs.filter { looks[$0.place] != nil }
      // A handful of runs says little.
      guard runs.count >= 10 else { continue }
      rows.append(
        Row(
          spec: cell.spec, limit: cell.limit,
          outcomes: runs.map { (binOf[$0.place]!, $0.correct) },
          costs: runs.map {
            Row.Cost(
              bin: binOf[$0.place]!, generated: Double($0.usage.generatedTokens),
              total: Double($0.usage.totalTokens), seconds: $0.timing.secondsAlone)
          }))
    }
    lines += rows.map { $0.line(nil, right: $0.share(nil)) }

    let answer = Row(
      spec: "pilot", limit: 0, outcomes: looks.map { (binOf[$0.key]!, $0.value.pilotIsRight) },
      costs: [])
    let all = rows + [answer]
    for bin in 0...edges.count {
      let share = Double(binOf.values.count { $0 == bin }) / Double(looks.count)
      lines.append("bin \(bin) \(short(share))")
      // How much easier or harder this bin is, for all strategies alike.
      let shift = logit(mean(all.map { $0.share(bin) })) - logit(mean(all.map { $0.share(nil) }))
      for row in all {
        let count = Double(row.outcomes.count { $0.bin == bin })
        guard count >= 10 else { continue }
        let expected = 1 / (1 + exp(-logit(row.share(nil)) - shift))
        let right = (row.share(bin) * count + expected * prior) / (count + prior)
        lines.append(row.line(bin, right: right))
      }
    }
    return lines
  }

  /// A row of the table, before it is written.
  private struct Row {
    struct Cost {
      let bin: Int
      let generated, total, seconds: Double
    }

    let spec: String
    let limit: Int
    let outcomes: [(bin: Int, isRight: Bool)]
    let costs: [Cost]

    /// What was right of a bin, or of all, drawn a little towards one half.
    func share(_ bin: Int?) -> Double {
      let own = outcomes.filter { bin == nil || $0.bin == bin }
      return (Double(own.count { $0.isRight }) + 0.5) / (Double(own.count) + 1)
    }

    func line(_ bin: Int?, right: Double) -> String {
      let own = costs.filter { bin == nil || $0.bin == bin }
      let figures = [
        right, mean(own.map(\.total)), most(own.map(\.generated)), most(own.map(\.total)),
        most(own.map(\.seconds)),
      ]
      return "row \(bin.map(String.init) ?? "-") \(figures.map(short).joined(separator: " ")) "
        + "\(limit) \(spec)"
    }
  }

  private static func logit(_ share: Double) -> Double { log(share / (1 - share)) }

  private static func mean(_ values: [Double]) -> Double {
    values.reduce(0, +) / Double(max(1, values.count))
  }

  /// The ninetieth percentile.
  private static func most(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.sorted()[min(values.count - 1, values.count * 9 / 10)]
  }

  private static func short(_ value: Double) -> String {
    String(format: "%.6g", locale: Locale(identifier: "en_US_POSIX"), value)
  }

  /// The tokens of a budget of tokens alone, 0 without limits; nil for others, which say nothing about means here.
  private static func limit(_ budget: String) -> Int? {
    if budget == BudgetSpec.none.label { return 0 }
    return budget.hasPrefix("tokens=") ? Int(budget.dropFirst("tokens=".count)) : nil
  }

  /// What the first answers to a problem show, and what came of the others.
  fileprivate struct Look {
    /// The scorer whose scores are from 0 to 1; `-` for none.
    let kind: String
    let features: [Double]
    let pilotIsRight: Bool
    let tokens: Double
    let seconds: Double
    let right: Double
    let drawn: Double
  }

  private static func looks(_ records: [RunRecord], _ pilot: Int) -> [RunRecord.Place: Look] {
    var widest: [RunRecord.Place: RunRecord] = [:]
    for record in records
    where record.strategy.hasPrefix("best-of-n:") || record.strategy == "best-of-n" {
      let place = record.place
      guard record.candidates.count > pilot else { continue }
      // Of equally many, those that had more room: a budget may have cut answers short.
      let size = (record.candidates.count, record.usage.generatedTokens)
      let known = widest[place].map { ($0.candidates.count, $0.usage.generatedTokens) }
      if size > known ?? (0, 0) { widest[place] = record }
    }
    return widest.compactMapValues { Look($0, pilot) }
  }
}

extension ChoiceTable.Look {
  fileprivate init?(_ record: RunRecord, _ pilot: Int) {
    let first = record.candidates.prefix(pilot)
    let rest = record.candidates.dropFirst(pilot)
    guard first.allSatisfy({ $0.tokens > 0 }) else { return nil }
    // As the strategy does it: where some are complete, only those vote.
    let complete = first.filter(\.finished)
    let voters = complete.isEmpty ? Array(first) : complete
    var counts: [String: Int] = [:]
    for voter in voters { if let answer = voter.answer { counts[answer, default: 0] += 1 } }
    let most = counts.values.max() ?? 0
    let winner = voters.first { $0.answer.map { counts[$0] == most } ?? false }
    let scores = first.map { $0.score ?? -1 }
    let areShares = scores.allSatisfy { (0...1).contains($0) }
    let best = areShares ? scores.max()! : 0
    kind = areShares ? record.scorer ?? "-" : "-"
    if best >= 0.5, let index = scores.firstIndex(of: best) {
      pilotIsRight = first[index].correct
    } else {
      pilotIsRight = winner?.correct ?? false
    }
    let likelihood = first.reduce(0) { $0 + $1.logprob / Double($1.tokens) }
    features = [Double(most) / Double(pilot), likelihood / Double(pilot), best]
    tokens = Double(first.reduce(0) { $0 + $1.tokens })
    let all = Double(record.candidates.reduce(0) { $0 + $1.tokens })
    seconds = record.timing.secondsAlone * tokens / max(1, all)
    right = Double(rest.count { $0.correct })
    drawn = Double(rest.count)
  }
}

extension RunRecord.Timing {
  /// About what the run takes with nothing beside it: runs that go on together share the time that passes, and what else
  /// the machine does counts for neither.
  fileprivate var secondsAlone: Double { cpuSeconds > 0 ? min(seconds, cpuSeconds) : seconds }
}

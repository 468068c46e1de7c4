import Foundation

/// What `--strategy auto` chooses by: how often each strategy was right and what it took, by how hard problems looked.
///
/// How hard a problem looks is told by the first answers that best-of-n drew for it: their agreement, likelihood and
/// scores. A logistic regression predicts from these the chance that one answer is right (fitted to the answers
/// after the first ones); problems are then divided into bins of equal size by that chance.
public struct ChoiceTable: Sendable {
  /// The table as the strategy `auto` reads it.
  public let text: String

  /// Learns from records of an evaluation.
  /// - Parameters:
  ///   - pilot: answers that show how hard a problem is.
  ///   - bins: kinds of problems by predicted chance.
  /// - Throws: `data` where the records lack best-of-n, or hold fewer than 20 problems.
  public init(_ records: [RunRecord], pilot: Int = 4, bins: Int = 4) throws(LabError) {
    let looks = Self.looks(records, pilot)
    guard looks.count >= 20 else {
      throw LabError(
        .data,
        "choices are learned from best-of-n with n of more than \(pilot) on 20 problems or more; the "
          + "records have \(looks.count). Add best-of-n:n=32 to --strategies")
    }
    let model = LogisticModel(looks.values.map { ($0.features, $0.right, $0.drawn) })
    let chances = looks.mapValues { model.chance($0.features) }
    let ordered = chances.values.sorted()
    var edges: [Double] = []
    for bin in 1..<max(1, bins) {
      let edge = ordered[bin * ordered.count / bins]
      if edge > edges.last ?? ordered[0] { edges.append(edge) }
    }

    var lines = ["martlet-choices 1"]
    let count = Double(looks.count)
    let tokens = looks.values.reduce(0) { $0 + $1.tokens } / count
    let seconds = looks.values.reduce(0) { $0 + $1.seconds } / count
    lines.append("pilot \(pilot) \(Self.short(tokens)) \(Self.short(seconds))")
    lines.append("weights " + model.weights.map(Self.short).joined(separator: " "))
    lines.append((["edges"] + edges.map(Self.short)).joined(separator: " "))

    var cells: [String: (spec: String, limit: Int, runs: [RunRecord])] = [:]
    for record in records where !record.strategy.hasPrefix("auto") {
      guard let limit = Self.limit(record.budget) else { continue }
      // A row is words of one line.
      let spec = record.strategy.replacingOccurrences(of: " ", with: "\\s")
        .replacingOccurrences(of: "\n", with: "\\n")
      cells["\(spec) \(limit)", default: (spec, limit, [])].runs.append(record)
    }
    for bin in [nil] + (0...edges.count).map(Optional.some) {
      func isIn(_ place: RunRecord.Place) -> Bool {
        guard let chance = chances[place] else { return false }
        return bin == nil || edges.count { $0 <= chance } == bin
      }
      if bin != nil {
        let own = looks.filter { isIn($0.key) }.values
        lines.append(
          Self.row(
            bin, right: own.count { $0.pilotIsRight }, [Double](repeating: 0, count: own.count),
            seconds: 0, limit: 0, "pilot"))
      }
      for (_, cell) in cells.sorted(by: { $0.key < $1.key }) {
        let runs = cell.runs.filter { isIn($0.place) }
        // A handful of runs says little.
        guard runs.count >= 10 else { continue }
        lines.append(
          Self.row(
            bin, right: runs.count { $0.correct }, runs.map { Double($0.usage.totalTokens) },
            seconds: runs.reduce(0) { $0 + $1.timing.seconds } / Double(runs.count),
            limit: cell.limit, cell.spec))
      }
    }
    text = lines.joined(separator: "\n") + "\n"
  }

  /// A line of the table; `right` of `tokens.count` runs, drawn a little towards one half.
  private static func row(
    _ bin: Int?, right: Int, _ tokens: [Double], seconds: Double, limit: Int, _ spec: String
  ) -> String {
    let count = tokens.count
    let share = (Double(right) + 0.5) / (Double(count) + 1)
    let mean = tokens.reduce(0, +) / Double(max(1, count))
    let ordered = tokens.sorted()
    let most = count == 0 ? 0 : ordered[min(count - 1, count * 9 / 10)]
    let figures = [share, mean, most, seconds].map(short).joined(separator: " ")
    return "row \(bin.map(String.init) ?? "-") \(figures) \(limit) \(spec)"
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
      guard record.candidates.count > max(pilot, widest[place]?.candidates.count ?? 0) else {
        continue
      }
      widest[place] = record
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
    if best >= 0.5, let index = scores.firstIndex(of: best) {
      pilotIsRight = first[index].correct
    } else {
      pilotIsRight = winner?.correct ?? false
    }
    let likelihood = first.reduce(0) { $0 + $1.logprob / Double($1.tokens) }
    features = [Double(most) / Double(pilot), likelihood / Double(pilot), best]
    tokens = Double(first.reduce(0) { $0 + $1.tokens })
    let all = Double(record.candidates.reduce(0) { $0 + $1.tokens })
    seconds = record.timing.seconds * tokens / max(1, all)
    right = Double(rest.count { $0.correct })
    drawn = Double(rest.count)
  }
}

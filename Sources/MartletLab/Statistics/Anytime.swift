import Foundation

/// What would be right if every run were stopped after so many generated tokens.
public struct Anytime: Sendable, Equatable, Encodable {
  public struct Point: Sendable, Equatable, Encodable {
    public let tokens: Int
    public let right: Estimate
  }

  /// By tokens; from the first answer that any run names to the end of the last run.
  public let points: [Point]

  /// - Parameter problems: by problem, the runs' answers in the order in which they were named. A run
  ///   that has named none yet is wrong.
  package init?(_ problems: [[[RunRecord.NamedAnswer]]]) {
    let moments = problems.joined().joined().map(\.tokens)
    guard let first = moments.min(), let last = moments.max() else { return nil }
    var tokens = Set([first, last])
    let steps = 24
    for step in 1..<steps {
      let share = Double(step) / Double(steps)
      let (low, high) = (log(Double(max(1, first))), log(Double(max(1, last))))
      tokens.insert(Int(exp(low + share * (high - low)).rounded()))
    }
    points = tokens.sorted().map { moment in
      let groups = problems.map { runs in
        runs.map { named -> Double in
          named.last { $0.tokens <= moment }.map { $0.correct ? 1 : 0 } ?? 0
        }
      }
      return Point(tokens: moment, right: .share(ofGroups: groups))
    }
  }
}

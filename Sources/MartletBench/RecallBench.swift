import Foundation
import Martlet
import MartletKernels

/// Measures what ways of attending do to answers: questions about long texts, asked with exact attention
/// and with others, and the perplexity of the ends of long texts.
///
/// A text is prefilled once for each way of attending, and every question follows it in a fork of its
/// own. All tokens of a question count as generated, so that they search; with exact attention they are
/// part of the prompt.
public enum RecallBench {
  /// What to measure.
  public struct Settings: Sendable {
    public var problems: [RecallProblem]
    /// Ways of attending; exact attention is always measured too.
    public var methods: [AttentionMethod] = [.exact, .retrieve(.init(minimumPositions: 1024))]
    /// Shares of a text that are dropped before a question is asked which is not about them: what a finished
    /// subtask would be. A row for each.
    public var dropped: [DroppedShare] = []
    /// nil for the standard type.
    public var kvType: KVType?
    /// Tokens at the end of a text without questions that are predicted.
    public var predicted = 512
    public var command = "martlet bench recall"
    public var version = ""

    public init(problems: [RecallProblem]) { self.problems = problems }

    func validate() throws(BenchError) {
      try BenchError.require("predicted", [predicted], in: 1...1 << 20)
      guard !problems.isEmpty, !methods.isEmpty else {
        throw BenchError(
          .argument, "no problem is of the suites and lengths named, or no way of attending is")
      }
    }
  }

  /// One way of attending on the texts of one kind and length.
  public struct Row: BenchRow {
    public let suite: String
    public let length: Int
    public let attention: String
    /// Texts, all different.
    public let contexts: Int
    /// Questions: several about each text, every one asked in a fork of its own.
    public let problems: Int
    /// Questions of which every token of the answer was the likeliest one.
    public let right: Int
    public let accuracy: Double?
    public let accuracyInterval: [Double]?
    /// Accuracy less that of exact attention on the same questions.
    public let difference: Double?
    public let differenceInterval: [Double]?
    /// Questions right here and wrong with exact attention, and the other way round.
    public let gained: Int
    public let lost: Int
    /// Of the last tokens of texts without questions.
    public let perplexity: Double?
    /// Relative to exact attention's.
    public let perplexityChange: Double?
    public let perplexityChangeInterval: [Double]?
    /// At most so large a part of the keys was read, a mean over tokens, layers and heads: what was found
    /// for the heads of a group is counted as if they had nothing in common.
    public let touched: Double
    /// Part of the key-value heads that attend to everything.
    public let exactHeads: Double
    /// Mean ‖o − exact‖ / ‖exact‖ of attention outputs of tokens that leave something out, all layers and
    /// heads; nil where none does, or prompts are pruned.
    public let outputError: Double?
    public let command: String

    public static let header = [
      "suite", "length", "attention", "contexts", "problems", "accuracy", "95 %", "difference",
      "95 %", "perplexity", "change", "95 %", "keys touched", "exact heads",
      "output error",
    ]
    public var cells: [String] {
      [
        suite, "\(length)", attention, "\(contexts)", "\(problems)", percent(accuracy),
        range(accuracyInterval), percent(difference), range(differenceInterval),
        perplexity.map { String(format: "%.4f", $0) } ?? "", percent(perplexityChange),
        range(perplexityChangeInterval), percent(touched), percent(exactHeads),
        percent(outputError),
      ]
    }

    private func percent(_ share: Double?) -> String {
      share.map { String(format: "%.2f %%", $0 * 100) } ?? ""
    }
    private func range(_ ends: [Double]?) -> String {
      ends.map { String(format: "%.2f…%.2f", $0[0] * 100, $0[1] * 100) } ?? ""
    }
  }

  static let formula = """
    a problem is one question; its text is prefilled once and each question follows it in a fork of its \
    own; accuracy with Wilson intervals, difference = accuracy - exact attention's on the same problems \
    (Agresti-Min interval), perplexity over the predicted tokens of all texts, its change with a normal \
    interval over texts; all intervals 95 %, and questions about one text count as independent
    """

  /// Runs the benchmark on the model of `session`, blocking the calling thread.
  /// - Throws: `BenchError`, `EngineError`.
  public static func run(
    _ settings: Settings, session: Session, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try settings.validate()
    var context = BenchContext(
      bench: "recall", version: settings.version, team: session.team,
      settings: [
        "model": session.model.path, "predicted": "\(settings.predicted)",
        "methods": settings.methods.map { "\($0)" }.joined(separator: "; "),
        "dropped": settings.dropped.map(\.name).joined(separator: "; "),
      ])
    context.formula = formula
    let searching = settings.methods.filter { $0 != .exact }
    // Prompts that tokens leave have nothing to be exact about: then exact attention reads for itself.
    let isApart = searching.first?.prunesPrompts ?? true
    let lanes =
      try ((isApart ? [.exact] : []) + searching).map {
        try RecallBenchLane(session, settings, $0)
      }
      + settings.dropped.map { try RecallBenchLane(session, settings, .exact, dropping: $0) }
    context.settings["kv_type"] = lanes[0].kvType.rawValue
    var (groups, order): ([Group: Tallies], [Group]) = ([:], [])
    for (index, problem) in settings.problems.enumerated() {
      let group = Group(suite: problem.family, length: problem.length)
      progress(
        Double(index) / Double(settings.problems.count), "\(group.suite) of \(group.length) tokens")
      if groups[group] == nil { order.append(group) }
      try measure(problem, lanes, into: &groups[group, default: Tallies(lanes: lanes.count)])
    }
    let rows = order.flatMap { group in
      groups[group]!.rows(group, lanes, settings)
    }
    return BenchReport(context: context, rows: rows)
  }

  private static func measure(
    _ problem: RecallProblem, _ lanes: [RecallBenchLane], into tallies: inout Tallies
  ) throws {
    for (number, lane) in lanes.enumerated() {
      try lane.read(problem)
      // Exact attention is the same in every lane.
      if number == 0 { tallies.exact.append(try lane.answer(searching: false)) }
      if !lane.isExact { tallies.lanes[number].append(try lane.answer(searching: true)) }
    }
  }

  struct Group: Hashable {
    let suite: String
    let length: Int
  }

  /// What came of the texts of one group.
  struct Tallies {
    var exact: [RecallBenchLane.Outcome] = []
    var lanes: [[RecallBenchLane.Outcome]]

    init(lanes: Int) { self.lanes = Array(repeating: [], count: lanes) }

    func rows(
      _ group: Group, _ ways: [RecallBenchLane], _ settings: Settings
    ) -> [Row] {
      let others = zip(ways, lanes).filter { !$0.0.isExact }
      return [row(group, AttentionMethod.exact.name, " --methods exact", exact, settings)]
        + others.map { way, outcomes in
          let words = way.dropping.map { " --methods exact --dropped \($0.word)" }
          return row(
            group, way.name, words ?? " --methods exact,\(way.name)", outcomes, settings)
        }
    }

    private func row(
      _ group: Group, _ name: String, _ words: String, _ outcomes: [RecallBenchLane.Outcome],
      _ settings: Settings
    ) -> Row {
      let (answers, truths) = (outcomes.flatMap(\.right), exact.flatMap(\.right))
      let right = Proportion(right: answers.count { $0 }, of: answers.count)
      let gained = zip(answers, truths).count { $0 && !$1 }
      let lost = zip(answers, truths).count { !$0 && $1 }
      let difference = Proportion.difference(gained: gained, lost: lost, of: answers.count)
      let losses = outcomes.compactMap(\.loss)
      let changes = Proportion.mean(zip(losses, exact.compactMap(\.loss)).map { $0 - $1 })
      let (asked, read, other) = (
        !answers.isEmpty, !losses.isEmpty, name != AttentionMethod.exact.name
      )
      func mean(_ value: (RecallBenchLane.Outcome) -> Double) -> Double {
        outcomes.reduce(0) { $0 + value($1) } / Double(max(1, outcomes.count))
      }
      let errors = outcomes.compactMap(\.outputError)
      let meanError = errors.isEmpty ? nil : errors.reduce(0, +) / Double(errors.count)
      func ends(_ range: ClosedRange<Double>) -> [Double] { [range.lowerBound, range.upperBound] }
      return Row(
        suite: group.suite, length: group.length, attention: name,
        contexts: outcomes.count, problems: right.of, right: right.right,
        accuracy: asked ? right.share : nil, accuracyInterval: asked ? ends(right.interval) : nil,
        difference: asked && other ? Double(gained - lost) / Double(right.of) : nil,
        differenceInterval: asked && other ? ends(difference) : nil, gained: gained, lost: lost,
        perplexity: read ? exp(mean { $0.loss ?? 0 }) : nil,
        perplexityChange: read && other ? exp(changes.mean) - 1 : nil,
        perplexityChangeInterval: read && other
          ? ends(changes.interval).map { exp($0) - 1 } : nil,
        touched: mean(\.touched), exactHeads: mean(\.exactHeads), outputError: meanError,
        command: "\(settings.command) --suite \(group.suite) --lengths \(group.length)" + words)
    }
  }
}

/// Problems that open to what each strategy wrote.
struct ProblemSection {
  /// Problems and candidates that are written into the page; the records hold all.
  static let problems = 60
  static let candidates = 64

  private let records: [RunRecord]
  private let analysis: EvalAnalysis

  init(_ records: [RunRecord], _ analysis: EvalAnalysis) {
    (self.records, self.analysis) = (records, analysis)
  }

  var html: String {
    var order: [String] = []
    var byProblem: [String: [RunRecord]] = [:]
    for record in records where byProblem[record.problem, default: []].isEmpty {
      order.append(record.problem)
      byProblem[record.problem] = [record]
    }
    byProblem = Dictionary(grouping: records, by: \.problem).mapValues(inOrder)
    // Those that strategies disagree on say most; among equals those that ran first.
    let ranked = order.enumerated().sorted {
      let (first, second) = (doubt(byProblem[$0.element]!), doubt(byProblem[$1.element]!))
      return (second, $0.offset) < (first, $1.offset)
    }
    let shown = ranked.prefix(Self.problems).map { problem(byProblem[$0.element]!) }
    let note =
      order.count > shown.count
      ? "The \(shown.count) of \(order.count) problems on which strategies disagree most."
      : "All problems, those first on which strategies disagree most."
    return """
      <section class="problems"><h2>Problems</h2><p class="note">\(note) Dots are runs: full \
      ones are right, and each place is the same run of every problem. Open a problem to see what was \
      answered, and a run to see its candidates.</p>
      \(shown.joined(separator: "\n"))</section>
      """
  }

  /// Runs in the order of the tables, the same for every problem.
  private func inOrder(_ records: [RunRecord]) -> [RunRecord] {
    func place(_ record: RunRecord) -> (Int, Int, Int) {
      (
        analysis.budgets.firstIndex(of: record.budget) ?? 0,
        analysis.strategies.firstIndex(of: record.strategy) ?? 0, record.seed
      )
    }
    return records.sorted { place($0) < place($1) }
  }

  /// 1 where half of the runs are right, 0 where all or none are.
  private func doubt(_ records: [RunRecord]) -> Double {
    let share = Double(records.count { $0.correct }) / Double(records.count)
    return 4 * share * (1 - share)
  }

  private func problem(_ records: [RunRecord]) -> String {
    let first = records[0]
    let dots = records.map { "<i class=\"\($0.correct ? "yes" : "no")\"></i>" }.joined()
    let expected = first.expected.map {
      "<p class=\"note\">A right answer: <code>\(Format.html($0))</code></p>"
    }
    let question = first.question.split(separator: "\n").first.map(String.init) ?? ""
    let whole = question == first.question ? "" : "<pre>\(Format.html(first.question))</pre>"
    return """
      <details><summary><span class="id">\(Format.html(first.problem))</span>\
      <span class="question">\(Format.html(question))</span>\
      <span class="dots" title="\(records.count { $0.correct }) of \(records.count) runs right">\
      \(dots)</span></summary>\(whole)\(expected ?? "")
      \(records.map(run).joined(separator: "\n"))</details>
      """
  }

  private func run(_ record: RunRecord) -> String {
    let budget = analysis.budgets.count > 1 ? ", \(record.budget)" : ""
    let seed = records.contains { $0.seed > 1 } ? ", seed \(record.seed)" : ""
    let answer = record.answerCandidate == nil ? record.stoppedBecause : record.answer
    let cost = "\(Format.count(Double(record.usage.generatedTokens))) tokens"
    let failure = record.failure.map { "<p class=\"note\">\(Format.html($0))</p>" } ?? ""
    let shown = record.candidates.prefix(Self.candidates).enumerated().map { index, candidate in
      self.candidate(candidate, isChosen: index == record.answerCandidate)
    }
    let left = record.candidates.count - shown.count
    let more = left > 0 ? "<p class=\"note\">\(left) more are in the records.</p>" : ""
    return """
      <details class="run"><summary>\(Self.mark(record.correct))\
      <span class="id">\(Format.html(record.strategy + budget + seed))</span>\
      <code>\(Format.html(answer))</code><span class="cost">\(cost)</span></summary>\(failure)
      <ol>\(shown.joined(separator: "\n"))</ol>\(more)</details>
      """
  }

  private func candidate(_ candidate: RunRecord.Candidate, isChosen: Bool) -> String {
    let score = candidate.score.map { ", score \(Format.signed($0))" } ?? ""
    return """
      <li\(isChosen ? " class=\"chosen\"" : "")>\(Self.mark(candidate.correct))\
      <pre>\(Format.html(candidate.text))</pre><span class="cost">\(candidate.tokens) tokens\(score), \
      log-probability \(Format.signed(candidate.logprob)), \(Format.html(candidate.stop))\
      \(isChosen ? ", chosen" : "")</span></li>
      """
  }

  private static func mark(_ isRight: Bool) -> String {
    "<b class=\"\(isRight ? "yes" : "no")\">\(isRight ? "✓" : "✗")</b>"
  }
}

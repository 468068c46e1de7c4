import Foundation
import Martlet
import MartletKernels

/// One way of attending, with the text that it has read.
final class RecallBenchLane {
  /// What became of one text's questions, or of its end.
  struct Outcome {
    var right: [Bool] = []
    /// Mean negative log-probability of the predicted tokens, in nats; nil where questions were asked.
    var loss: Double?
    var touched = 1.0
    var exactHeads = 1.0
    /// nil where nothing was left out, or there is nothing to compare with.
    var outputError: Double?
  }

  let method: AttentionMethod
  /// What is dropped of the text before each question; nil for nothing.
  let dropping: DroppedShare?
  var isExact: Bool { method == .exact && dropping == nil }
  var name: String { dropping?.name ?? method.name }
  var kvType: KVType { backend.kvType }

  private let backend: TransformerBackend
  /// Query heads of one key-value head.
  private let group: Int
  private let layers: Int
  private let predicted: Int
  private let logits: LogitsBuffer
  private var problem: RecallProblem?
  /// Tokens of the text, and how many of them were read as the prompt.
  private var tokens: [Token] = []
  private var prompt = 0
  /// Positions dropped before each question of the text.
  private var dropped: [Int] = []

  /// Rows of logits at a time.
  private static let batch = 128
  /// Positions on either side of a text, and around what is asked for, that are no part of a dropped span.
  private static let margin = 32

  init(
    _ session: Session, _ settings: RecallBench.Settings, _ method: AttentionMethod,
    dropping: DroppedShare? = nil
  ) throws {
    self.method = method
    self.dropping = dropping
    predicted = settings.predicted
    layers = session.model.configuration.layers
    group = session.model.configuration.queryHeads / session.model.configuration.kvHeads
    backend = try TransformerBackend(
      parts: TransformerParts(model: session.model, tokenizer: session.tokenizer),
      team: session.team, options: .init(kvType: settings.kvType, attention: method))
    logits = try LogitsBuffer(rows: Self.batch, vocabulary: backend.vocabularySize)
  }

  // MARK: Reading

  /// Prefills a text, but for the end that is to be predicted.
  func read(_ problem: RecallProblem) throws {
    self.problem = problem
    tokens = backend.tokenizer.encode(problem.text, addSpecial: true, parseSpecial: false)
    guard tokens.count == problem.tokens else {
      throw BenchError(
        .argument,
        "a text of family '\(problem.family)' has \(tokens.count) tokens in this model's vocabulary, "
          + "not \(problem.tokens): its problems were made for another model")
    }
    prompt = problem.questions.isEmpty ? tokens.count - predicted - 1 : tokens.count
    guard prompt > 0 else {
      throw BenchError(
        .argument,
        "a text of \(tokens.count) tokens has no end of \(predicted) to predict; name fewer")
    }
    guard tokens.count + 64 <= backend.contextLength else {
      throw BenchError(
        .argument,
        "a text of \(tokens.count) tokens and its questions do not fit into the model's context of "
          + "\(backend.contextLength)")
    }
    let table = (0..<PageID(pages(of: prompt))).map { $0 }
    try backend.reservePages(table.count)
    for begin in stride(from: 0, to: prompt, by: backend.maximumBatchTokens) {
      let end = min(prompt, begin + backend.maximumBatchTokens)
      try backend.forward(
        ForwardBatch(
          tokens: (begin..<end).map {
            BatchToken(token: tokens[$0], position: $0, sequence: 0, wantsLogits: false)
          }, sequences: [table], promptTokens: [prompt]), logits: logits)
    }
  }

  private func pages(of positions: Int) -> Int {
    (positions + KVSlab.pageTokens - 1) / KVSlab.pageTokens
  }

  // MARK: Answering

  /// Asks all questions, or predicts the text's end.
  /// - Parameter searching: whether these tokens attend as ``method`` says, instead of to everything.
  func answer(searching: Bool) throws -> Outcome {
    var outcome = Outcome()
    dropped = []
    if searching { try backend.measureOutputError() }
    let questions = problem?.questions ?? []
    var last = prompt
    for question in questions {
      let asked = encode(question.question)
      let answer = encode(question.answer)
      let rows = asked + answer.dropLast()
      let span = searching ? try finished(besides: question) : nil
      let found = try likeliest(rows, from: asked.count - 1, searching, dropping: span)
      outcome.right.append(found == answer)
      last = max(last, prompt + rows.count)
    }
    if questions.isEmpty {
      outcome.loss = try loss(searching)
      last = tokens.count - 1
    }
    if searching {
      outcome.outputError = backend.measuredOutputError
      account(for: prompt..<last, in: &outcome)
    }
    return outcome
  }

  private func encode(_ text: String) -> [Token] {
    backend.tokenizer.encode(text, addSpecial: false, parseSpecial: false)
  }

  /// The likeliest tokens after those of `rows` from an index on.
  private func likeliest(
    _ rows: [Token], from first: Int, _ searching: Bool, dropping span: Range<Int>?
  ) throws -> [Token] {
    var found: [Token] = []
    try process(rows, searching, dropping: span) { row, values in
      guard row >= first else { return }
      var best = 0
      for i in values.indices where values[i] > values[best] { best = i }
      found.append(Token(best))
    }
    return found
  }

  private func loss(_ searching: Bool) throws -> Double {
    var sum = 0.0
    let span = searching ? finished(besides: prompt..<prompt) : nil
    try process(
      Array(tokens[prompt..<tokens.count - 1]), searching, dropping: span
    ) { row, values in
      let largest = values.max() ?? 0
      let total = values.reduce(0.0) { $0 + exp(Double($1 - largest)) }
      sum += log(total) - Double(values[Int(tokens[prompt + row + 1])] - largest)
    }
    return sum / Double(predicted)
  }

  /// Processes tokens in a fork of the text, without `span` of it, and hands on the logits of each.
  private func process(
    _ rows: [Token], _ searching: Bool, dropping span: Range<Int>?,
    _ body: (_ row: Int, _ logits: [Float]) -> Void
  ) throws {
    let size = KVSlab.pageTokens
    let kept = span?.lowerBound ?? prompt
    let start = prompt - (span?.count ?? 0)
    if dropping != nil { dropped.append(span?.count ?? 0) }
    let shared = kept / size
    let own = pages(of: start + rows.count) - shared
    let first = PageID(pages(of: prompt))
    try backend.reservePages(Int(first) + own)
    if kept % size > 0 {
      backend.copyPage(from: PageID(shared), to: first, positions: kept % size)
    }
    let table = (0..<PageID(shared)).map { $0 } + (0..<PageID(own)).map { first + $0 }
    if let span { try moveDown(what: span.upperBound..<prompt, to: span.lowerBound, table) }
    for begin in stride(from: 0, to: rows.count, by: Self.batch) {
      let end = min(rows.count, begin + Self.batch)
      try backend.forward(
        ForwardBatch(
          tokens: (begin..<end).map {
            BatchToken(token: rows[$0], position: start + $0, sequence: 0, wantsLogits: true)
          }, sequences: [table], promptTokens: [searching ? start : .max]), logits: logits)
      for row in begin..<end { body(row, logits.row(row - begin)) }
    }
  }

  // MARK: Dropping

  /// Gives what follows a dropped span its new positions.
  private func moveDown(what follows: Range<Int>, to first: Int, _ table: [PageID]) throws {
    guard dropping?.following == .processedAgain else {
      let whole = (0..<PageID(pages(of: prompt))).map { $0 }
      backend.shift(
        whole, dropping: first..<follows.lowerBound, end: follows.upperBound, into: table)
      return
    }
    let count = follows.lowerBound - first
    for begin in stride(from: follows.lowerBound, to: prompt, by: backend.maximumBatchTokens) {
      try backend.forward(
        ForwardBatch(
          tokens: (begin..<min(prompt, begin + backend.maximumBatchTokens)).map {
            BatchToken(
              token: tokens[$0], position: $0 - count, sequence: 0, wantsLogits: false)
          }, sequences: [table]), logits: logits)
    }
  }

  /// The span to drop before a question: as much as asked for of the text on one side of what states the
  /// answer, or all there is.
  private func finished(besides question: RecallProblem.Question) throws -> Range<Int>? {
    guard dropping != nil, let problem else { return nil }
    let asked = question.question + question.answer.filter { !$0.isNewline }
    let place = asked.indices.lazy.compactMap { problem.text.range(of: asked[$0...]) }.first
    guard let place, problem.text[place].count > question.answer.count else {
      throw BenchError(
        .argument,
        "a text of family '\(problem.family)' does not state '\(question.answer)' as the answer to "
          + "'\(question.question)' in these words: what to drop besides is not known")
    }
    let before = backend.tokenizer.encode(
      String(problem.text[..<place.lowerBound]), addSpecial: true, parseSpecial: false)
    return finished(besides: before.count..<before.count + encode(asked).count)
  }

  private func finished(besides needed: Range<Int>) -> Range<Int>? {
    guard let dropping else { return nil }
    let count = Int(dropping.share * Double(prompt))
    let before = Self.margin..<max(Self.margin, needed.lowerBound - Self.margin)
    let last = max(Self.margin, prompt - 8 * Self.margin)
    let after = min(needed.upperBound + Self.margin, last)..<last
    // The later side where both are long enough: less has to move.
    let side = after.count >= min(count, before.count) ? after : before
    guard !side.isEmpty else { return nil }
    return max(side.lowerBound, side.upperBound - count)..<side.upperBound
  }

  // MARK: Accounting

  /// How much tokens at `positions` read at most.
  private func account(for positions: Range<Int>, in outcome: inout Outcome) {
    guard !positions.isEmpty else { return }
    switch method {
    case .exact:
      guard !dropped.isEmpty else { break }
      let mean = Double(dropped.reduce(0, +)) / Double(dropped.count)
      outcome.touched = self.mean(positions) { end in 1 - mean / Double(end) }
    case .window(let recent, let sinks):
      outcome.exactHeads = 0
      outcome.touched = mean(positions) { end in
        min(1, Double(sinks + recent + KVSlab.pageTokens) / Double(end))
      }
    case .heavyHitters(let rule):
      outcome.exactHeads = 0
      outcome.touched = mean(positions) { end in
        let page = (end - 1) / KVSlab.pageTokens * KVSlab.pageTokens
        return min(1, Double(rule.heavy + rule.recent + end - page) / Double(end))
      }
    case .importance(let rule):
      outcome.exactHeads = 0
      outcome.touched = mean(positions) { end in
        let kept = max(Double(prompt) * rule.share, Double(rule.sinks + rule.recent))
        return prompt < rule.minimumPositions
          ? 1 : min(1, (kept + Double(end - prompt)) / Double(end))
      }
    case .pruned(let pruning):
      outcome.exactHeads = 0
      outcome.touched = mean(positions) { end in
        pruning.readShare(layers: layers, prompt: prompt, end: end)
      }
    case .retrieve(let retrieval):
      let first = retrieval.minimumPositions ?? AttentionMethod.Retrieval.standardMinimum
      // A report of an earlier text says nothing about one too short to search.
      guard positions.upperBound > first,
        let report = backend.retrievalReport
      else { return }
      let heads = Double(max(1, report.wanted.count))
      outcome.exactHeads = Double(report.wanted.count { $0 == nil }) / heads
      outcome.touched = mean(positions) { end in
        guard end > first else { return 1 }
        return report.wanted.reduce(0) { sum, wanted in
          sum
            + (wanted.map { min(1, Double(around(end, retrieval) + group * $0) / Double(end)) } ?? 1)
        } / heads
      }
    }
  }

  /// Positions that are attended to without a search: whole pages of first ones, and the recent ones from the
  /// beginning of a page on.
  private func around(_ end: Int, _ retrieval: AttentionMethod.Retrieval) -> Int {
    let size = KVSlab.pageTokens
    let recent = max(0, end - retrieval.recent) / size * size
    return min(end, (retrieval.sinks + size - 1) / size * size + end - recent)
  }

  private func mean(_ positions: Range<Int>, _ share: (Int) -> Double) -> Double {
    positions.reduce(0) { $0 + share($1 + 1) } / Double(positions.count)
  }
}

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

  /// Rows of logits at a time.
  private static let batch = 128

  init(_ session: Session, _ settings: RecallBench.Settings, _ method: AttentionMethod) throws {
    self.method = method
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
    if searching { try backend.measureOutputError() }
    let questions = problem?.questions ?? []
    var last = prompt
    for question in questions {
      let asked = encode(question.question)
      let answer = encode(question.answer)
      let rows = asked + answer.dropLast()
      let found = try likeliest(rows, from: asked.count - 1, searching)
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
  private func likeliest(_ rows: [Token], from first: Int, _ searching: Bool) throws -> [Token] {
    var found: [Token] = []
    try process(rows, searching) { row, values in
      guard row >= first else { return }
      var best = 0
      for i in values.indices where values[i] > values[best] { best = i }
      found.append(Token(best))
    }
    return found
  }

  private func loss(_ searching: Bool) throws -> Double {
    var sum = 0.0
    try process(Array(tokens[prompt..<tokens.count - 1]), searching) { row, values in
      let largest = values.max() ?? 0
      let total = values.reduce(0.0) { $0 + exp(Double($1 - largest)) }
      sum += log(total) - Double(values[Int(tokens[prompt + row + 1])] - largest)
    }
    return sum / Double(predicted)
  }

  /// Processes tokens in a fork of the text and hands on the logits of each.
  private func process(
    _ rows: [Token], _ searching: Bool, _ body: (_ row: Int, _ logits: [Float]) -> Void
  ) throws {
    let size = KVSlab.pageTokens
    let shared = prompt / size
    let own = pages(of: prompt + rows.count) - shared
    let first = PageID(pages(of: prompt))
    try backend.reservePages(Int(first) + own)
    if prompt % size > 0 {
      backend.copyPage(from: PageID(shared), to: first, positions: prompt % size)
    }
    let table = (0..<PageID(shared)).map { $0 } + (0..<PageID(own)).map { first + $0 }
    for begin in stride(from: 0, to: rows.count, by: Self.batch) {
      let end = min(rows.count, begin + Self.batch)
      try backend.forward(
        ForwardBatch(
          tokens: (begin..<end).map {
            BatchToken(token: rows[$0], position: prompt + $0, sequence: 0, wantsLogits: true)
          }, sequences: [table], promptTokens: [searching ? prompt : .max]), logits: logits)
      for row in begin..<end { body(row, logits.row(row - begin)) }
    }
  }

  // MARK: Accounting

  /// How much tokens at `positions` read at most.
  private func account(for positions: Range<Int>, in outcome: inout Outcome) {
    guard !positions.isEmpty else { return }
    switch method {
    case .exact: break
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

import MartletModel

/// The choice of one token that is to be made.
public struct LogitsChoice: Sendable {
  /// All tokens of the branch, prompt included.
  public let tokens: ArraySlice<Token>
  /// How many of them were generated.
  public let generatedTokens: Int
  /// Random bits of this choice alone: a function of the run's seed, the branch's path, its epoch and
  /// the position; independent of those that draw the token.
  public let noise: UInt64

  /// A choice; tests of processors use this.
  public init(tokens: [Token], generatedTokens: Int, noise: UInt64) {
    self.init(tokens: tokens[...], generatedTokens: generatedTokens, noise: noise)
  }

  init(tokens: ArraySlice<Token>, generatedTokens: Int, noise: UInt64) {
    self.tokens = tokens
    self.generatedTokens = generatedTokens
    self.noise = noise
  }
}

/// Changes the model's logits before a run's sampling rules see them.
///
/// What it writes is a function of the row and of the choice, so that no schedule, batch or neighbour
/// changes a text; it keeps nothing from one choice to the next. Minus infinity forbids a token. Called
/// on the engine's own thread with its lock held, one row at a time: while it works nobody decodes, and
/// it must not call the engine.
public protocol LogitsProcessor: AnyObject, Sendable {
  /// For messages.
  var name: String { get }
  /// Changes `row`, one logit per token of the vocabulary, in place.
  func process(_ row: inout [Float], for choice: LogitsChoice) throws(EngineError)
}

extension Run {
  /// Changes every row of logits that a token of this run is chosen from, before rules, constraints,
  /// guidance and tests of guesses; nil for none. Log-probabilities stay those of the model. Branches on
  /// other prompts (``open(prompt:)``) are left alone. Set it before the first advance.
  public var processor: (any LogitsProcessor)? {
    get { core.locked { () throws(Never) in state.processor } }
    set { core.locked { () throws(Never) in state.processor = newValue } }
  }
}

extension EngineCore {
  /// Chooses a branch's next token from its row as the run's processor leaves it.
  func chooseProcessed(
    _ row: Span<Float>, guidedBy guide: Span<Float>?, for state: BranchState
  ) throws(EngineError) -> SampledToken {
    let run = state.run
    guard let processor = run.processor, !state.isOnOtherPrompt else {
      return try choose(row, guidedBy: guide, for: state)
    }
    // The model's own view of the row: what log-probabilities and entropies are of.
    let own = run.sampler.own(row)
    guard own.outcome != .unsound else { return try choose(row, guidedBy: guide, for: state) }
    run.processed.removeAll(keepingCapacity: true)
    run.processed.reserveCapacity(row.count)
    row.withUnsafeBufferPointer { run.processed.append(contentsOf: $0) }
    // Siblings that draw together draw from one row.
    let position = state.lane.tokens.count
    let together = state.siblings.flatMap { $0.isNext(for: state) ? $0 : nil }
    try processor.process(
      &run.processed,
      for: LogitsChoice(
        tokens: state.lane.tokens[...], generatedTokens: state.count,
        noise: run.processing.noise(
          path: together?.parent ?? state.path, epoch: together?.first ?? state.epoch,
          position: position
        ).bits))
    guard run.processed.count == row.count else {
      throw EngineError(
        .argument, "\(processor.name) left \(run.processed.count) of \(row.count) logits")
    }
    if run.sampler.own(run.processed.span).outcome == .unsound {
      throw EngineError(
        .argument,
        "\(processor.name) left NaN, +infinity or no finite value at all in the logits; it must "
          + "leave at least one token")
    }
    let drawn = try choose(run.processed.span, guidedBy: guide, for: state)
    return SampledToken(
      token: drawn.token,
      logprob: Float(Double(row[Int(drawn.token)]) - own.maximum - own.logSum),
      entropy: Float(own.entropy), keptLogprob: drawn.keptLogprob, kept: drawn.kept,
      gap: Float(own.gap))
  }
}

extension BranchState {
  /// Whether it began at a prompt that was opened beside the run's: their paths come last.
  fileprivate var isOnOtherPrompt: Bool {
    guard let first = path.indices.first else { return false }
    return first > .max - run.opened
  }
}

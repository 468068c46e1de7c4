import MartletModel

/// The state that drawing on behalf of guesses needs: rules and scratch memory, one per drafter and
/// kind of sampling.
public struct DraftSampler: Sendable {
  private var samplers: [Sampler] = []
  public init() {}

  /// The sampler of a kind of sampling: one drafter seldom sees more than one or two.
  fileprivate mutating func index(of options: SamplingOptions) -> Int {
    if let index = samplers.firstIndex(where: { $0.options == options }) { return index }
    if samplers.count >= 16 { samplers.removeAll() }
    samplers.append(Sampler(options: options))
    return samplers.count - 1
  }

  fileprivate mutating func withSampler<R>(
    _ index: Int, _ body: (inout Sampler) -> R
  ) -> R { body(&samplers[index]) }
}

/// How a run will draw the tokens after one sequence.
struct DraftDice: Sendable {
  let options: SamplingOptions
  let draws: RandomStream
  let path: BranchPath
  let epoch: UInt32
  /// Tokens of the sequence that were drawn.
  let generated: Int
  let mirostatMu: Float?

  func draw(
    _ row: Span<Float>, after tokens: [Token], _ path: [Token], _ sampler: inout DraftSampler
  ) -> Token? {
    let noise = draws.noise(path: self.path, epoch: epoch, position: tokens.count + path.count)
    let history = options.penalises || options.dryMultiplier > 0 ? tokens + path : []
    let index = sampler.index(of: options)
    return sampler.withSampler(index) {
      try? $0.sample(
        row, history: history[...], noise: noise, generated: generated + path.count,
        mirostatMu: mirostatMu
      ).token
    }
  }
}

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
  /// For guesses that are drawn by chance.
  let guesses: RandomStream
  let path: BranchPath
  let epoch: UInt32
  /// Tokens of the sequence that were drawn.
  let generated: Int
  let mirostatMu: Float?
  /// Tokens of the model guessed for.
  let vocabulary: Int

  func draw(
    _ row: Span<Float>, after tokens: [Token], _ path: [Token], _ sampler: inout DraftSampler
  ) -> Token? {
    guard covers(row.count) else { return nil }
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

  /// Guesses drawn from the distribution that the run's rules make of a row.
  func law(
    _ row: Span<Float>, after tokens: [Token], _ path: [Token], _ verifier: Verifier,
    _ sampler: inout DraftSampler
  ) -> DraftLaw? {
    let width = min(row.count, vocabulary)
    guard covers(width), verifier.draws > 0 else { return nil }
    let position = tokens.count + path.count
    let history = options.penalises || options.dryMultiplier > 0 ? tokens + path : []
    let index = sampler.index(of: options)
    let distribution = sampler.withSampler(index) {
      try? $0.distribution(
        row.extracting(0..<width), history: history[...],
        noise: draws.noise(path: self.path, epoch: epoch, position: position),
        generated: generated + path.count, mirostatMu: mirostatMu)
    }
    guard var law = distribution, !law.isEmpty else { return nil }
    law += repeatElement(0, count: vocabulary - width)
    var drawn: [Token] = []
    var left = law
    for draw in 0..<verifier.draws {
      let uniform = guesses.at(draw).uniform(path: self.path, epoch: epoch, position: position)
      guard let token = Self.pick(left, uniform) else { break }
      drawn.append(Token(token))
      if verifier.drawsDistinct { left[token] = 0 }
    }
    return drawn.isEmpty ? nil : DraftLaw(probabilities: law, tokens: drawn)
  }

  /// A token with the probability of its share; nil where there are none.
  private static func pick(_ weights: [Float], _ uniform: Double) -> Int? {
    let goal = uniform * weights.reduce(0.0) { $0 + Double($1) }
    var sum = 0.0
    var last: Int?
    for (token, weight) in weights.enumerated() where weight > 0 {
      sum += Double(weight)
      last = token
      if sum > goal { return token }
    }
    return last
  }

  /// Whether the rules name no token beyond a row's.
  private func covers(_ width: Int) -> Bool {
    options.logitBias.keys.allSatisfy { Int($0) < width }
      && options.suppressed.allSatisfy { Int($0) < width }
  }
}

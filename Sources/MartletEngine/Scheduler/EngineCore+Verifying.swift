import Foundation
import MartletKernels
import MartletModel

/// Choosing a branch's next token where guesses for its place were processed and its run tests them by
/// rejection (``Verifier``). With the lock held, on the driver thread.
extension EngineCore {
  /// The token at a branch's place, by the test of the guesses for it; nil where there are none, so
  /// that it is drawn as always.
  func verified(
    _ row: Span<Float>, _ state: BranchState, allowed: TokenMask?
  ) throws(EngineError) -> SampledToken? {
    let run = state.run
    guard run.drafting.verifier != .noise, let guessed = state.lane.draft?.guessed,
      !guessed.tokens.isEmpty
    else { return nil }
    let position = state.lane.tokens.count
    let target = try run.sampler.distribution(
      row, history: state.lane.tokens[...],
      noise: run.draws.noise(path: state.path, epoch: state.epoch, position: position),
      generated: state.count, mirostatMu: state.mirostatMu, allowed: allowed)
    var tree = MartletKernels.DraftTree()
    for token in guessed.tokens {
      tree.add(Int(token), below: 0, law: guessed.law == nil ? nil : 0)
    }
    let uniforms = (0..<tree.count).map {
      run.verification.at($0).uniform(path: state.path, epoch: state.epoch, position: position)
    }
    do throws(KernelError) {
      let token = try test(tree, target, guessed.law, run.drafting.verifier, uniforms)
      if guessed.law != nil, let drafter = run.drafting.drafter {
        learnAcceptance(guessed.tokens.contains(Token(token)), of: drafter)
      }
      return run.sampler.described(Token(token), row, law: target)
    } catch {
      throw EngineError(
        .backend,
        "verifying guesses of \(run.drafting.name) by \(run.drafting.verifier.name): "
          + error.message)
    }
  }

  private func test(
    _ tree: MartletKernels.DraftTree, _ target: [Float], _ law: [Float]?, _ verifier: Verifier,
    _ uniforms: [Double]
  ) throws(KernelError) -> Int {
    if case .typical(let epsilon, let delta) = verifier {
      // The walk would go on to the row of a guess that it keeps; here every place has its own turn.
      let rows = try FloatMatrix(rows: tree.count, columns: target.count)
      for row in 0..<tree.count { rows.setRow(row, target) }
      let walked = try Kernels.verifyTypical(
        tree, targets: rows, epsilon: epsilon, delta: delta, uniform: uniforms[0],
        scratch: &verifyScratch)
      return walked.path.first.map(tree.token) ?? walked.token
    }
    let targets = try FloatMatrix(rows: 1, columns: target.count)
    targets.setRow(0, target)
    var laws: FloatMatrix?
    if let law {
      laws = try FloatMatrix(rows: 1, columns: target.count)
      laws?.setRow(0, law)
    }
    let rule: DraftRule =
      switch verifier {
      case .distinct: .distinct
      case .weighted: .weighted
      case .noise, .chain, .recursive, .typical: .recursive
      }
    let result = try Kernels.verifyPosition(
      tree, node: 0, targets: targets, laws: laws,
      // Guesses without a law are different tokens, each tested as if it had been certain.
      rule: law == nil ? .recursive : rule, uniforms: uniforms, scratch: &verifyScratch)
    switch result {
    case .kept(let node): return tree.token(node)
    case .drawn(let token): return token
    }
  }
}

extension Sampler {
  /// What is said of a token that was chosen by other means from `law`, this sampler's distribution
  /// over `row`.
  mutating func described(_ token: Token, _ row: Span<Float>, law: [Float]) -> SampledToken {
    let plain = own(row)
    return SampledToken(
      token: token, logprob: Float(Double(row[Int(token)]) - plain.maximum - plain.logSum),
      entropy: Float(plain.entropy), keptLogprob: log(law[Int(token)]),
      kept: law.reduce(0) { $0 + ($1 > 0 ? 1 : 0) }, gap: Float(plain.gap))
  }
}

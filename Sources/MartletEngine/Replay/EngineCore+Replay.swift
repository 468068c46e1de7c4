import Foundation
import MartletModel

/// Recording what a run draws, and drawing it again. With the lock held, on the driver thread.
extension EngineCore {
  /// Stands for everything that the next draw of a branch depends on but the run's seed.
  private func drawKey(_ state: BranchState) -> UInt64 {
    var key = contextKey(state.lane)
    key.add(state.path.hashBits)
    // A replay draws nothing ahead and rolls nothing back.
    let epoch = state.epoch - state.rollbackEpochs
    key.add(UInt64(epoch))
    key.add(state.flight?.sampler?.fingerprint ?? state.run.rulesFingerprint)
    if let team = state.team { key.add(team.fingerprint) }
    if let group = state.siblings, group.isNext(for: state, epoch: epoch) {
      key.add(group.fingerprint)
    }
    return key.value
  }

  private func contextKey(_ lane: Lane) -> DrawKey {
    lane.contextKey.value(of: lane.tokens, promptCount: lane.promptCount)
  }

  private func answerKey(_ query: NextTokenQuery, _ state: BranchState) -> UInt64 {
    var key = contextKey(state.lane)
    key.add(UInt64(query.top))
    if let team = state.team { key.add(team.fingerprint) }
    for token in query.tokens { key.add(UInt64(UInt32(bitPattern: token))) }
    return key.value
  }

  /// Keeps a draw, before its token is added to the branch.
  func note(_ drawn: SampledToken, isForced: Bool, _ state: BranchState) {
    guard let log = state.run.log, !state.run.isReplay else { return }
    log.record(
      DrawLog.Draw(
        token: drawn.token, logprob: drawn.logprob, entropy: drawn.entropy,
        keptLogprob: drawn.keptLogprob, kept: drawn.kept,
        gap: drawn.gap.isFinite ? drawn.gap : nil, isForced: isForced),
      at: drawKey(state))
  }

  /// Keeps that a constraint ended a branch's text.
  func noteEnd(_ state: BranchState) {
    guard let log = state.run.log, !state.run.isReplay else { return }
    log.record(DrawLog.Draw(token: nil), at: drawKey(state))
  }

  func note(_ answer: NextToken?, to query: NextTokenQuery, _ state: BranchState) {
    guard let log = state.run.log, !state.run.isReplay, let answer else { return }
    log.record(answer, at: answerKey(query, state))
  }

  /// What a constraint left no choice for in the recorded run.
  func recordedStep(_ state: BranchState) -> ForcedStep? {
    guard state.flight?.query == nil, let draw = state.run.log?.draw(at: drawKey(state))
    else { return nil }
    guard let token = draw.token else { return .end }
    return draw.isForced ? .token(token) : nil
  }

  /// What the recorded run drew here.
  func recordedDraw(_ state: BranchState) throws(EngineError) -> SampledToken {
    guard let draw = state.run.log?.draw(at: drawKey(state)), let token = draw.token else {
      throw .unrecorded
    }
    return SampledToken(
      token: token, logprob: draw.logprob, entropy: draw.entropy, keptLogprob: draw.keptLogprob,
      kept: draw.kept, gap: draw.gap ?? .infinity)
  }

  /// What the recorded model said of the next token.
  func recordedAnswer(
    to query: NextTokenQuery, _ state: BranchState
  ) throws(EngineError) -> NextToken {
    guard let answer = state.run.log?.answer(at: answerKey(query, state)) else {
      throw .unrecorded
    }
    return answer
  }

  /// The tokens of a text for a run, which its log remembers.
  func encode(
    _ text: String, addSpecial: Bool = false, parseSpecial: Bool = false, for run: RunState
  ) -> [Token] {
    let tokens = codec.encode(text, addSpecial: addSpecial, parseSpecial: parseSpecial)
    if let log = run.log, !run.isReplay {
      log.record(
        tokens, of: .init(text: text, addSpecial: addSpecial, parseSpecial: parseSpecial))
    }
    return tokens
  }
}

extension EngineError {
  fileprivate static let unrecorded = EngineError(
    .unrecorded, "the branch goes on where the recorded run did not")
}

extension SamplingOptions {
  /// 64 bits that stand for these rules, the same in every process.
  var fingerprint: UInt64 {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    // Written from numbers, words and lists of them: nothing here can fail to be.
    let text = (try? encoder.encode(Written(self))) ?? Data()
    return text.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  /// The options with the bias as a list, whose order is no chance.
  private struct Written: Encodable {
    var options: SamplingOptions
    var biases: [[Float]]

    init(_ options: SamplingOptions) {
      self.options = options
      biases = options.logitBias.sorted { $0.key < $1.key }.map { [Float($0.key), $0.value] }
      self.options.logitBias = [:]
    }
  }
}

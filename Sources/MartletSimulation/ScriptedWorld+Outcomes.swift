/// One way a sequence can end.
public struct SimulatedOutcome: Sendable, Equatable {
  /// The generated text.
  public let text: String
  /// The generated tokens, the end token included where it was drawn.
  public let tokens: [Int32]
  /// The state it ends in.
  public let state: String
  /// Its exact probability at temperature 1.
  public let probability: Double
  /// Its reward.
  public let reward: Double
  /// Whether it ended by itself rather than at the token limit.
  public let isFinished: Bool
}

extension ScriptedWorld {
  /// Every way a sequence can end within `maxTokens` tokens, most probable first; the
  /// probabilities add up to 1. The count may grow exponentially with `maxTokens`.
  public func outcomes(maxTokens: Int) -> [SimulatedOutcome] {
    var found: [SimulatedOutcome] = []
    var open: [(state: String, tokens: [Int32], text: String, probability: Double)] = [
      (start, [], "", 1)
    ]
    while let path = open.popLast() {
      let state = states[path.state]!
      func outcome(_ tokens: [Int32], _ probability: Double, finished: Bool) -> SimulatedOutcome {
        SimulatedOutcome(
          text: path.text, tokens: tokens, state: path.state, probability: probability,
          reward: state.reward, isFinished: finished)
      }
      if path.tokens.count >= maxTokens {
        found.append(outcome(path.tokens, path.probability, finished: false))
        continue
      }
      if state.transitions.isEmpty {
        found.append(outcome(path.tokens + [words.end], path.probability, finished: true))
      }
      for step in state.transitions where step.probability > 0 {
        let probability = path.probability * step.probability
        if let word = step.word {
          let tokens = path.tokens + [words.token(word)!]
          open.append((step.next, tokens, path.text + word, probability))
        } else {
          found.append(outcome(path.tokens + [words.end], probability, finished: true))
        }
      }
    }
    return found.sorted {
      ($1.probability, $0.text, $0.tokens.count) < ($0.probability, $1.text, $1.tokens.count)
    }
  }

  /// An outcome of the highest reward, the most probable among equals: the known best answer.
  public func best(maxTokens: Int) -> SimulatedOutcome {
    outcomes(maxTokens: maxTokens).max {
      ($0.reward, $0.probability) < ($1.reward, $1.probability)
    }!
  }

  /// Expected reward of one sample.
  public func expectedReward(maxTokens: Int) -> Double { expectedBest(of: 1, maxTokens: maxTokens) }

  /// Expected highest reward among `n` independent samples: what best-of-n with a perfect scorer
  /// reaches.
  public func expectedBest(of n: Int, maxTokens: Int) -> Double {
    var below = 0.0
    var before = 0.0
    var expectation = 0.0
    for outcome in outcomes(maxTokens: maxTokens).sorted(by: { $0.reward < $1.reward }) {
      below += outcome.probability
      var power = 1.0
      for _ in 0..<n { power *= below }
      expectation += outcome.reward * (power - before)
      before = power
    }
    return expectation
  }
}

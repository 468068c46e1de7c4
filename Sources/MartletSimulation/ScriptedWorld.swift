import Foundation
import MartletEngine

/// A world of named states: each draws a word with a stated probability and goes to a next state;
/// a state without words ends the sequence and has a reward. Everything about it can be computed
/// exactly (``outcomes(maxTokens:)``), so a strategy can be held against the known optimum.
///
/// The prompt is one word of its own; the walk begins after its last occurrence. A word that the
/// present state does not offer (appended text) leads to a lost state that ends with reward 0.
///
/// ```swift
/// let world = try ScriptedWorld(
///   script: """
///     prompt "2+2="
///     start: "4" 0.4 -> right, "5" 0.6 -> wrong
///     right: reward 1
///     wrong: reward 0
///     """)
/// let engine = try Engine(backend: SimulatedBackend(world: world))
/// let run = try engine.makeRun(prompt: world.promptTokens, seed: 1)
/// ```
public struct ScriptedWorld: SimulatedWorld {
  /// One word a state may draw.
  public struct Transition: Sendable, Equatable {
    /// The word; nil ends the sequence.
    public var word: String?
    /// Its probability.
    public var probability: Double
    /// The state after it; not used when `word` is nil.
    public var next: String

    /// A word with its probability and the state it leads to.
    public init(_ word: String, _ probability: Double, to next: String) {
      self.word = word
      self.probability = probability
      self.next = next
    }

    /// The end of the sequence, with its probability.
    public static func end(_ probability: Double) -> Transition {
      var transition = Transition("", probability, to: "")
      transition.word = nil
      return transition
    }
  }

  /// A state: what it may draw, and the reward of a sequence that ends in it.
  public struct State: Sendable, Equatable {
    /// The words it may draw; their probabilities add up to 1. Without any, it ends the sequence.
    public var transitions: [Transition]
    /// Reward of a sequence that ends here.
    public var reward: Double

    /// A state.
    public init(_ transitions: [Transition] = [], reward: Double = 0) {
      self.transitions = transitions
      self.reward = reward
    }
  }

  /// The prompt's text.
  public let prompt: String
  /// The name of the state after the prompt.
  public let start: String
  /// The states by name.
  public let states: [String: State]
  /// The tokenizer: the prompt is token 0, then each word in order of first use by state name.
  public let words: WordCodec

  public var codec: any TokenCodec { words }

  /// The prompt's one token.
  public var promptTokens: [Int32] { [0] }

  /// A world of states.
  ///
  /// Throws ``SimulationError/Code/world`` when a state is missing, a word is empty, repeated in a
  /// state or equal to the prompt, or probabilities of a state do not add up to 1.
  public init(
    prompt: String = "?", start: String, states: [String: State]
  ) throws(SimulationError) {
    guard !prompt.isEmpty else { throw SimulationError(.world, "the prompt is empty") }
    guard states[start] != nil else {
      throw SimulationError(.world, "the start state '\(start)' does not exist")
    }
    var list = [prompt]
    for (name, state) in states.sorted(by: { $0.key < $1.key }) {
      try ScriptedWorld.check(name, state, states, prompt)
      for word in state.transitions.compactMap(\.word) where !list.contains(word) {
        list.append(word)
      }
    }
    self.prompt = prompt
    self.start = start
    self.states = states
    words = WordCodec(words: list)
  }

  private static func check(
    _ name: String, _ state: State, _ states: [String: State], _ prompt: String
  ) throws(SimulationError) {
    var seen = Set<String?>()
    var sum = 0.0
    for transition in state.transitions {
      let shown = transition.word.map { "'\($0)'" } ?? "end"
      guard transition.word != "", transition.word != prompt else {
        throw SimulationError(.world, "state '\(name)' has an empty word or the prompt as a word")
      }
      guard seen.insert(transition.word).inserted else {
        throw SimulationError(.world, "state '\(name)' has \(shown) twice")
      }
      guard transition.probability >= 0, transition.probability <= 1 else {
        throw SimulationError(
          .world, "state '\(name)': the probability of \(shown) is \(transition.probability)")
      }
      guard transition.word == nil || states[transition.next] != nil else {
        throw SimulationError(
          .world, "state '\(name)': \(shown) leads to '\(transition.next)', which does not exist")
      }
      sum += transition.probability
    }
    guard state.transitions.isEmpty || abs(sum - 1) < 1e-6 else {
      throw SimulationError(.world, "state '\(name)': the probabilities add up to \(sum), not 1")
    }
  }

  /// The state after a sequence; nil when it is lost or has ended.
  public func state(after tokens: [Int32]) -> String? {
    guard let begin = tokens.lastIndex(of: 0) else { return nil }
    var name = start
    for token in tokens[(begin + 1)...] {
      guard token >= 0, Int(token) < words.words.count else { return nil }
      let word = words.words[Int(token)]
      guard let step = states[name]!.transitions.first(where: { $0.word == word }) else {
        return nil
      }
      name = step.next
    }
    return name
  }

  /// Natural-log probabilities of the next token.
  public func logits(after tokens: [Int32]) -> [Float] {
    var row = [Float](repeating: -.infinity, count: words.vocabularySize)
    guard let name = state(after: tokens), let state = states[name], !state.transitions.isEmpty
    else {
      row[Int(words.end)] = 0
      return row
    }
    for transition in state.transitions {
      let token = transition.word.map { words.token($0)! } ?? words.end
      row[Int(token)] = Float(log(transition.probability))
    }
    return row
  }

  /// The reward of a generated text: of the state it ends in, 0 when it leaves the script.
  public func reward(of text: String) -> Double {
    let tokens = words.encode(text, addSpecial: false, parseSpecial: false)
    guard let name = state(after: promptTokens + tokens) else { return 0 }
    return states[name]!.reward
  }
}

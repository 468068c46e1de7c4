import MartletModel
import Synchronization

/// What a model said in a run: every token that was drawn, every answer about a next token, and how texts were cut
/// into tokens.
///
/// A draw is a function of the run's seed, the branch's path and epoch, the tokens before it and the rules it is drawn
/// by; so all of these but the seed are the key under which it is kept, and a strategy that is run again on a
/// ``ReplayBackend`` gets the token that the model would give it, or hears that nobody knows it.
public final class DrawLog: Sendable {
  private let state = Mutex(State())

  private struct State {
    var draws: [UInt64: Draw] = [:]
    var answers: [UInt64: NextToken] = [:]
    var encodings: [Encoding: [Token]] = [:]
    var unknownText: String?
    var cannotReplay: String?
  }

  /// One draw; `token` is nil where a constraint ended the text.
  struct Draw: Codable, Equatable {
    var token: Token?
    var logprob: Float = 0
    var entropy: Float = 0
    var keptLogprob: Float?
    var kept = 1
    var gap: Float?
    var isForced = false
  }

  /// A text as it was given to the tokenizer.
  struct Encoding: Codable, Hashable {
    var text: String
    var addSpecial: Bool
    var parseSpecial: Bool
  }

  /// An empty log, for recording.
  public init() {}

  init(
    draws: [UInt64: Draw], answers: [UInt64: NextToken], encodings: [Encoding: [Token]]
  ) {
    state.withLock {
      ($0.draws, $0.answers, $0.encodings) = (draws, answers, encodings)
    }
  }

  var contents:
    (draws: [UInt64: Draw], answers: [UInt64: NextToken], encodings: [Encoding: [Token]])
  {
    state.withLock { ($0.draws, $0.answers, $0.encodings) }
  }

  /// Why the run cannot be replayed from this; nil if it can.
  public var obstacle: String? { state.withLock { $0.cannotReplay } }

  func note(obstacle: String) { state.withLock { $0.cannotReplay = obstacle } }

  func record(_ draw: Draw, at key: UInt64) { state.withLock { $0.draws[key] = draw } }
  func draw(at key: UInt64) -> Draw? { state.withLock { $0.draws[key] } }

  func record(_ answer: NextToken, at key: UInt64) { state.withLock { $0.answers[key] = answer } }
  func answer(at key: UInt64) -> NextToken? { state.withLock { $0.answers[key] } }

  func record(_ tokens: [Token], of encoding: Encoding) {
    state.withLock { $0.encodings[encoding] = tokens }
  }

  /// The tokens of a text; empty, and remembered as missing, where nobody knows them.
  func tokens(of encoding: Encoding) -> [Token] {
    state.withLock { state in
      if let known = state.encodings[encoding] { return known }
      if !encoding.text.isEmpty { state.unknownText = state.unknownText ?? encoding.text }
      return []
    }
  }

  /// A text that a replay wanted in tokens and that was none of the recorded run's.
  var unknownText: String? { state.withLock { $0.unknownText } }
}

/// 64 bits that stand for everything a draw depends on.
struct DrawKey {
  private var bits: UInt64 = 0x6A09_E667_F3BC_C908

  mutating func add(_ value: UInt64) { bits = mix64(bits &+ mix64(value)) }

  var value: UInt64 { bits }
}

/// The ``DrawKey`` of a lane's tokens, kept up as they grow: a look costs O(1) per token that is new since the last, and
/// after a cut O(generated text).
struct ContextKey {
  private var key = DrawKey()
  private var count = 0
  /// That of the prompt, once it was passed.
  private var ofPrompt: DrawKey?

  /// The key of `tokens`, which begin as those of the last look but for what ``cut(to:promptCount:)`` was told of.
  mutating func value(of tokens: [Token], promptCount: Int) -> DrawKey {
    while count < tokens.count {
      key.add(UInt64(UInt32(bitPattern: tokens[count])))
      count += 1
      if count == promptCount { ofPrompt = key }
    }
    return key
  }

  /// Tokens from `count` on are no longer what they were.
  mutating func cut(to count: Int, promptCount: Int) {
    guard count < self.count else { return }
    if let ofPrompt, count >= promptCount {
      (key, self.count) = (ofPrompt, promptCount)
    } else {
      self = ContextKey()
    }
  }
}

import Foundation
import MartletScaling

/// Everything about one run: one line of `records.jsonl`.
public struct RunRecord: Codable, Sendable, Equatable {
  /// The version of the JSON object.
  public static let schema = 1
  /// ``stoppedBecause`` of a run that gave no result.
  public static let failed = "error"

  /// What makes a run the same run.
  public struct Key: Hashable, Sendable {
    let problem: String
    let strategy: String
    let budget: String
    let seed: Int
  }

  /// What was used, as in `RunResult.Usage`.
  public struct Usage: Codable, Sendable, Equatable {
    public var promptTokens = 0
    public var generatedTokens = 0
    public var scoredTokens = 0
    public var totalTokens = 0
    public var peakKVBytes = 0

    enum CodingKeys: String, CodingKey {
      case promptTokens = "prompt_tokens"
      case generatedTokens = "generated_tokens"
      case scoredTokens = "scored_tokens"
      case totalTokens = "total_tokens"
      case peakKVBytes = "peak_kv_bytes"
    }
  }

  /// What varies when the same run is made again.
  public struct Timing: Codable, Sendable, Equatable {
    /// From the start of the run to its result, with all that ran beside it.
    public var seconds = 0.0
    /// The run's share of the process's CPU time: at each moment the runs in progress share alike.
    public var cpuSeconds = 0.0

    enum CodingKeys: String, CodingKey {
      case seconds
      case cpuSeconds = "cpu_seconds"
    }
  }

  /// One answer that the strategy considered.
  public struct Candidate: Codable, Sendable, Equatable {
    public var text: String
    public var answer: String?
    public var score: Double?
    public var logprob: Double
    public var tokens: Int
    public var finished: Bool
    public var stop: String
    public var correct: Bool

    package init(
      text: String, answer: String?, score: Double?, logprob: Double, tokens: Int, finished: Bool,
      stop: String, correct: Bool
    ) {
      (self.text, self.answer, self.score, self.logprob) = (text, answer, score, logprob)
      (self.tokens, self.finished, self.stop, self.correct) = (tokens, finished, stop, correct)
    }
  }

  /// An answer that the strategy named on the way.
  public struct NamedAnswer: Codable, Sendable, Equatable {
    /// Tokens that the run had generated.
    public var tokens: Int
    public var answer: String
    public var correct: Bool
    /// Whether nothing could change it any more.
    public var committed: Bool

    package init(tokens: Int, answer: String, correct: Bool, committed: Bool) {
      (self.tokens, self.answer) = (tokens, answer)
      (self.correct, self.committed) = (correct, committed)
    }
  }

  public var schema = RunRecord.schema
  public var problem: String
  public var group: String
  public var question: String
  public var expected: String?
  /// The strategy with its options: ``StrategySpec/label``.
  public var strategy: String
  public var options: [String: String]
  /// ``BudgetSpec/label``.
  public var budget: String
  /// 1, 2, …: which of the runs of this problem.
  public var seed: Int
  /// The seed that the run drew from; a text, because JSON readers round 64-bit numbers.
  public var runSeed: String
  public var answer = ""
  public var text = ""
  public var answerCandidate: Int?
  public var correct = false
  /// The winning candidate's score.
  public var score: Double?
  public var scorer: String?
  public var extractor: String?
  /// As `RunResult.StopCause`, or ``failed``.
  public var stoppedBecause: String
  public var failure: String?
  public var usage = Usage()
  public var timing = Timing()
  public var candidates: [Candidate] = []
  /// What was named by how many tokens, in that order; the final answer is the last.
  public var anytime: [NamedAnswer] = []

  package init(
    problem: String, group: String, question: String, expected: String?, strategy: String,
    options: [String: String], budget: String, seed: Int, runSeed: String, stoppedBecause: String
  ) {
    (self.problem, self.group, self.question) = (problem, group, question)
    (self.expected, self.strategy, self.options) = (expected, strategy, options)
    (self.budget, self.seed, self.runSeed) = (budget, seed, runSeed)
    self.stoppedBecause = stoppedBecause
  }

  enum CodingKeys: String, CodingKey {
    case schema, problem, group, question, expected, strategy, options, budget, seed, answer, text
    case correct, score, scorer, extractor, failure, usage, timing, candidates, anytime
    case runSeed = "run_seed"
    case answerCandidate = "answer_candidate"
    case stoppedBecause = "stopped_because"
  }

  /// A problem and which of its runs.
  struct Place: Hashable {
    let problem: String
    let seed: Int
  }

  var place: Place { Place(problem: problem, seed: seed) }

  /// Which run this is.
  public var key: Key { Key(problem: problem, strategy: strategy, budget: budget, seed: seed) }

  /// The same without what varies when the run is made again.
  public var withoutTiming: RunRecord {
    var copy = self
    copy.timing = Timing()
    return copy
  }

  /// One line, without the newline.
  package func line() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.writeAllFloats()
    return try encoder.encode(self)
  }

  static func read(_ line: Data) throws -> RunRecord {
    let decoder = JSONDecoder()
    decoder.readAllFloats()
    return try decoder.decode(RunRecord.self, from: line)
  }
}

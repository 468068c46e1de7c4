public import MartletEngine

/// What a run gives back. `Encodable` as the object that `martlet run --json` prints.
///
/// Everything that varies from run to run under one seed is in ``timing``.
public struct RunResult: Sendable, Equatable {
  /// The version of the JSON object.
  public static let schema = 1

  /// Why a run stopped. The list is closed.
  public enum StopCause: String, Sendable, CaseIterable, Encodable {
    /// The strategy did its work and its answer is complete.
    case finished
    /// The strategy did its work, but its answer reached the maximum number of tokens.
    case length
    /// The strategy did its work, but its answer filled the model's context.
    case context
    /// The token budget ended; the answer is the best so far.
    case budgetTokens = "budget_tokens"
    /// The time budget ended; the answer is the best so far.
    case budgetSeconds = "budget_seconds"
    /// The budget of tokens of all kinds ended; the answer is the best so far.
    case budgetTotalTokens = "budget_total_tokens"
    /// The budget of floating-point operations ended; the answer is the best so far.
    case budgetFLOPs = "budget_flops"
    /// The ceiling on KV bytes was reached; the answer is the best so far.
    case budgetKVBytes = "budget_kv_bytes"
    /// A replay went on where the recorded run did not; the answer is the best so far.
    case notRecorded = "not_recorded"
    /// The strategy found no answer worth giving; the answer is empty.
    case abstained
    /// The caller cancelled; the answer is the best so far.
    case cancelled
    /// The strategy failed; the answer is the best so far, and ``RunResult/failure`` says why.
    case pluginFailed = "plugin_failed"
    /// The strategy did not return in time after the run had ended; the answer is the best so far.
    case pluginHung = "plugin_hung"
  }

  /// What was used.
  public struct Usage: Sendable, Equatable {
    /// Tokens of the prompt and of appended text; a shared prefix counts once.
    public var promptTokens = 0
    /// Sampled tokens of every branch, discarded ones included.
    public var generatedTokens = 0
    /// Those of them that a constraint left no choice for: no logits were read.
    public var forcedTokens = 0
    /// Tokens that scorers ran through a model; scorers that read text use none.
    public var scoredTokens = 0
    /// Tokens read once more for guidance: by the model after another prompt, that prompt included, or
    /// by a weaker model.
    public var guidanceTokens = 0
    /// All of the above, forced tokens once. Drafted tokens are not among them: how many there are depends on what
    /// passes cost at the moment, so they are in ``RunResult/Timing``, and this stays comparable.
    public var totalTokens: Int { promptTokens + generatedTokens + scoredTokens + guidanceTokens }
    /// The most bytes of keys and values of tokens held at once; guesses are in
    /// ``RunResult/Timing/peakDraftKVBytes``.
    public var peakKVBytes = 0
  }

  /// What varies from run to run.
  public struct Timing: Sendable, Equatable {
    /// From the start of the run to its result.
    public var seconds = 0.0
    /// Sampled tokens per second.
    public var tokensPerSecond = 0.0
    /// Forward passes of the model.
    public var forwards = 0
    /// Prompt tokens whose keys and values a prefix store had, so that they were not processed.
    public var cachedPromptTokens = 0
    /// Tokens drawn ahead of a decision that discarded them; not part of the usage.
    public var rolledBackTokens = 0
    /// Tokens that were guessed ahead and processed.
    public var draftedTokens = 0
    /// Those of them that were drawn.
    public var acceptedTokens = 0
    /// Tokens that took their branch no forward pass of its own, because the one before was a guess
    /// that came true.
    public var savedSteps = 0
    /// The most bytes of keys and values held at once for guesses alone.
    public var peakDraftKVBytes = 0
  }

  /// One answer that the strategy considered.
  public struct Candidate: Sendable, Equatable {
    /// The generated text.
    public var text: String
    /// What the extractor found in it, or the whole text without surrounding space when the run has
    /// no extractor; nil when the extractor found nothing.
    public var answer: String?
    /// What the strategy scored it, higher is better.
    public var score: Double?
    /// Sum of the untempered log-probabilities of its tokens, nats.
    public var logprob: Double
    /// Number of generated tokens.
    public var tokens: Int
    /// Whether the sequence ended by itself.
    public var finished: Bool
    /// Why it stopped.
    public var stop: StopReason
  }

  /// The answer: of the winning candidate what the extractor found, or its text.
  public var answer: String
  /// The whole text of the winning candidate.
  public var text: String
  /// Index of the winning candidate; nil when nothing was generated.
  public var answerCandidate: Int?
  /// Why it stopped.
  public var stoppedBecause: StopCause
  /// What failed, for ``StopCause/pluginFailed`` and ``StopCause/pluginHung``.
  public var failure: String?
  /// The seed of every random draw.
  public var seed: UInt64
  /// The model's name.
  public var model: String
  /// The strategy's id.
  public var strategy: String
  /// The scorer that judged; nil when none did.
  public var scorer: String?
  /// The extractor in use; nil for none.
  public var extractor: String?
  /// The sampler in use; nil for none.
  public var sampler: String?
  /// The memory that the run could ask; nil for none.
  public var memory: String?
  /// What generated tokens attended to, as `--attention` takes it, whatever was chosen for this machine
  /// included: it decides texts. Nil where the session does not know.
  public var attention: String?
  /// What was used.
  public var usage: Usage
  /// What varies from run to run.
  public var timing: Timing
  /// What was asked for and not done, and why; empty where everything was.
  public var notes: [String]
  /// What the strategy considered, in its order.
  public var candidates: [Candidate]

  /// The same without what varies from run to run, for comparing runs.
  public var withoutTiming: RunResult {
    var copy = self
    copy.timing = Timing()
    return copy
  }
}

extension RunResult.Candidate {
  init(_ branch: Branch, judged: JudgedText, answer: String?) {
    let stop = branch.stop
    self.init(
      text: judged.text, answer: answer, score: nil, logprob: branch.logprob,
      tokens: branch.generatedTokens, finished: judged.isFinished, stop: stop)
  }
}

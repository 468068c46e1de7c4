import ArgumentParser
import Foundation
import Martlet
import MartletLab

/// `martlet run`.
struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Answers a prompt under a strategy.",
    discussion: """
      The prompt is read from standard input if it is not given. The answer goes to standard \
      output, a one-line summary to standard error. Interrupting once (control-C) ends the run \
      with the best answer so far; twice ends the program.
      """)

  @Argument(help: "The prompt.")
  var prompt: String?

  @OptionGroup var model: ModelOptions

  @Option(
    help: """
      The strategy's id, as `martlet plugin list` shows them, also with options as ID:key=value:…; or \
      pipeline:FILE. Default: greedy, or sample where --sampling is given.
      """)
  var strategy: String?

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "An option of the strategy, or scorer.key=value, extractor.key=value, sampler.key=value, memory.key=value. Repeatable.",
      valueName: "key=value"))
  var assignments: [String] = []

  @Option(help: "The scorer's id; the strategy's default for the model if not given.")
  var scorer: String?

  @Option(help: "The extractor's id; the strategy's default for the model if not given.")
  var extractor: String?

  @Option(
    help: ArgumentHelp(
      """
      Limits. The tokens are never exceeded. After the seconds no token is drawn; the forward pass \
      in progress is finished and the answer chosen, so the result may come that much later.
      """, valueName: "tokens=N,seconds=S"))
  var budget: String?

  @Option(
    help: """
      Sampling, such as 'top-n-sigma=1,temperature=0.8'. Default: temperature=0.8; with this \
      option, what it does not name is off.
      """)
  var sampling: String?

  @Option(
    help: "The id of a sampler from a plugin, which changes logits before --sampling's rules.")
  var sampler: String?

  @Option(
    help: "The id of a memory from a plugin, which strategies ask for what earlier runs left.")
  var memory: String?

  @OptionGroup var guidance: GuidanceOptions

  @Option(
    help: ArgumentHelp(
      """
      Where guesses at coming tokens are taken from: auto, off, or ngram, siblings and trie joined \
      by +. No text depends on it. Default: off.
      """, valueName: "auto|off|…"))
  var draft: String?

  @Option(
    help: ArgumentHelp(
      """
      How guesses are tested: noise, which changes no text; chain, recursive=N, distinct=N or \
      weighted=N, which keep the distribution and not the text; typical=EPSILON:DELTA, which changes \
      the distribution. Default: noise.
      """, valueName: "noise|chain|…"))
  var verify: String?

  @Option(
    help: ArgumentHelp(
      """
      Where generated text is remembered from run to run, for --draft with trie: read if the file is \
      there, written at the end. The text can be read out of it.
      """, valueName: "file"), transform: path)
  var draftMemory: String?

  @Option(parsing: .unconditional, help: "The most generated tokens per branch.")
  var maxTokens: Int?

  @Option(help: "A text that ends a branch; \\n stands for a new line. Repeatable.")
  var stop: [String] = []

  @OptionGroup var constraint: ConstraintOptions

  @Flag(help: "Wrap the prompt as a user's message in the model's chat template.")
  var chat = false

  @Flag(help: "Print the answer while it is generated.")
  var stream = false

  @Option(parsing: .unconditional, help: "The seed of every random draw.")
  var seed: UInt64 = 0

  @Flag(help: "Print one JSON object.")
  var json = false

  @Option(help: "Write a trace that Perfetto and chrome://tracing open.", transform: path)
  var trace: String?

  func run() async throws {
    let text = try promptText()
    var request = try makeRequest(text)
    request.constraint = try constraint.constraint()
    request.guidance = try guidance.guidance(greedy: request.isGreedy)
    try checkDraftMemory(request)
    let session = try model.open()
    request.drafting = try session.opened(request.drafting)
    request.guidance = try request.guidance.map(session.opened)
    if let draftMemory, FileManager.default.fileExists(atPath: draftMemory) {
      try session.engine.loadGenerated(from: draftMemory)
    }
    if chat { try session.renderAsChat(&request) }
    let codec = session.engine.tokenizer
    let recorder = trace == nil ? nil : TraceRecorder { token in codec.text(of: [token]) }

    let result = try await answer(request, session, recorder)
    if json {
      print(try result.json(), terminator: "")
    } else {
      print(stream ? "" : result.text)
      StandardError.write(summary(of: result) + "\n")
    }
    // After the answer, which a file that cannot be written must not cost.
    if let recorder, let trace { try recorder.write(to: trace, result: result) }
    if let draftMemory {
      do throws(EngineError) {
        try session.engine.saveGenerated(to: draftMemory)
      } catch {
        throw CommandError(.output, error.message)
      }
    }
  }

  private func checkDraftMemory(_ request: RunRequest) throws(CommandError) {
    guard let draftMemory, !request.drafting.sources.contains(.trie) else { return }
    throw CommandError(
      .usage,
      "--draft-memory \(draftMemory) does nothing unless --draft includes trie, as auto does; add it, "
        + "or leave the file out")
  }

  /// Runs the request; control-C ends it with the best answer so far.
  private func answer(
    _ request: RunRequest, _ session: Session, _ recorder: TraceRecorder?
  ) async throws -> RunResult {
    var onText: (@Sendable (String) -> Void)?
    if stream, !json {
      onText = { text in
        // Called in the run's own task, which need not go on for nobody.
        if !StandardOutput.write(text) { withUnsafeCurrentTask { $0?.cancel() } }
      }
    }
    let work = Task { [onText] () async throws -> RunResult in
      try await session.scaling.run(request, trace: recorder, onText: onText)
    }
    let interruption = Interruption { work.cancel() }
    defer { interruption.end() }
    return try await work.value
  }

  private func promptText() throws(CommandError) -> String {
    var text = prompt
    if text == nil {
      if isatty(STDIN_FILENO) == 1 {
        throw CommandError(.usage, "no prompt; give one, or write it to standard input")
      }
      guard let decoded = String(validating: try readStandardInput(), as: UTF8.self) else {
        throw CommandError(.usage, "the prompt on standard input is not UTF-8; convert it first")
      }
      text = decoded.hasSuffix("\n") ? String(decoded.dropLast()) : decoded
    }
    guard let text, !text.isEmpty else {
      throw CommandError(.usage, "the prompt is empty; write what is to be answered")
    }
    return text
  }

  private func makeRequest(_ text: String) throws -> RunRequest {
    let spec = try strategy.map { try StrategySpec(parsing: $0) }
    var request = try RunRequest(prompt: text, strategy: spec?.id, sampling: sampling)
    try spec?.apply(to: &request)
    try request.set(assignments)
    request.scorer = scorer ?? request.scorer
    request.extractor = extractor ?? request.extractor
    request.sampler = sampler
    request.memory = memory
    request.seed = seed
    if let budget { request.budget = try Budget(parsing: budget) }
    if let draft { request.drafting = try Drafting.parse(draft) }
    if let verify {
      guard request.drafting.isOn else {
        throw CommandError(
          .usage, "--verify \(verify) does nothing without --draft; say where guesses come from")
      }
      request.drafting.verifier = try Verifier.parse(verify)
    }
    if let maxTokens, maxTokens < 1 {
      throw CommandError(.usage, "--max-tokens \(maxTokens) is too few; give 1 or more")
    }
    request.stops.maxTokens = maxTokens
    request.stops.stopStrings = stop.map { $0.replacingOccurrences(of: "\\n", with: "\n") }
    return request
  }

  private func summary(of result: RunResult) -> String {
    let usage = result.usage
    var line =
      "\(result.strategy): \(usage.generatedTokens) tokens generated, "
      + "\(usage.totalTokens) in all, \(seconds(result.timing.seconds)), "
      + (result.timing.cachedPromptTokens > 0
        ? "\(result.timing.cachedPromptTokens) of the prompt were kept, " : "")
      + "keys and values \(shortSize(usage.peakKVBytes)), "
      + "stopped because \(result.stoppedBecause.rawValue)"
    if let failure = result.failure { line += " (\(failure))" }
    for note in result.notes { line += "\nnote: \(note)" }
    return line
  }
}

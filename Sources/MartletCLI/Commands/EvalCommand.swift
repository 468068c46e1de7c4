import ArgumentParser
import Foundation
import Martlet
import MartletLab

/// `martlet eval`.
struct EvalCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Compares strategies on a suite of problems and writes a report.",
    discussion: """
      Every run is appended to records.jsonl in the folder --out as it ends; the same command again \
      goes on where it stopped. report.html and summary.json are written at the end, and when \
      control-C ends the runs early. The findings go to standard output.

      Suites: \(Suite.generated.sorted { $0.key < $1.key }
        .map { "\($0.key) (\($0.value))" }.joined(separator: ", ")), each with :easy, :standard or \
      :hard; or a file that ends in .jsonl. Several joined by + take turns.
      """)

  @Option(help: ArgumentHelp("The problems.", valueName: "NAME[:GRADE]|FILE.jsonl|…+…"))
  var suite: String?

  @Option(
    help: ArgumentHelp(
      """
      What is compared. scorer=ID and extractor=ID choose judges, scorer.name=value and \
      extractor.name=value set their options.
      """, valueName: "a,b:n=8,…"))
  var strategies: String?

  @Option(
    help: ArgumentHelp(
      """
      What each strategy may use, one after the other; limits joined by + hold together. 'none' is no \
      limit.
      """, valueName: "tokens=N,seconds=S,…"))
  var budgets = "none"

  @Option(parsing: .unconditional, help: "Runs of each problem under each strategy and budget.")
  var seeds = 1

  @Option(
    parsing: .unconditional,
    help: "The most problems. Default: 100 of a generated suite, all of a file.")
  var limit: Int?

  @Option(help: "The folder of the records and the report.", transform: path)
  var out: String

  @OptionGroup var runs: EvaluationOptions

  @Flag(help: "Run nothing: write the report again from the records that --out holds.")
  var reportOnly = false

  @Flag(
    help: """
      Learn from the records, best-of-n's among them, what '--strategy auto' chooses for this model.
      """)
  var learn = false

  @OptionGroup var model: ModelOptions

  func run() async throws {
    let made = reportOnly ? nil : try await evaluate()
    let report = try Report(folder: out)
    try report.write(to: out)
    print(report.sentences.joined(separator: "\n\n"))
    StandardError.write("The report is \(out)/report.html\n")
    // Half of an evaluation teaches something else than the whole.
    if made?.isInterrupted ?? false { throw ExitCode(130) }
    if learn {
      let table = try ChoiceTable(report.records)
      let opened = try (made?.session ?? model.open()).model
      try Choices.save(table.text, for: opened)
      StandardError.write("What auto chooses by is \(Choices.path(for: opened))\n")
    }
  }

  /// Makes the runs that are missing; returns the session they were made in, and whether control-C ended them.
  private func evaluate() async throws -> (session: Session, isInterrupted: Bool) {
    let plan = try makePlan()
    let session = try model.open()
    try plan.validate(in: session.scaling)
    let settings = EvalSettings(plan, model: session.scaling.model)
    try settings.claim(folder: out)
    let file = try RecordFile(path: "\(out)/records.jsonl")
    if let warning = file.warning { StandardError.write("martlet: warning: \(warning)\n") }
    let runner = try EvalRunner(
      session: session.scaling, plan: plan, file: file, jobs: runs.jobs(for: plan.budgets))

    let progress = EvalProgress()
    let task = Task { try await runner.run { progress.update($0) } }
    let interruption = Interruption { task.cancel() }
    defer { interruption.end() }
    let result = await task.result
    progress.finish()
    _ = try result.get()
    if task.isCancelled {
      StandardError.write("martlet: interrupted; the same command goes on from here\n")
    }
    return (session, task.isCancelled)
  }

  private func makePlan() throws -> EvalPlan {
    guard let suite else {
      throw CommandError(.usage, "there is no suite; name one with --suite, such as make")
    }
    guard let strategies else {
      throw CommandError(
        .usage, "there is no strategy; name some with --strategies, such as greedy,best-of-n:n=8")
    }
    try EvaluationOptions.checkCounts([("--seeds", seeds), ("--limit", limit ?? 1)])
    try runs.check()
    var plan = EvalPlan(
      suite: try Suite(parsing: suite, seed: runs.seed, limit: limit), problemSeed: runs.seed,
      strategies: try StrategySpec.list(parsing: strategies),
      budgets: try BudgetSpec.list(parsing: budgets), seeds: seeds)
    plan.sampling = try runs.samplingOptions()
    plan.samplingText = runs.samplingText
    plan.maxTokens = runs.maxTokens
    plan.isChat = runs.chat
    return plan
  }
}

/// How far an evaluation is, and how long it will take, on standard error.
final class EvalProgress: Sendable {
  private let progress: Progress
  private let started = ContinuousClock.now

  init(_ label: String = "evaluating") { progress = Progress(label) }

  func update(_ state: EvalRunner.Progress) {
    let passed = started.duration(to: .now) / .seconds(1)
    let left = passed / Double(max(1, state.made)) * Double(state.total - state.done)
    progress.update(
      Double(state.done) / Double(max(1, state.total)),
      note: "\(state.done) of \(state.total) runs, \(seconds(left)) left, \(state.last.strategy)")
  }

  func finish() { progress.finish() }
}

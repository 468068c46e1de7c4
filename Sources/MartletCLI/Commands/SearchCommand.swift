import ArgumentParser
import Foundation
import Martlet
import MartletLab

/// `martlet search`.
struct SearchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "search",
    abstract: "Searches for the best pipeline of layers for a suite and a budget.",
    discussion: """
      Pipelines race: all that are left run on the same problems, those that are really worse and the \
      lower part of the others leave, and the rest goes on to more problems. The best is then run on \
      problems that were held out until then, against baselines within the same budget. In the folder \
      --out: best.json, for --strategy pipeline:FILE; result.json, every pipeline and why it left; \
      held-out/report.html. The same command again goes on where it stopped.
      """)

  @Option(
    help: ArgumentHelp(
      "The problems, as in `martlet eval`.", valueName: "NAME[:GRADE]|FILE.jsonl|…+…"))
  var suite: String

  @Option(help: ArgumentHelp("What each run may use.", valueName: "tokens=N"))
  var budget: String

  @Option(
    help: ArgumentHelp(
      """
      The pipelines, as JSON (docs/eval.md). Default: samples of several numbers and temperatures and a \
      particle filter, with every layer.
      """, valueName: "file"), transform: path)
  var space: String?

  @Option(parsing: .unconditional, help: "The most pipelines to try, drawn from the space.")
  var trials = 64

  @Option(parsing: .unconditional, help: "The most problems to compare pipelines on.")
  var limit = 256

  @Option(parsing: .unconditional, help: "The most problems to hold out for the best.")
  var heldOut = 300

  @Option(
    help: ArgumentHelp(
      """
      What the best is compared with on held-out problems. Default: greedy, and best-of-n and \
      self-consistency with 4, 8, 16 and 32.
      """, valueName: "a,b:n=8,…"))
  var baselines = SearchPlan.standardBaselines

  @Option(help: "The folder of the results.", transform: path)
  var out: String

  @OptionGroup var runs: EvaluationOptions

  @OptionGroup var model: ModelOptions

  func run() async throws {
    let plan = try makePlan()
    let session = try model.open()
    let search = PipelineSearch(
      session: session.scaling, plan: plan, folder: out, jobs: runs.jobs(for: [plan.budget]))
    StandardError.write(
      "\(plan.trials.count) of \(plan.space.pipelines.count) pipelines; \(plan.space.leftOut) more "
        + "would do the same as a simpler one and are left out\n")
    let task = Task {
      var progress: EvalProgress?
      defer { progress?.finish() }
      return try await search.run { step in
        switch step {
        case .round(let number, let count, let pipelines, let problems):
          progress?.finish()
          progress = EvalProgress("round \(number) of \(count)")
          StandardError.write(
            "Round \(number) of \(count): \(pipelines) pipelines on \(problems) problems\n")
        case .heldOut(let problems):
          progress?.finish()
          progress = EvalProgress("held out")
          StandardError.write("The best and the baselines on \(problems) held-out problems\n")
        case .run(let state): progress?.update(state)
        }
      }
    }
    let interruption = Interruption { task.cancel() }
    defer { interruption.end() }
    guard let outcome = try await task.value else {
      StandardError.write("martlet: interrupted; the same command goes on from here\n")
      throw ExitCode(130)
    }
    report(outcome)
  }

  private func makePlan() throws -> SearchPlan {
    try EvaluationOptions.checkCounts([
      ("--trials", trials), ("--limit", limit), ("--held-out", heldOut),
    ])
    try runs.check()
    let budgets = try BudgetSpec.list(parsing: budget)
    guard budgets.count == 1 else {
      throw CommandError(
        .usage,
        "--budget \(budget) is \(budgets.count) budgets; a search has one, its limits joined by +")
    }
    let space: PipelineSpace
    if let file = self.space {
      let text = String(decoding: try readBytes(of: file), as: UTF8.self)
      space = try PipelineSpace(text, name: file)
    } else {
      space = try PipelineSpace(PipelineSpace.standard, name: "the space that comes with Martlet")
    }
    var plan = try SearchPlan(
      suite: suite, limit: limit, heldOut: heldOut, space: space, trials: trials,
      budget: budgets[0], baselines: StrategySpec.list(parsing: baselines), seed: runs.seed)
    plan.sampling = try runs.samplingOptions()
    plan.samplingText = runs.samplingText
    plan.maxTokens = runs.maxTokens
    plan.isChat = runs.chat
    return plan
  }

  private func report(_ outcome: SearchOutcome) {
    var table = Table(["pipeline", "right", "problems", "tokens", "ending"])
    for standing in outcome.standings.prefix(10) {
      let percent = String(format: "%.1f %%", 100 * standing.right.mean)
      table.append([
        "\(standing.strategy.label)", percent, "\(standing.problems)",
        String(format: "%.0f", standing.tokens), standing.ending.rawValue,
      ])
    }
    print(table.render())
    print()
    print(outcome.sentences.joined(separator: "\n\n"))
    StandardError.write(
      """
      The best is \(out)/best.json: martlet run PROMPT --strategy 'pipeline:\(StrategySpec.escaped("\(out)/best.json"))'
      The report is \(out)/held-out/report.html

      """)
  }
}

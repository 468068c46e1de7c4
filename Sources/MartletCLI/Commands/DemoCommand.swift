import ArgumentParser
import Foundation
import Martlet
import MartletLab

/// `martlet demo`: what `make run` shows.
struct DemoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Answers arithmetic problems greedily and under three strategies.",
    discussion: """
      Draws problems that the embedded model was not trained on. `make` problems have an exact \
      checker, which best-of-n uses; `calc` problems have none, there voting helps.
      """)

  @Option(parsing: .unconditional, help: "The seed of the problems and of every random draw.")
  var seed: UInt64 = 1

  @Option(parsing: .unconditional, help: "How many problems.")
  var problems = 12

  @OptionGroup var model: ModelOptions

  func validate() throws {
    guard (1...10_000).contains(problems) else {
      throw ValidationError("--problems \(problems): choose between 1 and 10000.")
    }
  }

  func run() async throws {
    let session = try model.open()
    try describe(session)

    var score = DemoScore()
    let drawn = EmbeddedProblem.draw(seed: seed, count: problems)
    let progress = Progress("answering")
    for (index, problem) in drawn.enumerated() {
      var lines = ["", problem.prompt]
      for attempt in DemoAttempt.all {
        let outcome = try await attempt.answer(problem, seed: seed &+ UInt64(index), in: session)
        score.add(outcome, to: attempt, family: problem.family)
        lines.append("  " + outcome.line(label: attempt.label))
        progress.update(
          Double(score.outcomes) / Double(drawn.count * DemoAttempt.all.count), note: attempt.label)
      }
      progress.finish()
      print(lines.joined(separator: "\n"))
      try StandardOutput.check()  // Nobody reads on: do not work on.
    }
    print("\n" + score.table(seed: seed, problems: drawn))
  }

  /// The machine, the kernels and the model, a line each.
  private func describe(_ session: Session) throws {
    let topology = try Topology.current()
    print(topology.description)
    let serving = kernelVariants().filter { $0.serving && $0.numericClass == model.numeric }
    let byISA = Dictionary(grouping: serving, by: \.isa).mapValues(\.count)
    let chosen = byISA.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      .map { "\($0.value) × \($0.key)" }.joined(separator: ", ")
    print("Kernels: \(chosen) (`martlet kernels` says why)")
    let configuration = session.model.configuration
    print(
      "Model: \(configuration.name), \(configuration.architecture), \(configuration.layers) layers, "
        + "width \(configuration.width), context \(configuration.contextLength), "
        + "\(session.team.width) threads")
  }
}

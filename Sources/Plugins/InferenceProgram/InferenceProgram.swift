import MartletPlugin

/// Self-steering inference programs: a small program says how a population of partial answers is forked, advanced, scored,
/// conditioned, resampled and answered from.
///
/// `program` is such a program (``Program`` has the language), its lines divided by `\n` or semicolons; it is read before
/// the run begins, and what is wrong in it is named with its line. Whatever it says, it ends: loops have a count or are
/// bounded by `operations`, and the budget bounds the rest. With `plan`, the model itself, or `planner`, is asked for the
/// program; one that cannot be read goes back to it with the error, `plan_tries` times at most, and then `program` is run.
///
/// Paper: Self-Steering Language Models (Grand et al., 2025), whose Planner writes Python over a library of particles; here
/// the primitives are the host's own, and the program cannot do anything else.
struct InferenceProgram: Strategy {
  static let id = "inference-program"

  private let program: Program
  private let operations: Int
  private let plan: String
  private let planner: String
  private let planTokens: Int
  private let planTries: Int

  init(_ run: RunContext) throws {
    let options = run.component
    do {
      program = try Program(try run.filled(try options.text("program")))
    } catch let error as ProgramError {
      throw PluginError(.argument, error.description)
    }
    operations = try options.integer("operations")
    plan = try options.text("plan")
    planner = try options.text("planner")
    planTokens = try options.integer("plan_tokens")
    planTries = try options.integer("plan_tries")
  }

  func run(_ run: RunContext) throws {
    var program = program
    var isPlanned = false
    var population = Population(operations: operations, dice: Dice(run), run)
    try run.untilRunEnds { () throws(PluginError) in
      if !plan.isEmpty, let own = try planned(run) { (program, isPlanned) = (own, true) }
      try population.begin()
      try population.execute(program.statements)
    }
    try population.conclude(program.answer)
    try run.component.trace(
      "program",
      ["operations": .integer(population.done), "planned": .flag(isPlanned)])
  }

  /// A program that the planner wrote and that can be read.
  private func planned(_ run: RunContext) throws(PluginError) -> Program? {
    var complaint = ""
    for _ in 0..<planTries {
      let question = try run.filled(plan, ["error": complaint, "language": Program.language])
      let asked = try run.open(question, onModelNamed: planner, as: .chat)
      try run.advance([asked], Advance(maxTokens: planTokens))
      let text = try asked.text()
      try asked.release()
      do {
        return try Program(text)
      } catch {
        complaint = error.description
      }
    }
    return nil
  }
}

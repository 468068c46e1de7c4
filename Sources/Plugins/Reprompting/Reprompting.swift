import MartletPlugin

/// Reprompting: worked solutions that serve as examples are found by Gibbs sampling over a few problems with known answers,
/// and the prompt is then answered with the best of them before it.
///
/// `problems` are written `question=>answer`, separated by `|`. Each has a recipe, a worked solution, sampled at first
/// without examples. In each sweep every problem's recipe is sampled anew with `parents` of the other problems' recipes as
/// examples, those with right answers first; a new recipe with the right answer is taken, a wrong one with probability
/// 1 − `reject`. At the end `n` answers to the prompt, with `parents` right recipes before it, vote. Without problems it is
/// a vote.
///
/// Paper: Reprompting: Automated Chain-of-Thought Prompt Inference Through Gibbs Sampling (Xu et al., 2023). It samples one
/// problem at a time; ours all of a sweep together, each given the others as they were, since width is nearly free.
struct Reprompting: Strategy {
  static let id = "reprompting"

  private let problems: [(question: String, answer: String)]
  private let sweeps: Int
  private let parents: Int
  private let reject: Double
  private let width: Int
  private let example: String
  private let ask: String

  init(_ run: RunContext) throws {
    let options = run.component
    var problems: [(String, String)] = []
    for (number, text) in try options.text("problems").parts(separatedBy: "|").enumerated() {
      guard let (question, answer) = text.cut(at: "=>"), !question.trimmed.isEmpty,
        !answer.trimmed.isEmpty
      else {
        throw PluginError(
          .argument, "problems, number \(number + 1): '\(text)' is not of the form question=>answer"
        )
      }
      problems.append((question.trimmed, answer.trimmed))
    }
    self.problems = problems
    sweeps = try options.integer("sweeps")
    parents = try options.integer("parents")
    reject = try options.number("reject")
    width = try options.integer("n")
    example = try options.text("example")
    ask = try options.text("ask")
  }

  private struct Recipe {
    var text: String
    var isRight: Bool
  }

  func run(_ run: RunContext) throws {
    var dice = Dice(run)
    var recipes: [Int: Recipe] = [:]
    var branches: [Branch] = []
    try run.untilRunEnds { () throws(PluginError) in
      for sweep in 0...sweeps where !problems.isEmpty {
        let before = recipes
        var prompts: [String] = []
        for index in problems.indices {
          let chosen = try sweep == 0 ? [] : examples(from: before, except: index, &dice)
          prompts.append(try prompt(problems[index].question, after: chosen, run))
        }
        try sample(prompts, &recipes, &dice, run)
      }
      let chosen = try examples(from: recipes, except: nil, &dice)
      let asked = try run.open(prompt(run.prompt(), after: chosen, run))
      branches = try asked.fork(width)
      try asked.release()
      try run.advance(branches)
    }
    if branches.isEmpty {
      branches = try run.root().fork(1)
    }
    try run.answerByVote(of: branches)
    try run.component.trace(
      "recipes",
      ["right": .integer(recipes.values.count { $0.isRight }), "of": .integer(problems.count)])
  }

  /// Samples a recipe for every problem and takes it or keeps the old one.
  private func sample(
    _ prompts: [String], _ recipes: inout [Int: Recipe], _ dice: inout Dice, _ run: RunContext
  ) throws(PluginError) {
    var branches: [Branch] = []
    for prompt in prompts { branches.append(try run.open(prompt)) }
    try run.advance(branches)
    for (index, branch) in branches.enumerated() {
      let known = problems[index].answer
      let hasExtractor = try run.capability("extractor") != 0
      let wanted = hasExtractor ? try run.extract(from: known) ?? known : known
      let text = try branch.text()
      let found = hasExtractor ? try branch.extract() : text.trimmed
      try branch.release()
      let isRight = found == wanted
      let isLucky = try dice.uniform() >= reject
      if recipes[index] == nil || isRight || isLucky {
        recipes[index] = Recipe(text: text, isRight: isRight)
      }
    }
  }

  /// At most `parents` problems to show, those with right recipes first, drawn within either kind.
  private func examples(
    from recipes: [Int: Recipe], except: Int?, _ dice: inout Dice
  ) throws(PluginError) -> [(question: String, recipe: String)] {
    var chosen: [(String, String)] = []
    for isRight in [true, false] {
      var pool = recipes.keys.filter { $0 != except && recipes[$0]!.isRight == isRight }.sorted()
      while !pool.isEmpty, chosen.count < parents {
        let index = pool.remove(at: try dice.below(pool.count))
        chosen.append((problems[index].question, recipes[index]!.text))
      }
    }
    return chosen
  }

  private func prompt(
    _ question: String, after examples: [(question: String, recipe: String)], _ run: RunContext
  ) throws(PluginError) -> String {
    var text = ""
    for (question, recipe) in examples {
      text += try run.filled(example, ["question": question, "recipe": recipe])
    }
    return text + (try run.filled(ask, ["question": question]))
  }
}

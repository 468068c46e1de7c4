import MartletPlugin

/// Chain of associated thoughts: tree search over steps in which the model adds to each step what comes to its mind, and
/// what was added to one line is a memory for the lines after it.
///
/// After a step, the model is asked with `associate` for what helps to go on and is not yet there; its note of at most
/// `note_tokens` tokens is put into the branch with `note`. A note that adds nothing, because it says `nothing` or stands
/// in the line already, is left out. A child is worth the score of its step plus `weight` times what the note changed in
/// it. The memory of the whole search, its last `memory` notes that scored no worse than their steps, is shown as
/// `{memory}` where `associate` asks for it. Where the run has a memory (`--memory`), such notes are kept in it under the
/// line that they were made for, and what it finds for a line, of this run and earlier ones, is shown before them.
///
/// Paper: CoAT: Chain-of-Associated-Thoughts Framework for Enhancing Large Language Models Reasoning (Pan et al., 2025),
/// V = F_g + β·F_a. There an external brain may be asked for associations; ours asks the model itself.
struct AssociatedThoughts: Strategy {
  static let id = "associated-thoughts"

  private let tree: StepTree
  private let associate: String
  private let note: String
  private let noteTokens: Int
  private let nothing: String
  private let weight: Double
  private let memory: Int

  init(_ run: RunContext) throws {
    tree = try StepTree(run)
    let options = run.component
    associate = try options.text("associate")
    note = try options.text("note")
    noteTokens = try options.integer("note_tokens")
    nothing = try options.text("nothing")
    weight = try options.number("weight")
    memory = try options.integer("memory")
  }

  func run(_ run: RunContext) throws {
    var remembered: [String] = []
    var (noted, found) = (0, 0)
    let keeps = try memory > 0 && run.hasMemory()
    let prompt = try run.prompt()
    try tree.search(run) { (children) throws(PluginError) in
      let before = try run.score(children)
      var open: [Int] = []
      for (index, child) in children.enumerated() where try !child.state().isFinished {
        open.append(index)
      }
      if open.isEmpty || noteTokens == 0 { return before }
      var lines: [String] = []
      var questions: [String] = []
      for index in open {
        let line = try children[index].text()
        lines.append(line)
        var shown = Array(remembered.suffix(memory))
        if keeps {
          let recalled = try run.recall(prompt + "\n" + line, top: memory).map(\.text)
          found += recalled.count
          shown = recalled.filter { !shown.contains($0) } + shown
        }
        questions.append(
          try run.filled(
            associate, ["text": line, "memory": shown.joined(separator: "\n")]))
      }
      let written = try run.generate(questions, Advance(maxTokens: noteTokens))
      var marked: [Int] = []
      var notes: [Int: String] = [:]
      for ((index, line), branch) in zip(zip(open, lines), written) {
        let text = try branch.text().trimmed
        try branch.release()
        let says = nothing.isEmpty || text.cut(at: nothing) == nil
        guard says, !text.isEmpty, line.cut(at: text) == nil else { continue }
        try children[index].append(run.filled(note, ["note": text]))
        notes[index] = text
        marked.append(index)
      }
      var values = before
      if marked.isEmpty { return values }
      let lineOf = Dictionary(uniqueKeysWithValues: zip(open, lines))
      for (index, after) in zip(marked, try run.score(marked.map { children[$0] })) {
        values[index] += weight * (after - before[index])
        noted += 1
        if after >= before[index], let text = notes[index], !remembered.contains(text) {
          remembered.append(text)
          if keeps { try run.remember(text, under: prompt + "\n" + (lineOf[index] ?? "")) }
        }
      }
      return values
    }
    try run.component.trace(
      "associations",
      [
        "notes": .integer(noted), "remembered": .integer(remembered.count),
        "recalled": .integer(found),
      ])
  }
}

import MartletPlugin

/// Batch prompting: several questions are put in one prompt and answered in one go, so that what they have in common is
/// read once.
///
/// The prompt holds the questions, separated by `separator`; `size` of them go into one batch, numbered `Q[1]:`, between
/// `before` and `after`, and batches decode together. Answers are read after `A[1]:` and so on. A question whose answer is
/// missing is asked alone. The result is the answers in order, one after `A[i]:` each. A prompt with one question is asked
/// as it is.
///
/// Paper: Batch Prompting: Efficient Inference with Large Language Model APIs (Cheng et al., 2023).
struct BatchPrompting: Strategy {
  static let id = "batch-prompting"

  private let separator: String
  private let size: Int
  private let before: String
  private let after: String

  init(_ run: RunContext) throws {
    separator = try run.filled(try run.component.text("separator"))
    size = try run.component.integer("size")
    before = try run.component.text("before")
    after = try run.component.text("after")
    if separator.isEmpty {
      throw PluginError(.argument, "separator is empty; give what stands between questions")
    }
  }

  func run(_ run: RunContext) throws {
    let questions = try run.prompt().parts(separatedBy: separator)
    guard questions.count > 1 else {
      let branch = try run.root().fork(1)[0]
      try run.untilRunEnds { () throws(PluginError) in try run.advance([branch]) }
      try run.answer(try run.candidate(branch))
      return
    }
    var answers = [String?](repeating: nil, count: questions.count)
    var alone = 0
    let end = try run.untilRunEnds { () throws(PluginError) in
      var batches: [(first: Int, count: Int, branch: Branch)] = []
      for first in stride(from: 0, to: questions.count, by: size) {
        let part = questions[first..<min(first + size, questions.count)]
        let listed = part.enumerated().map { "Q[\($0.offset + 1)]: \($0.element)" }
        let text = try run.filled(before) + listed.joined(separator: "\n") + run.filled(after)
        batches.append((first, part.count, try run.open(text, as: .chat)))
      }
      let end = try run.untilRunEnds { () throws(PluginError) in
        try run.advance(batches.map(\.branch))
      }
      for (first, count, branch) in batches {
        let found = Self.answers(in: try branch.text(), count: count)
        for (index, answer) in found.enumerated() { answers[first + index] = answer }
        try branch.release()
      }
      if let end { throw end }
      let missing = answers.indices.filter { answers[$0] == nil }
      if missing.isEmpty { return }
      alone = missing.count
      var asked: [Branch] = []
      for index in missing { asked.append(try run.open(questions[index], as: .chat)) }
      let last = try run.untilRunEnds { () throws(PluginError) in try run.advance(asked) }
      for (index, branch) in zip(missing, asked) { answers[index] = try branch.text().trimmed }
      if let last { throw last }
    }
    let lines = answers.enumerated().map { "A[\($0.offset + 1)]: \($0.element ?? "")" }
    let candidate = try run.candidate(text: lines.joined(separator: "\n"))
    try run.answer(candidate)
    try run.component.trace(
      "batches",
      [
        "questions": .integer(questions.count), "alone": .integer(alone),
        "ended": .flag(end != nil),
      ])
  }

  /// What stands after each `A[i]:`, up to the next; nil where it does not appear.
  static func answers(in text: String, count: Int) -> [String?] {
    (1...count).map { number in
      guard let found = text.cut(at: "A[\(number)]:")?.after else { return nil }
      return (found.cut(at: "A[\(number + 1)]:")?.before ?? found).trimmed
    }
  }
}

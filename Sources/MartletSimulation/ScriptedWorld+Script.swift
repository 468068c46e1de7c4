extension ScriptedWorld {
  /// A world from text, one state per line; the first state is the start.
  ///
  /// ```
  /// # A comment.
  /// prompt "2+2="
  /// first: "4" 0.5 -> good, "5" 0.4 -> bad, end 0.1
  /// good: reward 1
  /// bad: "!" 1 -> worse, reward 0.25
  /// worse: reward -1
  /// ```
  ///
  /// Words stand in double quotes, with `\n`, `\"` and `\\`. `end P` ends the sequence with
  /// probability P. Throws ``SimulationError`` naming the line.
  public init(script: String) throws(SimulationError) {
    var prompt = "?"
    var start: String?
    var states: [String: State] = [:]
    var number = 0
    for text in script.split(separator: "\n", omittingEmptySubsequences: false) {
      number += 1
      var line = ScriptLine(text, number: number)
      guard let name = line.name() else {
        try line.requireEnd()
        continue
      }
      if name == "prompt", let text = try line.word() {
        prompt = text
        try line.requireEnd()
        continue
      }
      try line.require(":")
      guard states[name] == nil else { throw line.fault("state '\(name)' is defined twice") }
      states[name] = try line.state()
      start = start ?? name
    }
    guard let start else { throw SimulationError(.syntax, "the script has no state") }
    try self.init(prompt: prompt, start: start, states: states)
  }
}

/// Reads one line of a script.
private struct ScriptLine {
  private var rest: Substring
  private let number: Int

  init(_ text: Substring, number: Int) {
    rest = text
    self.number = number
  }

  func fault(_ text: String) -> SimulationError {
    SimulationError(.syntax, "line \(number): \(text)")
  }

  private mutating func skipBlanks() {
    rest = rest.drop { $0 == " " || $0 == "\t" || $0 == "\r" }
    if rest.first == "#" { rest = "" }
  }

  mutating func requireEnd() throws(SimulationError) {
    skipBlanks()
    if !rest.isEmpty { throw fault("cannot read '\(rest)'") }
  }

  mutating func accept(_ text: String) -> Bool {
    skipBlanks()
    guard rest.hasPrefix(text) else { return false }
    rest = rest.dropFirst(text.count)
    return true
  }

  mutating func require(_ text: String) throws(SimulationError) {
    guard accept(text) else { throw fault("'\(text)' is missing before '\(rest)'") }
  }

  mutating func name() -> String? {
    skipBlanks()
    let name = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" }
    guard !name.isEmpty else { return nil }
    rest = rest.dropFirst(name.count)
    return String(name)
  }

  mutating func word() throws(SimulationError) -> String? {
    guard accept("\"") else { return nil }
    var word = ""
    while let character = rest.popFirst() {
      switch character {
      case "\"": return word
      case "\\":
        switch rest.popFirst() {
        case "n": word.append("\n")
        case "\"": word.append("\"")
        case "\\": word.append("\\")
        default: throw fault("a backslash stands before n, \" or \\ only")
        }
      default: word.append(character)
      }
    }
    throw fault("a word has no closing quote")
  }

  mutating func value() throws(SimulationError) -> Double {
    skipBlanks()
    let text = rest.prefix { !",#".contains($0) && !$0.isWhitespace }
    guard let value = Double(text), value.isFinite else {
      throw fault("'\(text)' is not a number")
    }
    rest = rest.dropFirst(text.count)
    return value
  }

  mutating func state() throws(SimulationError) -> ScriptedWorld.State {
    var state = ScriptedWorld.State()
    repeat {
      if let word = try word() {
        let probability = try value()
        try require("->")
        guard let next = name() else { throw fault("'->' names no state") }
        state.transitions.append(.init(word, probability, to: next))
      } else if let keyword = name() {
        switch keyword {
        case "reward": state.reward = try value()
        case "end": state.transitions.append(.end(try value()))
        default: throw fault("'\(keyword)' is not \"word\", reward or end")
        }
      } else {
        throw fault("'\(rest)' is not \"word\", reward or end")
      }
    } while accept(",")
    try requireEnd()
    return state
  }
}

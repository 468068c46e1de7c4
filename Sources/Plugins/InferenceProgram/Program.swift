/// Why a program cannot be read.
struct ProgramError: Error, CustomStringConvertible {
  /// What kind of mistake it is.
  enum Kind: String {
    case unknownStatement = "unknown-statement"
    case unknownWord = "unknown-word"
    case missingNumber = "missing-number"
    case numberOutOfRange = "number-out-of-range"
    case missingText = "missing-text"
    case openText = "open-text"
    case openBlock = "open-block"
    case strayEnd = "stray-end"
    case tooDeep = "too-deep"
    case tooLong = "too-long"
    case emptyProgram = "empty-program"
  }

  let kind: Kind
  let line: Int
  let message: String

  var description: String { "program, line \(line): \(kind.rawValue): \(message)" }
}

/// How the answer is chosen from a population.
enum Conclusion: String, CaseIterable {
  case best, vote, weighted, draw
}

/// A question about the population.
enum Condition {
  case unfinished
  case agreementBelow(Double)
  case bestBelow(Double)
}

/// One statement.
indirect enum Statement {
  case fork(Int)
  case step(until: [String], tokens: Int?, sampling: String?)
  case finish
  case append(String)
  case score(by: String?, temperature: Double)
  case require(text: String, isPresent: Bool)
  case resample(below: Double)
  case keep(Int)
  case repeated(Int, [Statement])
  case whiles(Condition, [Statement])
  case ifs(Condition, [Statement])
}

/// A program: statements one to a line, or divided by semicolons.
struct Program {
  /// The language, for who writes it.
  static let language = """
    fork N                 every branch becomes N
    step                   go on by a step: step until "text" tokens N sampling "temperature=0.8"
    finish                 go on to the end
    append "text"          write text into every branch
    score                  score every branch: score by ID temperature T; its weight becomes exp(score / T)
    require contains "x"   branches whose text lacks it have no weight from now on; require lacks "x"
    resample               draw as many branches by weight: resample below P only where fewer than P of them count
    keep N                 keep the N best
    repeat N … end         do what is in between N times
    while C … end          as long as C holds: unfinished, agreement below P, best below S
    if C … end             once, if C holds
    answer best            how to answer, the last one counts: best, vote, weighted, draw
    # …                    a remark
    """

  private(set) var statements: [Statement] = []
  /// What the last `answer` says; nil for none.
  private(set) var answer: Conclusion?

  /// Reads a program.
  init(_ text: String) throws(ProgramError) {
    guard text.utf8.count <= 16 << 10 else {
      throw ProgramError(kind: .tooLong, line: 1, message: "it has more than 16 KiB")
    }
    var reader = ProgramReader(text)
    statements = try reader.block(opened: nil, depth: 0)
    answer = reader.answer
    if statements.isEmpty {
      throw ProgramError(kind: .emptyProgram, line: 1, message: "it has no statement")
    }
  }
}

/// Reads statements word by word.
private struct ProgramReader {
  private enum Piece: Equatable {
    case word(String)
    case text(String)
    case separator
  }

  private var rest: Substring
  private var line = 1
  private(set) var answer: Conclusion?

  init(_ text: String) { rest = text[...] }

  private func fault(_ kind: ProgramError.Kind, _ message: String, at line: Int? = nil)
    -> ProgramError
  {
    ProgramError(kind: kind, line: line ?? self.line, message: message)
  }

  /// The next word, quoted text, or end of a statement; nil at the end of all.
  private mutating func next() throws(ProgramError) -> Piece? {
    while let character = rest.first {
      if character == "#" {
        rest = rest.drop { !$0.isNewline }
      } else if character.isNewline {
        rest.removeFirst()
        line += 1
        return .separator
      } else if character == ";" {
        rest.removeFirst()
        return .separator
      } else if character.isWhitespace {
        rest.removeFirst()
      } else if character == "\"" {
        rest.removeFirst()
        return .text(try quoted())
      } else {
        let word = rest.prefix { !$0.isWhitespace && $0 != ";" && $0 != "\"" && $0 != "#" }
        rest = rest.dropFirst(word.count)
        return .word(String(word))
      }
    }
    return nil
  }

  /// The rest of a quoted text; a backslash takes a quote, a backslash or n for a new line.
  private mutating func quoted() throws(ProgramError) -> String {
    let start = line
    var text = ""
    while let character = rest.popFirst() {
      if character == "\"" { return text }
      if character.isNewline { line += 1 }
      if character == "\\", let escaped = rest.popFirst() {
        text.append(escaped == "n" ? "\n" : escaped)
      } else {
        text.append(character)
      }
    }
    throw fault(.openText, "a text begins here and has no closing quote", at: start)
  }

  /// Statements up to `end`, or up to the end of all where nothing was opened.
  mutating func block(opened: Int?, depth: Int) throws(ProgramError) -> [Statement] {
    guard depth <= 16 else { throw fault(.tooDeep, "more than 16 blocks within one another") }
    var statements: [Statement] = []
    while true {
      guard let piece = try next() else {
        if let opened {
          throw fault(.openBlock, "the block that begins here has no 'end'", at: opened)
        }
        return statements
      }
      switch piece {
      case .separator: continue
      case .text(let text):
        throw fault(.unknownStatement, "a statement does not begin with a text, \"\(text)\"")
      case .word("end"):
        if opened == nil { throw fault(.strayEnd, "'end' closes nothing") }
        try requireEnd(after: "end")
        return statements
      case .word(let word):
        if let statement = try statement(word, depth: depth) { statements.append(statement) }
      }
    }
  }

  private mutating func statement(_ word: String, depth: Int) throws(ProgramError) -> Statement? {
    let start = line
    switch word {
    case "fork": return .fork(try lastNumber(1...1024, after: word))
    case "keep": return .keep(try lastNumber(1...1024, after: word))
    case "finish":
      try requireEnd(after: word)
      return .finish
    case "append":
      let text = try text(after: word)
      try requireEnd(after: word)
      return .append(text)
    case "step": return try step()
    case "score": return try score()
    case "require":
      let kind = try choice(["contains", "lacks"], after: word)
      let text = try text(after: kind)
      try requireEnd(after: word)
      return .require(text: text, isPresent: kind == "contains")
    case "resample":
      guard let next = try nextWord() else { return .resample(below: 1) }
      guard next == "below" else { throw unknown(next, after: word, ["below"]) }
      let part = try number(0...1, after: "below")
      try requireEnd(after: word)
      return .resample(below: part)
    case "repeat":
      let count = try lastNumber(0...100_000, after: word)
      return .repeated(count, try block(opened: start, depth: depth + 1))
    case "while":
      let condition = try condition(after: word)
      return .whiles(condition, try block(opened: start, depth: depth + 1))
    case "if":
      let condition = try condition(after: word)
      return .ifs(condition, try block(opened: start, depth: depth + 1))
    case "answer":
      let way = try choice(Conclusion.allCases.map(\.rawValue), after: word)
      try requireEnd(after: word)
      answer = Conclusion(rawValue: way)
      return nil
    default:
      throw fault(
        .unknownStatement,
        "'\(word)' is none of answer, append, end, finish, fork, if, keep, repeat, require, resample, "
          + "score, step, while")
    }
  }

  private mutating func step() throws(ProgramError) -> Statement {
    var (delimiters, tokens, sampling): ([String], Int?, String?) = ([], nil, nil)
    while let word = try nextWord() {
      switch word {
      case "until": delimiters.append(try text(after: word))
      case "tokens": tokens = Int(try number(1...1_048_576, after: word))
      case "sampling": sampling = try text(after: word)
      default: throw unknown(word, after: "step", ["until", "tokens", "sampling"])
      }
    }
    return .step(until: delimiters.filter { !$0.isEmpty }, tokens: tokens, sampling: sampling)
  }

  private mutating func score() throws(ProgramError) -> Statement {
    var (scorer, temperature): (String?, Double) = (nil, 1)
    while let word = try nextWord() {
      switch word {
      case "by":
        guard let id = try nextWord() else { throw fault(.missingText, "'by' names no scorer") }
        scorer = id
      case "temperature": temperature = try number(0.0001...1000, after: word)
      default: throw unknown(word, after: "score", ["by", "temperature"])
      }
    }
    return .score(by: scorer, temperature: temperature)
  }

  private mutating func condition(after statement: String) throws(ProgramError) -> Condition {
    let kind = try choice(["unfinished", "agreement", "best"], after: statement)
    var condition = Condition.unfinished
    if kind != "unfinished" {
      _ = try choice(["below"], after: kind)
      condition =
        kind == "agreement"
        ? .agreementBelow(try number(0...1, after: "below"))
        : .bestBelow(try number(-1e300...1e300, after: "below"))
    }
    try requireEnd(after: statement)
    return condition
  }

  // MARK: Words

  /// A word of this statement; nil at its end.
  private mutating func nextWord() throws(ProgramError) -> String? {
    let before = (rest, line)
    switch try next() {
    case nil: return nil
    case .separator:
      // Its line counts with the next statement.
      (rest, line) = before
      return nil
    case .text(let text): throw fault(.unknownWord, "\"\(text)\" stands where a word is expected")
    case .word(let word): return word
    }
  }

  private func unknown(_ word: String, after statement: String, _ known: [String]) -> ProgramError {
    fault(
      .unknownWord,
      "after '\(statement)' there may be \(known.joined(separator: ", ")), not '\(word)'")
  }

  private mutating func choice(_ known: [String], after word: String) throws(ProgramError) -> String
  {
    guard let next = try nextWord() else {
      throw fault(.unknownWord, "'\(word)' needs one of \(known.joined(separator: ", "))")
    }
    guard known.contains(next) else { throw unknown(next, after: word, known) }
    return next
  }

  private mutating func number(
    _ range: ClosedRange<Double>, after word: String
  ) throws(ProgramError) -> Double {
    guard let next = try nextWord() else { throw fault(.missingNumber, "'\(word)' needs a number") }
    guard let value = Double(next) else {
      throw fault(.missingNumber, "'\(next)' after '\(word)' is not a number")
    }
    guard range.contains(value) else {
      throw fault(
        .numberOutOfRange,
        "\(next) after '\(word)' is not from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  private mutating func lastNumber(
    _ range: ClosedRange<Int>, after word: String
  ) throws(ProgramError) -> Int {
    let value = try number(Double(range.lowerBound)...Double(range.upperBound), after: word)
    guard value == value.rounded() else {
      throw fault(.missingNumber, "'\(word)' needs a whole number, not \(value)")
    }
    try requireEnd(after: word)
    return Int(value)
  }

  private mutating func text(after word: String) throws(ProgramError) -> String {
    guard case .text(let text) = try next() else {
      throw fault(.missingText, "'\(word)' needs a text in quotes")
    }
    return text
  }

  private mutating func requireEnd(after word: String) throws(ProgramError) {
    if let next = try nextWord() { throw fault(.unknownWord, "'\(word)' ends before '\(next)'") }
  }
}

/// One question of a suite, and how answers to it are judged.
public struct Problem: Sendable {
  /// Unique in its suite, and the same whenever the suite is made again: `make-0007`.
  public let id: String
  /// What the model is asked.
  public let question: String
  /// Problems of one kind and difficulty, which reports show together: `make, 4 numbers`.
  public let group: String
  /// A right answer for people to compare with; nil where a command decides.
  public let expected: String?
  /// Decides whether an answer is right.
  public let check: any AnswerCheck

  /// A problem of one's own.
  public init(
    id: String, question: String, group: String, expected: String?, check: any AnswerCheck
  ) {
    (self.id, self.question, self.group) = (id, question, group)
    (self.expected, self.check) = (expected, check)
  }
}

/// Decides exactly whether an answer is right.
public protocol AnswerCheck: Sendable {
  /// - Parameters:
  ///   - answer: what the run's extractor found in the text; the text where there is none.
  ///   - text: the whole generated text.
  /// - Throws: `unavailable` when the check itself cannot be made.
  func isRight(answer: String, text: String) throws(LabError) -> Bool
}

/// A problem of the embedded model's families.
struct EmbeddedCheck: AnswerCheck {
  let problem: EmbeddedProblem

  func isRight(answer: String, text: String) throws(LabError) -> Bool { problem.isRight(text) }
}

/// The answer is a number, or a phrase, known beforehand.
public struct TextCheck: AnswerCheck {
  private let expected: String

  /// Takes this answer, as a number where it is one, else without regard to case.
  public init(expected: String) { self.expected = expected }

  public func isRight(answer: String, text: String) throws(LabError) -> Bool {
    let wanted = FinalAnswerText.normalized(expected[...])
    if FinalAnswerText.normalized(answer[...]) == wanted { return true }
    return FinalAnswerText.last(in: text, isNumber: Double(wanted) != nil) == wanted
  }
}

/// The answer is a list of words or numbers, and the last ones of the text count: those among
/// `vocabulary`, or all whole numbers where it is nil.
struct ListCheck: AnswerCheck {
  let expected: [String]
  let vocabulary: Set<String>?

  func isRight(answer: String, text: String) throws(LabError) -> Bool {
    let words = text.lowercased().split { !($0.isLetter || $0.isNumber || $0 == "-") }
      .map(String.init)
      .filter { vocabulary?.contains($0) ?? (Int($0) != nil) }
    return words.suffix(expected.count) == expected[...]
  }
}

import Foundation

/// A long text and what is asked about it; one line of a file of problems.
public struct RecallProblem: Decodable, Sendable, Equatable {
  /// What is asked when the text has been read, and the one right answer.
  public struct Question: Decodable, Sendable, Equatable {
    public let question: String
    public let answer: String
  }

  /// The kind of text, such as `passkey`.
  public let family: String
  /// Tokens that it was made to have at most; rows of results are per length.
  public let length: Int
  /// Tokens that it has in the vocabulary it was made for, the first one's mark included.
  public let tokens: Int
  public let text: String
  /// Each is to follow the text by itself. None: the text's own end is predicted.
  public let questions: [Question]

  /// The problems of a file in JSON lines.
  /// - Throws: `BenchError` naming the line and what is wrong with it.
  public static func read(_ bytes: [UInt8], file: String) throws(BenchError) -> [RecallProblem] {
    var problems: [RecallProblem] = []
    for (number, line) in bytes.split(separator: 10, omittingEmptySubsequences: false).enumerated()
    where !line.isEmpty {
      func refuse(_ what: String) -> BenchError {
        BenchError(.argument, "\(file), line \(number + 1): \(what)")
      }
      let problem: RecallProblem
      do {
        problem = try JSONDecoder().decode(RecallProblem.self, from: Data(line))
      } catch {
        throw refuse(
          "no problem {family, length, tokens, text, questions: [{question, answer}]}; write the "
            + "file with Benchmarks/Model/long_problems.py")
      }
      guard problem.length > 0, problem.tokens > 1, !problem.text.isEmpty else {
        throw refuse("length, tokens or text is empty")
      }
      guard problem.questions.allSatisfy({ !$0.question.isEmpty && !$0.answer.isEmpty }) else {
        throw refuse("a question or its answer is empty")
      }
      problems.append(problem)
    }
    guard !problems.isEmpty else {
      throw BenchError(.argument, "\(file) has no problems; write one per line")
    }
    return problems
  }
}

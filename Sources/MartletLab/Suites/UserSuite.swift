import Foundation

/// Users' own problems: a file of JSON objects, one to a line.
///
/// ```
/// {"question": "What is 2+2?", "answer": "4"}
/// {"question": "Write a haiku.", "checker": "python3 haiku.py", "id": "h1", "group": "poems"}
/// ```
///
/// A checker is a shell command; it gets the answer on standard input and the question in
/// `MARTLET_QUESTION`, and exits with 0 when the answer is right.
enum UserSuite {
  private struct Line: Decodable {
    let question: String?
    let answer: Answer?
    let checker: String?
    let id: String?
    let group: String?
  }

  /// A text, or a number written as one.
  private struct Answer: Decodable {
    let text: String

    init(from decoder: any Decoder) throws {
      let value = try decoder.singleValueContainer()
      if let whole = try? value.decode(Int64.self) {
        text = "\(whole)"
      } else if let number = try? value.decode(Double.self) {
        text = "\(number)"
      } else {
        text = try value.decode(String.self)
      }
    }
  }

  static func problems(path: String) throws(LabError) -> [Problem] {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw LabError(.input, "\(path): the suite cannot be read; name a file that is there")
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw LabError(.data, "\(path): the suite is not UTF-8; convert it first")
    }
    let name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
    var problems: [Problem] = []
    var number = 0
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      number += 1
      if line.allSatisfy(\.isWhitespace) { continue }
      problems.append(try problem(line, suite: name, place: "\(path):\(number)", number))
    }
    guard !problems.isEmpty else {
      throw LabError(.data, "\(path): the suite has no problem; write one JSON object to a line")
    }
    return problems
  }

  private static func problem(
    _ text: Substring, suite: String, place: String, _ number: Int
  ) throws(LabError) -> Problem {
    let line: Line
    do {
      line = try JSONDecoder().decode(Line.self, from: Data(text.utf8))
    } catch {
      throw LabError(
        .data,
        "\(place): this is no JSON object with texts for question, and answer or checker; "
          + "write {\"question\": …, \"answer\": …}")
    }
    guard let question = line.question, !question.isEmpty else {
      throw LabError(.data, "\(place): 'question' is missing or empty; write what is asked")
    }
    let check: any AnswerCheck
    switch (line.answer, line.checker) {
    case (let answer?, nil) where !answer.text.allSatisfy(\.isWhitespace):
      check = TextCheck(expected: answer.text)
    case (nil, let command?) where !command.isEmpty:
      check = CommandCheck(command: command, question: question, place: place)
    case (.some, .some):
      throw LabError(.data, "\(place): there are both 'answer' and 'checker'; give one of them")
    default:
      throw LabError(.data, "\(place): there is no 'answer' and no 'checker'; give one of them")
    }
    return Problem(
      id: line.id ?? "\(suite)-\(number)", question: question, group: line.group ?? suite,
      expected: line.answer?.text, check: check)
  }
}

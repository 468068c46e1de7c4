import CMartlet
import Foundation
import Martlet

/// What a run says on its way.
enum StreamEvent: Sendable {
  case text(String)
  case answer(RunResult.Candidate, isCommitted: Bool, generatedTokens: Int)
}

/// A caller's callback.
struct Stream: @unchecked Sendable {
  // Sendable: the context is handed back as it came and never looked into.
  let function: martlet_stream
  let context: UnsafeMutableRawPointer?

  /// Hands an event over; false when the callback wants no more.
  func deliver(_ event: StreamEvent) -> Bool {
    var view = martlet_stream_event()
    view.size = UInt32(MemoryLayout<martlet_stream_event>.size)
    view.score = .nan
    let text: String
    var found: String?
    switch event {
    case .text(let more):
      view.kind = MARTLET_STREAM_TEXT.rawValue
      text = more
    case .answer(let candidate, let isCommitted, let generatedTokens):
      view.kind = (isCommitted ? MARTLET_STREAM_COMMITTED : MARTLET_STREAM_ANSWER).rawValue
      view.score = candidate.score ?? .nan
      view.generated_tokens = UInt64(generatedTokens)
      text = candidate.text
      found = candidate.answer
    }
    return text.withCString { characters in
      view.text = characters
      view.text_length = text.utf8.count
      guard let found else { return function(context, &view) == 0 }
      return found.withCString { characters in
        view.answer = characters
        view.answer_length = found.utf8.count
        return function(context, &view) == 0
      }
    }
  }
}

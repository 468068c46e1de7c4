import CMartlet
import MartletEngine
import Synchronization

/// The memory of one run and of the runs within it: what its strategy remembers and recalls, and what was
/// recalled so far, by the ids that the run knows it by.
final class RunMemory: Sendable {
  private let source: Source
  private let recording: RunRecording?
  private let recalled = Mutex<[RecalledNote]>([])

  /// Where notes come from.
  enum Source: Sendable {
    case instance(MemoryInstance)
    /// A run that is decided again: what the recorded one was told.
    case recorded(RecordedMemory)
  }

  init(_ source: Source, recording: RunRecording?) {
    self.source = source
    self.recording = recording
  }

  func remember(_ text: String, under key: String) throws(HostFailure) {
    switch source {
    case .instance(let instance):
      do throws(HostFailure) { try instance.store(text, under: key) } catch {
        recording?.noteForgotten()
        throw error
      }
      recording?.noteRemembered(text, under: key)
    case .recorded(let memory): memory.store(text, under: key)
    }
  }

  /// Notes and the ids that this run knows them by.
  func recall(
    _ query: String, top: Int, in run: PluginRun
  ) throws(HostFailure) -> [(id: UInt64, note: RecalledNote)] {
    let notes: [RecalledNote]
    switch source {
    case .instance(let instance):
      notes = try instance.recall(query, top: top)
      recording?.noteRecalled(notes, by: query, top: top)
    case .recorded(let memory):
      guard let known = memory.recall(query, top: top) else {
        let message = "the recorded run never asked its memory for '\(query.suffix(60))' there"
        run.noteEngine(EngineError(.unrecorded, message))
        throw HostFailure(MARTLET_E_PLUGIN, message)
      }
      notes = known
    }
    let first = recalled.withLock { recalled in
      defer { recalled += notes }
      return recalled.count
    }
    return notes.enumerated().map { (UInt64(first + $0.offset), $0.element) }
  }

  /// A note that was recalled.
  func note(_ id: UInt64) -> RecalledNote? {
    recalled.withLock { id < $0.count ? $0[Int(id)] : nil }
  }
}

/// What a recorded run stored and was told, in order. A replay that asks the same after it stored the same
/// is told the same; fewer notes are the first of many.
final class RecordedMemory: Sendable {
  /// As a trace file holds it.
  struct Document: Codable, Sendable {
    struct Stored: Codable, Sendable, Equatable {
      var key: String
      var text: String
    }
    struct Recall: Codable, Sendable {
      /// How much the run had stored by then.
      var stored: Int
      var query: String
      var top: Int
      var notes: [RecalledNote]
    }

    var stored: [Stored] = []
    var recalls: [Recall] = []
  }

  private let document: Document
  private let state = Mutex(State())

  private struct State {
    var stored = 0
    /// Whether all that was stored until now is what the recorded run stored.
    var isSame = true
    /// Recalls that were answered, so that a question asked twice gets the answers in their order.
    var answered: Set<Int> = []
  }

  init(_ document: Document) { self.document = document }

  func store(_ text: String, under key: String) {
    state.withLock { state in
      let known =
        state.stored < document.stored.count ? document.stored[state.stored] : nil
      state.isSame = state.isSame && known == .init(key: key, text: text)
      state.stored += 1
    }
  }

  /// What the recorded run was told; nil where it never asked.
  func recall(_ query: String, top: Int) -> [RecalledNote]? {
    state.withLock { state in
      guard state.isSame else { return nil }
      let known = document.recalls.indices.filter { index in
        let recall = document.recalls[index]
        return recall.stored == state.stored && recall.query == query && recall.top >= top
      }
      guard let index = known.first(where: { !state.answered.contains($0) }) ?? known.last else {
        return nil
      }
      state.answered.insert(index)
      return Array(document.recalls[index].notes.prefix(top))
    }
  }
}

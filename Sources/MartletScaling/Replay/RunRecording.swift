import MartletEngine
import Synchronization

/// Everything that a run hears from outside its strategy: what models said, how prompts were written, how the caller's
/// own judge scored. Kept beside the trace, so that decisions can be taken again without the models.
package final class RunRecording: Sendable {
  private let state = Mutex(State())

  private struct State {
    var base: ReplayDocument?
    var engine: Engine?
    var log = DrawLog()
    var others: [String: (log: DrawLog, engine: Engine, surroundings: ModelSurroundings)] = [:]
    var chats: [String: ReplayDocument.Chat] = [:]
    var judgements: [String: Double] = [:]
    var memory: RecordedMemory.Document?
    var askedTheClock = false
    var readHiddenStates = false
    var forgot = false

    /// Why the run cannot be replayed; nil if it can.
    var obstacle: String? {
      if let own = log.obstacle { return own }
      for (name, other) in others.sorted(by: { $0.key < $1.key }) {
        if let obstacle = other.log.obstacle { return "on the model '\(name)', \(obstacle)" }
      }
      if askedTheClock { return "its strategy went by how much time was left" }
      if forgot { return "its memory failed to keep a note" }
      return readHiddenStates ? "it read hidden states of the model" : nil
    }
  }

  /// Records a run from its beginning. A recorder is for one run: of several, the last counts.
  func begin(_ request: RunRequest, in session: ScalingSession, _ run: Run) {
    let log = DrawLog()
    state.withLock { state in
      state = State(
        base: ReplayDocument(request, session), engine: session.engine, log: log,
        memory: request.memory == nil ? nil : .init())
    }
    run.record(into: log)
    // A replay begins by cutting the prompt into tokens.
    _ = run.encode(
      request.renderedPrompt ?? request.prompt, addSpecial: request.addSpecial,
      parseSpecial: request.parseSpecial)
  }

  /// Records what another model says in a run.
  package func attach(_ run: Run, model name: String, _ opened: OpenedModel) {
    let log = state.withLock { state in
      let log = state.others[name]?.log ?? DrawLog()
      state.others[name] = (log, opened.engine, opened.surroundings)
      return log
    }
    run.record(into: log)
  }

  /// The run stored a text in its memory.
  func noteRemembered(_ text: String, under key: String) {
    state.withLock { $0.memory?.stored.append(.init(key: key, text: text)) }
  }

  /// The run asked its memory.
  func noteRecalled(_ notes: [RecalledNote], by query: String, top: Int) {
    state.withLock { state in
      let stored = state.memory?.stored.count ?? 0
      state.memory?.recalls.append(.init(stored: stored, query: query, top: top, notes: notes))
    }
  }

  /// A component asked how much time was left, which a replay does not know.
  func noteClock() { state.withLock { $0.askedTheClock = true } }

  /// Its memory did not keep what the run stored: where it went on, it went by that failure.
  func noteForgotten() { state.withLock { $0.forgot = true } }

  /// A component read what no recording keeps.
  func noteHiddenState() { state.withLock { $0.readHiddenStates = true } }

  /// The surroundings of a model, with its chat format's answers kept under the model's name (empty for the run's own).
  func listening(to surroundings: ModelSurroundings, as name: String) -> ModelSurroundings {
    guard let chat = surroundings.chat else { return surroundings }
    var result = surroundings
    result.chat = { [weak self] message in
      let rendered = try chat(message)
      self?.state.withLock {
        $0.chats[name + "\u{0}" + message] = .init(model: name, message: message, rendered)
      }
      return rendered
    }
    return result
  }

  /// A judge of the caller's whose scores are kept.
  func listening(
    to judge: (@Sendable (JudgedText) -> Double)?
  ) -> (@Sendable (JudgedText) -> Double)? {
    guard let judge else { return nil }
    return { [weak self] text in
      let score = judge(text)
      self?.state.withLock { $0.judgements[text.text] = score }
      return score
    }
  }

  /// What files hold; nil before a run began.
  var document: ReplayDocument? {
    let state = state.withLock { $0 }
    guard var document = state.base, let engine = state.engine else { return nil }
    document.obstacle = state.obstacle
    document.model = DrawDocument(state.log, of: engine)
    document.others = state.others.sorted { $0.key < $1.key }.map {
      ReplayDocument.OtherModel(
        name: $0.key, parameters: $0.value.surroundings.parameters,
        hasChat: $0.value.surroundings.chat != nil,
        said: DrawDocument($0.value.log, of: $0.value.engine))
    }
    document.chats = state.chats.sorted { $0.key < $1.key }.map(\.value)
    document.judgements = state.judgements
    document.memory = state.memory
    return document
  }
}

import CMartlet

extension RunContext {
  /// Whether the run has a memory that ``remember(_:under:)`` and ``recall(_:top:)`` reach.
  public func hasMemory() throws(PluginError) -> Bool { try capability("memory") != 0 }

  /// Has the run's memory keep a text under a key, for this run and later ones. Each at most 1 MiB, the key
  /// not empty.
  /// - Throws: `notFound` when the run has no memory, or what the memory failed with.
  public func remember(_ text: String, under key: String) throws(PluginError) {
    let status = key.withCharacters { key, keyCount in
      text.withCharacters { text, count in
        table.host.pointee.remember?(table.run, key, keyCount, text, count)
      }
    }
    try table.check(status, "remember")
  }

  /// At most `top` notes of the run's memory that suit a query, best first, equal ones in the order in
  /// which they were stored.
  /// - Parameter top: 1 to 4,096.
  /// - Throws: `notFound` when the run has no memory, or what the memory failed with.
  public func recall(_ query: String, top: Int) throws(PluginError) -> [Note] {
    var notes = [martlet_note](repeating: martlet_note(), count: max(1, top))
    var count: UInt32 = 0
    let status = query.withCharacters { query, length in
      table.host.pointee.recall?(
        table.run, query, length, UInt32(clamping: top), &notes, &count)
    }
    try table.check(status, "recall")
    var result: [Note] = []
    for note in notes.prefix(Int(count)) {
      result.append(
        Note(
          key: try part(MARTLET_NOTE_KEY, of: note.id),
          text: try part(MARTLET_NOTE_TEXT, of: note.id), score: note.score))
    }
    return result
  }

  private func part(_ part: martlet_note_part, of id: UInt64) throws(PluginError) -> String {
    try table.readText("note") { buffer, capacity, needed in
      table.host.pointee.note?(table.run, id, part.rawValue, buffer, capacity, needed)
    }
  }
}

import CMartlet

extension PluginChecker {
  /// What is stored: keys that have words in common, one of them twice, and odd texts.
  private static let samples: [(key: String, text: String)] = [
    ("make 46 from 3 7 25?", "3*7=21"), ("make 46 from 3 7 25?", "21+25=46"),
    ("make 21 from 3 7?", "3*7=21"), ("a context about swifts and martins", "they fly"),
    ("swifts", ""), ("\u{1F600} e\u{301}\n\t\"", "\u{0}\u{1F600}\n"), ("=|,:;{prompt}{", "{}"),
    ("make 46 from 3 7 25?", String(repeating: "a long text ", count: 5000)),
  ]
  private static let queries = [
    "make 46 from 3 7 25?", "swifts", "make", "nothing of the kind", "", "\u{1F600} e\u{301}\n\t\"",
    String(repeating: "make 3 swifts ", count: 3000),
  ]

  /// Uses a memory once.
  func keepNotes(
    _ component: InstalledComponent, _ host: PluginHost, _ options: [String: String]
  ) throws(CaseFailure) {
    let (key, text) = Self.samples[0]
    let memory = try memory(component.manifest.id, host, options)
    try asking(memory) { memory throws(HostFailure) in
      try memory.store(text, under: key)
      _ = try memory.recall(key, top: 3)
    }
  }

  /// What every memory must do, whatever it finds suitable.
  func notes(_ subject: CheckedPlugin) throws(CaseFailure) -> String {
    let host = try subject.host()
    var checked = 0
    for component in try subject.components(host) where component.manifest.kind == .memory {
      let id = component.manifest.id
      if let problem = try problem(ofMemory: id, host) {
        throw CaseFailure("memory '\(id)' \(problem)")
      }
      checked += 1
    }
    return checked == 1 ? "1 memory" : "\(checked) memories"
  }

  /// What is wrong with a memory, as the end of a sentence.
  private func problem(ofMemory id: String, _ host: PluginHost) throws(CaseFailure) -> String? {
    let fresh = try memory(id, host)
    var knowing = false
    try asking(fresh) { memory throws(HostFailure) in
      for query in Self.queries where try !memory.recall(query, top: 16).isEmpty { knowing = true }
    }
    // Two in a row: what one leaves the other must not find.
    let first = try told(id, host)
    let second = try memory(id, host)
    try asking(second) { memory throws(HostFailure) in
      for query in Self.queries where try !memory.recall(query, top: 16).isEmpty { knowing = true }
    }
    if knowing {
      return
        "knows notes before any was stored: what a session left is to be gone with it, unless an "
        + "option says where it is kept"
    }
    for (query, notes) in zip(Self.queries, first) {
      for note in notes
      where !Self.samples.contains(where: { $0.key == note.key && $0.text == note.text }) {
        return "found a note that was never stored under '\(note.key.prefix(40))' for "
          + "'\(query.prefix(40))'"
      }
    }
    if try told(id, host) != first { return "finds other notes after the same history" }
    let memory = try memory(id, host)
    var problem: String?
    try asking(memory) { memory throws(HostFailure) in
      for sample in Self.samples { try memory.store(sample.text, under: sample.key) }
      for query in Self.queries where problem == nil {
        let many = try memory.recall(query, top: 16)
        if try memory.recall(query, top: 16) != many {
          problem = "finds other notes when it is asked again"
        } else if try memory.recall(query, top: 1) != Array(many.prefix(1)) {
          problem = "finds another best note when it is asked for one than when it is asked for 16"
        }
      }
    }
    return problem
  }

  /// What a new instance says to all queries, after each note.
  func told(_ id: String, _ host: PluginHost) throws(CaseFailure) -> [[RecalledNote]] {
    let memory = try memory(id, host)
    var told: [[RecalledNote]] = []
    try asking(memory) { memory throws(HostFailure) in
      for sample in Self.samples { try memory.store(sample.text, under: sample.key) }
      for query in Self.queries { told.append(try memory.recall(query, top: 16)) }
    }
    return told
  }

  private func memory(
    _ id: String, _ host: PluginHost, _ options: [String: String] = [:]
  ) throws(CaseFailure) -> MemoryInstance {
    do throws(ScalingError) {
      let manifest = try host.component(.memory, id).manifest
      let chosen = try host.choose(
        .memory, id, options: self.options(for: manifest, options))
      do throws(HostFailure) {
        return try MemoryInstance(chosen, logger: Self.logger)
      } catch {
        throw ScalingError(.plugin, error.message)
      }
    } catch {
      throw CaseFailure(error.message)
    }
  }

  private func asking(
    _ memory: MemoryInstance, _ body: (MemoryInstance) throws(HostFailure) -> Void
  ) throws(CaseFailure) {
    do throws(HostFailure) { try body(memory) } catch { throw CaseFailure(error.message) }
  }
}

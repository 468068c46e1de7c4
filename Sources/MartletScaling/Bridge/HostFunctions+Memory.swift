import CMartlet
import MartletEngine

// Host functions about what is kept from run to run.

let hostRemember:
  @convention(c) (
    martlet_run?, UnsafePointer<CChar>?, Int, UnsafePointer<CChar>?, Int
  ) -> martlet_status = { run, key, keyLength, start, count in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      let memory = try memory(of: run)
      let key = try bounded(key, keyLength, "key")
      if key.isEmpty { throw HostFailure(MARTLET_E_ARGUMENT, "'key' is empty") }
      try memory.remember(try bounded(start, count, "text"), under: key)
    }
  }

let hostRecall:
  @convention(c) (
    martlet_run?, UnsafePointer<CChar>?, Int, UInt32, UnsafeMutablePointer<martlet_note>?,
    UnsafeMutablePointer<UInt32>?
  ) -> martlet_status = { run, query, length, top, notes, count in
    strategyCall(run, onRunThread: true) { run throws(HostFailure) in
      let (notes, count) = (try place(notes, "notes"), try place(count, "count"))
      let memory = try memory(of: run)
      guard (1...UInt32(MemoryInstance.mostNotes)).contains(top) else {
        throw HostFailure(
          MARTLET_E_ARGUMENT, "'top' is \(top); ask for 1 to \(MemoryInstance.mostNotes) notes")
      }
      let found = try memory.recall(
        try bounded(query, length, "query"), top: Int(top), in: run)
      for (index, (id, note)) in found.enumerated() {
        notes[index] = martlet_note(id: id, score: note.score)
      }
      count.pointee = UInt32(found.count)
    }
  }

let hostNote:
  @convention(c) (
    martlet_run?, UInt64, UInt32, UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, id, part, buffer, capacity, needed in
    strategyCall(run, onRunThread: false) { run throws(HostFailure) in
      guard let note = try memory(of: run).note(id) else {
        try place(needed, "needed").pointee = 0
        throw HostFailure(MARTLET_E_NOT_FOUND, "this run recalled no note \(id)")
      }
      switch part {
      case MARTLET_NOTE_KEY.rawValue: try deliver(note.key, buffer, capacity, needed)
      case MARTLET_NOTE_TEXT.rawValue: try deliver(note.text, buffer, capacity, needed)
      default: throw HostFailure(MARTLET_E_ARGUMENT, "a note has no part \(part)")
      }
    }
  }

private func memory(of run: PluginRun) throws(HostFailure) -> RunMemory {
  guard let memory = run.surroundings.memory else {
    throw HostFailure(MARTLET_E_NOT_FOUND, "the run has no memory; name one with --memory")
  }
  return memory
}

private func bounded(
  _ start: UnsafePointer<CChar>?, _ count: Int, _ name: StaticString
) throws(HostFailure) -> String {
  guard count <= MemoryInstance.mostBytes else {
    throw HostFailure(
      MARTLET_E_ARGUMENT, "'\(name)' has \(count) bytes; \(MemoryInstance.mostBytes) are the most")
  }
  let text = try text(start, count, name)
  // What is not UTF-8 was replaced, by more bytes.
  guard text.utf8.count <= MemoryInstance.mostBytes else {
    throw HostFailure(
      MARTLET_E_ARGUMENT,
      "'\(name)' is not UTF-8 and has more than \(MemoryInstance.mostBytes) bytes when mended")
  }
  return text
}

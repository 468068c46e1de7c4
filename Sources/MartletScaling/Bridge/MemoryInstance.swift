import CMartlet
import Foundation
import Logging

/// A note that a memory found, with its texts.
public struct RecalledNote: Sendable, Equatable, Codable {
  /// What it was stored under.
  public var key: String
  /// What it says.
  public var text: String
  /// How well it suits the query, higher is better.
  public var score: Double

  /// A note; tests of memories use this.
  public init(key: String, text: String, score: Double) {
    (self.key, self.text, self.score) = (key, text, score)
  }
}

/// An instance of a memory, which lives as long as its session and serves its runs one at a time.
final class MemoryInstance: Sendable {
  /// The most bytes of a key, a text or a query.
  static let mostBytes = 1 << 20
  /// The most notes that are asked for at once.
  static let mostNotes = 4096

  let id: String
  private let instance: TextInstance
  private let lock = NSLock()

  init(_ chosen: ChosenComponent, logger: Logger) throws(HostFailure) {
    id = chosen.component.id
    let functions = chosen.component.functions.load(as: martlet_memory.self)
    instance = try TextInstance(
      chosen.component, create: functions.create, destroy: functions.destroy,
      options: chosen.options, run: nil, logger: logger)
  }

  deinit { instance.end() }

  /// Whether it can serve no run any more.
  var isDead: Bool { instance.isDead }

  private var functions: martlet_memory {
    instance.component.functions.load(as: martlet_memory.self)
  }

  /// Keeps a text under a key.
  func store(_ text: String, under key: String) throws(HostFailure) {
    lock.lock()
    defer { lock.unlock() }
    let status = key.withCharacters { key, keyCount in
      text.withCharacters { text, count in
        instance.call { functions.store($0, key, keyCount, text, count) }
      }
    }
    try instance.check(status, "store")
  }

  /// At most `top` notes, best first.
  func recall(_ query: String, top: Int) throws(HostFailure) -> [RecalledNote] {
    lock.lock()
    defer { lock.unlock() }
    var notes = [martlet_note](repeating: martlet_note(), count: top)
    var count: UInt32 = 0
    let status = query.withCharacters { query, length in
      instance.call { functions.recall($0, query, length, UInt32(top), &notes, &count) }
    }
    try instance.check(status, "recall")
    guard count <= top else { throw fault("\(count) notes where \(top) were asked for") }
    var result: [RecalledNote] = []
    for note in notes.prefix(Int(count)) {
      guard note.score.isFinite, note.score <= result.last?.score ?? .infinity else {
        throw fault("the score \(note.score) after \(result.last?.score ?? .infinity)")
      }
      result.append(
        RecalledNote(
          key: try text(note.id, MARTLET_NOTE_KEY), text: try text(note.id, MARTLET_NOTE_TEXT),
          score: note.score))
    }
    return result
  }

  private func text(_ id: UInt64, _ part: martlet_note_part) throws(HostFailure) -> String {
    var capacity = 1024
    while true {
      var buffer = [CChar](repeating: 0, count: capacity)
      var needed = 0
      let status = instance.call {
        functions.read($0, id, part.rawValue, &buffer, capacity, &needed)
      }
      if status == MARTLET_E_TOO_SMALL, needed > capacity, needed <= Self.mostBytes {
        capacity = needed
        continue
      }
      try instance.check(status, "read")
      guard (0...capacity).contains(needed) else { throw fault("a text of \(needed) bytes") }
      return String(decoding: buffer.prefix(needed).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }

  private func fault(_ what: String) -> HostFailure {
    HostFailure(MARTLET_E_PLUGIN, "memory '\(id)' gave \(what)")
  }
}

extension String {
  /// Lends the text as C characters with a length.
  fileprivate func withCharacters<Result>(
    _ body: (UnsafePointer<CChar>?, Int) -> Result
  ) -> Result {
    var copy = self
    return copy.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) { body($0.baseAddress, $0.count) }
    }
  }
}

import MartletPlugin

/// A memory of notes that are found by the words of what they were stored under.
///
/// Keys and queries are taken apart into runs of letters and digits, in lower case. A note's score is BM25 of
/// its key for the query's words, each counted once, with k1 = 1.2 and b = 0.75; only notes above `least` are
/// found, equal ones oldest first. A note that is there already is not stored twice. Of more than `capacity`
/// the oldest give way. With `file` notes are appended to it as they come, and read from it at the beginning.
///
/// Storing takes time linear in the key, and now and then in the notes; recalling is linear in the notes that
/// share a word with the query.
///
/// Paper: The Probabilistic Relevance Framework: BM25 and Beyond (Robertson and Zaragoza, 2009).
struct NearestNotes: Memory {
  static let id = "nearest-notes"

  private var index: NoteIndex
  private let file: NoteFile?
  private let least: Double

  init(_ component: ComponentContext) throws {
    index = NoteIndex(capacity: try component.integer("capacity"))
    least = try component.number("least")
    let path = try component.text("file")
    file = path.isEmpty ? nil : NoteFile(path)
    for note in try file?.read(last: index.capacity, component) ?? [] {
      index.add(note.text, under: note.key)
    }
  }

  mutating func store(_ text: String, under key: String) throws {
    if index.holds(text, under: key) { return }
    // First where it may fail: what is not kept is not to be found.
    try file?.append(text, under: key)
    index.add(text, under: key)
  }

  func recall(_ query: String, top: Int) -> [Note] {
    index.nearest(query, top: top, above: least)
  }
}

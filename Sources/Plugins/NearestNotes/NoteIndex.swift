import Foundation
import MartletPlugin

/// Notes in the order in which they came, and in which of them each word stands.
struct NoteIndex {
  private static let (k1, b) = (1.2, 0.75)

  let capacity: Int
  /// Numbers count on; note n is at n - `first`.
  private var notes: ArraySlice<Entry> = []
  private var first = 0
  private var postings: [String: ArraySlice<Posting>] = [:]
  private var words = 0
  private var known: Set<Identity> = []

  private struct Entry {
    let identity: Identity
    let counts: [String: Int]
    let words: Int
  }

  private struct Posting {
    let note: Int
    let count: Int
  }

  private struct Identity: Hashable {
    let key: String
    let text: String
  }

  init(capacity: Int) { self.capacity = capacity }

  func holds(_ text: String, under key: String) -> Bool {
    known.contains(Identity(key: key, text: text))
  }

  mutating func add(_ text: String, under key: String) {
    let identity = Identity(key: key, text: text)
    guard known.insert(identity).inserted else { return }
    let all = Self.words(of: key)
    let counts = Dictionary(all.map { ($0, 1) }, uniquingKeysWith: +)
    let number = first + notes.count
    notes.append(Entry(identity: identity, counts: counts, words: all.count))
    words += all.count
    for (word, count) in counts {
      postings[word, default: []].append(.init(note: number, count: count))
    }
    if notes.count > capacity { dropOldest() }
  }

  private mutating func dropOldest() {
    let oldest = notes.removeFirst()
    first += 1
    words -= oldest.words
    known.remove(oldest.identity)
    for word in oldest.counts.keys {
      postings[word]?.removeFirst()
      if postings[word]?.isEmpty == true { postings[word] = nil }
    }
    // A slice that only ever loses its beginning keeps it in memory.
    if notes.startIndex > 2 * capacity { notes = ArraySlice(Array(notes)) }
    for word in oldest.counts.keys {
      guard let list = postings[word], list.startIndex > 2 * list.count + 64 else { continue }
      postings[word] = ArraySlice(Array(list))
    }
  }

  /// At most `top` notes with a score above `least`, best first, equal ones oldest first.
  func nearest(_ query: String, top: Int, above least: Double) -> [Note] {
    let mean = max(1, Double(words) / Double(max(1, notes.count)))
    var scores: [Int: Double] = [:]
    var seen: Set<String> = []
    // In the query's order, so that sums round alike.
    for word in Self.words(of: query) where seen.insert(word).inserted {
      guard let list = postings[word] else { continue }
      let (holding, all) = (Double(list.count), Double(notes.count))
      let rarity = log(1 + (all - holding + 0.5) / (holding + 0.5))
      for posting in list {
        let count = Double(posting.count)
        let length = Double(entry(posting.note).words) / mean
        scores[posting.note, default: 0] +=
          rarity * count * (Self.k1 + 1) / (count + Self.k1 * (1 - Self.b + Self.b * length))
      }
    }
    return scores.filter { $0.value > least }
      .sorted { $0.value != $1.value ? $0.value > $1.value : $0.key < $1.key }
      .prefix(top).map { number, score in
        let identity = entry(number).identity
        return Note(key: identity.key, text: identity.text, score: score)
      }
  }

  private func entry(_ number: Int) -> Entry { notes[notes.startIndex + number - first] }

  /// Runs of letters and digits, in lower case.
  static func words(of text: String) -> [String] {
    text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init)
  }
}

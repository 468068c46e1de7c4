import ArgumentParser
import Martlet

// How options read their values, where ArgumentParser's own messages would not say what to do.
// Numbers are read with `parsing: .unconditional`, so that `-1` is a value out of range and not the
// next option.

/// A path, which is not empty.
func path(_ text: String) throws -> String {
  guard !text.isEmpty else { throw ValidationError("it is empty; name a file or folder") }
  return text
}

/// A number of worker threads.
func threadCount(_ text: String) throws -> Int {
  let range = 1...PlacementPlan.maximumThreads
  guard let count = Int(text), range.contains(count) else {
    throw ValidationError("choose between \(range.lowerBound) and \(range.upperBound) threads")
  }
  return count
}

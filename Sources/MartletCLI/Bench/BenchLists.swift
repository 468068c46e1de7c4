import ArgumentParser
import Foundation
import Martlet

/// Whole numbers, separated by commas.
struct NumberList: ExpressibleByArgument {
  let values: [Int]

  init(_ values: [Int]) { self.values = values }

  init?(argument: String) {
    var values: [Int] = []
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      guard let value = Int(part) else { return nil }
      values.append(value)
    }
    self.values = values
  }

  var defaultValueDescription: String { values.map(String.init).joined(separator: ",") }
}

/// Words, separated by commas.
struct WordList: ExpressibleByArgument {
  let values: [String]

  init(_ values: [String]) { self.values = values }

  init?(argument: String) {
    values = argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
  }

  var defaultValueDescription: String { values.joined(separator: ",") }

  /// The values of an enumeration that the words name.
  func parse<Value: RawRepresentable<String> & CaseIterable>(
    _ option: String, _: Value.Type
  ) throws(CommandError) -> [Value] {
    var parsed: [Value] = []
    for word in values {
      guard let value = Value(rawValue: word) else {
        let known = Value.allCases.map(\.rawValue).joined(separator: ", ")
        throw CommandError(.usage, "\(option) '\(word)' is not known; use \(known)")
      }
      parsed.append(value)
    }
    return parsed
  }

  /// Numbers of threads; nil for `all`.
  func threadCounts() throws(CommandError) -> [Int?] {
    var counts: [Int?] = []
    for word in values {
      let count = Int(word)
      guard word == "all" || count != nil else {
        throw CommandError(.usage, "--threads '\(word)' is no number; write a number or all")
      }
      counts.append(count)
    }
    return counts
  }
}

extension ModelOptions {
  /// `name` with the options that choose the model, for lines that reproduce a row.
  func command(_ name: String) -> String {
    var words = [name]
    if let model { words.append("--model \(model)") }
    if let threads = placement.threads { words.append("--threads \(threads)") }
    if placement.placement != .auto { words.append("--placement \(placement.placement)") }
    if placement.numa != .shard { words.append("--numa \(placement.numa.rawValue)") }
    words.append("--numeric \(numeric.rawValue)")
    if let kvType { words.append("--kv-type \(kvType.rawValue)") }
    if let place = cache.packCache { words.append("--pack-cache \(place)") }
    if let prefillChunk { words.append("--prefill-chunk \(prefillChunk)") }
    if withoutTuning { words.append("--no-tuning") }
    return words.joined(separator: " ")
  }
}

/// The path of this program, to start it again.
func ownProgram() throws(CommandError) -> String {
  guard let path = Bundle.main.executablePath else {
    throw CommandError(.unavailable, "the path of this program is unknown; start it by its path")
  }
  return path
}

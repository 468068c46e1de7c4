import ArgumentParser

/// `--set name=value`.
struct KeyValue: ExpressibleByArgument {
  let key: String
  let value: String

  init?(argument: String) {
    guard let equals = argument.firstIndex(of: "="), equals != argument.startIndex else {
      return nil
    }
    key = String(argument[..<equals])
    value = String(argument[argument.index(after: equals)...])
  }
}

extension [KeyValue] {
  /// The pairs as a dictionary.
  /// - Throws: `CommandError` `.usage` when a name is given twice.
  func dictionary() throws(CommandError) -> [String: String] {
    var result: [String: String] = [:]
    for pair in self {
      guard result.updateValue(pair.value, forKey: pair.key) == nil else {
        throw CommandError(.usage, "--set \(pair.key) is given twice; give it once")
      }
    }
    return result
  }
}

public import Logging

/// A memory from a plugin, used on its own: to look into what runs left, or to put something there for them.
public final class PluginMemory: Sendable {
  private let instance: MemoryInstance

  /// Loads the memory of that id.
  /// - Throws: `notFound`, `refused`, `option`, or `plugin` when it fails to begin.
  public init(
    _ id: String, options: [String: String] = [:], plugins: PluginHost,
    logger: Logger = Logger(label: "martlet.memory")
  ) throws(ScalingError) {
    let chosen = try plugins.choose(.memory, id, options: options)
    instance = try translated { () throws(HostFailure) in
      try MemoryInstance(chosen, logger: logger)
    }
  }

  /// Keeps a text under a key, each of at most 1 MiB.
  /// - Throws: `argument` for an empty key or too long a text, `plugin` for what the memory failed with.
  public func store(_ text: String, under key: String) throws(ScalingError) {
    guard !key.isEmpty else {
      throw ScalingError(.argument, "the key is empty; say what the note is about")
    }
    try checkLength(key)
    try checkLength(text)
    try translated { () throws(HostFailure) in try instance.store(text, under: key) }
  }

  /// At most `top` notes that suit a query, best first, equal ones in the order in which they were stored.
  /// - Parameter top: 1 to 4,096.
  /// - Throws: `argument` for another `top` or too long a query, `plugin` for what the memory failed with.
  public func recall(_ query: String, top: Int) throws(ScalingError) -> [RecalledNote] {
    guard (1...MemoryInstance.mostNotes).contains(top) else {
      throw ScalingError(
        .argument, "\(top) notes cannot be recalled; ask for 1 to \(MemoryInstance.mostNotes)")
    }
    try checkLength(query)
    return try translated { () throws(HostFailure) in try instance.recall(query, top: top) }
  }

  private func checkLength(_ text: String) throws(ScalingError) {
    guard text.utf8.count <= MemoryInstance.mostBytes else {
      throw ScalingError(
        .argument,
        "a text has \(text.utf8.count) bytes; \(MemoryInstance.mostBytes) are the most that a memory "
          + "is given")
    }
  }
}

private func translated<Value>(
  _ body: () throws(HostFailure) -> Value
) throws(ScalingError) -> Value {
  do throws(HostFailure) { return try body() } catch { throw ScalingError(.plugin, error.message) }
}

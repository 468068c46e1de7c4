/// One try within a branch that holds several: what was generated since a point in it.
public struct Attempt {
  /// The branch.
  public let branch: Branch
  /// Generated and appended tokens before the try.
  public let firstToken: Int
  private let firstByte: Int

  /// Begins a try where a branch is now.
  public init(in branch: Branch) throws(PluginError) {
    self.branch = branch
    firstToken = try branch.state().generatedTokens
    firstByte = try branch.text().utf8.count
  }

  /// A try that follows what `branch` holds: a child of it, reopened, with `bridge` appended.
  /// - Throws: `context` where there is no room for the bridge.
  public init(after branch: Branch, bridge: String) throws(PluginError) {
    let child = try branch.reopened()
    do throws(PluginError) {
      if !bridge.isEmpty { try child.append(bridge) }
    } catch {
      try? child.release()
      throw error
    }
    try self.init(in: child)
  }

  /// The tries that follow some, which are given up for them; those without room for the bridge have said what they
  /// could, and are left out.
  public static func following(
    _ attempts: [Attempt], bridge: String
  ) throws(PluginError) -> [Attempt] {
    var next: [Attempt] = []
    for attempt in attempts {
      do throws(PluginError) {
        next.append(try Attempt(after: attempt.branch, bridge: bridge))
      } catch  where error.code == .context {
        continue
      }
      try attempt.branch.release()
    }
    return next
  }

  /// The text of the try.
  public func text() throws(PluginError) -> String {
    String(decoding: Array(try branch.text().utf8.dropFirst(firstByte)), as: UTF8.self)
  }

  /// What the run's extractor finds in it; its trimmed text where the run has no extractor.
  public func answer(_ run: RunContext) throws(PluginError) -> String? {
    let text = try text()
    guard try run.capability("extractor") != 0 else {
      let trimmed = text.drop { $0.isWhitespace }
      let end = trimmed.lastIndex { !$0.isWhitespace }
      return end.map { String(trimmed[...$0]) }
    }
    return try run.extract(from: text)
  }

  /// Mean entropy of the model's distribution over its tokens, nats; 0 for none.
  public func meanEntropy() throws(PluginError) -> Double {
    let entropies = try branch.entropies().dropFirst(firstToken)
    return entropies.isEmpty
      ? 0 : entropies.reduce(0) { $0 + Double($1) } / Double(entropies.count)
  }

  /// Sum of the log-probabilities of its tokens, nats.
  public func logprob() throws(PluginError) -> Double {
    try branch.logprobs().dropFirst(firstToken).reduce(0) { $0 + Double($1) }
  }
}

extension RunContext {
  /// A text with the user's prompt in place of `{prompt}`, and other values in place of their names in
  /// braces.
  public func filled(
    _ template: String, _ values: [String: String] = [:]
  ) throws(PluginError) -> String {
    var text = template
    for (name, value) in values.sorted(by: { $0.key < $1.key }) {
      text.replace("{\(name)}", with: value)
    }
    if text.contains("{prompt}") { text.replace("{prompt}", with: try prompt()) }
    return text.replacingEscapes()
  }

  /// What ends a step of reasoning: the option `step`, with `\n` for a new line.
  public func stepDelimiter() throws(PluginError) -> String {
    try component.text("step").replacingEscapes()
  }
}

extension String {
  fileprivate func replacingEscapes() -> String { replacing("\\n", with: "\n") }

  fileprivate mutating func replace(_ part: String, with other: String) {
    self = replacing(part, with: other)
  }

  /// Without Foundation, and without the cost of patterns.
  fileprivate func replacing(_ part: String, with other: String) -> String {
    let (source, target) = (Array(utf8), Array(part.utf8))
    var result: [UInt8] = []
    var at = 0
    while at < source.count {
      if at + target.count <= source.count, source[at..<at + target.count].elementsEqual(target) {
        result += Array(other.utf8)
        at += target.count
      } else {
        result.append(source[at])
        at += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}

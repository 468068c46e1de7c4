import MartletPlugin

/// Adaptive parallel reasoning: the model itself says, in its text, where its work divides; the parts are worked on side by
/// side and what they found is joined to the text.
///
/// When a branch has written `spawn` … `separator` … `spawn_end`, each task in between becomes a child. A child begins with
/// all that its parent has read (`child=fork`, as in Multiverse: pages are shared) followed by `task`, or with the task
/// alone (`child=fresh`, as in APR: shorter contexts). What a child writes, up to `join` or to its end, is put into
/// `results`, which its parent reads before it goes on. Children may spawn children down to `depth`; a parent spawns at most
/// `spawns` times, and a spawn at most `most` children. All that can go on does so in the same passes.
///
/// Papers: Learning Adaptive Parallel Reasoning with Language Models (Pan et al., 2025); Multiverse: Your Language Models
/// Secretly Decide How to Parallelize and Merge Generation (Yang et al., 2025). Both train the model for it; Multiverse
/// besides lets the joined text attend to the children's own pages, where ours reads their text again.
struct SpawnJoin: Strategy {
  static let id = "spawn-join"

  private let spawn: String
  private let spawnEnd: String
  private let separator: String
  private let join: String
  private let task: String
  private let results: String
  private let isFresh: Bool
  private let depth: Int
  private let spawns: Int
  private let most: Int
  private let childTokens: Int

  init(_ run: RunContext) throws {
    let options = run.component
    spawn = try run.filled(try options.text("spawn"))
    spawnEnd = try run.filled(try options.text("spawn_end"))
    separator = try run.filled(try options.text("separator"))
    join = try run.filled(try options.text("join"))
    task = try options.text("task")
    results = try options.text("results")
    isFresh = try options.text("child") == "fresh"
    depth = try options.integer("depth")
    spawns = try options.integer("spawns")
    most = try options.integer("most")
    childTokens = try options.integer("child_tokens")
    for (name, text) in [("spawn", spawn), ("spawn_end", spawnEnd), ("separator", separator)]
    where text.isEmpty {
      throw PluginError(.argument, "\(name) is empty; give the text that the model writes")
    }
  }

  /// A thread of reasoning.
  private struct Worker {
    var attempt: Attempt
    let parent: Int?
    let depth: Int
    var spawned = 0
    /// Bytes of its text that were looked at for spawns.
    var read = 0
    /// Children it waits for.
    var waits: [Int] = []
    var isDone = false
  }

  func run(_ run: RunContext) throws {
    var workers = [
      Worker(attempt: try Attempt(in: run.root().fork(1)[0]), parent: nil, depth: 0)
    ]
    try run.untilRunEnds { () throws(PluginError) in
      while !workers[0].isDone {
        let going = workers.indices.filter { !workers[$0].isDone && workers[$0].waits.isEmpty }
        try run.advance(
          together: [false, true].map { isChild in
            let some = going.filter { (workers[$0].parent != nil) == isChild }
            return (some.map { workers[$0].attempt.branch }, advance(ofChild: isChild))
          })
        for index in going { try look(at: index, &workers, run) }
        for index in workers.indices { try resume(index, &workers, run) }
      }
    }
    try run.answer(try run.candidate(workers[0].attempt.branch))
    try run.component.trace(
      "workers",
      ["children": .integer(workers.count - 1), "depth": .integer(workers.map(\.depth).max()!)])
  }

  private func advance(ofChild isChild: Bool) -> Advance {
    guard isChild else { return Advance(delimiter: spawnEnd) }
    return Advance(
      maxTokens: childTokens == 0 ? nil : childTokens,
      delimiters: [spawnEnd, join].filter { !$0.isEmpty })
  }

  /// Makes the children that a worker asked for, or finds that it is done.
  private func look(
    at index: Int, _ workers: inout [Worker], _ run: RunContext
  ) throws(PluginError) {
    let branch = workers[index].attempt.branch
    let text = try workers[index].attempt.text()
    let new = String(decoding: Array(text.utf8.dropFirst(workers[index].read)), as: UTF8.self)
    workers[index].read = text.utf8.count
    let state = try branch.state()
    let asks = state.stop == .step && new.cut(at: spawnEnd) != nil
    let tasks = asks ? Array(self.tasks(in: new).prefix(most)) : []
    if tasks.isEmpty || workers[index].depth >= depth || workers[index].spawned >= spawns {
      // What is not granted is text like any other; a child is done where it has stopped for another reason.
      if state.isFinished || (workers[index].parent != nil && !asks) {
        workers[index].isDone = true
      }
      return
    }
    workers[index].spawned += 1
    for task in tasks {
      let instruction = try run.filled(self.task, ["task": task])
      // A task for which the context has no room is not begun.
      let child = try run.ifRoom { () throws(PluginError) in
        isFresh
          ? try Attempt(in: run.open(instruction, as: .chat))
          : try Attempt(after: branch, bridge: instruction)
      }
      guard let child else { continue }
      workers[index].waits.append(workers.count)
      workers.append(Worker(attempt: child, parent: index, depth: workers[index].depth + 1))
    }
  }

  /// The tasks of the last spawn in a text.
  private func tasks(in text: String) -> [String] {
    var rest = text
    while let (_, after) = rest.cut(at: spawn) { rest = after }
    guard rest.utf8.count < text.utf8.count, let inside = rest.cut(at: spawnEnd)?.before else {
      return []
    }
    return inside.parts(separatedBy: separator)
  }

  /// Gives a worker what its children found, once all of them are done.
  private func resume(
    _ index: Int, _ workers: inout [Worker], _ run: RunContext
  ) throws(PluginError) {
    let children = workers[index].waits
    if children.isEmpty { return }
    for child in children where !workers[child].isDone { return }
    var found: [String] = []
    for child in children {
      let text = try workers[child].attempt.text()
      found.append((join.isEmpty ? text : text.cut(at: join)?.before ?? text).trimmed)
      try workers[child].attempt.branch.release()
    }
    workers[index].waits = []
    let joined = try run.filled(
      results, ["results": found.joined(separator: separator)])
    let branch = workers[index].attempt.branch
    if try run.ifRoom({ () throws(PluginError) in try branch.append(joined) }) == nil {
      workers[index].isDone = true
    }
    workers[index].read = try workers[index].attempt.text().utf8.count
  }
}

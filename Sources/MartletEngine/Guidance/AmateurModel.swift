import MartletModel

/// A weaker model whose rows a run's choices are contrasted with; see ``Guidance``.
///
/// It reads the branches' own tokens into keys and values of its own, which branches that share a
/// beginning share too, and processes the new tokens of all branches in one pass. A row depends on
/// its branch's tokens alone. May serve several runs, and several engines on one thread team, one
/// after another.
public final class AmateurModel: Sendable, Equatable {
  /// For messages.
  public let name: String
  let contextLength: Int
  private let backend: any Backend
  private let storage: Storage

  /// What the driver thread works with.
  private final class Storage: @unchecked Sendable {
    // @unchecked: used by one engine's driver thread at a time, as the class says.
    var cache: DraftCache
    var logits: LogitsBuffer
    init(_ cache: DraftCache, _ logits: LogitsBuffer) {
      self.cache = cache
      self.logits = logits
    }
  }

  /// A weaker model over a backend that nobody else uses meanwhile.
  ///
  /// - Parameter byteLimit: the most bytes of its keys and values; a run that needs more fails with
  ///   ``EngineError/Code/memory``.
  public init(
    name: String, backend: any Backend, byteLimit: Int = 1 << 30
  ) throws(EngineError) {
    self.name = name
    self.backend = backend
    contextLength = backend.contextLength
    storage = Storage(
      DraftCache(backend: backend, byteLimit: byteLimit),
      try LogitsBuffer(rows: 1, vocabulary: backend.vocabularySize))
  }

  public static func == (a: AmateurModel, b: AmateurModel) -> Bool { a === b }

  /// Throws ``EngineError/Code/argument`` where its rows are not rows of the other's vocabulary.
  func check(for target: any Backend) throws(EngineError) {
    guard backend.vocabularySize == target.vocabularySize else {
      throw EngineError(
        .argument,
        "\(name) gives \(backend.vocabularySize) logits and \(target.name) "
          + "\(target.vocabularySize); a model that guides needs the same vocabulary")
    }
  }

  /// Tokens to have processed.
  struct Job {
    /// Stays the same while a sequence grows.
    let id: UInt64
    let tokens: [Token]
    /// The row of the engine's logits that takes those after the last token; nil where none are
    /// wanted.
    let row: Int?
  }

  /// Processes what is new in every job's tokens. On the driver thread.
  func process(_ jobs: [Job], into target: LogitsBuffer) throws(EngineError) {
    storage.cache.beginRound()
    var entries: [DraftCache.Entry] = []
    defer { for (job, entry) in zip(jobs, entries) { storage.cache.close(job.id, entry) } }
    for job in jobs {
      var entry = storage.cache.open(job.id, tokens: job.tokens)
      // The logits after the last token are needed, so it is processed again.
      if job.row != nil, entry.tokens.count == job.tokens.count { entry.tokens.removeLast() }
      guard try storage.cache.makeWritable(&entry, positions: job.tokens.count) else {
        storage.cache.drop(entry)
        throw EngineError(
          .memory,
          "no room for the keys and values of \(name), which guides; use fewer or shorter branches, "
            + "or raise the engine's limit on keys and values")
      }
      entries.append(entry)
    }
    var first = 0
    while first < jobs.count { try step(jobs, &entries, &first, target) }
  }

  /// One pass: as much of the jobs from `first` on as fits.
  private func step(
    _ jobs: [Job], _ entries: inout [DraftCache.Entry], _ first: inout Int,
    _ target: LogitsBuffer
  ) throws(EngineError) {
    var batch = ForwardBatch()
    var rows: [Int] = []
    var ends: [(index: Int, end: Int)] = []
    for index in first..<jobs.count {
      let tokens = jobs[index].tokens
      let start = entries[index].tokens.count
      let end = min(tokens.count, start + backend.maximumBatchTokens - batch.tokens.count)
      guard end > start else {
        if start == tokens.count { continue }
        break
      }
      let sequence = batch.add(sequence: entries[index].pages)
      for position in start..<end {
        let isLast = position == tokens.count - 1
        if isLast, let row = jobs[index].row { rows.append(row) }
        batch.tokens.append(
          BatchToken(
            token: tokens[position], position: position, sequence: sequence,
            wantsLogits: isLast && jobs[index].row != nil))
      }
      ends.append((index, end))
    }
    guard !batch.tokens.isEmpty else {
      first = jobs.count
      return
    }
    if storage.logits.rows < rows.count {
      storage.logits = try LogitsBuffer(
        rows: max(rows.count, 2 * storage.logits.rows), vocabulary: backend.vocabularySize)
    }
    try backend.forward(batch, logits: storage.logits)
    for (source, row) in rows.enumerated() {
      target.matrix.copyRow(row, from: storage.logits.matrix, row: source)
    }
    for (index, end) in ends {
      entries[index].tokens = Array(jobs[index].tokens[..<end])
      if end == jobs[index].tokens.count { first = index + 1 }
    }
  }
}

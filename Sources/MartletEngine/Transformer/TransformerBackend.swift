import MartletKernels
import MartletMachine
import MartletModel
import Synchronization

/// A transformer on this machine's CPUs as the engine sees it.
///
/// One `forward` takes tokens of many sequences, prefill and decoding mixed, and reads every weight
/// once for all of them. A row's result depends on its own sequence alone: the same bits alone or
/// in a crowd, with any number of threads, in any chunking of the prompt (in the numeric classes
/// that promise it).
///
/// `@unchecked Sendable`: `reservePages`, `copyPage` and `forward` belong to the engine's one
/// driver thread, as ``Backend`` says; everything else is immutable or behind a mutex.
public final class TransformerBackend: Backend, @unchecked Sendable {
  /// What can be chosen when a backend is made.
  public struct Options: Sendable {
    /// Element type of stored keys and values; nil for f16, or f32 where all weights are f32.
    public var kvType: KVType?
    /// The most tokens of one `forward`; scratch memory is proportional to it.
    public var maximumBatchTokens: Int
    /// Where pages of keys and values lie on a machine with several NUMA nodes.
    public var placement: MemoryPlacement?
    /// What generated tokens attend to.
    public var attention: AttentionMethod
    /// Where keys and values lie in place of memory of their own; nil for memory.
    public var file: KVFile?

    /// A file for keys and values, which may be more than memory holds.
    public struct KVFile: Sendable, Equatable {
      /// A folder, or a file that does not exist yet.
      public var path: String
      /// The most bytes of pages in it, reserved at once.
      public var byteCount: Int

      public init(path: String, byteCount: Int) {
        self.path = path
        self.byteCount = byteCount
      }
    }

    public init(
      kvType: KVType? = nil, maximumBatchTokens: Int = 512, placement: MemoryPlacement? = nil,
      attention: AttentionMethod = .exact
    ) {
      self.attention = attention
      self.kvType = kvType
      self.maximumBatchTokens = maximumBatchTokens
      self.placement = placement
    }
  }

  public let name: String
  public let vocabularySize: Int
  public let contextLength: Int
  public let maximumBatchTokens: Int
  public let tokenizer: any TokenCodec
  public var pageTokens: Int { KVSlab.pageTokens }
  public var bytesPerPage: Int {
    slab.bytesPerPage + (retrieval?.bytesPerPage ?? 0) + (eviction?.bytesPerPage ?? 0)
      + (pruning?.bytesPerPage ?? 0)
  }
  /// Bytes of hidden states that prompts which tokens leave have beside their pages now.
  package var heldStateBytes: Int { pruning?.heldBytes ?? 0 }
  /// Element type of stored keys and values.
  public var kvType: KVType { slab.type }
  /// The threads that compute.
  public let team: ThreadTeam

  let parts: TransformerParts
  let scratch: TransformerScratch
  let products: [LayerProducts]
  let slab: KVSlab
  /// What the slab lies in; nil for memory.
  let file: MemoryFile?
  let attention: AttentionBatch
  /// What generated tokens attend to.
  public let attentionMethod: AttentionMethod
  let retrieval: RetrievalMemory?
  let window: WindowAttention?
  let eviction: EvictionMemory?
  let pruning: PromptPruningMemory?
  /// For tokens that see other sequences; nil where tokens see less than everything before them.
  let teams: TeamAttention?
  /// Kept once somebody asked for it.
  var probe: AttentionProbe?
  /// The slab's layer that each of `parts.layers` stores in.
  let slabLayers: [Int]
  /// Kept once somebody asked for them.
  private(set) var hiddenStates: HiddenStates?
  private let times = Mutex(ForwardStatistics())

  /// A backend over weights in memory.
  /// - Throws: `EngineError` `.argument` when shapes or options are impossible, `.memory`.
  public init(
    parts: TransformerParts, team: ThreadTeam, options: Options = Options()
  ) throws(EngineError) {
    try parts.validate()
    guard (1...65_536).contains(options.maximumBatchTokens) else {
      throw EngineError(
        .argument,
        "a batch of at most \(options.maximumBatchTokens) tokens: choose between 1 and 65536")
    }
    let c = parts.configuration
    name = parts.name
    vocabularySize = parts.output.outputs
    contextLength = c.contextLength
    maximumBatchTokens = options.maximumBatchTokens
    tokenizer = parts.tokenizer
    self.team = team
    self.parts = parts
    try options.attention.validate()
    guard options.attention == .exact || c.slidingWindow == nil else {
      throw EngineError(
        .argument,
        "\(parts.name) attends to a window of \(c.slidingWindow ?? 0) positions as it is; "
          + "attention \(options.attention.name) is for models that see everything")
    }
    attentionMethod = options.attention
    let kvType = options.kvType ?? (parts.isAllFloat32 ? .f32 : .f16)
    file = try options.file.map { file throws(EngineError) in
      try Self.open(file, kvType, c)
    }
    do throws(KernelError) {
      slab = try KVSlab(
        type: kvType, layers: c.layers, kvHeads: c.kvHeads, headDimensions: c.headDimensions,
        byteLimit: file?.byteCount ?? physicalMemoryLimit(), placement: options.placement,
        backing: file)
      scratch = try TransformerScratch(parts, rows: options.maximumBatchTokens)
      if case .retrieve(let settings) = options.attention {
        retrieval = try RetrievalMemory(
          settings, slab: slab, queryHeads: c.queryHeads, scale: c.attentionScale, team: team,
          placement: options.placement)
      } else {
        retrieval = nil
      }
      if case .window(let recent, let sinks) = options.attention {
        window = WindowAttention(
          recent: recent, sinks: sinks, kvHeads: c.kvHeads, scale: c.attentionScale, team: team)
      } else {
        window = nil
      }
    } catch {
      throw Self.engineError(error, "\(parts.name) cannot be set up")
    }
    let pages = slab
    eviction = options.attention.eviction.map {
      EvictionMemory(
        $0, slab: pages, queryHeads: c.queryHeads, scale: c.attentionScale, team: team)
    }
    if case .pruned(let settings) = options.attention {
      guard c.layers > 1 else {
        throw EngineError(
          .argument,
          "attention \(options.attention.name): tokens leave between layers, and \(parts.name) has one"
        )
      }
      pruning = PromptPruningMemory(
        settings, layers: c.layers, width: c.width, slab: slab, scale: c.attentionScale, team: team)
    } else {
      pruning = nil
    }
    let scratch = scratch
    teams =
      options.attention == .exact && c.slidingWindow == nil
      ? TeamAttention(
        slab: slab, rope: scratch.rope, queryHeads: c.queryHeads, scale: c.attentionScale,
        team: team) : nil
    let activation: GateActivation = c.activation == .gelu ? .gelu : .silu
    products = parts.layers.map { LayerProducts($0, activation, scratch) }
    attention = AttentionBatch(slab: slab)
    slabLayers = Array(parts.layers.indices)
  }

  private static func open(
    _ file: Options.KVFile, _ type: KVType, _ c: TransformerConfiguration
  ) throws(EngineError) -> MemoryFile {
    let bytes = KVSlab.backingBytes(
      type: type, layers: c.layers, kvHeads: c.kvHeads, headDimensions: c.headDimensions,
      byteCount: file.byteCount)
    do throws(MachineError) {
      return try MemoryFile(path: file.path, byteCount: bytes ?? 0)
    } catch {
      throw EngineError(.file, error.message)
    }
  }

  /// A part of `whole`, in its memory; see ``part(layers:)``.
  init(_ whole: TransformerBackend, layers: [Int], output: (PackedWeights, [Token])?) {
    name = "\(whole.name), \(layers.count) of \(whole.parts.layers.count) layers"
    vocabularySize = output?.1.count ?? whole.vocabularySize
    contextLength = whole.contextLength
    maximumBatchTokens = whole.maximumBatchTokens
    tokenizer = whole.tokenizer
    team = whole.team
    var parts = whole.parts
    parts.layers = layers.map { whole.parts.layers[$0] }
    parts.configuration.layers = layers.count
    if let output { (parts.output, parts.outputTokens) = output }
    self.parts = parts
    scratch = whole.scratch
    slab = whole.slab
    file = whole.file
    attention = AttentionBatch(slab: whole.slab)
    products = layers.map { whole.products[$0] }
    slabLayers = layers.map { whole.slabLayers[$0] }
    // A draft attends to everything: what it writes is overwritten before anything searches it.
    attentionMethod = .exact
    retrieval = nil
    window = nil
    eviction = nil
    pruning = nil
    teams = nil
  }

  /// A backend over a loaded model, with the tokenizer of its file.
  /// - Throws: `EngineError` `.backend` when the file's tokenizer cannot be used, else as above.
  public convenience init(
    model: TransformerModel, team: ThreadTeam, options: Options = Options()
  ) throws(EngineError) {
    let tokenizer: Tokenizer
    do throws(ModelError) {
      tokenizer = try Tokenizer(metadata: model.metadata)
    } catch {
      throw EngineError(.backend, "\(model.configuration.name): \(error)")
    }
    try self.init(
      parts: TransformerParts(model: model, tokenizer: tokenizer), team: team, options: options)
  }

  /// Where the time went since the backend was made or `resetStatistics` was called.
  public var statistics: ForwardStatistics { times.withLock { $0 } }

  /// Has keys and values that lie in a file leave memory, so that they are read again from the device:
  /// for measuring. Nothing where they lie in memory. On the driver thread.
  public func leaveMemory() { file?.evict() }

  /// Starts the statistics afresh.
  public func resetStatistics() { times.withLock { $0 = ForwardStatistics() } }

  public func reservePages(_ count: Int) throws(EngineError) {
    do throws(KernelError) {
      try slab.reserve(count)
      try retrieval?.reserve(count)
      // A chunk of pages may be more than was asked for.
      eviction?.reserve(slab.pages)
      pruning?.reserve(slab.pages)
    } catch {
      throw Self.engineError(error, "\(count) pages of \(bytesPerPage) bytes cannot be had")
    }
  }

  public func copyPage(from source: PageID, to target: PageID, positions: Int) {
    slab.copy(from: Int(source), to: Int(target), positions: positions)
    retrieval?.copied(from: Int(source), to: Int(target), positions: positions)
    eviction?.copied(from: Int(source), to: Int(target), positions: positions)
    pruning?.copied(from: Int(source), to: Int(target), positions: positions)
    hiddenStates?.copyPage(from: source, to: target, positions: positions)
  }

  public var supportsTrees: Bool { true }
  /// Not where tokens see less than everything before them.
  public var supportsTeams: Bool { teams != nil }

  /// So that no page is searched that the pass writes.
  public var mostAppended: Int? { retrieval?.options.recent }
  public var mostExitLayers: Int { pruning?.cuts[0].layers ?? parts.layers.count - 1 }

  public func movePosition(
    from source: (page: PageID, slot: Int), to target: (page: PageID, slot: Int)
  ) {
    slab.move(from: (Int(source.page), source.slot), to: (Int(target.page), target.slot))
    retrieval?.moved(to: Int(target.page))
    eviction?.moved(from: (Int(source.page), source.slot), to: (Int(target.page), target.slot))
    hiddenStates?.move(from: source, to: target)
  }

  /// Not where other things lie beside pages that go with positions.
  public var supportsShifts: Bool {
    switch attentionMethod {
    case .exact, .window: true
    default: false
    }
  }

  public func shiftPosition(
    from source: (page: PageID, slot: Int), at position: Int,
    to target: (page: PageID, slot: Int), at newPosition: Int
  ) {
    let (heads, dimensions, rope) = (slab.kvHeads, slab.headDimensions, scratch.rope)
    rope.prepare([Int32(position), Int32(newPosition)])
    slab.turnBack(page: Int(target.page))
    var key = [Float](repeating: 0, count: dimensions)
    var (value, keys, values): ([Float], [Float], [Float]) = (key, [], [])
    for layer in slabLayers {
      keys.removeAll(keepingCapacity: true)
      values.removeAll(keepingCapacity: true)
      for head in 0..<heads {
        slab.read(
          page: Int(source.page), slot: source.slot, layer: layer, kvHead: head, key: &key,
          value: &value)
        rope.rotate(&key, from: position, to: newPosition)
        keys += key
        values += value
      }
      slab.write(
        page: Int(target.page), slot: target.slot, layer: layer, keys: keys, values: values)
    }
    hiddenStates?.move(from: source, to: target)
  }

  /// A prompt's tokens that leave have no state after all layers.
  public var hiddenWidth: Int? { pruning == nil ? parts.configuration.width : nil }

  public func keepHiddenStates(byteLimit: Int) {
    if hiddenStates == nil {
      hiddenStates = HiddenStates(width: parts.configuration.width, byteLimit: byteLimit)
    }
  }

  public func copyHiddenState(
    page: PageID, slot: Int, into target: FloatMatrix, row: Int
  ) -> Bool {
    hiddenStates?.copy(page, slot, into: target, row: row) ?? false
  }

  public func forward(_ batch: ForwardBatch, logits: LogitsBuffer) throws(EngineError) {
    try check(batch, logits)
    guard !batch.tokens.isEmpty else { return }
    var clock = PhaseClock(statistics)
    try run(batch, logits, &clock)
    clock.statistics.forwards += 1
    clock.statistics.tokens += batch.tokens.count
    clock.statistics.logitsRows += batch.logitsRows
    times.withLock { $0 = clock.statistics }
  }

  /// Throws for a batch that would write or read where it must not.
  private func check(_ batch: ForwardBatch, _ logits: LogitsBuffer) throws(EngineError) {
    guard batch.tokens.count <= maximumBatchTokens else {
      throw EngineError(
        .argument, "a batch of \(batch.tokens.count) tokens; at most \(maximumBatchTokens) fit")
    }
    guard logits.vocabulary == vocabularySize, logits.rows >= batch.logitsRows else {
      throw EngineError(
        .argument,
        "logits of \(logits.rows) × \(logits.vocabulary) for \(batch.logitsRows) rows of "
          + "\(vocabularySize)")
    }
    for token in batch.tokens {
      guard (0...mostExitLayers).contains(token.exitLayers) else {
        throw EngineError(
          .argument,
          "logits after \(token.exitLayers) layers of \(parts.layers.count); an early exit uses "
            + "fewer, and at least one")
      }
      guard token.token >= 0, Int(token.token) < knownTokens else {
        throw EngineError(
          .argument, "token \(token.token) is outside the vocabulary of \(knownTokens)")
      }
      guard token.position >= 0, token.position < contextLength else {
        throw EngineError(
          .context,
          "position \(token.position) is outside the context of \(contextLength) tokens")
      }
      guard batch.sequences.indices.contains(token.sequence),
        max(token.position - token.path.count, token.slot) / pageTokens
          < batch.sequences[token.sequence].count
      else {
        throw EngineError(
          .argument,
          "sequence \(token.sequence) has no page for position \(token.position)")
      }
      try checkView(of: token, in: batch)
      let slots = 0..<batch.sequences[token.sequence].count * pageTokens
      guard token.path.count <= token.position + 1, token.path.allSatisfy(slots.contains) else {
        throw EngineError(
          .argument,
          "the path \(token.path) of position \(token.position) leaves the pages of sequence "
            + "\(token.sequence)")
      }
    }
    for page in batch.sequences.joined() where page < 0 || Int(page) >= slab.pages {
      throw EngineError(.argument, "page \(page) was not reserved (\(slab.pages) are)")
    }
  }

  static func engineError(_ error: KernelError, _ what: String) -> EngineError {
    switch error.code {
    case .memory: EngineError(.memory, "\(what): \(error.message)")
    case .argument: EngineError(.argument, "\(what): \(error.message)")
    case .unsupported: EngineError(.backend, "\(what): \(error.message)")
    }
  }
}

import MartletModel

/// A drafter that is a language model: smaller than the one it guesses for, or a part of it.
///
/// Level by level, it processes the best guesses so far of all sequences in one pass and takes the
/// next ones from their logits: first the token that the run would draw from them with the random
/// number it will use at that place, then the likeliest others. It goes on as long as the tokens that
/// a level may gain are worth more time than the level takes. Sources: "Fast Inference from
/// Transformers via Speculative Decoding"; "EAGLE-2" (best first by confidence); "SEED" (one round
/// for many trees). Drawing guesses with the target's own random number is ours.
public final class ModelDrafter: Drafter, @unchecked Sendable {
  // @unchecked: `propose` belongs to the driver thread, as `Drafter` says; `lock`-free by that.
  public let name: String
  public let usesTargetPages: Bool

  private let backend: any Backend
  /// The token that each of the backend's logits is for; nil where they are in order.
  private let vocabulary: [Token]?
  /// Tokens that the backend takes.
  private let knownTokens: Int
  /// For a head that continues the features of the model guessed for: what feeds it.
  private let feed: EagleFeed?
  private var cache: DraftCache
  private var logits: LogitsBuffer
  private var sampler = DraftSampler()
  private var scratch = GuessScratch()
  private var cost = RowCost()
  private var secondsOfPass = 0.0

  /// The most sequences' guesses that one level processes, and levels.
  private static let mostRowsPerSequence = 4
  /// Guesses taken from one row of logits.
  private static let width = 3
  private static let leastReach: Float = 0.04
  private static let warmUpTokens = 64

  /// A drafter over a backend of its own.
  ///
  /// - Parameters:
  ///   - backend: supports trees; nobody else may use it meanwhile.
  ///   - sharesPages: the backend computes over the pages of the model that is guessed for. One that
  ///     gives logits for fewer tokens than it takes (``TransformerBackend/outputTokens``) guesses
  ///     those.
  ///   - byteLimit: the most bytes of its own keys and values.
  public init(
    name: String, backend: any Backend, sharesPages: Bool = false, byteLimit: Int = 1 << 30
  ) throws(EngineError) {
    guard backend.supportsTrees else {
      throw EngineError(
        .argument, "\(backend.name) cannot process trees of tokens, so it cannot draft")
    }
    self.name = name
    self.backend = backend
    let transformer = backend as? TransformerBackend
    vocabulary = transformer?.outputTokens
    knownTokens = transformer?.knownTokens ?? backend.vocabularySize
    feed = nil
    usesTargetPages = sharesPages
    cache = DraftCache(backend: backend, byteLimit: byteLimit)
    logits = try LogitsBuffer(rows: 1, vocabulary: backend.vocabularySize)
  }

  /// A drafter that runs an EAGLE head for the model of `target`, which keeps its hidden states
  /// (``Engine/keepHiddenStates(byteLimit:)``).
  ///
  /// Rows of the head over true features are kept from round to round; rows over features that it made
  /// itself are computed again when their tokens were drawn, as the paper does.
  public init(
    name: String, eagle: EagleForward, target: any Backend, byteLimit: Int = 1 << 30
  ) throws(EngineError) {
    self.name = name
    backend = eagle.backend
    vocabulary = nil
    knownTokens = eagle.backend.vocabularySize
    feed = try EagleFeed(name, eagle, target)
    usesTargetPages = false
    cache = DraftCache(backend: backend, byteLimit: byteLimit)
    logits = try LogitsBuffer(rows: 1, vocabulary: backend.vocabularySize)
  }

  public var readsHiddenStates: Bool { feed != nil }

  public func check(for target: any Backend) throws(EngineError) {
    if let feed {
      try feed.check(for: target)
    } else if usesTargetPages {
      guard let part = backend as? TransformerBackend, let whole = target as? TransformerBackend,
        part.sharesPages(with: whole)
      else {
        throw EngineError(
          .argument,
          "the drafter \(name) works in pages of another model than \(target.name); make it of the "
            + "engine's own backend")
      }
    }
  }

  public func propose(
    _ sequences: [DraftSequence], economy: DraftEconomy
  ) throws(EngineError) -> DraftRound {
    var round = DraftRound(proposals: Array(repeating: DraftProposal(), count: sequences.count))
    cache.beginRound()
    var seats: [Seat] = []
    for (index, sequence) in sequences.enumerated() {
      let room = backend.contextLength - sequence.tokens.count
      guard sequence.depth > 0, sequence.nodes > 0, room > 0 else { continue }
      if let seat = try seat(index, sequence, room: room) { seats.append(seat) }
    }
    defer { for seat in seats { put(back: seat, sequences[seat.index]) } }
    let behind = seats.reduce(0) { $0 + $1.behind }
    round.isWarmUp = behind > seats.count * 16 + Self.warmUpTokens
    round.processedTokens = behind
    try catchUp(&seats, sequences, economy)

    while try deepen(&seats, sequences, economy, &round.processedTokens) {}
    for seat in seats { round.proposals[seat.index] = seat.proposal }
    return round
  }

  // MARK: One sequence in a round

  private struct Seat {
    /// Of the sequence.
    let index: Int
    /// What the backend processes: the sequence, or for a head the tokens that follow features.
    let tokens: [Token]
    /// Keys and values: positions of `entry.tokens` are stored, slots behind them are the round's.
    var entry: DraftCache.Entry
    /// The most guesses that can be processed, by slots; and in a row.
    let slots: Int
    let depth: Int
    /// Tokens to process before the first guess.
    var behind: Int
    var proposal = DraftProposal()
    /// By guess: how probable its whole path is, how long that is, and where it is stored once it is.
    var reach: [Float] = []
    var depths: [Int] = []
    var paths: [[Int]?] = []
    /// Slots used by guesses.
    var used = 0
    /// Guesses not processed.
    var open: [Int] = []
    /// The guesses stored one after another at their own positions: what the next round need not
    /// process again if they come true.
    var chain: [Token] = []

    /// Where a guess that was processed is stored; -1 for the last of `tokens`.
    func slot(of guess: Int) -> Int {
      guess < 0
        ? entry.tokens.count - 1 : paths[guess]?.last ?? entry.tokens.count + depths[guess] - 1
    }
  }

  private func seat(
    _ index: Int, _ sequence: DraftSequence, room: Int
  ) throws(EngineError) -> Seat? {
    let tokens = feed == nil ? sequence.tokens : Array(sequence.tokens.dropFirst())
    let count = tokens.count
    guard count > 0 else { return nil }
    let slots = min(sequence.nodes, room)
    var entry: DraftCache.Entry
    if usesTargetPages {
      entry = .init(tokens: Array(tokens.dropLast()), pages: sequence.pages, lastUsed: 0)
    } else {
      entry = cache.open(sequence.id, tokens: tokens)
      // A token that the drafter has not, of a vocabulary with more at its end.
      guard
        tokens[entry.tokens.count...].allSatisfy({ Int($0) < knownTokens })
      else {
        cache.close(sequence.id, entry)
        return nil
      }
      // The logits after the last token are needed, so it is processed again.
      if entry.tokens.count == count { entry.tokens.removeLast() }
      let isFed = feed?.canFeed(sequence.pages, entry.tokens.count..<count) ?? true
      guard isFed, try cache.makeWritable(&entry, positions: count + slots) else {
        cache.drop(entry)
        return nil
      }
    }
    return Seat(
      index: index, tokens: tokens, entry: entry, slots: slots, depth: min(sequence.depth, slots),
      behind: count - entry.tokens.count)
  }

  private func put(back seat: Seat, _ sequence: DraftSequence) {
    guard !usesTargetPages else { return }
    var entry = seat.entry
    // What a head made of its own features is not what it makes of true ones.
    if feed == nil { entry.tokens += seat.chain }
    cache.close(sequence.id, entry)
  }

  // MARK: Passes

  /// Processes what the sequences' tokens have beyond what is stored, and guesses after the last.
  private func catchUp(
    _ seats: inout [Seat], _ sequences: [DraftSequence], _ economy: DraftEconomy
  ) throws(EngineError) {
    var pending = Array(seats.indices)
    while !pending.isEmpty {
      var batch = ForwardBatch()
      var finished: [Int] = []
      for index in pending {
        let room = backend.maximumBatchTokens - batch.tokens.count
        guard room > 0 else { break }
        let tokens = seats[index].tokens
        let first = seats[index].entry.tokens.count
        let end = min(tokens.count, first + room)
        let sequence = batch.add(sequence: seats[index].entry.pages)
        for position in first..<end {
          feed?.add(.target, sequences[seats[index].index].pages, slot: position)
          batch.tokens.append(
            BatchToken(
              token: tokens[position], position: position, sequence: sequence,
              wantsLogits: position == tokens.count - 1))
        }
        seats[index].entry.tokens += tokens[first..<end]
        if end == tokens.count { finished.append(index) }
      }
      try forward(batch, learns: batch.tokens.count <= 2 * seats.count + 16)
      for (row, index) in finished.enumerated() {
        take(row: row, after: -1, &seats[index], sequences[seats[index].index], economy)
      }
      pending.removeAll(where: finished.contains)
    }
  }

  /// Processes the best guesses so far and takes the next ones. False when that does not pay.
  private func deepen(
    _ seats: inout [Seat], _ sequences: [DraftSequence], _ economy: DraftEconomy,
    _ processed: inout Int
  ) throws(EngineError) -> Bool {
    // Of each sequence the guesses that are likeliest to be reached.
    var chosen: [(seat: Int, guess: Int, reach: Float)] = []
    for index in seats.indices {
      let seat = seats[index]
      let best = seat.open.filter {
        seat.depths[$0] < seat.depth && seat.reach[$0] >= Self.leastReach
      }
      .sorted { (seat.reach[$1], $0) < (seat.reach[$0], $1) }
      .prefix(min(Self.mostRowsPerSequence, seat.slots - seat.used))
      let most = best.first.map { seat.reach[$0] } ?? 0
      chosen += best.filter { seat.reach[$0] >= 0.4 * most }.map { (index, $0, seat.reach[$0]) }
    }
    chosen.sort { ($1.reach, $0.seat, $0.guess) < ($0.reach, $1.seat, $1.guess) }
    chosen.removeLast(max(0, chosen.count - backend.maximumBatchTokens))
    // As many of them as are worth their rows, if any are worth a pass.
    let hope = Double(economy.probability(rank: 0, probability: 0.6))
    var gain = 0.0
    var best = (surplus: 0.0, rows: 0)
    for (row, choice) in chosen.enumerated() {
      gain += Double(choice.reach) * hope * economy.secondsPerToken
      let surplus = gain - secondsOfPass * cost(row + 1)
      if surplus > best.surplus { best = (surplus, row + 1) }
    }
    guard best.rows > 0 else { return false }
    chosen.removeLast(chosen.count - best.rows)
    chosen.sort { ($0.seat, $0.guess) < ($1.seat, $1.guess) }

    var batch = ForwardBatch()
    var last = -1
    for (index, guess, _) in chosen {
      if index != last {
        _ = batch.add(sequence: seats[index].entry.pages)
        last = index
      }
      place(guess, &seats[index])
      let base = seats[index].entry.tokens.count
      if let feed {
        let parent = seats[index].proposal.guesses[guess].parent
        feed.add(.made, seats[index].entry.pages, slot: seats[index].slot(of: parent))
      }
      batch.tokens.append(
        BatchToken(
          token: seats[index].proposal.guesses[guess].token,
          position: base + seats[index].depths[guess] - 1, sequence: batch.sequences.count - 1,
          wantsLogits: true, path: seats[index].paths[guess] ?? []))
    }
    processed += chosen.count
    try forward(batch, learns: true)
    for (row, (index, guess, _)) in chosen.enumerated() {
      take(row: row, after: guess, &seats[index], sequences[seats[index].index], economy)
    }
    return true
  }

  /// Gives a guess that is about to be processed its slot.
  private func place(_ guess: Int, _ seat: inout Seat) {
    let base = seat.entry.tokens.count
    let slot = base + seat.used
    let parent = seat.proposal.guesses[guess].parent
    let above = parent < 0 ? [] : seat.paths[parent] ?? []
    let isStraight = above.isEmpty && slot == base + seat.depths[guess] - 1
    seat.paths[guess] = isStraight ? [] : above + [slot]
    if isStraight { seat.chain.append(seat.proposal.guesses[guess].token) }
    seat.used += 1
    seat.open.removeAll { $0 == guess }
  }

  private func forward(_ batch: ForwardBatch, learns: Bool) throws(EngineError) {
    let rows = batch.logitsRows
    if logits.rows < rows {
      logits = try LogitsBuffer(
        rows: max(rows, logits.rows * 2), vocabulary: backend.vocabularySize)
    }
    let begin = monotonicNanoseconds()
    if let feed {
      try feed.forward(batch, logits: logits)
    } else {
      try backend.forward(batch, logits: logits)
    }
    guard learns else { return }
    let took = Double(monotonicNanoseconds() - begin) * 1e-9
    cost.learn(rows: batch.tokens.count, seconds: took)
    let one = took / cost(batch.tokens.count)
    secondsOfPass = secondsOfPass == 0 ? one : 0.9 * secondsOfPass + 0.1 * one
  }

  // MARK: Guesses

  /// Takes the guesses after a processed one, or after the sequence (-1), from their row.
  private func take(
    row: Int, after guess: Int, _ seat: inout Seat, _ sequence: DraftSequence,
    _ economy: DraftEconomy
  ) {
    let path = seat.proposal.path(to: guess)
    if sequence.verifier.draws > 0, vocabulary == nil {
      return takeDraws(row: row, after: guess, path, &seat, sequence, economy)
    }
    let choices = logits.withRow(row) { (row: Span<Float>) in
      // Rules that name tokens name those of the model that is guessed for, and rows of fewer tokens
      // are in the order of their ids, by which the draw goes.
      let canDraw = vocabulary == nil || !sequence.drawNamesTokens
      let drawn = canDraw ? sequence.draw(row, after: path, with: &sampler) : nil
      return scratch.choices(row, drawn: drawn, count: Self.width)
    }
    let above = guess < 0 ? 1 : seat.reach[guess]
    let depth = guess < 0 ? 1 : seat.depths[guess] + 1
    for (rank, choice) in choices.enumerated() {
      let reach =
        above * min(0.995, economy.probability(rank: rank, probability: choice.probability))
      guard reach >= Self.leastReach / 2 else { continue }
      let index = seat.proposal.append(
        .init(
          token: vocabulary?[Int(choice.token)] ?? choice.token, parent: guess, rank: rank,
          probability: choice.probability))
      seat.reach.append(reach)
      seat.depths.append(depth)
      seat.paths.append(nil)
      seat.open.append(index)
    }
  }

  /// The same for a run that tests guesses by the law they were drawn from: all that are drawn are
  /// guesses, or none are drawn, whatever they would be.
  private func takeDraws(
    row: Int, after guess: Int, _ path: [Token], _ seat: inout Seat, _ sequence: DraftSequence,
    _ economy: DraftEconomy
  ) {
    let above = guess < 0 ? 1 : seat.reach[guess]
    guard above * economy.acceptance >= Self.leastReach / 2,
      let law = logits.withRow(row, { sequence.law($0, after: path, with: &sampler) })
    else { return }
    let depth = guess < 0 ? 1 : seat.depths[guess] + 1
    var seen: Set<Token> = []
    for token in law.tokens where seen.insert(token).inserted {
      let times = law.tokens.reduce(0) { $0 + ($1 == token ? 1 : 0) }
      let index = seat.proposal.append(
        .init(token: token, parent: guess, rank: 0, probability: law.probabilities[Int(token)]))
      seat.reach.append(above * economy.acceptance * Float(times) / Float(law.tokens.count))
      seat.depths.append(depth)
      seat.paths.append(nil)
      seat.open.append(index)
    }
    seat.proposal.setLaw(law, after: guess)
  }
}

import MartletKernels

/// Passes in which prompts lose tokens between layers. See ``AttentionMethod/PromptPruning``.
extension TransformerBackend {
  /// What each row of a pass that goes on attends to in a stage.
  private struct Choice {
    /// Positions of its prompt's full pages, ascending; nil for those that the prompt's last token chose.
    var positions: [Int]?
  }

  /// All layers of a pass some of whose rows belong to prompts that tokens leave.
  func run(
    _ batch: ForwardBatch, _ plan: PromptPruningMemory.Plan, _ pruning: PromptPruningMemory,
    _ exits: inout ExitRows?, _ clock: inout PhaseClock
  ) throws(EngineError) {
    for row in plan.waiting where batch.tokens[row].wantsLogits && !plan.completing.contains(row) {
      throw EngineError(
        .argument,
        "logits after position \(batch.tokens[row].position) of a prompt: one that tokens leave gives "
          + "them after its last token alone")
    }
    do throws(KernelError) {
      let residual = scratch.residual
      let positions = batch.tokens.map { Int32($0.position) }
      for index in 0..<pruning.cuts[0].layers {
        attend(index, positions, &clock)
        // Queries are overwritten by the next layer.
        if index + 1 < pruning.cuts[0].layers { finish(index, positions.count, &exits, &clock) }
      }
      let firsts = firstChoices(batch, plan, pruning)
      finish(pruning.cuts[0].layers - 1, positions.count, &exits, &clock)

      try pruning.keep(plan.waiting, of: batch, from: residual)
      let held = try FloatMatrix(rows: batch.tokens.count, columns: residual.columns)
      for row in plan.staying { held.copyRow(row, from: residual, row: row) }
      var prompts = plan.prompts
      for row in plan.completing {
        let sequence = batch.tokens[row].sequence
        let prompt = try pruning.complete(sequence, batch)
        try complete(
          prompt, chosen: firsts.prompts[row]!, table: batch.sequences[sequence], pruning,
          last: (held, row), &clock)
        prompts[sequence] = prompt
      }
      try goOn(batch, plan.staying, prompts, firsts.rows, held, pruning, &clock)
      for row in batch.tokens.indices { residual.copyRow(row, from: held, row: row) }
    } catch {
      throw Self.engineError(error, "\(name): a prompt cannot be pruned")
    }
  }

  private func finish(
    _ index: Int, _ rows: Int, _ exits: inout ExitRows?, _ clock: inout PhaseClock
  ) {
    feedForward(index, rows, &clock)
    exits?.keep(from: scratch.residual, layers: index + 1)
  }

  // MARK: Choosing

  /// What goes on after the first layers: of prompts that come to their end, and for rows that choose.
  private func firstChoices(
    _ batch: ForwardBatch, _ plan: PromptPruningMemory.Plan, _ pruning: PromptPruningMemory
  ) -> (prompts: [Int: [Int]], rows: [Int: Choice]) {
    let choosing = plan.staying.filter { chooses($0, batch, plan, pruning) }
    let rows = plan.completing + choosing
    let bodies = rows.map {
      PrunedPrompt.body(of: batch.promptTokens(of: batch.tokens[$0].sequence))
    }
    let scores = pruning.scores(
      zip(rows, bodies).map { (row: $0, path: nil, count: $1) }, attention, scratch.queries)
    var prompts: [Int: [Int]] = [:]
    var choices: [Int: Choice] = [:]
    for (index, row) in rows.enumerated() {
      let count = AttentionMethod.PromptPruning.kept(pruning.cuts[0].share, of: bodies[index])
      let chosen = pruning.options.choose(count, by: scores[index])
      if index < plan.completing.count {
        prompts[row] = chosen
      } else {
        choices[row] = Choice(positions: chosen)
      }
    }
    return (prompts, choices)
  }

  /// Whether a row chooses for itself: generated tokens, where tokens can come back.
  private func chooses(
    _ row: Int, _ batch: ForwardBatch, _ plan: PromptPruningMemory.Plan,
    _ pruning: PromptPruningMemory
  ) -> Bool {
    let token = batch.tokens[row]
    guard pruning.options.scheme == .lazy,
      token.position >= batch.promptTokens(of: token.sequence)
    else { return false }
    return plan.prompts[token.sequence] != nil
      || plan.completing.contains { batch.tokens[$0].sequence == token.sequence }
  }

  // MARK: Prompts

  private func layers(of stage: Int, _ pruning: PromptPruningMemory) -> Range<Int> {
    let end = stage + 1 < pruning.cuts.count ? pruning.cuts[stage + 1].layers : parts.layers.count
    return pruning.cuts[stage].layers..<end
  }

  /// Takes a prompt through all stages, with what goes on in each, and hands on the last token's state.
  private func complete(
    _ prompt: PrunedPrompt, chosen: [Int], table: [PageID], _ pruning: PromptPruningMemory,
    last: (matrix: FloatMatrix, row: Int), _ clock: inout PhaseClock
  ) throws(KernelError) {
    var kept = chosen
    for stage in pruning.cuts.indices {
      prompt.stages.append(.init(kept: kept, of: prompt.body))
      let scores = try compute(
        kept + Array(prompt.body..<prompt.count), of: prompt, stage, table: table, pruning,
        last: last, &clock)
      guard stage + 1 < pruning.cuts.count else { break }
      let count = AttentionMethod.PromptPruning.kept(
        pruning.cuts[stage + 1].share, of: prompt.body)
      kept = pruning.options.choose(count, by: scores).map { kept[$0] }
    }
    if pruning.options.scheme == .slim { prompt.states = [] }
  }

  /// Runs a stage's layers for positions of a prompt, ascending. With `last` they end with the prompt's
  /// last token, whose state after all layers goes there; gives what it gave to those that were kept.
  @discardableResult
  private func compute(
    _ positions: [Int], of prompt: PrunedPrompt, _ stage: Int, table: [PageID],
    _ pruning: PromptPruningMemory, last: (matrix: FloatMatrix, row: Int)?,
    _ clock: inout PhaseClock
  ) throws(KernelError) -> [Float] {
    let layers = layers(of: stage, pruning)
    let isLastStage = stage + 1 == pruning.cuts.count
    if !isLastStage, prompt.states.count == stage + 1 {
      prompt.states.append(PositionStates(count: prompt.count))
    }
    let kept = prompt.stages[stage].kept
    var scores: [Float] = []
    for first in stride(from: 0, to: positions.count, by: maximumBatchTokens) {
      let chunk = Array(positions[first..<min(positions.count, first + maximumBatchTokens)])
      for (row, position) in chunk.enumerated() {
        prompt.states[stage].load(position, into: scratch.residual, row: row)
      }
      pruning.listed = []
      attention.begin(
        tables: [table, shortened(table, prompt, stage)],
        rows: chunk.map { place(of: $0, in: prompt, stage) },
        queryHeads: parts.configuration.queryHeads, threads: team.width)
      for index in layers {
        attend(index, chunk.map { Int32($0) }, &clock)
        if index + 1 == layers.upperBound, !isLastStage, chunk.last == prompt.count - 1 {
          scores =
            pruning.scores(
              [(row: chunk.count - 1, path: nil, count: kept.count)], attention, scratch.queries)[0]
        }
        feedForward(index, chunk.count, &clock)
      }
      for (row, position) in chunk.enumerated() {
        if !isLastStage {
          try prompt.states[stage + 1].store(position, from: scratch.residual, row: row)
        }
        if position < prompt.body { prompt.stages[stage].computed[position] = true }
      }
      if isLastStage, let last, chunk.last == prompt.count - 1 {
        last.matrix.copyRow(last.row, from: scratch.residual, row: chunk.count - 1)
      }
    }
    return scores
  }

  /// The pages that a stage fills, and those behind the full ones.
  private func shortened(_ table: [PageID], _ prompt: PrunedPrompt, _ stage: Int) -> [PageID] {
    let size = pageTokens
    return Array(table.prefix(prompt.stages[stage].kept.count / size))
      + table.dropFirst(prompt.body / size)
  }

  /// Where a token of a prompt is in a stage, and what it sees: those that were kept before it, and itself.
  private func place(of position: Int, in prompt: PrunedPrompt, _ stage: Int) -> AttentionRow {
    let (kept, slots) = (prompt.stages[stage].kept, prompt.stages[stage].slots)
    if position >= prompt.body {
      return AttentionRow(sequence: 1, position: kept.count + position - prompt.body)
    }
    let slot = Int(slots[position])
    if slot < kept.count { return AttentionRow(sequence: 1, position: slot) }
    // It comes back: slots count those that were kept and those that were not.
    let before = kept.partitioningIndex { $0 >= position }
    return AttentionRow(sequence: 0, position: before, path: [slot])
  }

  // MARK: Rows that go on

  /// Takes the rows of a pass that do not wait through all stages.
  private func goOn(
    _ batch: ForwardBatch, _ rows: [Int], _ prompts: [Int: PrunedPrompt],
    _ first: [Int: Choice], _ held: FloatMatrix, _ pruning: PromptPruningMemory,
    _ clock: inout PhaseClock
  ) throws(KernelError) {
    guard !rows.isEmpty else { return }
    var choices = first
    let positions = rows.map { Int32(batch.tokens[$0].position) }
    for stage in pruning.cuts.indices {
      try bringBack(batch, rows, prompts, choices, stage, pruning, &clock)
      for (index, row) in rows.enumerated() {
        scratch.residual.copyRow(index, from: held, row: row)
      }
      beginStage(batch, rows, prompts, choices, stage, pruning)
      let layers = layers(of: stage, pruning)
      for index in layers {
        attend(index, positions, &clock)
        if index + 1 == layers.upperBound, stage + 1 < pruning.cuts.count {
          choose(batch, rows, prompts, &choices, stage, pruning)
        }
        feedForward(index, rows.count, &clock)
      }
      for (index, row) in rows.enumerated() {
        held.copyRow(row, from: scratch.residual, row: index)
      }
    }
  }

  /// Computes what rows have chosen and a stage has not got.
  private func bringBack(
    _ batch: ForwardBatch, _ rows: [Int], _ prompts: [Int: PrunedPrompt], _ choices: [Int: Choice],
    _ stage: Int, _ pruning: PromptPruningMemory, _ clock: inout PhaseClock
  ) throws(KernelError) {
    for row in rows {
      let sequence = batch.tokens[row].sequence
      guard let positions = choices[row]?.positions, let prompt = prompts[sequence] else {
        continue
      }
      let missing = positions.filter { !prompt.stages[stage].computed[$0] }
      guard !missing.isEmpty else { continue }
      try compute(
        missing, of: prompt, stage, table: batch.sequences[sequence], pruning, last: nil, &clock)
    }
  }

  /// Who attends to what in a stage.
  private func beginStage(
    _ batch: ForwardBatch, _ rows: [Int], _ prompts: [Int: PrunedPrompt], _ choices: [Int: Choice],
    _ stage: Int, _ pruning: PromptPruningMemory
  ) {
    let sequences = batch.sequences.indices.map { sequence in
      prompts[sequence].map { shortened(batch.sequences[sequence], $0, stage) }
        ?? batch.sequences[sequence]
    }
    pruning.listed = []
    var planned: [Int] = []
    let places = rows.enumerated().map { index, row in
      let token = batch.tokens[row]
      guard let prompt = prompts[token.sequence] else {
        planned.append(index)
        return AttentionRow(sequence: token.sequence, position: token.position, path: token.path)
      }
      let kept = prompt.stages[stage].kept
      if let positions = choices[row]?.positions, positions != kept {
        pruning.listed.append((index, seen(token, positions, prompt, stage)))
        return AttentionRow(
          sequence: token.sequence + sequences.count, position: token.position, path: token.path)
      }
      planned.append(index)
      let shift = kept.count - prompt.body
      return AttentionRow(
        sequence: token.sequence, position: token.position + shift,
        path: token.path.map { $0 + shift })
    }
    attention.begin(
      tables: sequences + batch.sequences, rows: places,
      queryHeads: parts.configuration.queryHeads, threads: team.width,
      planned: pruning.listed.isEmpty ? nil : planned)
  }

  /// The slots of what a token sees: what it chose, and all behind the prompt's full pages.
  private func seen(
    _ token: BatchToken, _ positions: [Int], _ prompt: PrunedPrompt, _ stage: Int
  ) -> [UInt32] {
    let slots = prompt.stages[stage].slots
    let own = (UInt32(prompt.body)...UInt32(token.position)).map { $0 }
    return positions.map { slots[$0] } + own.along(token.path, end: token.position + 1)
  }

  /// What rows that choose take along from a stage to the next, by its last layer.
  private func choose(
    _ batch: ForwardBatch, _ rows: [Int], _ prompts: [Int: PrunedPrompt],
    _ choices: inout [Int: Choice], _ stage: Int, _ pruning: PromptPruningMemory
  ) {
    let choosing = rows.indices.filter { choices[rows[$0]]?.positions != nil }
    let alive = choosing.map { choices[rows[$0]]!.positions! }
    let paths = Dictionary(uniqueKeysWithValues: pruning.listed.map { ($0.row, $0.path) })
    let scores = pruning.scores(
      zip(choosing, alive).map { (row: $0, path: paths[$0], count: $1.count) }, attention,
      scratch.queries)
    for (index, place) in choosing.enumerated() {
      let row = rows[place]
      guard let prompt = prompts[batch.tokens[row].sequence] else { continue }
      let count = AttentionMethod.PromptPruning.kept(
        pruning.cuts[stage + 1].share, of: prompt.body)
      let chosen = pruning.options.choose(count, by: scores[index])
      choices[row]!.positions = chosen.map { alive[index][$0] }
    }
  }
}

extension [Int] {
  /// The first place from which on all satisfy a condition; where it holds it holds for all after.
  fileprivate func partitioningIndex(where holds: (Int) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

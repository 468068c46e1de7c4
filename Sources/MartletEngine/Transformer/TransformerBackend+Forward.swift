import MartletKernels
import MartletMachine
import MartletModel

/// The forward pass. Every loop splits rows, columns or heads among the team, never a reduction.
extension TransformerBackend {
  func run(
    _ batch: ForwardBatch, _ logits: LogitsBuffer, _ clock: inout PhaseClock
  ) throws(EngineError) {
    let rows = batch.tokens.count
    let positions = batch.tokens.map { Int32($0.position) }
    try embed(batch, positions)
    clock.mark(.embedding)
    var exits = try exitRows(batch)
    if let pruning, let plan = pruning.plan(batch) {
      try run(batch, plan, pruning, &exits, &clock)
    } else {
      for index in parts.layers.indices {
        attend(index, positions, &clock)
        feedForward(index, rows, &clock)
        exits?.keep(from: scratch.residual, layers: index + 1)
      }
    }
    try output(batch, logits, exits)
    clock.mark(.output)
  }

  /// Hidden states, rotation tables and page tables of the batch.
  private func embed(_ batch: ForwardBatch, _ positions: [Int32]) throws(EngineError) {
    let rows = batch.tokens.count
    do throws(ModelError) {
      try parts.embedding.gather(batch.tokens.map(\.token), into: scratch.residual, rows: 0..<rows)
    } catch {
      throw EngineError(.backend, "\(name): \(error)")
    }
    do throws(KernelError) {
      try teams?.begin(batch)
    } catch {
      throw Self.engineError(error, "\(name): tokens that see other sequences")
    }
    let rope = scratch.rope
    let missing = rope.missing(positions + (teams?.positions ?? []))
    forEachRow(missing.count, work: parts.configuration.rope.rotaryDimensions * 64) { range in
      rope.compute(missing[range])
    }
    rope.markComputed(missing)
    try beginAttention(batch)
  }

  /// Who attends to what in this batch.
  private func beginAttention(_ batch: ForwardBatch) throws(EngineError) {
    // A page that an index turned and that is another's now, or was truncated.
    for token in batch.tokens {
      slab.turnBack(page: Int(batch.sequences[token.sequence][token.slot / pageTokens]))
    }
    var searching: Set<Int> = []
    if let retrieval {
      do throws(KernelError) {
        try retrieval.begin(batch)
      } catch {
        throw Self.engineError(error, "\(name): the index of a long prompt cannot be made")
      }
      searching = Set(retrieval.rows.map(\.row))
    } else if let window {
      window.begin(batch)
      searching = Set(window.rows.map(\.row))
    } else if let eviction {
      do throws(KernelError) {
        try eviction.begin(batch)
      } catch {
        throw Self.engineError(error, "\(name): what to evict cannot be decided")
      }
      searching = Set(eviction.rows.map(\.row))
    }
    file?.expectRandomReads(searching.count == batch.tokens.count)
    probe?.rows = searching.sorted()
    searching.formUnion(teams?.rows ?? [])
    let window = parts.configuration.slidingWindow
    attention.begin(
      tables: batch.sequences,
      rows: batch.tokens.map { token in
        AttentionRow(
          sequence: token.sequence, first: window.map { max(0, token.position + 1 - $0) } ?? 0,
          position: token.position, path: token.path)
      }, queryHeads: parts.configuration.queryHeads, threads: team.width,
      planned: searching.isEmpty
        ? nil : batch.tokens.indices.filter { !searching.contains($0) })
  }

  func attend(_ index: Int, _ positions: [Int32], _ clock: inout PhaseClock) {
    let (layer, products) = (parts.layers[index], products[index])
    let rows = positions.count
    products.projections.begin(rows: rows)
    prepare(normalizing: layer.attentionNorm, rows, into: products.projections.inputs)
    clock.mark(.preparing)
    products.projections.run(on: team)
    clock.mark(.projections)

    attention.select(layer: slabLayers[index])
    rotateAndStore(layer, positions)
    clock.mark(.rotation)

    attendRows(rows)
    teams?.attend(layer: slabLayers[index], into: scratch.attended)
    if let retrieval {
      retrieval.capture(layer: slabLayers[index], scratch.queries)
      retrieval.attend(
        layer: slabLayers[index], attention, queries: scratch.queries, into: scratch.attended)
    } else if let window {
      window.attend(attention, queries: scratch.queries, into: scratch.attended)
    } else if let eviction {
      eviction.capture(layer: slabLayers[index], scratch.queries)
      eviction.attend(
        layer: slabLayers[index], attention, queries: scratch.queries, into: scratch.attended)
    } else if let pruning {
      pruning.attend(attention, queries: scratch.queries, into: scratch.attended)
    }
    probe?.compare(attention, queries: scratch.queries, with: scratch.attended, on: team)
    clock.mark(.attention)

    products.attentionOutput.begin(rows: rows)
    prepare(scratch.attended, rows, into: products.attentionOutput.inputs)
    clock.mark(.preparing)
    products.attentionOutput.run(on: team)
    clock.mark(.attentionOutput)
  }

  /// Norms of query and key heads, rotation, and keys and values into their pages.
  private func rotateAndStore(_ layer: LayerWeights, _ positions: [Int32]) {
    let c = parts.configuration
    let scratch = scratch
    let attention = attention
    let teams = teams
    forEachRow(positions.count, work: c.queryWidth + 2 * c.kvWidth) { range in
      if let norm = layer.queryNorm {
        Kernels.rmsNormHeads(scratch.queries, weight: norm, epsilon: c.normEpsilon, rows: range)
      }
      if let norm = layer.keyNorm {
        Kernels.rmsNormHeads(scratch.keys, weight: norm, epsilon: c.normEpsilon, rows: range)
      }
      teams?.capture(scratch.queries, rows: range)
      for heads in [scratch.queries, scratch.keys] {
        scratch.rope.rotate(
          heads, headDimensions: c.headDimensions, positions: positions, rows: range)
      }
      attention.write(keys: scratch.keys, values: scratch.values, rows: range)
    }
  }

  /// Attention in the units that the batch planned, and what split rows need to come together.
  private func attendRows(_ rows: Int) {
    guard rows > 0 else { return }
    let (queries, attended) = (scratch.queries, scratch.attended)
    let scale = parts.configuration.attentionScale
    let attention = attention
    team.forEachChunk(count: attention.units) { units in
      for unit in units {
        attention.attend(unit: unit, queries: queries, scale: scale, into: attended)
      }
    }
    guard attention.merges > 0 else { return }
    team.forEachChunk(count: attention.merges) { merges in
      for merge in merges { attention.merge(merge, queries: queries, into: attended) }
    }
  }

  func feedForward(_ index: Int, _ rows: Int, _ clock: inout PhaseClock) {
    let products = products[index]
    products.gated.begin(rows: rows)
    prepare(normalizing: parts.layers[index].feedForwardNorm, rows, into: products.gated.inputs)
    clock.mark(.preparing)
    products.gated.run(on: team)
    products.down.run(on: team)
    clock.mark(.feedForward)
  }

  /// Room for the hidden states of tokens whose logits after some layers are wanted; nil for none.
  private func exitRows(_ batch: ForwardBatch) throws(EngineError) -> ExitRows? {
    let wanted = batch.tokens.indices.filter { batch.tokens[$0].exitLayers > 0 }
    guard !wanted.isEmpty else { return nil }
    do throws(KernelError) {
      return try ExitRows(
        wanted: wanted.map { ($0, batch.tokens[$0].exitLayers) },
        states: FloatMatrix(rows: wanted.count, columns: parts.configuration.width))
    } catch {
      throw Self.engineError(error, "\(name): early exits")
    }
  }

  /// Logits of the rows that want them.
  private func output(
    _ batch: ForwardBatch, _ logits: LogitsBuffer, _ exits: ExitRows?
  ) throws(EngineError) {
    if let hiddenStates {
      normalize(parts.outputNorm, batch.tokens.count, into: scratch.normed)
      for (row, token) in batch.tokens.enumerated() {
        hiddenStates.store(
          batch.sequences[token.sequence][token.slot / pageTokens], token.slot % pageTokens,
          from: scratch.normed, row: row)
      }
    }
    let wanted = batch.tokens.indices.filter { batch.tokens[$0].wantsLogits }
    let exitCount = exits?.wanted.count ?? 0
    guard wanted.count + exitCount > 0 else { return }
    // Wanted rows move up to the front; each lands at or before where it was, in order.
    for (row, source) in wanted.enumerated() where row != source {
      scratch.residual.copyRow(row, from: scratch.residual, row: source)
    }
    // Rows of early exits follow, so that one read of the weights serves both.
    let isTogether = wanted.count + exitCount <= scratch.residual.rows
    if isTogether { exits?.copy(into: scratch.residual, from: wanted.count) }
    multiply(rows: wanted.count + (isTogether ? exitCount : 0), into: logits.matrix)
    guard let exits, !isTogether else { return }
    do throws(KernelError) {
      let rows = try FloatMatrix(rows: exitCount, columns: logits.vocabulary)
      exits.copy(into: scratch.residual, from: 0)
      multiply(rows: exitCount, into: rows)
      for row in 0..<exitCount {
        logits.matrix.copyRow(wanted.count + row, from: rows, row: row)
      }
    } catch {
      throw Self.engineError(error, "\(name): logits of early exits")
    }
  }

  /// The output product of the residual's first `rows` rows.
  private func multiply(rows: Int, into target: FloatMatrix) {
    guard rows > 0 else { return }
    var product = ProductGroup()
    product.add(parts.output, from: scratch.prepared, into: target)
    product.begin(rows: rows)
    prepare(normalizing: parts.outputNorm, rows, into: product.inputs)
    product.run(on: team)
  }

  /// Normalises the residual's first `rows` rows and prepares them as `inputs`, which have begun.
  private func prepare(
    normalizing weight: [Float], _ rows: Int, into inputs: [PreparedActivations]
  ) {
    // Some draft heads have no norm here.
    guard !weight.isEmpty else { return prepare(scratch.residual, rows, into: inputs) }
    let epsilon = parts.configuration.normEpsilon
    let (residual, normed) = (scratch.residual, scratch.normed)
    forEachRow(rows, work: residual.columns * 2) { range in
      Kernels.rmsNorm(residual, weight: weight, epsilon: epsilon, into: normed, rows: range)
      for input in inputs { input.fill(from: normed, rows: range) }
    }
  }

  /// Normalises the residual's first `rows` rows into `output`; copies them where there is no norm.
  private func normalize(_ weight: [Float], _ rows: Int, into output: FloatMatrix) {
    let epsilon = parts.configuration.normEpsilon
    let residual = scratch.residual
    forEachRow(rows, work: residual.columns) { range in
      guard weight.isEmpty else {
        return Kernels.rmsNorm(
          residual, weight: weight, epsilon: epsilon, into: output, rows: range)
      }
      for row in range { output.copyRow(row, from: residual, row: row) }
    }
  }

  /// Prepares the first `rows` rows of `matrix` as `inputs`, which have begun.
  private func prepare(_ matrix: FloatMatrix, _ rows: Int, into inputs: [PreparedActivations]) {
    forEachRow(rows, work: matrix.columns) { range in
      for input in inputs { input.fill(from: matrix, rows: range) }
    }
  }

  private func forEachRow(
    _ rows: Int, work: Int, _ body: @Sendable (_ range: Range<Int>) -> Void
  ) {
    team.forEachRow(rows, work: work, body)
  }
}

/// The hidden states that some tokens of a batch have after some of the layers.
struct ExitRows {
  let wanted: [(row: Int, layers: Int)]
  let states: FloatMatrix

  init(wanted: [(row: Int, layers: Int)], states: FloatMatrix) {
    self.wanted = wanted
    self.states = states
  }

  /// Takes those that leave after `layers` layers.
  mutating func keep(from residual: FloatMatrix, layers: Int) {
    for (index, exit) in wanted.enumerated() where exit.layers == layers {
      states.copyRow(index, from: residual, row: exit.row)
    }
  }

  func copy(into residual: FloatMatrix, from first: Int) {
    for row in wanted.indices { residual.copyRow(first + row, from: states, row: row) }
  }
}

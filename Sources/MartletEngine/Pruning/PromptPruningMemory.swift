import MartletKernels
import MartletMachine
import Synchronization

/// What prompts left at each stage, beside their pages. On the driver thread, except what the team's
/// workers do inside its loops.
final class PromptPruningMemory: @unchecked Sendable {
  // @unchecked: changed on the driver thread only.
  let options: AttentionMethod.PromptPruning
  /// Layers before each stage, and the share of positions that goes on.
  let cuts: [(layers: Int, share: Double)]
  private let slab: KVSlab
  private let team: ThreadTeam
  private let width: Int
  private let scale: Float
  private var pages: [PageState] = []
  /// Rows that attend to listed positions in the layers at hand.
  var listed: [(row: Int, path: [UInt32])] = []

  private struct PageState {
    /// Hidden states of a prompt's tokens before the first stage.
    var states: FloatMatrix?
    /// The prompt whose last full page it is.
    var prompt: PrunedPrompt?
  }

  init(
    _ options: AttentionMethod.PromptPruning, layers: Int, width: Int, slab: KVSlab, scale: Float,
    team: ThreadTeam
  ) {
    self.options = options
    cuts = options.cuts(layers: layers)
    self.slab = slab
    self.team = team
    self.width = width
    self.scale = scale
  }

  /// Bytes of hidden states beside a page of a prompt, at most: those before each stage. Where tokens leave for
  /// good, those behind the first stage go when the prompt has come to its end.
  var bytesPerPage: Int { cuts.count * bytesOfStates }
  private var bytesOfStates: Int { KVSlab.pageTokens * width * MemoryLayout<Float>.stride }

  /// Bytes of hidden states that are kept now.
  var heldBytes: Int {
    var held = Set(pages.compactMap { $0.states.map { ObjectIdentifier($0) } })
    for prompt in pages.compactMap(\.prompt) {
      for states in prompt.states {
        held.formUnion(states.pages.compactMap { $0.map { ObjectIdentifier($0) } })
      }
    }
    return held.count * bytesOfStates
  }

  func reserve(_ count: Int) {
    if pages.count < count {
      pages.append(contentsOf: repeatElement(PageState(), count: count - pages.count))
    }
  }

  func copied(from source: Int, to target: Int, positions: Int) {
    pages[target] = PageState()
    // Without memory for a copy the prompt cannot come to its end, which is said then.
    guard let states = pages[source].states,
      let copy = try? FloatMatrix(rows: KVSlab.pageTokens, columns: width)
    else { return }
    for slot in 0..<positions { copy.copyRow(slot, from: states, row: slot) }
    pages[target].states = copy
  }

  // MARK: A pass

  /// The rows of a pass by what becomes of them after the first layers.
  struct Plan {
    /// Tokens of prompts, which wait for their prompt's last.
    var waiting: [Int] = []
    /// Last tokens of prompts, with which their prompts go on.
    var completing: [Int] = []
    /// All others, and by sequence the prompts that they follow.
    var staying: [Int] = []
    var prompts: [Int: PrunedPrompt] = [:]
  }

  /// Takes in a batch; nil where no row of it has to do with a prompt that tokens leave.
  func plan(_ batch: ForwardBatch) -> Plan? {
    listed = []
    for token in batch.tokens { note(token, batch) }
    var plan = Plan()
    for sequence in batch.sequences.indices where prunes(sequence, batch) {
      if let key = key(sequence, batch) { plan.prompts[sequence] = pages[key].prompt }
    }
    for (row, token) in batch.tokens.enumerated() {
      let prompt = batch.promptTokens(of: token.sequence)
      if prunes(token.sequence, batch), token.position < prompt,
        plan.prompts[token.sequence] == nil
      {
        plan.waiting.append(row)
        if token.position == prompt - 1 { plan.completing.append(row) }
      } else {
        plan.staying.append(row)
      }
    }
    return plan.waiting.isEmpty && plan.prompts.isEmpty ? nil : plan
  }

  private func prunes(_ sequence: Int, _ batch: ForwardBatch) -> Bool {
    let prompt = batch.promptTokens(of: sequence)
    return prompt != .max && prompt >= options.minimumPositions
  }

  /// The page that a prompt's record lies beside; nil before there is such a page.
  private func key(_ sequence: Int, _ batch: ForwardBatch) -> Int? {
    let body = PrunedPrompt.body(of: batch.promptTokens(of: sequence)) / KVSlab.pageTokens
    let table = batch.sequences[sequence]
    return body <= table.count ? Int(table[body - 1]) : nil
  }

  private func note(_ token: BatchToken, _ batch: ForwardBatch) {
    let page = Int(batch.sequences[token.sequence][token.slot / KVSlab.pageTokens])
    pages[page].prompt = nil
    // A prompt read over the pages of another.
    if prunes(token.sequence, batch), let key = key(token.sequence, batch),
      token.position < PrunedPrompt.body(of: batch.promptTokens(of: token.sequence))
    {
      pages[key].prompt = nil
    }
    // The page that a prompt ends in may hold tokens of it that still wait.
    let prompt = batch.promptTokens(of: token.sequence)
    if token.slot / KVSlab.pageTokens > max(0, prompt - 1) / KVSlab.pageTokens {
      pages[page].states = nil
    }
  }

  /// Keeps the hidden states of tokens that wait.
  func keep(
    _ rows: [Int], of batch: ForwardBatch, from residual: FloatMatrix
  ) throws(KernelError) {
    for row in rows {
      let token = batch.tokens[row]
      let page = Int(batch.sequences[token.sequence][token.position / KVSlab.pageTokens])
      if pages[page].states == nil {
        pages[page].states = try FloatMatrix(rows: KVSlab.pageTokens, columns: width)
      }
      pages[page].states!.copyRow(
        token.position % KVSlab.pageTokens, from: residual, row: row)
    }
  }

  /// The record of a prompt that has come to its end.
  func complete(_ sequence: Int, _ batch: ForwardBatch) throws(KernelError) -> PrunedPrompt {
    let count = batch.promptTokens(of: sequence)
    let table = batch.sequences[sequence].prefix((count - 1) / KVSlab.pageTokens + 1)
    let states = PositionStates(pages: table.map { pages[Int($0)].states })
    guard let key = key(sequence, batch), states.pages.allSatisfy({ $0 != nil }) else {
      throw KernelError(
        .argument,
        "the first layers' states of a prompt of \(count) tokens are not there: its pages were not "
          + "filled by passes that know its length")
    }
    let prompt = PrunedPrompt(count: count, states: states)
    pages[key].prompt = prompt
    return prompt
  }

  /// What rows give to the first positions that they see, a sum over all heads: of each row as many as
  /// asked for. In the layer that `attention` has selected.
  /// - Parameter rows: by row of the batch: what it sees as a list of slots, nil for what it sees anyway,
  ///   and how many positions are asked for.
  func scores(
    _ rows: [(row: Int, path: [UInt32]?, count: Int)], _ attention: AttentionBatch,
    _ queries: FloatMatrix
  ) -> [[Float]] {
    let (heads, scale) = (slab.kvHeads, scale)
    let parts = Mutex<[Int: [Float]]>([:])
    team.forEachChunk(count: rows.count * heads, grain: 1) { units in
      var scratch: [Float] = []
      for unit in units {
        let row = rows[unit / heads]
        let seen = row.path?.count ?? attention.rows[row.row].position + 1
        var sums = [Float](repeating: 0, count: seen)
        attention.addWeights(
          of: row.row, kvHead: unit % heads, path: row.path, queries: queries, scale: scale,
          scratch: &scratch, into: &sums)
        let part = Array(sums.prefix(row.count))
        parts.withLock { $0[unit] = part }
      }
    }
    let all = parts.withLock { $0 }
    return rows.indices.map { row in
      // Heads in order, whoever was first.
      (0..<heads).reduce(into: [Float](repeating: 0, count: rows[row].count)) { sums, head in
        for (index, value) in all[row * heads + head]!.enumerated() { sums[index] += value }
      }
    }
  }

  /// Attention of the listed rows, in a layer that `attention` has selected.
  func attend(_ attention: AttentionBatch, queries: FloatMatrix, into output: FloatMatrix) {
    let (rows, heads, scale) = (listed, slab.kvHeads, scale)
    team.forEachChunk(count: rows.count * heads, grain: 1) { units in
      for unit in units {
        let (row, path) = rows[unit / heads]
        attention.attend(
          rows: row..<row + 1, kvHead: unit % heads, path: path, queries: queries, scale: scale,
          into: output)
      }
    }
  }
}

import MartletKernels
import MartletMachine
import Synchronization

/// Finds how many positions each layer's key-value head has to find for its outputs to stay within a
/// tolerance, by trying: queries from the prompt's end attend to all of the prompt and to what a search
/// finds of it, and the outputs are compared.
struct WantedSearch {
  let slab: KVSlab
  let index: RetrievalSlab
  let team: ThreadTeam
  let scale: Float
  let options: AttentionMethod.Retrieval
  /// The prompt's full pages, encoded.
  let table: [PageID]
  /// Queries by layer, in order of position; the last are tried.
  let samples: [FloatMatrix]

  private static let least = 16
  /// What is tried first, and how many times more each time that it was too few: where little is
  /// enough, as in most heads, much is never tried.
  private static let first = 64
  private static let growth = 4

  /// `draft` with what each head wants.
  func settle(_ draft: PromptIndex) throws(KernelError) -> PromptIndex {
    let heads = slab.kvHeads
    let found = Mutex<[Int: Trial.Outcome]>([:])
    let failure = Mutex<KernelError?>(nil)
    for layer in samples.indices {
      let trial = try Trial(self, layer: layer)
      team.forEachChunk(count: heads, grain: 1) { units in
        for head in units {
          do throws(KernelError) {
            let wanted = try trial.wanted(
              head, codebook: draft.codebooks[layer * heads + head], options.tolerance)
            if let wanted { found.withLock { $0[layer * heads + head] = wanted } }
          } catch {
            failure.withLock { $0 = error }
          }
        }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
    let outcomes = found.withLock { $0 }
    let error = outcomes.values.reduce(0) { $0 + $1.error } / Double(max(1, outcomes.count))
    return PromptIndex(
      codebooks: draft.codebooks,
      wanted: (0..<samples.count * heads).map { outcomes[$0]?.wanted },
      positions: draft.positions, error: error)
  }

  /// One layer's comparison. Heads may be tried on different threads.
  private final class Trial: Sendable {
    struct Outcome {
      var wanted: Int
      var error: Double
      /// Positions that the queries of a group found together, a mean over rows.
      var found: Double
    }

    private let search: WantedSearch
    private let layer: Int
    private let attention: AttentionBatch
    private let queries: FloatMatrix
    private let exact: FloatMatrix
    private let output: FloatMatrix
    private let addresses: RetrievalSearch.Table

    init(_ search: WantedSearch, layer: Int) throws(KernelError) {
      self.search = search
      self.layer = layer
      let samples = search.samples[layer]
      let rows = min(QuerySamples.last, samples.rows)
      queries = try FloatMatrix(rows: rows, columns: samples.columns)
      for row in 0..<rows { queries.setRow(row, samples.row(samples.rows - rows + row)) }
      exact = try FloatMatrix(rows: rows, columns: samples.columns)
      output = try FloatMatrix(rows: rows, columns: samples.columns)
      attention = AttentionBatch(slab: search.slab)
      let end = search.table.count * KVSlab.pageTokens
      attention.begin(
        tables: [search.table],
        rows: (0..<rows).map { _ in AttentionRow(sequence: 0, position: end - 1) },
        queryHeads: samples.columns / search.slab.headDimensions)
      attention.select(layer: layer)
      addresses = search.index.table(search.table, of: search.slab)
    }

    /// The fewest positions, nearly, that keep a head within the tolerance.
    func wanted(
      _ head: Int, codebook: RetrievalCodebook, _ tolerance: Double
    ) throws(KernelError) -> Outcome? {
      let rows = 0..<queries.rows
      attention.attend(
        queries: queries, scale: search.scale, into: exact, rows: rows, kvHeads: head..<head + 1)
      let searcher = RetrievalSearch(slab: search.index)
      var low = WantedSearch.least
      let most = search.options.mostFound(of: search.table.count * KVSlab.pageTokens)
      var next = min(most, WantedSearch.first)
      var best = try outcome(head, codebook, searcher, wanted: next)
      while best.error > tolerance {
        guard next < most, best.found <= Double(most) else { return nil }
        low = next
        next = min(most, next * WantedSearch.growth)
        best = try outcome(head, codebook, searcher, wanted: next)
      }
      // Error falls as more is found, all but noise: halving the exponent's range is enough.
      while best.wanted > low + low / 2 {
        let middle = Int((Double(low) * Double(best.wanted)).squareRoot())
        let middling = try outcome(head, codebook, searcher, wanted: middle)
        if middling.error <= tolerance { best = middling } else { low = middle }
      }
      return best.found <= Double(most) ? best : nil
    }

    /// What comes of finding `wanted` positions; the error is the mean over queries and heads of the group
    /// of ‖o − exact‖ / ‖exact‖.
    private func outcome(
      _ head: Int, _ codebook: RetrievalCodebook, _ searcher: RetrievalSearch, wanted: Int
    ) throws(KernelError) -> Outcome {
      let end = search.table.count * KVSlab.pageTokens
      let pages = search.options.searchedPages(before: end)
      let rows = (0..<queries.rows).map { row in
        RetrievalSearch.Row(
          queries: row..<row + 1, table: addresses, pages: pages, wanted: wanted,
          candidates: RetrievalMemory.candidates(wanted))
      }
      let all = try searcher.search(queries, rows, layer: layer, kvHead: head, codebook: codebook)
      for (row, found) in all.enumerated() {
        attention.attend(
          rows: row..<row + 1, kvHead: head,
          path: Kernels.retrievalPath(found: found, around: pages, end: end),
          queries: queries, scale: search.scale, into: output)
      }
      let group = queries.columns / search.slab.headDimensions / search.slab.kvHeads
      let width = search.slab.headDimensions
      var sum = 0.0
      for row in 0..<queries.rows {
        for first in stride(from: head * group * width, to: (head + 1) * group * width, by: width) {
          sum += output.relativeError(row: row, columns: first..<first + width, to: exact)
        }
      }
      return Outcome(
        wanted: wanted, error: sum / Double(queries.rows * group),
        found: Double(all.reduce(0) { $0 + $1.count }) / Double(queries.rows))
    }
  }
}

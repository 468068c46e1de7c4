import MartletKernels
import MartletMachine

/// Attention of generated tokens to the first positions and the recent ones alone.
final class WindowAttention: @unchecked Sendable {
  // @unchecked: changed on the driver thread only, between the team's loops.
  private let recent: Int
  private let sinks: Int
  private let kvHeads: Int
  private let scale: Float
  private let team: ThreadTeam
  /// The rows of the pass at hand that a window leaves something out for, and what it leaves in.
  private(set) var rows: [(row: Int, path: [UInt32])] = []

  init(recent: Int, sinks: Int, kvHeads: Int, scale: Float, team: ThreadTeam) {
    (self.recent, self.sinks) = (recent, sinks)
    (self.kvHeads, self.scale, self.team) = (kvHeads, scale, team)
  }

  func begin(_ batch: ForwardBatch) {
    rows = batch.tokens.indices.compactMap { row in
      let token = batch.tokens[row]
      let end = token.position + 1
      // Whole pages, which attention reads in place.
      let first = (end - recent) / KVSlab.pageTokens * KVSlab.pageTokens
      guard token.position >= batch.promptTokens(of: token.sequence), first > sinks else {
        return nil
      }
      let path = Kernels.retrievalPath(found: [], sinks: sinks, recent: first, end: end)
      return (row, path.along(token.path, end: end))
    }
  }

  func attend(_ attention: AttentionBatch, queries: FloatMatrix, into output: FloatMatrix) {
    let (rows, kvHeads, scale) = (rows, kvHeads, scale)
    team.forEachChunk(count: rows.count * kvHeads, grain: 1) { units in
      for unit in units {
        let (row, path) = rows[unit / kvHeads]
        attention.attend(
          rows: row..<row + 1, kvHead: unit % kvHeads, path: path, queries: queries, scale: scale,
          into: output)
      }
    }
  }
}

extension [UInt32] {
  /// Positions up to `end` as slots, where the last of them lie along a path of a tree of guesses.
  func along(_ tree: [Int], end: Int) -> [UInt32] {
    guard !tree.isEmpty else { return self }
    let first = end - tree.count
    return map { Int($0) >= first ? UInt32(tree[Int($0) - first]) : $0 }
  }
}

import Foundation
import MartletKernels
import MartletMachine

/// Compares what rows that leave something out get with what they would get from everything before them.
final class AttentionProbe {
  /// Rows of the pass at hand that leave something out.
  var rows: [Int] = []
  private let exact: FloatMatrix
  private let kvHeads: Int
  private let headDimensions: Int
  private let scale: Float
  private(set) var sum = 0.0
  private(set) var count = 0

  init(like output: FloatMatrix, slab: KVSlab, scale: Float) throws(KernelError) {
    exact = try FloatMatrix(rows: output.rows, columns: output.columns)
    kvHeads = slab.kvHeads
    headDimensions = slab.headDimensions
    self.scale = scale
  }

  func reset() { (sum, count) = (0, 0) }

  /// Takes in a layer, which `attention` has selected.
  func compare(
    _ attention: AttentionBatch, queries: FloatMatrix, with output: FloatMatrix, on team: ThreadTeam
  ) {
    let (rows, exact, kvHeads, scale) = (rows, exact, kvHeads, scale)
    team.forEachChunk(count: rows.count, grain: 1) { units in
      for unit in units {
        attention.attend(
          queries: queries, scale: scale, into: exact, rows: rows[unit]..<rows[unit] + 1,
          kvHeads: 0..<kvHeads)
      }
    }
    for row in rows {
      for first in stride(from: 0, to: exact.columns, by: headDimensions) {
        sum += output.relativeError(row: row, columns: first..<first + headDimensions, to: exact)
        count += 1
      }
    }
  }
}

extension TransformerBackend {
  /// From now on compares the attention of tokens that leave positions out with attention to all of them,
  /// which takes as long again; resets what was measured. Bits stay the same. On the driver thread, as is
  /// the next.
  ///
  /// - Throws: `EngineError` `.memory`.
  public func measureOutputError() throws(EngineError) {
    if let probe { return probe.reset() }
    do throws(KernelError) {
      probe = try AttentionProbe(
        like: scratch.attended, slab: slab, scale: parts.configuration.attentionScale)
    } catch {
      throw Self.engineError(error, "\(name): attention cannot be compared")
    }
  }

  /// The mean over tokens, layers and query heads of ‖o − exact‖ / ‖exact‖ since ``measureOutputError()``;
  /// nil where no token left anything out, or prompts are pruned: then the keys are not there to compare
  /// with.
  public var measuredOutputError: Double? {
    guard let probe, probe.count > 0 else { return nil }
    return probe.sum / Double(probe.count)
  }
}

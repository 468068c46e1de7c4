import Foundation
import MartletKernels
import MartletMachine

/// One set of filled pages: every group and number of branches over it, sampled in turns.
struct AttentionBenchCase {
  private let kvHeads: Int
  private let positions: Int
  private let settings: AttentionBench.Settings
  private let team: ThreadTeam
  private let slab: KVSlab
  private let batch: AttentionBatch
  private let queries: [Int: FloatMatrix]
  private let outputs: [Int: FloatMatrix]

  struct Key: Hashable {
    let group: Int
    let branches: Int
  }

  init(
    kvHeads: Int, type: KVType, positions: Int, _ settings: AttentionBench.Settings,
    _ team: ThreadTeam
  ) throws {
    self.kvHeads = kvHeads
    self.positions = positions
    self.settings = settings
    self.team = team
    slab = try KVSlab(
      type: type, layers: 1, kvHeads: kvHeads, headDimensions: settings.headDimensions)
    batch = AttentionBatch(slab: slab)
    let branches = settings.branches.max() ?? 1
    try slab.reserve((positions - 1) / KVSlab.pageTokens + branches)
    func matrices() throws -> [Int: FloatMatrix] {
      try Dictionary(
        uniqueKeysWithValues: Set(settings.groups).map { group in
          let columns = kvHeads * group * settings.headDimensions
          return (group, try FloatMatrix(rows: branches, columns: columns))
        })
    }
    queries = try matrices()
    outputs = try matrices()
    for matrix in queries.values { matrix.fillRandomly() }
    try fill(branches)
  }

  /// One row per cell.
  func measure(_ sampler: inout KernelSampler) -> [AttentionBench.Row] {
    let keys = settings.groups.flatMap { group in
      settings.branches.map { Key(group: group, branches: $0) }
    }
    let samples = sampler.sample(keys, time: time)
    return keys.map { row($0, samples[$0] ?? LimitedSamples()) }
  }

  private func row(_ key: Key, _ samples: LimitedSamples) -> AttentionBench.Row {
    var work = Work()
    work.bytes = Double(positions * (slab.bytesPerPage / KVSlab.pageTokens))
    let perBranch = 4 * kvHeads * key.group * settings.headDimensions * positions
    work.operations[.float32] = Double(key.branches * perBranch)
    return AttentionBench.Row(
      AttentionBench.Cell(
        kvHeads: kvHeads, group: key.group, headDimensions: settings.headDimensions,
        positions: positions, kvType: slab.type.rawValue, branches: key.branches,
        variant: variant),
      samples: samples, work: work, threads: team.width,
      command: "\(settings.command) --kv-heads \(kvHeads) --group \(key.group) "
        + "--head-dimensions \(settings.headDimensions) --positions \(positions) "
        + "--kv-type \(slab.type.rawValue) --branches \(key.branches) --threads \(team.width)")
  }

  // MARK: Pages

  /// Branch i: the shared pages, and a last one of its own.
  private func table(_ branch: Int) -> [Int32] {
    let shared = (positions - 1) / KVSlab.pageTokens
    return (0..<shared).map(Int32.init) + [Int32(shared + branch)]
  }

  private func fill(_ branches: Int) throws {
    let chunk = 256
    let width = kvHeads * settings.headDimensions
    let keys = try FloatMatrix(rows: chunk, columns: width)
    let values = try FloatMatrix(rows: chunk, columns: width)
    keys.fillRandomly()
    values.fillRandomly()
    let shared = (positions - 1) / KVSlab.pageTokens * KVSlab.pageTokens
    var begin = 0
    while begin < shared {
      let end = min(shared, begin + chunk)
      write((begin..<end).map { AttentionRow(sequence: 0, position: $0) }, 1, keys, values)
      begin = end
    }
    for branch in 0..<branches {
      let rows = (shared..<positions).map { AttentionRow(sequence: branch, position: $0) }
      write(rows, branches, keys, values)
    }
  }

  private func write(
    _ rows: [AttentionRow], _ branches: Int, _ keys: FloatMatrix, _ values: FloatMatrix
  ) {
    batch.begin(tables: (0..<branches).map(table), rows: rows)
    batch.select(layer: 0)
    batch.write(keys: keys, values: values, rows: 0..<rows.count)
  }

  // MARK: Attention

  /// Nanoseconds per step over `calls` of them.
  private func time(_ key: Key, calls: Int) -> Double {
    guard let queries = queries[key.group], let output = outputs[key.group] else { return 0 }
    batch.begin(
      tables: (0..<key.branches).map(table),
      rows: (0..<key.branches).map { AttentionRow(sequence: $0, position: positions - 1) },
      queryHeads: kvHeads * key.group, threads: team.width)
    batch.select(layer: 0)
    let batch = batch
    let scale = 1 / Float(settings.headDimensions).squareRoot()
    let begin = monotonicNanoseconds()
    for _ in 0..<calls {
      // As the forward pass does it; the plan is made once for all layers there.
      team.forEachChunk(count: batch.units) { units in
        for unit in units {
          batch.attend(unit: unit, queries: queries, scale: scale, into: output)
        }
      }
      guard batch.merges > 0 else { continue }
      team.forEachChunk(count: batch.merges) { merges in
        for merge in merges { batch.merge(merge, queries: queries, into: output) }
      }
    }
    return Double(monotonicNanoseconds() - begin) / Double(calls)
  }

  private var variant: String {
    kernelVariants().first { $0.operation == "attention_f32" && $0.serving }?.name ?? ""
  }
}

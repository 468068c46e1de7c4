import Foundation
import MartletKernels
import MartletMachine

/// One weight matrix in one numeric class on one team: its products at every row count and cache
/// state, sampled in turns.
struct GemmBenchCase {
  private let matrix: MatrixShape
  private let numericClass: NumericClass
  private let settings: GemmBench.Settings
  private let team: ThreadTeam
  /// Copies of the weights, for the cold state; the first alone for the warm one.
  private let copies: [PackedWeights]
  private let activations: PreparedActivations
  private let input: FloatMatrix
  private let output: FloatMatrix

  /// The state of one cell.
  struct Key: Hashable {
    let rows: Int
    let cache: GemmBench.CacheState
  }

  init(
    _ matrix: MatrixShape, _ numericClass: NumericClass, _ settings: GemmBench.Settings,
    _ team: ThreadTeam
  ) throws {
    self.matrix = matrix
    self.numericClass = numericClass
    self.settings = settings
    self.team = team
    let source = RandomWeights.bytes(matrix)
    func pack() throws -> PackedWeights {
      try source.withUnsafeBytes { bytes in
        try PackedWeights(
          type: matrix.type, numericClass: numericClass, outputs: matrix.outputs,
          depth: matrix.depth, source: bytes, team: team)
      }
    }
    var copies = [try pack()]
    if settings.cacheStates.contains(.cold) {
      let needed = 2 * Self.lastLevelCacheBytes() / max(1, copies[0].byteCount) + 1
      for _ in 1..<max(2, needed) { copies.append(try pack()) }
    }
    self.copies = copies
    let rows = settings.rows.max() ?? 1
    activations = try PreparedActivations(rows: rows, depth: matrix.depth)
    input = try FloatMatrix(rows: rows, columns: matrix.depth)
    output = try FloatMatrix(rows: rows, columns: matrix.outputs)
    input.fillRandomly()
  }

  /// One row per cell.
  func measure(_ sampler: inout KernelSampler) -> [GemmBench.Row] {
    let keys = settings.cacheStates.flatMap { cache in
      settings.rows.map { Key(rows: $0, cache: cache) }
    }
    // All copies of cold weights the same number of times.
    let samples = sampler.sample(
      keys, round: { $0.cache == .warm ? 1 : copies.count }, time: time)
    return keys.map { row($0, samples[$0] ?? LimitedSamples()) }
  }

  private func row(_ key: Key, _ samples: LimitedSamples) -> GemmBench.Row {
    var work = Work()
    work.addProduct(matrix, rows: key.rows)
    work.bytes += Double(4 * key.rows * (matrix.depth + matrix.outputs))
    return GemmBench.Row(
      GemmBench.Cell(
        type: matrix.type.name, rows: key.rows, outputs: matrix.outputs, depth: matrix.depth,
        numericClass: numericClass.rawValue, variant: variant, cache: key.cache),
      samples: samples, work: work, threads: team.width,
      command: "\(settings.command) --type \(matrix.type.name.lowercased()) --rows \(key.rows) "
        + "--shape \(matrix.outputs)x\(matrix.depth) --numeric \(numericClass.rawValue) "
        + "--threads \(team.width) --cache \(key.cache.rawValue)")
  }

  /// Nanoseconds per product over `calls` of them.
  private func time(_ key: Key, calls: Int) -> Double {
    activations.prepare(copies[0].activationType, from: input, rows: key.rows)
    let begin = monotonicNanoseconds()
    for call in 0..<calls {
      let (activations, output) = (activations, output)
      // From the last copy to the first, so that one call alone leaves no copy in cache that a
      // series of calls begins with.
      let weights = key.cache == .warm ? copies[0] : copies[(calls - 1 - call) % copies.count]
      let tile = Kernels.columnTile
      let tiles = (matrix.outputs + tile - 1) / tile
      // Chunks as the forward pass makes them: a few per worker.
      team.forEachChunk(count: tiles, grain: max(1, tiles / (team.width * 4))) { chunk in
        Kernels.multiply(
          activations, weights: weights, into: output,
          columns: chunk.lowerBound * tile..<min(chunk.upperBound * tile, weights.outputs))
      }
    }
    return Double(monotonicNanoseconds() - begin) / Double(calls)
  }

  private var variant: String {
    let prefix = "gemm_\(matrix.type.name.lowercased())_"
    let serving = kernelVariants().filter { $0.serving && $0.operation.hasPrefix(prefix) }
    // Other types than bf16 are in the bf16 class as they are in the portable one.
    let own = serving.first { $0.numericClass == numericClass }
    return (own ?? serving.first { $0.numericClass == .portable })?.name ?? ""
  }

  private static func lastLevelCacheBytes() -> Int {
    let caches = (try? Topology.current())?.caches ?? []
    return max(caches.map(\.bytes).max() ?? 0, 32 << 20)
  }
}

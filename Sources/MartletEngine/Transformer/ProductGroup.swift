import MartletKernels
import MartletMachine

/// Products over the same rows that run as one parallel loop: queries, keys and values.
///
/// `Sendable` parts only: matrices whose columns the loop's chunks write disjointly.
struct ProductGroup: Sendable {
  struct Product: Sendable {
    let weights: PackedWeights
    let bias: [Float]?
    let activations: PreparedActivations
    let output: FloatMatrix
    let accumulate: Bool
  }

  private var products: [Product] = []
  /// Tiles before each product, and all of them at the end.
  private var tileStarts = [0]
  /// The activations that the products read, each once.
  private(set) var inputs: [PreparedActivations] = []
  private var inputTypes: [ActivationType] = []
  private var depth = 0

  mutating func add(
    _ weights: PackedWeights, bias: [Float]? = nil,
    from prepared: [ActivationType: PreparedActivations], into output: FloatMatrix,
    accumulate: Bool = false
  ) {
    guard let activations = prepared[weights.activationType] else {
      preconditionFailure("scratch was made for other weights")
    }
    precondition(products.isEmpty || depth == weights.depth, "products over different rows")
    depth = weights.depth
    if !inputTypes.contains(weights.activationType) {
      inputTypes.append(weights.activationType)
      inputs.append(activations)
    }
    products.append(
      Product(
        weights: weights, bias: bias, activations: activations, output: output,
        accumulate: accumulate))
    let tile = Kernels.columnTile
    tileStarts.append((tileStarts.last ?? 0) + (weights.outputs + tile - 1) / tile)
  }

  /// Starts a new batch of `rows` rows in all inputs.
  func begin(rows: Int) {
    for (input, type) in zip(inputs, inputTypes) { input.begin(type, rows: rows, depth: depth) }
  }

  /// Runs all products on the team: every node's workers compute the column tiles that the node
  /// owns, of each product in turn, and then help the others. Results do not depend on who did what.
  func run(on team: ThreadTeam) {
    let plan = team.plan
    let isSharded = plan.isSharded
    // Tiles of product `index` that belong to a node; where none owns any, all are the first's.
    @Sendable func tiles(_ index: Int, _ owner: Int) -> Range<Int> {
      let count = tileStarts[index + 1] - tileStarts[index]
      return isSharded ? plan.share(of: count, node: owner) : 0..<(owner == 0 ? count : 0)
    }
    team.forEachOwnedChunk(
      grain: Self.grain(
        units: tileStarts.last ?? 0, bytes: products.reduce(0) { $0 + $1.weights.byteCount },
        threads: team.width),
      count: { owner in products.indices.reduce(0) { $0 + tiles($1, owner).count } }
    ) { owner, chunk, reader in
      // A node's units are its tiles of the first product, then of the second, and so on.
      var first = 0
      for (index, product) in products.enumerated() {
        let own = tiles(index, owner)
        let part = chunk.clamped(to: first..<first + own.count)
        let shift = own.lowerBound - first
        first += own.count
        guard !part.isEmpty else { continue }
        Kernels.multiply(
          product.activations, weights: product.weights, bias: product.bias,
          accumulate: product.accumulate, into: product.output,
          columns: (part.lowerBound + shift)
            * Kernels.columnTile..<min(
              (part.upperBound + shift) * Kernels.columnTile, product.weights.outputs),
          copy: reader)
      }
    }
  }

  /// Units per chunk of a loop over `units` that read `bytes` of weights: a few chunks per worker, so
  /// that a slow core takes fewer, but none so short that taking it costs as much as working on it.
  static func grain(units: Int, bytes: Int, threads: Int) -> Int {
    let unitBytes = max(1, bytes / max(1, units))
    let shortest = max(1, leastChunkBytes / unitBytes)
    return max(1, min(max(shortest, units / (threads * chunksPerWorker)), units))
  }

  private static let chunksPerWorker = 4
  /// A core reads this much in about a microsecond, which is several times what taking a chunk and
  /// entering a kernel costs.
  private static let leastChunkBytes = 32 << 10
}

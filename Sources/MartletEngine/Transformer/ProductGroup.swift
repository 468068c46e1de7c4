import MartletKernels
import MartletMachine

/// Products over the same rows that run as one parallel loop: queries, keys and values; gate and up.
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
    _ weights: PackedWeights, bias: [Float]? = nil, _ scratch: TransformerScratch,
    into output: FloatMatrix, accumulate: Bool = false
  ) {
    guard let activations = scratch.prepared[weights.activationType] else {
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

  /// Runs all products on the team. Chunks are a few per worker, so that a slow core takes fewer.
  func run(on team: ThreadTeam) {
    let tiles = tileStarts.last ?? 0
    let chunksPerWorker = 4
    let grain = max(1, tiles / (team.width * chunksPerWorker))
    team.forEachChunk(count: tiles, grain: grain) { chunk in
      for (index, product) in products.enumerated() {
        let own = chunk.clamped(to: tileStarts[index]..<tileStarts[index + 1])
        guard !own.isEmpty else { continue }
        let first = (own.lowerBound - tileStarts[index]) * Kernels.columnTile
        let end = (own.upperBound - tileStarts[index]) * Kernels.columnTile
        Kernels.multiply(
          product.activations, weights: product.weights, bias: product.bias,
          accumulate: product.accumulate, into: product.output,
          columns: first..<min(end, product.weights.outputs))
      }
    }
  }
}

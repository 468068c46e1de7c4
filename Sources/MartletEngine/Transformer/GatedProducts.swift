import MartletKernels
import MartletMachine

/// Gate and up products of one layer with the activation between them, as one parallel loop whose
/// chunks write disjoint columns of what the down product reads.
struct GatedProducts: Sendable {
  let gate: PackedWeights
  let up: PackedWeights
  let activation: GateActivation
  /// What the two products read, each once.
  let inputs: [PreparedActivations]
  private let gateInput: PreparedActivations
  private let upInput: PreparedActivations
  private let output: PreparedActivations
  private let outputType: ActivationType

  init(
    gate: PackedWeights, up: PackedWeights, activation: GateActivation,
    _ scratch: TransformerScratch, into down: PackedWeights
  ) {
    guard let gateInput = scratch.prepared[gate.activationType],
      let upInput = scratch.prepared[up.activationType],
      let output = scratch.gated[down.activationType]
    else { preconditionFailure("scratch was made for other weights") }
    self.gate = gate
    self.up = up
    self.activation = activation
    self.gateInput = gateInput
    self.upInput = upInput
    self.output = output
    outputType = down.activationType
    inputs = gateInput === upInput ? [gateInput] : [gateInput, upInput]
  }

  /// Starts a new batch of `rows` rows in all inputs and in the output.
  func begin(rows: Int) {
    gateInput.begin(gate.activationType, rows: rows, depth: gate.depth)
    upInput.begin(up.activationType, rows: rows, depth: up.depth)
    output.begin(outputType, rows: rows, depth: gate.outputs)
  }

  /// Runs both products on the team, blocks of columns divided as ``ProductGroup`` divides tiles.
  func run(on team: ThreadTeam) {
    let plan = team.plan
    let blocks = (gate.outputs + Kernels.gatedColumns - 1) / Kernels.gatedColumns
    let isSharded = plan.isSharded
    @Sendable func share(_ owner: Int) -> Range<Int> {
      isSharded ? plan.share(of: blocks, node: owner) : 0..<(owner == 0 ? blocks : 0)
    }
    team.forEachOwnedChunk(
      grain: ProductGroup.grain(
        units: blocks, bytes: gate.byteCount + up.byteCount, threads: team.width),
      count: { share($0).count }
    ) { owner, chunk, reader in
      let begin = share(owner).lowerBound
      Kernels.gatedProducts(
        activation, gate: (gate, gateInput), up: (up, upInput), into: output,
        columns: (chunk.lowerBound + begin)
          * Kernels.gatedColumns..<min(
            (chunk.upperBound + begin) * Kernels.gatedColumns, gate.outputs),
        copy: reader)
    }
  }
}

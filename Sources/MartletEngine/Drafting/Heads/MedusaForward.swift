import MartletKernels
import MartletMachine
import MartletModel

/// Runs Medusa heads over features: logits of the next tokens but one, but two, and so on.
///
/// Row i of every result depends on feature i alone: the same bits alone or in a crowd, with any
/// number of threads. Source: "Medusa: Simple LLM Inference Acceleration Framework with Multiple
/// Decoding Heads".
///
/// `@unchecked Sendable`: one caller at a time, as for ``Backend/forward(_:logits:)``; scratch memory
/// is written only there.
public final class MedusaForward: @unchecked Sendable {
  /// The most features of one `run`.
  public let maximumRows: Int
  /// Number of heads.
  public let headCount: Int
  /// Elements of a feature.
  public let width: Int
  /// Logits per row and head.
  public let vocabularySize: Int

  private let heads: MedusaHeads
  private let team: ThreadTeam
  private let features: [ActivationType: PreparedActivations]
  /// The first blocks of all heads read the same features: one loop.
  private let first: ProductGroup
  /// The other blocks, [head][block - 1], over `prepared`.
  private let others: [[ProductGroup]]
  /// Heads' own outputs, or the shared one over all heads' rows at once.
  private let outputs: [ProductGroup]
  /// What the blocks' products give, a matrix per head.
  private let projected: [FloatMatrix]
  /// What the blocks give, a matrix per head.
  private let states: [FloatMatrix]
  /// The same for a shared output, head after head.
  private let stacked: FloatMatrix?
  private let logits: [FloatMatrix]
  private let ones: FloatMatrix
  private var rows = 0

  /// Heads over the base model's output projection, for up to `maximumRows` features at once.
  /// - Throws: `EngineError` `.argument` for an output of another shape, `.memory`.
  public init(
    heads: MedusaHeads, output: PackedWeights, team: ThreadTeam, maximumRows: Int
  ) throws(EngineError) {
    guard output.depth == heads.width, output.outputs == heads.vocabularySize else {
      throw EngineError(
        .argument,
        "\(heads.name): its heads are \(heads.width) wide over \(heads.vocabularySize) tokens, but "
          + "the output is \(output.outputs) × \(output.depth)")
    }
    guard (1...65_536).contains(maximumRows) else {
      throw EngineError(
        .argument, "at most \(maximumRows) features at once: choose between 1 and 65536")
    }
    let (count, width) = (heads.heads.count, heads.width)
    let isShared = heads.heads.allSatisfy { $0.output == nil }
    self.heads = heads
    self.team = team
    self.maximumRows = maximumRows
    self.width = width
    headCount = count
    vocabularySize = heads.vocabularySize
    do throws(KernelError) {
      func matrices(_ count: Int, _ rows: Int, _ columns: Int) throws(KernelError) -> [FloatMatrix]
      {
        var made: [FloatMatrix] = []
        for _ in 0..<count { made.append(try FloatMatrix(rows: rows, columns: columns)) }
        return made
      }
      projected = try matrices(count, maximumRows, width)
      states = try matrices(count, maximumRows, width)
      ones = try FloatMatrix(rows: maximumRows, columns: width)
      let outputRows = isShared ? count * maximumRows : maximumRows
      stacked = isShared ? try FloatMatrix(rows: outputRows, columns: width) : nil
      logits = try matrices(isShared ? 1 : count, outputRows, heads.vocabularySize)
      func room(
        _ weights: [PackedWeights], _ rows: Int
      ) throws(KernelError) -> [ActivationType: PreparedActivations] {
        var room: [ActivationType: PreparedActivations] = [:]
        for type in Set(weights.map(\.activationType)) {
          room[type] = try PreparedActivations(rows: rows, depth: heads.width)
        }
        return room
      }
      let blocks = heads.heads.flatMap { $0.blocks.map(\.weight) }
      features = try room(blocks, maximumRows)
      let read = try room(heads.heads.compactMap(\.output) + (isShared ? [output] : []), outputRows)

      var first = ProductGroup()
      var others: [[ProductGroup]] = []
      var outputs: [ProductGroup] = []
      for (index, head) in heads.heads.enumerated() {
        first.add(
          head.blocks[0].weight, bias: head.blocks[0].bias, from: features, into: projected[index])
        var rest: [ProductGroup] = []
        for block in head.blocks.dropFirst() {
          var group = ProductGroup()
          group.add(block.weight, bias: block.bias, from: features, into: projected[index])
          rest.append(group)
        }
        others.append(rest)
        guard let own = head.output else { continue }
        var group = ProductGroup()
        group.add(own, from: read, into: logits[index])
        outputs.append(group)
      }
      if isShared {
        var group = ProductGroup()
        group.add(output, from: read, into: logits[0])
        outputs = [group]
      }
      self.first = first
      self.others = others
      self.outputs = outputs
    } catch {
      throw TransformerBackend.engineError(error, "\(heads.name) cannot be set up")
    }
    for row in 0..<maximumRows {
      ones.setRow(row, [Float](repeating: 1, count: width))
    }
  }

  /// Computes all heads' logits for the first `rows` rows of `input`, each `width` floats.
  ///
  /// Two products of width × width and width × vocabulary per head and row; every weight is read
  /// once. Throws `.argument` for more than ``maximumRows`` or features of another width.
  public func run(_ input: FloatMatrix, rows: Int) throws(EngineError) {
    guard (0...maximumRows).contains(rows), rows <= input.rows, input.columns == width else {
      throw EngineError(
        .argument,
        "\(heads.name): \(rows) features of \(input.rows) × \(input.columns); at most "
          + "\(maximumRows) of \(width) fit")
    }
    self.rows = rows
    guard rows > 0 else { return }
    multiply(first, input, rows)
    for head in 0..<headCount {
      activate(head, adding: input)
      for block in others[head] {
        multiply(block, states[head], rows)
        activate(head, adding: states[head])
      }
    }
    guard let stacked else {
      for (head, output) in outputs.enumerated() { multiply(output, states[head], rows) }
      return
    }
    for head in 0..<headCount {
      for row in 0..<rows { stacked.copyRow(head * rows + row, from: states[head], row: row) }
    }
    multiply(outputs[0], stacked, headCount * rows)
  }

  /// Calls `body` with the logits of `head` (from 0) for row `row` of the last `run`.
  public func withLogits<R, E: Error>(
    head: Int, row: Int, _ body: (Span<Float>) throws(E) -> R
  ) throws(E) -> R {
    precondition((0..<headCount).contains(head) && (0..<rows).contains(row), "no such logits")
    return stacked == nil
      ? try logits[head].withRow(row, body)
      : try logits[0].withRow(head * rows + row, body)
  }

  private func multiply(_ group: ProductGroup, _ input: FloatMatrix, _ rows: Int) {
    group.begin(rows: rows)
    let inputs = group.inputs
    team.forEachRow(rows, work: width) { range in
      for prepared in inputs { prepared.fill(from: input, rows: range) }
    }
    group.run(on: team)
  }

  /// state = x + SiLU(product).
  private func activate(_ head: Int, adding x: FloatMatrix) {
    let (projected, state, ones) = (projected[head], states[head], ones)
    team.forEachRow(rows, work: width * 8) { range in
      Kernels.gate(.silu, gate: projected, up: ones, into: projected, rows: range)
      for row in range where x !== state { state.copyRow(row, from: x, row: row) }
      Kernels.add(projected, to: state, rows: range)
    }
  }
}

import CMartlet

/// One step of a verification.
public enum VerifiedPosition: Sendable, Equatable {
  /// This child was kept; go on from it.
  case kept(node: Int)
  /// No child was kept, or there is none; the walk ends with this token.
  case drawn(token: Int)
}

extension Kernels {
  /// Which drafts are kept, and the token that follows. Their distribution is exactly that of sampling
  /// from `targets` token by token.
  ///
  /// - Parameters:
  ///   - targets: probabilities; row `firstTarget` + i is the target's distribution after node i.
  ///   - laws: probabilities; the distributions that drafts were drawn from. May be nil where no
  ///     draft has one.
  ///   - uniforms: one per node, in 0 ..< 1 and independent: that of node i tests it, that of the
  ///     root makes the last draw.
  ///   - scratch: memory to use again in the next call; sized as needed.
  /// - Throws: `KernelError` `.argument` when shapes or tokens do not fit, or a row holds NaN,
  ///   numbers below 0 or above 1, or does not add up to 1.
  /// - Complexity: at most one pass over two rows per rejected draft, one over one row at the end.
  public static func verify(
    _ tree: DraftTree, targets: FloatMatrix, firstTarget: Int = 0, laws: FloatMatrix? = nil,
    rule: DraftRule = .recursive, uniforms: [Double], scratch: inout [Float]
  ) throws(KernelError) -> VerifiedDraft {
    let inputs = VerifyInputs(tree, targets, firstTarget, laws, rule, uniforms)
    return try inputs.walk(scratch: &scratch) { tree, path, result in
      martlet_verify_tree_f32(tree, path, result)
    }
  }

  /// One step of ``verify(_:targets:firstTarget:laws:rule:uniforms:scratch:)``: tests the children
  /// of `node` and reads no row of `targets` but its own, so that rows can be made as they are
  /// reached.
  /// - Throws: `KernelError` as above.
  public static func verifyPosition(
    _ tree: DraftTree, node: Int, targets: FloatMatrix, firstTarget: Int = 0,
    laws: FloatMatrix? = nil, rule: DraftRule = .recursive, uniforms: [Double],
    scratch: inout [Float]
  ) throws(KernelError) -> VerifiedPosition {
    precondition(node >= 0 && node < tree.count, "node \(node) of \(tree.count)")
    var inputs = VerifyInputs(tree, targets, firstTarget, laws, rule, uniforms)
    inputs.rowsRead = node + 1
    let (result, _) = try inputs.run(scratch: &scratch) { tree, _, result in
      martlet_verify_position_f32(tree, UInt32(node), result)
    }
    return result.accepted == 1
      ? .kept(node: Int(result.node)) : .drawn(token: Int(result.token))
  }

  /// Greedy decoding: keeps drafts that are the most likely token, the lowest id among equals.
  ///
  /// - Parameter rows: logits or probabilities, row `firstRow` + i those after node i.
  /// - Throws: `KernelError` `.argument` when shapes or tokens do not fit, or a row holds NaN or +∞ or
  ///   nothing finite.
  /// - Complexity: one pass over each row that the walk reaches.
  public static func verifyGreedy(
    _ tree: DraftTree, rows: FloatMatrix, firstRow: Int = 0
  ) throws(KernelError) -> VerifiedDraft {
    var scratch: [Float] = []
    let inputs = VerifyInputs(tree, rows, firstRow, nil, .recursive, nil)
    return try inputs.walk(scratch: &scratch) { tree, path, result in
      martlet_verify_greedy_f32(tree, path, result)
    }
  }

  /// The same noise: keeps drafts that equal the token which plain sampling draws after their
  /// parent, so that drafting never changes a text.
  ///
  /// - Parameter drawn: one token per node.
  public static func verify(_ tree: DraftTree, drawn: [Int]) -> VerifiedDraft {
    precondition(drawn.count == tree.count, "\(drawn.count) tokens drawn for \(tree.count) nodes")
    let drawn = drawn.map { UInt32($0) }
    var path = [UInt32](repeating: 0, count: tree.count)
    var result = martlet_verify_result()
    result.size = UInt32(MemoryLayout<martlet_verify_result>.size)
    tree.withCTree { cTree in
      // Ids are compared and nothing else, so any vocabulary that holds them will do.
      cTree.width = Int(UInt32.max)
      martlet_verify_drawn(&cTree, drawn, &path, &result).expectSuccess("martlet_verify_drawn")
    }
    return VerifiedDraft(
      path: path.prefix(Int(result.accepted)).map { Int($0) }, token: Int(result.token))
  }

  /// Typical acceptance, **which changes the distribution**: keeps drafts with p > min(`epsilon`,
  /// `delta` · exp(−entropy)), takes the longest path of them and draws the last token from the
  /// target. (Medusa: Simple LLM Inference Acceleration Framework with Multiple Decoding Heads.)
  ///
  /// - Parameters:
  ///   - epsilon: not negative; Medusa's 0.09.
  ///   - delta: not negative; Medusa's 0.3.
  ///   - uniform: in 0 ..< 1, for the last draw.
  /// - Throws: `KernelError` as ``verify(_:targets:firstTarget:laws:rule:uniforms:scratch:)``.
  /// - Complexity: one pass over the row of each inner node kept.
  public static func verifyTypical(
    _ tree: DraftTree, targets: FloatMatrix, firstTarget: Int = 0, epsilon: Float, delta: Float,
    uniform: Double, scratch: inout [Float]
  ) throws(KernelError) -> VerifiedDraft {
    guard epsilon >= 0, epsilon.isFinite, delta >= 0, delta.isFinite else {
      throw KernelError(
        .argument,
        "typical acceptance with epsilon \(epsilon) and delta \(delta); give finite numbers that are "
          + "not negative")
    }
    var bare = DraftTree()
    for node in 1..<max(1, tree.count) { bare.add(tree.token(node), below: tree.parent(node)) }
    var uniforms = [Double](repeating: 0, count: tree.count)
    uniforms[0] = uniform
    let inputs = VerifyInputs(bare, targets, firstTarget, nil, .recursive, uniforms)
    return try inputs.walk(scratch: &scratch) { tree, path, result in
      martlet_verify_typical_f32(tree, epsilon, delta, path, result)
    }
  }
}

/// What a walk reads, checked before C sees it, so that C can only refuse a row.
private struct VerifyInputs {
  let tree: DraftTree
  let targets: FloatMatrix
  let firstTarget: Int
  let laws: FloatMatrix?
  let rule: DraftRule
  let uniforms: [Double]?
  /// How many rows of targets are read; nil for one per node.
  var rowsRead: Int?

  init(
    _ tree: DraftTree, _ targets: FloatMatrix, _ firstTarget: Int, _ laws: FloatMatrix?,
    _ rule: DraftRule, _ uniforms: [Double]?
  ) {
    self.tree = tree
    self.targets = targets
    self.firstTarget = firstTarget
    self.laws = laws
    self.rule = rule
    self.uniforms = uniforms
  }

  typealias Walk = (
    UnsafePointer<martlet_verify_tree>, UnsafeMutablePointer<UInt32>,
    UnsafeMutablePointer<martlet_verify_result>
  ) -> martlet_status

  func walk(scratch: inout [Float], _ body: Walk) throws(KernelError) -> VerifiedDraft {
    let (result, path) = try run(scratch: &scratch, body)
    return VerifiedDraft(
      path: path.prefix(Int(result.accepted)).map { Int($0) }, token: Int(result.token))
  }

  func run(
    scratch: inout [Float], _ body: Walk
  ) throws(KernelError) -> (martlet_verify_result, [UInt32]) {
    try check()
    let width = targets.columns
    let needed = uniforms == nil ? 0 : martlet_verify_scratch(width)
    if scratch.count < needed { scratch = [Float](repeating: 0, count: needed) }
    var path = [UInt32](repeating: 0, count: tree.count)
    var result = martlet_verify_result()
    result.size = UInt32(MemoryLayout<martlet_verify_result>.size)
    // All pointers live through the call, which alone uses them.
    let status = tree.withCTree { cTree in
      scratch.withUnsafeMutableBufferPointer { scratch in
        (uniforms ?? []).withUnsafeBufferPointer { uniforms in
          cTree.rule = rule.cValue
          cTree.width = width
          cTree.targets = UnsafePointer(targets.base + firstTarget * targets.stride)
          cTree.target_stride = targets.stride
          cTree.drafts = laws.map { UnsafePointer($0.base) }
          cTree.draft_stride = laws?.stride ?? 0
          cTree.draft_row_count = UInt32(laws?.rows ?? 0)
          cTree.uniforms = uniforms.baseAddress
          cTree.scratch = scratch.baseAddress
          return body(&cTree, &path, &result)
        }
      }
    }
    guard status == MARTLET_OK else {
      throw KernelError(
        .argument,
        "verifying drafts: node \(result.node) read a row that is no distribution (NaN, "
          + "below 0, above 1, a sum other than 1), or a draft that its own law rules out")
    }
    return (result, path)
  }

  private func check() throws(KernelError) {
    guard targets.columns > 0, targets.columns <= Int(UInt32.max) else {
      throw KernelError(.argument, "rows of \(targets.columns) probabilities; give a vocabulary")
    }
    let needed = rowsRead ?? tree.count
    guard firstTarget >= 0, targets.rows - firstTarget >= needed else {
      throw KernelError(
        .argument,
        "\(targets.rows) rows from row \(firstTarget) on do not cover \(needed) "
          + "nodes; give one per node")
    }
    if let token = tree.tokenIDs.dropFirst().first(where: { $0 >= targets.columns }) {
      throw KernelError(
        .argument, "token \(token) of a draft is outside the vocabulary of \(targets.columns)")
    }
    // Only tests by chance read laws and random numbers.
    guard let uniforms else { return }
    let lawRows = laws?.rows ?? 0
    if let law = tree.laws.dropFirst().first(where: { Int($0) >= lawRows }) {
      throw KernelError(.argument, "a draft was drawn from law \(law) of \(lawRows)")
    }
    if let laws, laws.columns != targets.columns {
      throw KernelError(
        .argument, "laws over \(laws.columns) tokens for a target over \(targets.columns)")
    }
    guard uniforms.count == tree.count else {
      throw KernelError(
        .argument, "\(uniforms.count) random numbers for \(tree.count) nodes; give one per node")
    }
    if let uniform = uniforms.first(where: { !($0 >= 0 && $0 < 1) }) {
      throw KernelError(.argument, "\(uniform) is no random number in 0 ..< 1")
    }
  }
}

extension DraftTree {
  /// A C tree over this one's arrays, valid inside `body`.
  fileprivate func withCTree<R>(_ body: (inout martlet_verify_tree) -> R) -> R {
    parents.withUnsafeBufferPointer { parents in
      tokenIDs.withUnsafeBufferPointer { tokens in
        laws.withUnsafeBufferPointer { laws in
          var tree = martlet_verify_tree()
          tree.size = UInt32(MemoryLayout<martlet_verify_tree>.size)
          tree.nodes = UInt32(count)
          tree.parents = parents.baseAddress
          tree.tokens = tokens.baseAddress
          tree.draft_rows = laws.baseAddress
          return body(&tree)
        }
      }
    }
  }
}

extension DraftRule {
  fileprivate var cValue: UInt32 {
    switch self {
    case .recursive: UInt32(MARTLET_VERIFY_RECURSIVE.rawValue)
    case .distinct: UInt32(MARTLET_VERIFY_DISTINCT.rawValue)
    case .weighted: UInt32(MARTLET_VERIFY_WEIGHTED.rawValue)
    }
  }
}

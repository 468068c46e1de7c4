import CMartlet
import Foundation
import MartletKernels
import Testing

private struct Generator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
  mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }
}

extension FloatMatrix {
  fileprivate convenience init(_ rows: [[Float]]) throws {
    try self.init(rows: rows.count, columns: rows[0].count)
    for (index, row) in rows.enumerated() { setRow(index, row) }
  }
}

/// Trees over few tokens, so that drafts are right often.
private func randomTree(_ g: inout Generator, width: Int, nodes: Int) -> DraftTree {
  var tree = DraftTree()
  while tree.count < nodes { tree.add(g.below(width), below: g.below(tree.count)) }
  return tree
}

/// The walk, said once more: from the root to the first child that holds the wanted token.
private func walk(_ tree: DraftTree, wanting token: (Int) -> Int) -> VerifiedDraft {
  var node = 0
  var path: [Int] = []
  while let next = (1..<max(1, tree.count)).first(where: {
    tree.parent($0) == node && tree.token($0) == token(node)
  }) {
    path.append(next)
    node = next
  }
  return VerifiedDraft(path: path, token: token(node))
}

@Suite struct VerifyDoorTests {
  @Test func theSameNoiseKeepsWhatWasDrawn() {
    var g = Generator(state: 3)
    var kept = 0
    for _ in 0..<500 {
      let width = 1 + g.below(4)
      let tree = randomTree(&g, width: width, nodes: 1 + g.below(20))
      let drawn = (0..<tree.count).map { _ in g.below(width) }
      let verified = Kernels.verify(tree, drawn: drawn)
      #expect(verified == walk(tree) { drawn[$0] })
      kept += verified.path.count
    }
    #expect(kept > 500)
  }

  @Test func greedyKeepsTheMostLikely() throws {
    var g = Generator(state: 4)
    var kept = 0
    for _ in 0..<300 {
      let width = 1 + g.below(5)
      let tree = randomTree(&g, width: width, nodes: 1 + g.below(12))
      // Ties, and tokens that are masked.
      let rows = (0..<tree.count).map { _ in
        (0..<width).map { _ in g.below(4) == 0 ? -Float.infinity : Float(g.below(3)) } + [-1]
      }
      let verified = try Kernels.verifyGreedy(tree, rows: FloatMatrix(rows))
      let likely = rows.map { row in row.firstIndex(of: row.max() ?? 0) ?? 0 }
      #expect(verified == walk(tree) { likely[$0] })
      kept += verified.path.count
    }
    #expect(kept > 100)
  }

  @Test func typicalAcceptanceTakesTheLongestPath() throws {
    var g = Generator(state: 5)
    var scratch: [Float] = []
    var lengths = Set<Int>()
    for _ in 0..<300 {
      let width = 2 + g.below(5)
      let tree = randomTree(&g, width: width, nodes: 2 + g.below(14))
      let rows = (0..<tree.count).map { _ -> [Float] in
        let weights = (0..<width).map { _ in g.below(3) == 0 ? 0 : Float(g.uniform()) + 0.01 }
        let sum = weights.reduce(0, +)
        return sum > 0 ? weights.map { $0 / sum } : [1] + .init(repeating: 0, count: width - 1)
      }
      let (epsilon, delta) = (Float(g.uniform() * 0.4), Float(g.uniform() * 1.5))
      let verified = try Kernels.verifyTypical(
        tree, targets: FloatMatrix(rows), epsilon: epsilon, delta: delta, uniform: g.uniform(),
        scratch: &scratch)
      var depths = [Int](repeating: 0, count: tree.count)
      var deepest = 0
      for node in 1..<tree.count {
        let parent = tree.parent(node)
        guard parent == 0 || depths[parent] > 0 else { continue }
        let positive = rows[parent].map { Double($0) }.filter { $0 > 0 }
        let entropy = positive.reduce(0.0) { $0 - $1 * log($1) }
        let bound = min(Double(epsilon), Double(delta) * exp(-entropy))
        guard Double(rows[parent][tree.token(node)]) > bound else { continue }
        depths[node] = depths[parent] + 1
        if depths[node] > depths[deepest] { deepest = node }
      }
      var path: [Int] = []
      var node = deepest
      while node > 0 {
        path.insert(node, at: 0)
        node = tree.parent(node)
      }
      #expect(verified.path == path)
      #expect(rows[deepest][verified.token] > 0)
      lengths.insert(path.count)
    }
    #expect(lengths.isSuperset(of: [0, 1, 2]))
  }

  @Test func positionsOneByOneAreTheWalk() throws {
    var g = Generator(state: 6)
    var (scratch, other): ([Float], [Float]) = ([], [])
    for round in 0..<300 {
      let width = 300 + g.below(300)
      let row = { (g: inout Generator) -> [Float] in
        let weights = (0..<width).map { _ in Float(g.uniform()) * Float(g.uniform()) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
      }
      let laws = try FloatMatrix([row(&g), row(&g)])
      let rule = DraftRule.allCases[round % 3]
      var tree = DraftTree()
      for node in 1..<12 {
        // Distinct tokens; one law per position, or none.
        let parent = (node - 1) / 3
        tree.add((node * 23) % width, below: parent, law: node % 3 == 0 ? nil : parent % 2)
      }
      let targets = try FloatMatrix((0..<14).map { _ in row(&g) })
      let uniforms = (0..<tree.count).map { _ in g.uniform() }
      let whole = try Kernels.verify(
        tree, targets: targets, firstTarget: 2, laws: laws, rule: rule, uniforms: uniforms,
        scratch: &scratch)
      var path: [Int] = []
      var token: Int?
      while token == nil {
        let step = try Kernels.verifyPosition(
          tree, node: path.last ?? 0, targets: targets, firstTarget: 2, laws: laws, rule: rule,
          uniforms: uniforms, scratch: &other)
        switch step {
        case .kept(let node): path.append(node)
        case .drawn(let drawn): token = drawn
        }
      }
      #expect(whole == VerifiedDraft(path: path, token: token ?? -1))
    }
  }

  /// A chain is a tree, and a draft drawn from p itself is always kept.
  @Test func identicalLawsKeepEverything() throws {
    let row: [Float] = [0.25, 0.5, 0.125, 0.125]
    let rows = try FloatMatrix(.init(repeating: row, count: 4))
    var scratch: [Float] = []
    for rule in DraftRule.allCases {
      let tree = DraftTree(chain: [1, 0, 3], laws: [0, 1, 2])
      let verified = try Kernels.verify(
        tree, targets: rows, laws: rows, rule: rule, uniforms: [0.999999, 0.9999, 0.9999, 0.9999],
        scratch: &scratch)
      #expect(verified == VerifiedDraft(path: [1, 2, 3], token: 3))
    }
  }

  @Test func rowsThatAreNoDistributionsAreErrors() throws {
    let good: [Float] = [0.5, 0.25, 0.25, 0]
    var scratch: [Float] = []
    func verify(
      _ target: [Float], _ law: [Float], rule: DraftRule = .recursive, tokens: [Int] = [1],
      uniform: Double = 0.999
    ) throws -> VerifiedDraft {
      var tree = DraftTree()
      for token in tokens { tree.add(token, below: 0, law: 0) }
      return try Kernels.verify(
        tree, targets: FloatMatrix(.init(repeating: target, count: tree.count)),
        laws: FloatMatrix([law]), rule: rule,
        uniforms: .init(repeating: uniform, count: tree.count), scratch: &scratch)
    }
    let other: [Float] = [0, 0.75, 0, 0.25]
    #expect(try verify(good, other).path.isEmpty)
    let bad: [[Float]] = [
      [.nan, 0.25, 0.25, 0.5], [-0.25, 0.25, 0.5, 0.5], [.infinity, 0.25, 0.25, 0],
      [0.5, 0.25, 0.5, 0], [0.25, 0.25, 0.25, 0], [0, 0, 0, 0], [-.infinity, 0.25, 0.5, 0.25],
    ]
    for row in bad {
      for rule in DraftRule.allCases {
        #expect(throws: KernelError.self, "\(row)") { try verify(row, other, rule: rule) }
        #expect(throws: KernelError.self, "\(row)") {
          try verify(row, other, rule: rule, tokens: [])
        }
        #expect(throws: KernelError.self, "\(row)") {
          try verify(row, other, rule: rule, tokens: [1, 3])
        }
      }
    }
    // In a law, bad entries and drafts that it rules out or, where they are distinct, repeats.
    #expect(throws: KernelError.self) { try verify(good, [.nan, 0.75, 0, 0.25]) }
    #expect(throws: KernelError.self) { try verify(good, [0.5, 0, 0.25, 0.25]) }
    #expect(throws: KernelError.self) { try verify(good, [0.5, .nan, 0.25, 0.25]) }
    #expect(throws: KernelError.self) { try verify(good, other, rule: .distinct, tokens: [1, 1]) }
    #expect(try verify(good, other, rule: .recursive, tokens: [1, 1]).token != 1)
    // Zero mass is never kept nor drawn, whatever the number.
    for uniform in [0, 0.3, 0.999_999_999] {
      #expect(try verify(good, other, tokens: [3], uniform: uniform).token != 3)
    }
  }

  /// Sums that miss 1 by rounding, and residuals that rounding leaves empty.
  @Test func roundingIsNoError() throws {
    var scratch: [Float] = []
    let third: [Float] = [1 / 3, 1 / 3, 1 / 3]
    let other: [Float] = [1 / 3, (1 as Float / 3).nextUp, (1 as Float / 3).nextDown]
    for (target, law) in [(third, other), (other, third)] {
      for token in 0..<3 {
        let tree = DraftTree(chain: [token], laws: [0])
        let verified = try Kernels.verify(
          tree, targets: FloatMatrix([target, target]), laws: FloatMatrix([law]),
          uniforms: [0.5, 1 - 0x1p-53], scratch: &scratch)
        #expect((0..<3).contains(verified.token))
      }
    }
    // One token has all the mass but for rounding; a rejected draft of it is drawn again.
    let peak: [Float] = [0, (1 as Float).nextDown, 0]
    for law in [0, nil] as [Int?] {
      let tree = DraftTree(chain: [1], laws: law.map { [$0] })
      let verified = try Kernels.verify(
        tree, targets: FloatMatrix([peak, peak]), laws: FloatMatrix([[0, 1, 0]]),
        uniforms: [0.5, 1 - 0x1p-53], scratch: &scratch)
      #expect(verified == VerifiedDraft(path: [], token: 1))
    }
  }

  @Test func shapesThatDoNotFitAreErrors() throws {
    var scratch: [Float] = []
    let rows = try FloatMatrix([[0.5, 0.5], [0.5, 0.5]])
    func verify(
      _ tree: DraftTree, first: Int = 0, laws: FloatMatrix? = nil, uniforms: [Double] = [0, 0]
    ) throws {
      _ = try Kernels.verify(
        tree, targets: rows, firstTarget: first, laws: laws, uniforms: uniforms, scratch: &scratch)
    }
    #expect(throws: Never.self) { try verify(DraftTree(chain: [1])) }
    #expect(throws: KernelError.self) { try verify(DraftTree(chain: [2])) }
    #expect(throws: KernelError.self) { try verify(DraftTree(chain: [1]), first: 1) }
    #expect(throws: KernelError.self) { try verify(DraftTree(chain: [1], laws: [0])) }
    #expect(throws: KernelError.self) { try verify(DraftTree(chain: [1]), uniforms: [0]) }
    for uniform in [-0.1, 1, .nan] {
      #expect(throws: KernelError.self) {
        try verify(DraftTree(chain: [1]), uniforms: [0, uniform])
      }
    }
    let narrow = try FloatMatrix([[1]])
    #expect(throws: KernelError.self) { try verify(DraftTree(chain: [1], laws: [0]), laws: narrow) }
    for bad in [-1, .nan, .infinity] as [Float] {
      #expect(throws: KernelError.self) {
        try Kernels.verifyTypical(
          DraftTree(chain: [1]), targets: rows, epsilon: bad, delta: 1, uniform: 0,
          scratch: &scratch)
      }
    }
  }
}

/// The C doors answer bad arguments with a status.
@Suite struct VerifyContractTests {
  @Test func inconsistentTreesAreRefused() {
    typealias Change = (inout martlet_verify_tree) -> Void
    let rows: [Float] = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    func status(parents: [UInt32] = [0, 0, 1], _ change: Change) -> martlet_status {
      var scratch = [Float](repeating: 0, count: martlet_verify_scratch(2))
      var path: [UInt32] = [9, 9, 9]
      var result = martlet_verify_result()
      result.size = UInt32(MemoryLayout<martlet_verify_result>.size)
      return rows.withUnsafeBufferPointer { rows in
        scratch.withUnsafeMutableBufferPointer { scratch in
          ([0, 1, 0] as [UInt32]).withUnsafeBufferPointer { tokens in
            parents.withUnsafeBufferPointer { parents in
              ([-1, 0, -1] as [Int32]).withUnsafeBufferPointer { laws in
                ([0.1, 0.2, 0.3] as [Double]).withUnsafeBufferPointer { uniforms in
                  var tree = martlet_verify_tree()
                  tree.size = UInt32(MemoryLayout<martlet_verify_tree>.size)
                  tree.nodes = 3
                  tree.width = 2
                  tree.parents = parents.baseAddress
                  tree.tokens = tokens.baseAddress
                  tree.targets = rows.baseAddress
                  tree.target_stride = 2
                  tree.drafts = rows.baseAddress
                  tree.draft_stride = 2
                  tree.draft_row_count = 1
                  tree.draft_rows = laws.baseAddress
                  tree.uniforms = uniforms.baseAddress
                  tree.scratch = scratch.baseAddress
                  change(&tree)
                  return martlet_verify_tree_f32(&tree, &path, &result)
                }
              }
            }
          }
        }
      }
    }
    #expect(status { _ in } == MARTLET_OK)
    #expect(status { $0.parents = nil } == MARTLET_OK)
    #expect(status { $0.draft_rows = nil } == MARTLET_OK)
    let mistakes: [Change] = [
      { $0.size = 8 }, { $0.rule = 3 }, { $0.nodes = 0 }, { $0.width = 0 }, { $0.width = 1 },
      { $0.width = 1 << 33 }, { $0.tokens = nil }, { $0.targets = nil }, { $0.target_stride = 1 },
      { $0.drafts = nil }, { $0.draft_stride = 1 }, { $0.draft_row_count = 0 },
      { $0.uniforms = nil }, { $0.scratch = nil },
    ]
    for (index, mistake) in mistakes.enumerated() {
      #expect(status(mistake) == MARTLET_E_ARGUMENT, "mistake \(index)")
    }
    #expect(status(parents: [0, 1, 0]) { _ in } == MARTLET_E_ARGUMENT)
    #expect(status(parents: [0, 0, 2]) { _ in } == MARTLET_E_ARGUMENT)
    #expect(martlet_verify_tree_f32(nil, nil, nil) == MARTLET_E_ARGUMENT)
  }
}

import Foundation
import MartletKernels
import MartletMachine

/// Targets and laws over one vocabulary, and drafts from them.
struct VerifyBenchCase {
  private let vocabulary: Int
  private let settings: VerifyBench.Settings
  private let targets: FloatMatrix
  private let laws: FloatMatrix
  private let drafts: [Key: [Draft]]

  struct Key: Hashable {
    let verifier: VerifyBench.Verifier
    let nodes: Int
  }

  /// One draft and the numbers of its call.
  struct Draft {
    let tree: DraftTree
    let uniforms: [Double]
    /// What plain sampling draws after each node.
    let drawn: [Int]
  }

  struct Measured {
    var samples = Samples()
    var kept = 0.0
  }

  static let variants = 32

  init(vocabulary: Int, _ settings: VerifyBench.Settings) throws {
    self.vocabulary = vocabulary
    self.settings = settings
    let nodes = settings.nodes.max() ?? 1
    targets = try FloatMatrix(rows: nodes + 1, columns: vocabulary)
    laws = try FloatMatrix(rows: nodes, columns: vocabulary)
    var random = DraftRandom()
    for row in 0...nodes {
      let logits = (0..<vocabulary).map { _ in 2.5 * random.normal() }
      targets.setRow(row, Self.softmax(logits))
      if row < nodes { laws.setRow(row, Self.softmax(logits.map { $0 + 0.7 * random.normal() })) }
    }
    let (lawSums, targetSums) = (Self.sums(laws), Self.sums(targets))
    var drafts: [Key: [Draft]] = [:]
    for verifier in settings.verifiers {
      for nodes in settings.nodes {
        drafts[Key(verifier: verifier, nodes: nodes)] = (0..<Self.variants).map { _ in
          Self.draft(verifier, nodes, lawSums, targetSums, &random)
        }
      }
    }
    self.drafts = drafts
  }

  /// Samples of every cell.
  func measure() throws -> [Key: Measured] {
    var scratch: [Float] = []
    var measured: [Key: Measured] = [:]
    for key in keys {
      let kept = try (drafts[key] ?? []).map { try verify(key.verifier, $0, &scratch) }
      measured[key] = Measured(kept: Double(kept.reduce(0, +)) / Double(Self.variants))
    }
    for _ in 0..<settings.repetitions {
      for key in keys {
        let own = drafts[key] ?? []
        let begin = monotonicNanoseconds()
        for draft in own { _ = try verify(key.verifier, draft, &scratch) }
        let elapsed = Double(monotonicNanoseconds() - begin) / Double(Self.variants)
        measured[key]?.samples.append(elapsed.rounded())
      }
    }
    return measured
  }

  /// One row per cell.
  func rows(_ measured: [Key: Measured], _ limits: MachineLimits) -> [VerifyBench.Row] {
    let variant =
      kernelVariants().first { $0.operation == "verify_residual_f32" && $0.serving }?.name ?? ""
    return keys.map { key in
      let own = measured[key] ?? Measured()
      let samples = own.samples
      let bytes = self.bytes(key.verifier, kept: own.kept)
      let matrix = Double(vocabulary * VerifyBench.outputDepth) * 18 / 32
      return VerifyBench.Row(
        vocab: vocabulary, verifier: key.verifier.rawValue, nodes: key.nodes,
        draftsPerPosition: Self.perPosition(key.verifier, key.nodes), kept: own.kept,
        variant: variant, medianNs: samples.median, minNs: samples.minimum,
        lowNs: samples.interval.lowerBound, highNs: samples.interval.upperBound,
        samplesNs: samples.nanoseconds, bytes: bytes,
        fractionOfLimit: bytes / limits.readGbPerS / samples.median,
        shareOfOutputMatrix: samples.median / (matrix / limits.readGbPerS),
        command: "\(settings.command) --vocab \(vocabulary) --verifier \(key.verifier.rawValue) "
          + "--nodes \(key.nodes)")
    }
  }

  // MARK: Verification

  private var keys: [Key] {
    settings.verifiers.flatMap { verifier in
      settings.nodes.map { Key(verifier: verifier, nodes: $0) }
    }
  }

  /// The number of drafts kept.
  private func verify(
    _ verifier: VerifyBench.Verifier, _ draft: Draft, _ scratch: inout [Float]
  ) throws -> Int {
    let rule: DraftRule
    switch verifier {
    case .greedy: return try Kernels.verifyGreedy(draft.tree, rows: targets).path.count
    case .sameNoise: return Kernels.verify(draft.tree, drawn: draft.drawn).path.count
    case .typical:
      return try Kernels.verifyTypical(
        draft.tree, targets: targets, epsilon: 0.09, delta: 0.3, uniform: draft.uniforms[0],
        scratch: &scratch
      ).path.count
    case .chain, .recursive, .deterministic: rule = .recursive
    case .distinct: rule = .distinct
    case .weighted: rule = .weighted
    }
    return try Kernels.verify(
      draft.tree, targets: targets, laws: laws, rule: rule, uniforms: draft.uniforms,
      scratch: &scratch
    ).path.count
  }

  private func bytes(_ verifier: VerifyBench.Verifier, kept: Double) -> Double {
    let row = Double(4 * vocabulary)
    switch verifier {
    case .chain, .recursive, .distinct, .weighted: return 2 * row
    case .deterministic: return row
    case .greedy, .typical: return row * (kept + 1)
    case .sameNoise: return 0
    }
  }

  // MARK: Drafts

  private static func perPosition(_ verifier: VerifyBench.Verifier, _ nodes: Int) -> Int {
    verifier == .chain ? 1 : min(4, nodes)
  }

  /// Drafts of one position after another, each position below the first draft of the one before.
  /// Position i is node i's: its target is row i, its law too.
  private static func draft(
    _ verifier: VerifyBench.Verifier, _ nodes: Int, _ laws: [[Float]], _ targets: [[Float]],
    _ random: inout DraftRandom
  ) -> Draft {
    let perPosition = perPosition(verifier, nodes)
    var tree = DraftTree()
    var parent = 0
    while tree.count <= nodes {
      let first = tree.count
      var tried = Set<Int>()
      for _ in 0..<min(perPosition, nodes + 1 - first) {
        var token = random.token(laws[parent])
        if verifier == .distinct || verifier == .deterministic {
          while tried.contains(token) { token = random.token(laws[parent]) }
          tried.insert(token)
        }
        tree.add(token, below: parent, law: verifier == .deterministic ? nil : parent)
      }
      parent = first
    }
    return Draft(
      tree: tree, uniforms: (0..<tree.count).map { _ in random.uniform() },
      drawn: (0..<tree.count).map { random.token(targets[$0]) })
  }

  private static func softmax(_ logits: [Float]) -> [Float] {
    let weights = logits.map { exp($0) }
    let sum = Float(weights.reduce(0.0) { $0 + Double($1) })
    return weights.map { $0 / sum }
  }

  /// Running sums of all rows.
  private static func sums(_ matrix: FloatMatrix) -> [[Float]] {
    (0..<matrix.rows).map { row in
      var sum = 0.0
      return matrix.row(row).map { value in
        sum += Double(value)
        return Float(sum)
      }
    }
  }
}

/// Numbers that are the same in every run.
private struct DraftRandom {
  private var index = 0

  mutating func uniform() -> Double {
    index += 1
    return Double(randomBits(index) >> 11) * 0x1p-53
  }

  /// About normal: mean 0, variance 1.
  mutating func normal() -> Float {
    let bits = randomBits(index)
    index += 1
    // Four sixteenths of a word, each uniform.
    let sum = (0..<4).reduce(0) { $0 + Int(bits >> (16 * UInt64($1)) & 0xffff) }
    return (Float(sum) / 65_536 - 2) * 1.732_050_8
  }

  /// A token by running sums of its law.
  mutating func token(_ sums: [Float]) -> Int {
    let wanted = Float(uniform()) * (sums.last ?? 0)
    var (low, high) = (0, sums.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if sums[middle] > wanted { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

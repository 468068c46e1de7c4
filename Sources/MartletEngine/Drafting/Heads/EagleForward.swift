import MartletKernels
import MartletMachine
import MartletModel

/// Runs an EAGLE head: features and the tokens that follow them in, the next features and their logits
/// out. It is a transformer whose tokens are embedded together with features, and whose own hidden
/// states are the features that it makes.
///
/// Keys and values have pages of their own, as in any ``Backend``: position t of a sequence is feature
/// t with the token at t + 1. Pages, paths of trees and the batch's rules are those of
/// ``ForwardBatch``. Source: "EAGLE: Speculative Sampling Requires Rethinking Feature Uncertainty".
///
/// `@unchecked Sendable`: one caller at a time, as for ``Backend/forward(_:logits:)``.
public final class EagleForward: @unchecked Sendable {
  /// The decoder, for its pages; its `forward` is called through this object's.
  public let backend: TransformerBackend
  private let embedding: EagleEmbedding

  /// A head over the embeddings and the output of `base`.
  /// - Throws: `EngineError` `.argument` when shapes do not fit together, `.memory`.
  public init(
    head: EagleHead, base: TransformerParts, team: ThreadTeam,
    options: TransformerBackend.Options = .init()
  ) throws(EngineError) {
    embedding = try EagleEmbedding(
      head, base.embedding, team, rows: options.maximumBatchTokens)
    backend = try TransformerBackend(
      parts: TransformerParts(
        name: head.configuration.name, configuration: head.configuration, layers: head.layers,
        outputNorm: head.outputNorm, output: base.output, embedding: embedding,
        tokenizer: base.tokenizer),
      team: team, options: options)
    backend.keepHiddenStates(byteLimit: .max)
  }

  /// Elements of a feature.
  public var width: Int { embedding.width }

  /// Processes the batch, whose i-th token follows the feature in row i of `features`. Logits as in
  /// ``Backend``; the feature made of a token is what the backend keeps for its slot
  /// (``Backend/copyHiddenState(page:slot:into:row:)``).
  ///
  /// Throws `.argument` for features of another shape, else as ``TransformerBackend`` does.
  public func forward(
    _ batch: ForwardBatch, features: FloatMatrix, logits: LogitsBuffer
  ) throws(EngineError) {
    guard features.columns == width, features.rows >= batch.tokens.count else {
      throw EngineError(
        .argument,
        "\(backend.name): features of \(features.rows) × \(features.columns) for "
          + "\(batch.tokens.count) tokens of \(width)")
    }
    embedding.features = features
    defer { embedding.features = nil }
    try backend.forward(batch, logits: logits)
  }
}

/// fc(embedding of the token ++ feature) + bias, as a backend's token embedding.
///
/// `@unchecked Sendable`: used inside `EagleForward.forward`, which has one caller at a time.
private final class EagleEmbedding: TokenEmbedding, @unchecked Sendable {
  let width: Int
  var features: FloatMatrix?

  private let table: any TokenEmbedding
  private let team: ThreadTeam
  private let weights: PackedWeights
  private let bias: [Float]?
  private let embedded: FloatMatrix
  private let joined: FloatMatrix
  private let prepared: PreparedActivations

  init(
    _ head: EagleHead, _ table: any TokenEmbedding, _ team: ThreadTeam, rows: Int
  ) throws(EngineError) {
    width = head.configuration.width
    self.table = table
    self.team = team
    weights = head.fusion
    bias = head.fusionBias
    guard PreparedActivations.supports(weights.activationType, depth: 2 * width) else {
      throw EngineError(
        .argument,
        "\(head.configuration.name): the fc weights are \(weights.type.name), which needs a depth "
          + "that is a multiple of 32, not \(2 * width)")
    }
    do throws(KernelError) {
      embedded = try FloatMatrix(rows: rows, columns: width)
      joined = try FloatMatrix(rows: rows, columns: 2 * width)
      prepared = try PreparedActivations(rows: rows, depth: 2 * width)
    } catch {
      throw TransformerBackend.engineError(
        error, "\(head.configuration.name) cannot be set up")
    }
  }

  func gather(
    _ tokens: [Token], into output: FloatMatrix, rows range: Range<Int>?
  ) throws(ModelError) {
    guard let features else { preconditionFailure("an EAGLE head runs through EagleForward") }
    try table.gather(tokens, into: embedded, rows: range)
    let rows = tokens.count
    let (width, embedded, joined, prepared) = (width, embedded, joined, prepared)
    prepared.begin(weights.activationType, rows: rows, depth: 2 * width)
    team.forEachRow(rows, work: 4 * width) { range in
      for row in range {
        joined.withMutableRow(row) { target in
          embedded.withRow(row) { for i in 0..<width { target[i] = $0[i] } }
          features.withRow(row) { for i in 0..<width { target[width + i] = $0[i] } }
        }
      }
      prepared.fill(from: joined, rows: range)
    }
    var product = ProductGroup()
    product.add(
      weights, bias: bias, from: [weights.activationType: prepared], into: output)
    product.run(on: team)
  }
}

import MartletKernels

/// The token embedding table, left in the mapped file in its own type; rows are dequantised when
/// they are gathered, so it costs no memory beyond the pages that are used.
public struct EmbeddingTable: Sendable {
  /// How the file stores it.
  public let type: WeightType
  /// Tokens.
  public let rows: Int
  /// Elements per token.
  public let width: Int
  private let file: GGUFFile
  private let tensor: TensorInfo

  init(_ file: GGUFFile, _ tensor: TensorInfo, type: WeightType) {
    self.file = file
    self.tensor = tensor
    self.type = type
    width = tensor.shape[0]
    rows = tensor.shape[1]
  }

  /// Writes the embedding of tokens[i] into row i of `output` for i in `range` (all by default).
  /// Disjoint ranges may run concurrently. Throws `argument` for a token outside the vocabulary.
  public func gather(
    _ tokens: [Token], into output: FloatMatrix, rows range: Range<Int>? = nil
  ) throws(ModelError) {
    do {
      try file.withTensorBytes(tensor) { (bytes) throws(KernelError) in
        try Kernels.gatherRows(
          type, tableRows: rows, table: bytes, indices: tokens, into: output, rows: range)
      }
    } catch {
      throw ModelError(.argument, "token embedding: \(error)")
    }
  }

  /// The embeddings of `tokens` as arrays: for looking at a model, not for running it.
  public func embeddings(of tokens: [Token]) throws(ModelError) -> [[Float]] {
    do {
      let matrix = try FloatMatrix(rows: tokens.count, columns: width)
      try gather(tokens, into: matrix)
      return tokens.indices.map { matrix.row($0) }
    } catch let error as ModelError {
      throw error
    } catch {
      throw ModelError(.memory, "embeddings of \(tokens.count) tokens: \(error)")
    }
  }
}

import MartletKernels

/// Rows of logits that a backend writes and the sampler reads: `rows` × `vocabulary` float32.
///
/// Not safe for use from two threads at once without ordering between them: the backend fills it
/// during `forward`, the engine reads it afterwards on the same thread.
public final class LogitsBuffer: Sendable {
  /// Number of rows.
  public var rows: Int { matrix.rows }
  /// Number of logits per row.
  public var vocabulary: Int { matrix.columns }
  /// The rows themselves, so that an output product can write them in place.
  public let matrix: FloatMatrix

  /// A zeroed buffer.
  /// - Throws: `EngineError` `.memory` when it cannot be had.
  public init(rows: Int, vocabulary: Int) throws(EngineError) {
    precondition(rows >= 0 && vocabulary > 0, "a logits buffer needs a vocabulary")
    do throws(KernelError) {
      matrix = try FloatMatrix(rows: rows, columns: vocabulary)
    } catch {
      throw EngineError(
        .memory, "\(rows) rows of \(vocabulary) logits: \(error.message); use smaller batches")
    }
  }

  /// Reads one row.
  public func withRow<R, E: Error>(
    _ row: Int, _ body: (Span<Float>) throws(E) -> R
  ) throws(E) -> R {
    try matrix.withRow(row, body)
  }

  /// Writes one row in place.
  public func withMutableRow<R, E: Error>(
    _ row: Int, _ body: (inout MutableSpan<Float>) throws(E) -> R
  ) throws(E) -> R {
    try matrix.withMutableRow(row, body)
  }

  /// Writes one row; `values` has `vocabulary` elements.
  public func setRow(_ row: Int, _ values: [Float]) { matrix.setRow(row, values) }

  /// A copy of one row.
  public func row(_ row: Int) -> [Float] { matrix.row(row) }
}

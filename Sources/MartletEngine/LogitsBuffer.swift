/// Rows of logits that a backend writes and the sampler reads: `rows` × `vocabulary` float32.
///
/// Not safe for use from two threads at once without ordering between them: the backend fills it
/// during `forward`, the engine reads it afterwards on the same thread.
public final class LogitsBuffer: @unchecked Sendable {
  // @unchecked: the engine hands it to one thread at a time, as stated above.

  /// Number of rows.
  public let rows: Int
  /// Number of logits per row.
  public let vocabulary: Int
  private var storage: [[Float]]

  /// A zeroed buffer.
  public init(rows: Int, vocabulary: Int) {
    precondition(rows >= 0 && vocabulary > 0, "a logits buffer needs a vocabulary")
    self.rows = rows
    self.vocabulary = vocabulary
    storage = (0..<rows).map { _ in [Float](repeating: 0, count: vocabulary) }
  }

  /// Reads one row.
  public func withRow<R, E: Error>(
    _ row: Int, _ body: (Span<Float>) throws(E) -> R
  ) throws(E) -> R {
    let values = storage[row]
    return try body(values.span)
  }

  /// Writes one row in place.
  public func withMutableRow<R, E: Error>(
    _ row: Int, _ body: (inout MutableSpan<Float>) throws(E) -> R
  ) throws(E) -> R {
    var values: [Float] = []
    swap(&values, &storage[row])
    defer { swap(&values, &storage[row]) }
    var span = values.mutableSpan
    return try body(&span)
  }

  /// Writes one row; `values` has `vocabulary` elements.
  public func setRow(_ row: Int, _ values: [Float]) {
    precondition(values.count == vocabulary, "a row has \(vocabulary) logits")
    storage[row] = values
  }

  /// A copy of one row.
  public func row(_ row: Int) -> [Float] { storage[row] }
}

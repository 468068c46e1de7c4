/// Row-major float32 matrix of fixed size whose rows start on 64-byte boundaries.
///
/// `@unchecked Sendable`: kernels on several threads may work on it at once as long as none writes
/// what another reads or writes (disjoint rows or columns). The team's barrier orders the rest.
public final class FloatMatrix: @unchecked Sendable {
  /// Rows and columns, both fixed.
  public let rows: Int
  public let columns: Int
  /// Elements from the start of one row to the start of the next, a multiple of 16.
  public let stride: Int

  private let memory: AlignedMemory
  /// First element. Lives as long as this object.
  let base: UnsafeMutablePointer<Float>

  /// A matrix of zeros.
  /// - Throws: `KernelError` `.argument` for a negative or overflowing shape, `.memory`.
  public init(rows: Int, columns: Int) throws(KernelError) {
    guard rows >= 0, columns >= 0, columns <= Int.max - 15,
      let elements = checkedProduct(rows, (columns + 15) & ~15, MemoryLayout<Float>.stride)
    else { throw KernelError(.argument, "a matrix of \(rows) × \(columns) is not possible") }
    self.rows = rows
    self.columns = columns
    stride = (columns + 15) & ~15
    memory = try AlignedMemory(byteCount: elements)
    // Freshly zeroed bytes are valid floats, and nothing else ever views this block.
    base = memory.base.bindMemory(to: Float.self, capacity: rows * stride)
  }

  /// One element.
  public subscript(row: Int, column: Int) -> Float {
    get {
      checkElement(row, column)
      return base[row * stride + column]
    }
    set {
      checkElement(row, column)
      base[row * stride + column] = newValue
    }
  }

  /// A copy of row `r`.
  public func row(_ r: Int) -> [Float] {
    checkRow(r)
    return Array(UnsafeBufferPointer(start: base + r * stride, count: columns))
  }

  /// Replaces row `r`; `values` has `columns` elements.
  public func setRow(_ r: Int, _ values: [Float]) {
    checkRow(r)
    precondition(values.count == columns, "\(values.count) values for \(columns) columns")
    values.withUnsafeBufferPointer { source in
      guard let start = source.baseAddress else { return }
      (base + r * stride).update(from: start, count: columns)
    }
  }

  /// Copies row `source` of `other`, which has as many columns, to row `r`.
  public func copyRow(_ r: Int, from other: FloatMatrix, row source: Int) {
    checkRow(r)
    other.checkRow(source)
    precondition(other.columns == columns, "rows of \(other.columns) and \(columns) columns")
    // Both rows are in bounds; `update` allows a row to be copied onto itself.
    (base + r * stride).update(from: other.base + source * other.stride, count: columns)
  }

  /// Calls `body` with row `r` in place, without a copy.
  public func withRow<R, E: Error>(_ r: Int, _ body: (Span<Float>) throws(E) -> R) throws(E) -> R {
    checkRow(r)
    return try body(UnsafeBufferPointer(start: base + r * stride, count: columns).span)
  }

  /// Calls `body` with row `r` in place, to be written.
  public func withMutableRow<R, E: Error>(
    _ r: Int, _ body: (inout MutableSpan<Float>) throws(E) -> R
  ) throws(E) -> R {
    checkRow(r)
    var span = UnsafeMutableBufferPointer(start: base + r * stride, count: columns).mutableSpan
    return try body(&span)
  }

  func checkRow(_ r: Int) {
    precondition(r >= 0 && r < rows, "row \(r) of a matrix of \(rows) rows")
  }

  func checkRows(_ range: Range<Int>) {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of a matrix of \(rows)")
  }

  private func checkElement(_ row: Int, _ column: Int) {
    checkRow(row)
    precondition(column >= 0 && column < columns, "column \(column) of \(columns)")
  }
}

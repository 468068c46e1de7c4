import CMartlet

extension Kernels {
  /// The float32 values of `count` elements of `type` at `source` (any alignment).
  /// - Throws: `KernelError` `.argument` when `count` is no whole number of blocks or `source` is
  ///   shorter than that.
  public static func dequantize(
    _ type: WeightType, count: Int, source: UnsafeRawBufferPointer
  ) throws(KernelError) -> [Float] {
    guard let bytes = type.byteCount(elements: count), source.count >= bytes else {
      throw KernelError(
        .argument, "\(source.count) bytes do not hold \(count) elements of \(type.name)")
    }
    guard count > 0 else { return [] }
    var status = MARTLET_OK
    let values = [Float](unsafeUninitializedCapacity: count) { output, initialized in
      status = martlet_dequantize(type.cValue, count, source.baseAddress, output.baseAddress)
      // On failure nothing may count as written.
      initialized = status == MARTLET_OK ? count : 0
    }
    try status.throwing("dequantizing \(type.name)")
    return values
  }

  /// output[i] = row indices[i], dequantised, of a table of `tableRows` rows in GGUF layout whose
  /// depth is `output.columns`. Row i of `output` receives index i, for i in `rows`.
  ///
  /// - Throws: `KernelError` `.argument` when the table has another size or an index is outside it
  ///   (nothing is written then).
  public static func gatherRows(
    _ type: WeightType, tableRows: Int, table: UnsafeRawBufferPointer, indices: [Int32],
    into output: FloatMatrix, rows: Range<Int>? = nil
  ) throws(KernelError) {
    let rows = rows ?? 0..<indices.count
    output.checkRows(rows)
    precondition(rows.upperBound <= indices.count, "rows \(rows) of \(indices.count) indices")
    let depth = output.columns
    guard tableRows > 0, let rowBytes = type.byteCount(elements: depth),
      let bytes = checkedProduct(rowBytes, tableRows), table.count >= bytes
    else {
      throw KernelError(
        .argument,
        "a table of \(table.count) bytes does not hold \(tableRows) rows of \(depth) \(type.name)")
    }
    if let bad = indices[rows].first(where: { $0 < 0 || Int($0) >= tableRows }) {
      throw KernelError(.argument, "row \(bad) of a table of \(tableRows) rows")
    }
    guard !rows.isEmpty else { return }
    let status = indices.withUnsafeBufferPointer { indices in
      martlet_gather_rows(
        type.cValue, tableRows, depth, table.baseAddress,
        indices.baseAddress.map { $0 + rows.lowerBound }, rows.count,
        output.base + rows.lowerBound * output.stride, output.stride)
    }
    try status.throwing("gathering rows")
  }
}

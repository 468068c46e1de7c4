import CMartlet

/// Type, numeric class and size of a packed weight matrix, with the sizes that follow from them.
public struct PackedShape: Sendable, Equatable {
  /// Element type of the source.
  public let type: WeightType
  /// The class whose layout is meant.
  public let numericClass: NumericClass
  /// Rows of the weight matrix.
  public let outputs: Int
  /// Columns of the weight matrix.
  public let depth: Int
  /// Bytes of the packed form.
  public let packedBytes: Int
  /// Bytes of one output in the source.
  public let rowBytes: Int

  /// - Throws: `KernelError` `.argument` for an empty shape or a depth that is no multiple of the
  ///   type's block, `.unsupported` where there is no packing or the machine lacks what the class
  ///   needs. There are no packed weights without a shape, so none of a class that cannot run.
  public init(
    type: WeightType, numericClass: NumericClass, outputs: Int, depth: Int
  ) throws(KernelError) {
    try numericClass.validate()
    guard outputs > 0, depth > 0 else {
      throw KernelError(.argument, "weights of \(outputs) outputs × depth \(depth) are empty")
    }
    guard let rowBytes = type.byteCount(elements: depth) else {
      throw KernelError(
        .argument,
        "depth \(depth) is no multiple of \(type.name)'s block of \(type.blockElements)")
    }
    guard checkedProduct(rowBytes, outputs) != nil else {
      throw KernelError(
        .argument, "weights of \(outputs) outputs × depth \(depth) have more bytes than memory can")
    }
    let bytes = martlet_gemm_packed_bytes(type.cValue, numericClass.cValue, outputs, depth)
    guard bytes > 0, bytes <= Int.max else {
      throw KernelError(
        .unsupported,
        "\(type.name) weights of \(outputs) × \(depth) cannot be packed in class "
          + numericClass.rawValue)
    }
    self.type = type
    self.numericClass = numericClass
    self.outputs = outputs
    self.depth = depth
    self.rowBytes = rowBytes
    packedBytes = Int(bytes)
  }

  /// Checksum of `source`, the same that packing it computes, without packing it.
  ///
  /// - Parameter consumed: as in ``PackedWeights``.
  /// - Throws: `KernelError` `.argument` when `source` has another size.
  public func sourceChecksum(
    _ source: UnsafeRawBufferPointer, team: (any ParallelFor)? = nil,
    consumed: (@Sendable (Range<Int>) -> Void)? = nil
  ) throws(KernelError) -> UInt64 {
    _ = try base(of: source)
    return forEachPiece(team, source: source, summing: true) { _, bytes in consumed?(bytes) } ?? 0
  }

  /// The source's first byte, once its size is known to be right.
  func base(of source: UnsafeRawBufferPointer) throws(KernelError) -> UnsafeRawPointer {
    guard let expected = checkedProduct(rowBytes, outputs), source.count == expected,
      let base = source.baseAddress
    else {
      throw KernelError(
        .argument,
        "\(type.name) weights of \(outputs) × \(depth) need \(rowBytes) bytes per output, "
          + "but the source has \(source.count) bytes")
    }
    return base
  }

  /// Cuts the rows into pieces of about half a mebibyte, whole tiles each, and calls `body` on the
  /// team with each piece's rows and source bytes. When `summing`, returns the checksum of the
  /// checksums of the pieces, each read before `body` may give its bytes back.
  func forEachPiece(
    _ team: (any ParallelFor)?, source: UnsafeRawBufferPointer, summing: Bool,
    _ body: @Sendable (_ rows: Range<Int>, _ bytes: Range<Int>) -> Void
  ) -> UInt64? {
    let tile = Int(MARTLET_GEMM_TILE)
    let rowsPerPiece = max(1, (512 << 10) / rowBytes / tile) * tile
    let pieces = (outputs + rowsPerPiece - 1) / rowsPerPiece
    let sums = Checksum.Sums(count: summing ? pieces : 0)
    let bytes = LentBytes(source)
    (team ?? SerialFor()).split(pieces) { range in
      for piece in range {
        let rows = piece * rowsPerPiece..<min(outputs, (piece + 1) * rowsPerPiece)
        let place = rows.lowerBound * rowBytes..<rows.upperBound * rowBytes
        // First, so that packing finds the piece in the cache.
        if summing { sums.set(piece, Checksum.xxh64(bytes[place])) }
        body(rows, place)
      }
    }
    return summing ? sums.checksum() : nil
  }
}

/// What identifies the packed layouts of this build on this CPU.
public enum PackedLayout {
  /// Grows with every change of a layout.
  public static var version: Int { Int(martlet_gemm_layout_version()) }

  /// The layouts' name in a class.
  public static func name(_ numericClass: NumericClass) -> String {
    String(cString: martlet_gemm_layout_name(numericClass.cValue))
  }

  /// Checksum of a small matrix of each type packed in `numericClass`: differs between two builds
  /// whose layouts differ, even where somebody forgot to raise the version.
  public static func probe(
    _ types: [WeightType], _ numericClass: NumericClass
  ) throws(KernelError) -> UInt64 {
    var sums: [UInt64] = []
    for type in types.sorted(by: { $0.rawValue < $1.rawValue }) {
      let (outputs, depth) = (80, 512)
      let bytes = (0..<(type.byteCount(elements: depth) ?? 0) * outputs).map {
        UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 7)
      }
      let result = bytes.withUnsafeBytes { source in
        Result { () throws(KernelError) in
          try PackedWeights(
            type: type, numericClass: numericClass, outputs: outputs, depth: depth, source: source
          ).checksum()
        }
      }
      sums.append(try result.get())
    }
    return sums.withUnsafeBytes { Checksum.xxh64($0) }
  }
}

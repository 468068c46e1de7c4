import MartletKernels
import MartletMachine

extension GGUFFile {
  /// Lends the bytes of a tensor as the file holds them; valid inside `body` only.
  ///
  /// The tensor must be one of this file's `tensorList`. Unsafe because kernels read weights through
  /// pointers; the range was checked against the file when it was opened.
  public func withTensorBytes<R, E: Error>(
    _ tensor: TensorInfo, _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try files[tensor.part].withBytes { (bytes) throws(E) in
      let range = tensor.offset..<(tensor.offset + tensor.byteCount)
      return try body(UnsafeRawBufferPointer(rebasing: bytes[range]))
    }
  }

  /// Lends all bytes of one part.
  func withPartBytes<R>(_ part: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    files[part].withBytes(body)
  }

  /// Throws `file` when a part was written to or cut short since it was opened.
  func verifyUnchanged() throws(ModelError) {
    do {
      for file in files { try file.verifyUnchanged() }
    } catch {
      throw ModelError(.file, "\(error)")
    }
  }

  /// What the system says of each part.
  var identity: [FileIdentity] { files.map(\.identity) }

  /// Each part by path.
  var sources: [TransformerModel.Source] {
    files.map { TransformerModel.Source(path: $0.path, identity: $0.identity) }
  }

  /// Tells the system that a tensor's pages, or those of a range of its bytes, are not needed soon:
  /// packed weights replace them.
  func releasePages(of tensor: TensorInfo, _ range: Range<Int>? = nil) {
    let range = range ?? 0..<tensor.byteCount
    files[tensor.part].release(
      tensor.offset + range.lowerBound..<tensor.offset + range.upperBound)
  }

  /// Has the system fetch a tensor from the device while others are worked on.
  func prefetchPages(of tensor: TensorInfo) {
    files[tensor.part].prefetch(tensor.offset..<tensor.offset + tensor.byteCount)
  }

  /// Tells the system whether samples of a few pages are read now.
  func expectRandomReads(_ isRandom: Bool) {
    for file in files { file.expectRandomReads(isRandom) }
  }

  /// Tells the system that a tensor is read a row here and there.
  func expectSparseReads(of tensor: TensorInfo) {
    files[tensor.part].expectSparseReads(tensor.offset..<tensor.offset + tensor.byteCount)
  }

  /// The values of a tensor as float32. Throws `unsupported` for a type without kernels.
  public func floats(_ tensor: TensorInfo) throws(ModelError) -> [Float] {
    guard let type = tensor.type.weightType else {
      throw ModelError(
        .unsupported, "\(path): tensor '\(tensor.name)' is \(tensor.type.name), not readable here.")
    }
    do {
      return try withTensorBytes(tensor) { (bytes) throws(KernelError) in
        try Kernels.dequantize(type, count: tensor.elementCount, source: bytes)
      }
    } catch {
      throw ModelError(.format, "\(path): tensor '\(tensor.name)': \(error)")
    }
  }
}

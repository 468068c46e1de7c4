/// A 64-bit identification of a model: FNV-1a over the directory of every part (header, metadata
/// and tensor list as the file holds them) and samples of every tensor.
///
/// It tells models apart in results and traces; it is not a defence against forgery. The path and
/// the files' times do not enter it. Source: the Fowler–Noll–Vo hash, 64-bit variant 1a.
struct Fingerprint {
  private var state: UInt64 = 0xcbf2_9ce4_8422_2325

  /// Tensors up to this size are hashed whole; of longer ones the first, middle and last third
  /// of as many bytes.
  private static let sampleBytes = 12_288

  static func of(_ file: GGUFFile) -> String {
    var fingerprint = Fingerprint()
    for (part, directory) in file.directoryByteCounts.enumerated() {
      file.withPartBytes(part) { bytes in
        fingerprint.add(UnsafeRawBufferPointer(rebasing: bytes.prefix(directory)))
      }
    }
    file.expectRandomReads(true)
    defer { file.expectRandomReads(false) }
    for tensor in file.tensorList {
      file.withTensorBytes(tensor) { fingerprint.addSamples($0) }
      // A sample may have brought in a huge page; nobody else needs it yet.
      file.releasePages(of: tensor)
    }
    return hexadecimal(fingerprint.state)
  }

  private mutating func add(_ bytes: UnsafeRawBufferPointer) {
    for byte in bytes {
      state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
    }
  }

  private mutating func addSamples(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count > Self.sampleBytes else { return add(bytes) }
    let length = Self.sampleBytes / 3
    for start in [0, (bytes.count - length) / 2, bytes.count - length] {
      add(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + length)]))
    }
  }
}

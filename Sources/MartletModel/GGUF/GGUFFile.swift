import MartletMachine

/// A GGUF model: one memory-mapped file, or all parts of a split one.
///
/// Opening reads headers only; tensor bytes stay in the file until something asks for them. Every
/// offset, count, length and type is checked before it is used, so a truncated or hostile file
/// throws `ModelError` and nothing is allocated for what it merely claims. The file must not be
/// truncated by another process while it is open: the system ends a process that reads past it.
public final class GGUFFile: Sendable {
  /// The path that was opened.
  public let path: String
  /// GGUF version, 2 or 3.
  public let version: Int
  /// The key-value table (of the first part, for a split model).
  public let metadata: GGUFMetadata
  /// Every tensor by name.
  public let tensors: [String: TensorInfo]
  /// Every tensor in file order.
  public let tensorList: [TensorInfo]
  /// Bytes of all parts together.
  public let byteCount: Int
  /// Bytes of header, metadata and tensor list of each part.
  let directoryByteCounts: [Int]
  let files: [MappedFile]

  /// How many files the model is split into, 1 for a whole one.
  public var partCount: Int { files.count }

  /// Opens the file at `path`, and its sibling parts when it is the first of a split model.
  ///
  /// Throws `file` when it cannot be opened or is no GGUF file, `truncated`, `format`, `value` or
  /// `unsupported` when its contents are wrong, and `split` when parts are absent or do not match.
  public init(path: String) throws(ModelError) {
    let first = try Self.map(path)
    let head = try GGUFPart.parse(first, path: path, part: 0)
    var files = [first]
    var tensors = head.tensors
    var directories = [head.directoryByteCount]
    for (number, sibling) in try SplitModel.siblings(of: path, head.metadata).enumerated() {
      let file = try Self.map(sibling, splitOf: path)
      let part = try GGUFPart.parse(file, path: sibling, part: number + 1)
      try SplitModel.check(part.metadata, number: number + 1, against: head.metadata)
      files.append(file)
      tensors += part.tensors
      directories.append(part.directoryByteCount)
    }
    if files.count > 1 { try SplitModel.checkTotal(tensors.count, head.metadata) }

    var byName: [String: TensorInfo] = [:]
    byName.reserveCapacity(tensors.count)
    for tensor in tensors {
      guard byName.updateValue(tensor, forKey: tensor.name) == nil else {
        throw ModelError(
          .split, "\(path): tensor '\(tensor.name)' appears in two parts of the split model.")
      }
    }
    self.path = path
    self.version = Int(head.version)
    self.metadata = head.metadata
    self.tensors = byName
    self.tensorList = tensors
    self.byteCount = files.reduce(0) { $0 + $1.count }
    directoryByteCounts = directories
    self.files = files
  }

  private static func map(
    _ path: String, splitOf first: String? = nil
  ) throws(ModelError) -> MappedFile {
    do {
      return try MappedFile(path: path)
    } catch {
      if let first {
        throw ModelError(
          .split,
          "\(first) is the first part of a split model, and its part \(path) cannot be opened: "
            + "\(error). Put all parts in one folder.")
      }
      throw ModelError(.file, "\(path): cannot be opened: \(error)")
    }
  }
}

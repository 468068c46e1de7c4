/// Where the keys and values of prompts are kept beyond the runs that read them.
public struct PrefixStoreOptions: Sendable, Equatable {
  /// The most bytes of pages that are kept in memory; nil for a quarter of
  /// ``EngineConfiguration/kvBytesLimit``, within which they are. They go first when pages run short.
  public var memoryBytes: Int?
  /// A folder in which they are kept between starts too; nil for none. Prompts can be read out of it.
  public var folder: String?
  /// The most bytes of files in the folder; the least recently used go first.
  public var folderBytes: Int

  /// In memory, and in a folder if one is given.
  public init(folder: String? = nil, memoryBytes: Int? = nil, folderBytes: Int = 32 << 30) {
    self.folder = folder
    self.memoryBytes = memoryBytes
    self.folderBytes = folderBytes
  }

  /// In memory alone.
  public static let memory = PrefixStoreOptions()
}

import Foundation
import Logging
import MartletMachine

/// A folder of pack files: what is there, what is used, what has to go.
///
/// Beside each pack file lies a small list of the files it was packed from or compared with
/// (``FileIdentity`` of each part), newest first. A model file on the list has not changed since;
/// one that is not on it is compared byte for byte, once.
public struct PackCacheFolder: Sendable {
  /// The folder.
  public let path: String
  let byteLimit: Int

  private static let sourcesSuffix = ".sources"
  private static let mostSources = 8

  public init(path: String, byteLimit: Int = PackCacheOptions.standard.byteLimit) {
    self.path = path
    self.byteLimit = byteLimit
  }

  /// A pack file as `martlet cache list` shows it.
  public struct Item: Sendable, Codable {
    public let path: String
    public let bytes: Int
    public let lastUsed: Date
    /// The model's name and the file it was packed from; nil when the pack file is damaged.
    public let model: String?
    public let source: String?
    public let numericClass: String?
    public let layout: String?
  }

  /// All pack files, the most recently used first. Reads their indices, not their weights.
  public func items() -> [Item] {
    files().map { file in
      let index = try? PackFile(path: file.path).index
      return Item(
        path: file.path, bytes: file.bytes, lastUsed: file.used, model: index?.model,
        source: index?.source, numericClass: index?.key.numericClass,
        layout: index.map { "\($0.key.layout).\($0.key.layoutVersion)" })
    }
  }

  /// Removes all pack files and what killed writers left, and returns how many bytes that freed.
  /// Models that are open keep their weights.
  /// - Throws: `MachineError` `.file` while another process writes to the folder.
  public func clear() throws(MachineError) -> Int {
    try CachedFile.clear(path, suffix: PackCacheKey.suffix, remove: remove)
  }

  // MARK: For the cache

  func path(of key: PackCacheKey) -> String { "\(path)/\(key.fileName)" }

  /// Whether the pack file of `key` is known to be made from `source`.
  func knows(_ source: [FileIdentity], for key: PackCacheKey) -> Bool {
    sources(of: key).contains(source)
  }

  /// Remembers that the pack file of `key` was made from `source`, or compared with it.
  func note(_ source: [FileIdentity], for key: PackCacheKey) {
    let others = sources(of: key).filter { $0 != source }
    let list = [source] + others.prefix(Self.mostSources - 1)
    guard let data = try? JSONEncoder().encode(list) else { return }
    // Not being able to write it costs the next start a comparison.
    try? AtomicFile.write(data, to: path(of: key) + Self.sourcesSuffix)
  }

  /// Marks the pack file of `key` as used now.
  func touch(_ key: PackCacheKey) {
    _ = utimensat(AT_FDCWD, path(of: key), nil, AT_SYMLINK_NOFOLLOW)
  }

  /// Why `bytes` more cannot be kept here, or nil.
  func refusal(ofBytes bytes: Int) -> String? {
    if bytes > byteLimit { return "\(bytes) bytes are more than the cache's limit of \(byteLimit)" }
    guard let free = CachedFile.freeBytes(in: path, tooFewFor: bytes) else { return nil }
    return "\(path) has \(free) bytes free; \(bytes) and a spare gibibyte are needed"
  }

  /// Removes the least recently used pack files until the rest fits the limit. With the folder's
  /// lock held.
  func evict(keeping kept: String, logger: Logger) {
    let files = files()
    var total = files.reduce(0) { $0 + $1.bytes }
    for file in files.reversed() where total > byteLimit && file.path != kept {
      total -= remove(file)
      logger.info("\(file.path) was removed: the cache holds at most \(byteLimit) bytes")
    }
  }

  // MARK: Files

  /// Pack files, the most recently used first.
  private func files() -> [CachedFile] { CachedFile.all(in: path, suffix: PackCacheKey.suffix) }

  /// Removes a pack file with its list and returns its size, 0 when it could not be removed.
  private func remove(_ file: CachedFile) -> Int {
    unlink(file.path + Self.sourcesSuffix)
    return file.remove()
  }

  private func sources(of key: PackCacheKey) -> [[FileIdentity]] {
    let list = path(of: key) + Self.sourcesSuffix
    guard CacheFolder.distrust(list) == nil,
      let data = try? Data(contentsOf: URL(fileURLWithPath: list))
    else { return [] }
    return (try? JSONDecoder().decode([[FileIdentity]].self, from: data)) ?? []
  }
}

import Foundation
public import Logging
import MartletKernels
import MartletMachine
import MartletModel

/// A folder of prefix files: each holds pages of one prompt, from where others in the folder end.
///
/// A file's name says the hash of the prompt up to its first page and up to its last, so that files of
/// prompts that begin alike form a tree. Any number of processes may use a folder: files appear whole,
/// never change, and stay readable for who has them open when they are removed.
public struct PrefixFolder: Sendable {
  /// The folder.
  public let path: String
  let byteLimit: Int
  let logger: Logger

  private static let suffix = ".martlet-prefix"
  /// More files than this make looking for one slow; the least recently used go.
  private static let mostFiles = 4096

  /// A folder, which need not exist.
  public init(
    path: String, byteLimit: Int = PrefixStoreOptions().folderBytes,
    logger: Logger = Logger(label: "martlet.prefixes")
  ) {
    self.path = path
    self.byteLimit = byteLimit
    self.logger = logger
  }

  /// `prefixes` in the user's cache folder; nil without a home.
  public static var standardPath: String? { CacheFolder.standard().map { $0 + "/prefixes" } }

  /// A prefix file as `martlet cache list` shows it.
  public struct Item: Sendable, Codable {
    public let path: String
    public let bytes: Int
    public let lastUsed: Date
    /// Tokens from the prompt's first to the last that it holds, and how many of them it holds; nil when
    /// the file is damaged.
    public let promptTokens: Int?
    public let tokens: Int?
    /// The model, its rounding and the layout of its pages.
    public let identity: String?
  }

  /// All prefix files, the most recently used first.
  public func items() -> [Item] {
    files().map { file in
      let header = try? PrefixFile(path: file.path).header
      return Item(
        path: file.path, bytes: file.bytes, lastUsed: file.used,
        promptTokens: header?.tokens.count, tokens: header.map { $0.pageCount * $0.pageTokens },
        identity: header?.identity)
    }
  }

  /// Bytes of all prefix files.
  public var byteCount: Int { files().reduce(0) { $0 + $1.bytes } }

  /// Removes all prefix files and what killed writers left; returns how many bytes that freed.
  /// - Throws: `MachineError` `.file` while another process writes to the folder.
  public func clear() throws(MachineError) -> Int {
    try CachedFile.clear(path, suffix: Self.suffix) { $0.remove() }
  }

  // MARK: For the store

  /// Makes the folder and clears away what killed writers left in it.
  func open() throws(MachineError) {
    try CacheFolder.make(path)
    guard let lock = try FolderLock.tryTaking(path) else { return }
    AtomicFile.removeLeftovers(in: path)
    lock.release()
  }

  /// A file and the pages of it that a prompt begins with.
  struct Piece {
    let file: PrefixFile
    let pages: Range<Int>
  }

  /// Files that hold the pages of the longest beginning of `tokens` that is here, one behind the other.
  func find(
    _ tokens: [Token], identity: String, pageTokens: Int, most: Int
  ) -> [Piece] {
    guard most > 0 else { return [] }
    let hashes = Self.hashes(tokens, identity: identity, pageTokens: pageTokens, most: most)
    let names = names(of: hashes[0])
    var pieces: [Piece] = []
    var next = 0
    while next < most {
      let longest = (names[hexadecimal(hashes[next])] ?? []).compactMap {
        piece("\(path)/\($0)", tokens, identity, pageTokens, from: next, most: most)
      }.max { $0.pages.count < $1.pages.count }
      guard let longest, !longest.pages.isEmpty else { break }
      pieces.append(longest)
      next = longest.pages.upperBound
      _ = utimensat(AT_FDCWD, longest.file.path, nil, AT_SYMLINK_NOFOLLOW)
    }
    return pieces
  }

  private func piece(
    _ path: String, _ tokens: [Token], _ identity: String, _ pageTokens: Int, from first: Int,
    most: Int
  ) -> Piece? {
    if let reason = CacheFolder.distrust(path) {
      logger.warning("\(path) is not used: \(reason)")
      return nil
    }
    do throws(PrefixFile.Damage) {
      let file = try PrefixFile(path: path)
      let header = file.header
      guard header.identity == identity, header.pageTokens == pageTokens,
        header.firstPage == first
      else {
        logger.info("\(path) is of another model or layout")
        return nil
      }
      let same = zip(tokens, header.tokens).prefix { $0 == $1 }.count / pageTokens
      return Piece(
        file: file, pages: first..<max(first, min(same, most, header.pages.upperBound)))
    } catch {
      giveUp(path, error)
      return nil
    }
  }

  /// Removes a file that cannot be used, so that a sound one takes its place.
  func giveUp(_ path: String, _ damage: PrefixFile.Damage) {
    logger.warning("\(path) is damaged, and removed: \(damage.reason)")
    unlink(path)
  }

  func path(_ identity: UInt64, from start: UInt64, to end: UInt64) -> String {
    "\(path)/\(hexadecimal(identity))-\(hexadecimal(start))-\(hexadecimal(end))\(Self.suffix)"
  }

  /// The hash of what comes before each page of `tokens`, that of the identity first.
  static func hashes(
    _ tokens: [Token], identity: String, pageTokens: Int, most: Int
  ) -> [UInt64] {
    var hashes = [Array(identity.utf8).withUnsafeBytes { Checksum.xxh64($0) }]
    for page in 0..<most {
      let block = tokens[page * pageTokens..<(page + 1) * pageTokens].map(\.littleEndian)
      hashes.append(block.withUnsafeBytes { Checksum.xxh64($0, seed: hashes[page]) })
    }
    return hashes
  }

  /// Why `bytes` more cannot be kept here, or nil.
  func refusal(ofBytes bytes: Int) -> String? {
    if bytes > byteLimit { return "\(bytes) bytes are more than its limit of \(byteLimit)" }
    guard let free = CachedFile.freeBytes(in: path, tooFewFor: bytes) else { return nil }
    return "it has \(free) bytes free; \(bytes) and a spare gibibyte are needed"
  }

  /// Removes the least recently used files until the rest fits. Nothing where another process writes,
  /// which will do it.
  func evict(keeping kept: String) {
    let files = files()
    var (total, count) = (files.reduce(0) { $0 + $1.bytes }, files.count)
    guard total > byteLimit || count > Self.mostFiles,
      let lock = try? FolderLock.tryTaking(path)
    else { return }
    AtomicFile.removeLeftovers(in: path)
    for file in files.reversed()
    where (total > byteLimit || count > Self.mostFiles) && file.path != kept {
      total -= file.remove()
      count -= 1
      logger.info("\(file.path) was removed: the folder holds at most \(byteLimit) bytes")
    }
    lock.release()
  }

  // MARK: Files

  /// Names of an identity's files by the hash of what comes before their pages.
  private func names(of identity: UInt64) -> [String: [String]] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    let prefix = hexadecimal(identity) + "-"
    let own = names.filter { $0.hasPrefix(prefix) && $0.hasSuffix(Self.suffix) }.sorted()
    return Dictionary(grouping: own) { String($0.dropFirst(prefix.count).prefix(16)) }
  }

  /// Prefix files, the most recently used first.
  private func files() -> [CachedFile] { CachedFile.all(in: path, suffix: Self.suffix) }

}

/// Sixteen hexadecimal digits.
private func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}

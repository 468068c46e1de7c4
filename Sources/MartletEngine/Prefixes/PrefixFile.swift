import Foundation
import MartletMachine
import MartletModel

/// A prefix file that is being read. Its header is sound; a page is checked when it is read.
struct PrefixFile {
  let path: String
  let header: PrefixHeader
  private let file: FileHandle

  /// Why a prefix file cannot be used.
  struct Damage: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }

  init(path: String) throws(Damage) {
    guard let file = FileHandle(forReadingAtPath: path) else { throw Damage("it cannot be opened") }
    self.path = path
    self.file = file
    let prelude = try Self.read(file, at: 0, count: PrefixHeader.preludeBytes)
    guard let count = PrefixHeader.byteCount(prelude: prelude) else {
      throw Damage("it is no prefix file of this version")
    }
    let size = (try? file.seekToEnd()).map { Int(clamping: $0) } ?? 0
    guard count <= size, let header = PrefixHeader(try Self.read(file, at: 0, count: count)) else {
      throw Damage("its header is damaged")
    }
    guard header.fileBytes == size else {
      throw Damage("it has \(size) bytes, but its header says \(header.fileBytes)")
    }
    self.header = header
  }

  /// One of its pages, whose checksum is right.
  func page(_ page: Int) throws(Damage) -> [UInt8] {
    let bytes = try Self.read(file, at: header.offset(ofPage: page), count: header.pageBytes)
    guard PrefixHeader.checksum(bytes, page: page) == header.checksums[page - header.firstPage]
    else { throw Damage("the checksum of page \(page) is wrong") }
    return bytes
  }

  private static func read(_ file: FileHandle, at offset: Int, count: Int) throws(Damage) -> [UInt8]
  {
    do {
      try file.seek(toOffset: UInt64(offset))
      let data = try file.read(upToCount: count) ?? Data()
      guard data.count == count else { throw Damage("it was cut") }
      return [UInt8](data)
    } catch {
      throw error as? Damage ?? Damage("it cannot be read: \(error.localizedDescription)")
    }
  }
}

/// Writes pages of a prompt into a prefix file, some at a time, on the driver thread.
final class PrefixWriter {
  /// Pages of the prompt's first blocks; held until this is done.
  let pages: [PageID]
  private let tokens: [Token]
  private let folder: PrefixFolder
  private let identity: String
  private let backend: any PrefixSharing
  private var header: PrefixHeader?
  private var file: AtomicFile?
  private var lock: FolderLock?
  private var written = 0

  init(
    _ folder: PrefixFolder, identity: String, tokens: [Token], pages: [PageID],
    backend: any PrefixSharing
  ) {
    self.folder = folder
    self.identity = identity
    self.tokens = tokens
    self.pages = pages
    self.backend = backend
  }

  /// Writes about so many bytes. True when it is done, also if it was given up.
  func write(bytes: Int) -> Bool {
    do {
      guard let file = try file ?? begin() else { return true }
      var left = bytes
      while left > 0, written < header!.pageCount {
        let page = header!.firstPage + written
        let bytes = try backend.pageBytes(pages[page])
        header!.checksums[written] = PrefixHeader.checksum(bytes, page: page)
        try bytes.withUnsafeBytes { try file.write($0, at: header!.offset(ofPage: page)) }
        written += 1
        left -= bytes.count
      }
      guard written == header!.pageCount else { return false }
      try header!.bytes.withUnsafeBytes { try file.write($0, at: 0) }
      // Checksums say what a power cut left out.
      try file.commit(byteCount: header!.fileBytes, isDurable: false)
      lock = nil
      folder.logger.info("\(header!.pageCount) pages of a prompt are kept in \(file.path)")
      folder.evict(keeping: file.path)
    } catch {
      folder.logger.warning("a prompt is not kept in \(folder.path): \(error)")
    }
    return true
  }

  /// Starts a file for the pages that the folder has not got; nil where there is none.
  private func begin() throws -> AtomicFile? {
    let size = backend.pageTokens
    let known =
      folder.find(tokens, identity: identity, pageTokens: size, most: pages.count)
      .last?.pages.upperBound ?? 0
    guard known < pages.count else { return nil }
    lock = try FolderLock.tryTaking(folder.path, shared: true)
    guard lock != nil else { throw PrefixFile.Damage("another process is clearing it") }
    let header = PrefixHeader(
      identity: identity, tokens: Array(tokens.prefix(pages.count * size)), pageTokens: size,
      pageBytes: backend.prefixPageBytes, pages: known..<pages.count)
    if let refusal = folder.refusal(ofBytes: header.fileBytes) { throw PrefixFile.Damage(refusal) }
    let hashes = PrefixFolder.hashes(
      tokens, identity: identity, pageTokens: size, most: pages.count)
    self.header = header
    file = try AtomicFile(
      path: folder.path(hashes[0], from: hashes[known], to: hashes[pages.count]),
      expectedBytes: header.fileBytes)
    return file
  }
}

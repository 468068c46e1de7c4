import Foundation

/// What the file system says of a file: which one it is and when it last changed.
///
/// Writing to a file sets its change time, which no call can set back, so two equal identities mean
/// equal contents unless the clock was turned or the device written behind the system's back.
public struct FileIdentity: Codable, Sendable, Equatable {
  public var device: UInt64
  public var inode: UInt64
  /// Bytes.
  public var size: Int
  /// When the content was last written, as programs may also set it: seconds and nanoseconds.
  public var modified: [Int]
  /// When content or attributes last changed, by the system's own clock.
  public var changed: [Int]

  init(_ information: stat) {
    device = UInt64(information.st_dev)
    inode = UInt64(information.st_ino)
    size = Int(information.st_size)
    modified = [information.st_mtim.tv_sec, information.st_mtim.tv_nsec]
    changed = [information.st_ctim.tv_sec, information.st_ctim.tv_nsec]
  }

  /// Whether size and time of the last write agree, whatever happened to name and attributes.
  func hasSameContent(as other: FileIdentity) -> Bool {
    size == other.size && modified == other.modified
  }
}

import Foundation

/// Where this copy of Martlet lies: beside the program or library that its code is in.
///
/// A build folder has everything side by side. An installation has programs in `bin`, the library in
/// `lib` (or a folder of the platform's beneath it) and what they need in `lib/martlet`.
public enum Installation {
  /// The program or shared library that this code is part of.
  public static let image: String =
    imagePath(holding: UInt(bitPattern: #dsohandle))
    ?? PluginSearchPath.currentExecutable

  /// The folder of a program or library, links resolved.
  public static func folder(of image: String) -> String {
    URL(fileURLWithPath: image).resolvingSymlinksInPath().deletingLastPathComponent().path
  }

  /// Folders that hold what is installed with Martlet (`plugins`, `models`), the likeliest first:
  /// those in which the library at `image` has it, then `lib/martlet` beside the program's `bin`.
  static func supportFolders(executable: String, image: String) -> [String] {
    let own = folder(of: executable)
    var folders: [String] = []
    if image != executable {
      // In lib, or in a platform's folder beneath it.
      folders = ["\(folder(of: image))/martlet", "\(folder(of: image))/../martlet"]
    }
    folders.append("\(own)/../lib/martlet")
    return folders.map { URL(fileURLWithPath: $0).standardizedFileURL.path }
  }

  /// Those of this process.
  public static var supportFolders: [String] {
    supportFolders(executable: PluginSearchPath.currentExecutable, image: image)
  }

  /// The path of a file that is installed with Martlet: beside the program or library where a Swift
  /// build puts it (`bundle/name`), or in `lib/martlet/folder` of the installation; nil when it is in
  /// neither.
  public static func file(_ name: String, bundle: String, folder: String) -> String? {
    let candidates =
      [image, PluginSearchPath.currentExecutable].map { "\(Self.folder(of: $0))/\(bundle)/\(name)" }
      + supportFolders.map { "\($0)/\(folder)/\(name)" }
    return candidates.first { FileManager.default.fileExists(atPath: $0) }
  }

  /// The file that is mapped where an address lies; nil for memory of no file.
  ///
  /// `dladdr` would say the same, but Swift does not import it on Linux.
  static func imagePath(holding address: UInt) -> String? {
    for line in memoryMap().split(separator: "\n") {
      // begin-end permissions offset device inode path, where the path may have spaces.
      let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
      let range = (fields.first ?? "").split(separator: "-").compactMap { UInt($0, radix: 16) }
      guard range.count == 2, (range[0]..<max(range[0], range[1])).contains(address) else {
        continue
      }
      let path = fields.count == 6 ? fields[5].drop { $0 == " " } : ""
      return path.hasPrefix("/") ? String(path) : nil
    }
    return nil
  }

  /// `/proc/self/maps`, which comes a page at a time: Foundation takes the first for all of it.
  private static func memoryMap() -> String {
    let file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 14)
    while true {
      let count = read(file, &chunk, chunk.count)
      if count > 0 {
        bytes += chunk[..<count]
      } else if count == 0 || errno != EINTR {
        return String(decoding: bytes, as: UTF8.self)
      }
    }
  }
}

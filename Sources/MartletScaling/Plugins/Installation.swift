import CIsolation
import Foundation

/// Where this copy of Martlet lies: beside the program or library that its code is in.
///
/// A build folder has everything side by side. An installation has programs in `bin`, the library in
/// `lib` (or a folder of the platform's beneath it) and what they need in `lib/martlet`.
public enum Installation {
  /// The program or shared library that this code is part of.
  public static let image: String = {
    let program = PluginSearchPath.currentExecutable
    // For code in the program itself this is what its starter called it, which may be anything.
    guard let path = martlet_isolated_image(nil).map({ String(cString: $0) }),
      path.hasPrefix("/"), FileManager.default.fileExists(atPath: path)
    else { return program }
    return isSame(path, program) ? program : path
  }()

  private static func isSame(_ a: String, _ b: String) -> Bool {
    URL(fileURLWithPath: a).resolvingSymlinksInPath()
      == URL(fileURLWithPath: b).resolvingSymlinksInPath()
  }

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
}
